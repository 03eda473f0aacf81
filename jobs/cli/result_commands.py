"""The command that hands results on, in any format."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from jobs.batches.session import Session
from jobs.cli.newest import batch_or_newest
from jobs.cli.options import newest_batch_argument
from jobs.cli.output import reader_may_leave, say
from jobs.cli.values import GivenPath
from jobs.config.settings import producer_settings
from jobs.core.errors import InputError
from jobs.core.job import ENDED_STATES, OPEN_STATES
from jobs.core.text import counted
from jobs.formats import FORMATS, ReportContext, format_of

output_option = click.option("-o", "--output", type=GivenPath(dir_okay=False), help="A file, written atomically.")


@click.command()
@newest_batch_argument
@output_option
@click.option(
    "--format",
    "form",
    type=click.Choice(sorted(FORMATS)),
    help="Default: by the file's name; else a table for people in a terminal, and jsonl on a pipe.",
)
@click.option("--status", type=click.Choice([*ENDED_STATES, *OPEN_STATES]), help="Only rows of this state.")
@click.option(
    "--sidecar",
    type=GivenPath(file_okay=False),
    metavar="DIR",
    help="CHART.txt and CHART.json for each chart, in a tree like the charts'.",
)
@click.option("--with-source", is_flag=True, help="Of a batch about answers: each answer's text and job too.")
def results(
    batch_id: str | None,
    output: Path | None,
    form: str | None,
    status: str | None,
    sidecar: Path | None,
    with_source: bool,
) -> int:
    """Write a batch's results (the newest batch's, if none is named), in the order of submission.

    \b
    Example: chartq results b261122-k3x9qa -o report.html
    """
    form = form or form_of(output, format_of)
    with Session(producer_settings()) as session:
        batch = batch_or_newest(session, batch_id)
        if sidecar is not None:
            from jobs.formats.sidecars import write_sidecars  # with its hashes and expressions

            count = write_sidecars(session.results(batch), sidecar, status=status)
            say(f"{counted(count, 'result')} below {sidecar}")
            if output is None and form is None:
                return 0
        if output is None and form is None and sys.stdout.isatty():
            from jobs.cli.result_table import print_results  # draws with a terminal's library

            with reader_may_leave():
                print_results(session.results(batch, status=status, with_source=with_source))
            return 0
        chosen = FORMATS[form or "jsonl"]
        files: Sequence[Path] = ()  # stays so if the reader leaves
        with writing(output):
            shown = with_source or (batch.source is not None and chosen.shows_source)
            rows = session.results(batch, status=status, with_source=shown, with_raw=chosen.shows_raw)
            files = chosen.write(rows, output, ReportContext.of(session, batch, with_source=with_source))
    if len(files) > 1:
        say(f"written: {', '.join(map(str, files))}")
    return 0


def form_of(output: Path | None, by_name: Callable[[Path], str | None]) -> str | None:
    """What a file's name asks for; a name that asks for nothing we have is wrong usage."""
    try:
        return None if output is None else by_name(output)
    except InputError as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def writing(output: Path | None) -> Iterator[None]:
    """What the system says of the file becomes one sentence; of stdout it is the caller's business."""
    if output is None:
        with reader_may_leave():
            yield
        return
    try:
        yield
    except OSError as error:
        raise InputError(f"{str(output)!r} can't be written: {error.strerror}") from error
