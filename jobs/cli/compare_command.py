"""The command that shows two batches' answers side by side."""

from collections.abc import Mapping
from pathlib import Path

import click

from jobs.batches.session import Session
from jobs.cli.completion import complete_batches
from jobs.cli.output import say
from jobs.cli.result_commands import form_of, output_option, writing
from jobs.config.settings import producer_settings
from jobs.formats import ReportContext
from jobs.formats.compare import COMPARISONS, comparison_format_of, write_comparison


@click.command()
@click.argument("batch_a", shell_complete=complete_batches)
@click.argument("batch_b", shell_complete=complete_batches)
@output_option
@click.option(
    "--format", "form", type=click.Choice(sorted(COMPARISONS)), help="Default: by the file's name, else markdown."
)
def compare(batch_a: str, batch_b: str, output: Path | None, form: str | None) -> int:
    """Show two batches' answers side by side, paired by chart.

    \b
    Example: chartq compare b261122-k3x9qa b261123-m2w8sd -o models.html
    """
    chosen = form or form_of(output, comparison_format_of) or "markdown"
    counts: Mapping[str, int] = {}  # stays so if the reader leaves
    with Session(producer_settings()) as session, writing(output):
        a, b = (session.ledger.batch(batch_id) for batch_id in (batch_a, batch_b))
        counts = write_comparison(
            session.results(a, with_source=a.source is not None),
            session.results(b, with_source=b.source is not None),
            ReportContext.of(session, a),
            ReportContext.of(session, b),
            output,
            chosen,
        )
    words = {"same": "same", "differ": "differ", "one": "answered in one only", "none": "answered in neither"}
    if counts:
        say(", ".join(f"{counts[outcome]} {word}" for outcome, word in words.items() if outcome in counts))
    return 0
