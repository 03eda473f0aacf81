"""`chartq doctor`: is everything there that a run needs, and if not, what to do."""

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout and nothing else.")
def doctor(as_json: bool) -> int:
    """Check settings, Redis, results store, token, endpoint, model and folders, each with what to do.

    \b
    Example: chartq doctor
    """
    raise click.ClickException("not written yet")
