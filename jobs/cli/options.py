"""Options and arguments that several commands share."""

import click

from jobs.cli.completion import complete_batches

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout and nothing else.")
batch_argument = click.argument("batch_id", shell_complete=complete_batches)
#: For commands that only look; see `jobs.cli.newest`.
newest_batch_argument = click.argument("batch_id", required=False, shell_complete=complete_batches)
model_or_batch_argument = click.argument("model_or_batch", required=False, shell_complete=complete_batches)
