"""How a chart's path is stored, and how a stored path becomes a file again, never outside CHART_ROOT."""

import os
from pathlib import Path

from jobs.charts.image_check import read_bounded
from jobs.core.errors import ImageError, InputError
from jobs.core.job import Pictures
from jobs.core.places import IN_LEDGER


class ChartRootError(ImageError):
    """Paths are relative, and there is no CHART_ROOT to find them below, or it isn't there: no fault of the chart."""


def stored_path(path: Path, chart_root: Path | None) -> str:
    """What stands in the ledger for `path`: relative to `chart_root` if there is one, else absolute.

    Raises InputError if the file lies outside `chart_root`.
    """
    if chart_root is None:
        return str(path.absolute())
    resolved = _resolved(path)
    if not resolved.is_relative_to(chart_root):
        raise InputError(
            f"{str(path)!r} lies outside CHART_ROOT ({chart_root}): workers could not read it; move it there"
        )
    return str(resolved.relative_to(chart_root))


def read_chart(stored: str, chart_root: Path | None, pictures: Pictures) -> bytes:
    """The bytes of a stored path's file, or of a picture in the ledger.

    Raises ImageError: it can't be read, or it lies outside `chart_root` once all links are followed.
    """
    if stored.startswith(IN_LEDGER):
        picture = pictures(stored.removeprefix(IN_LEDGER))
        if picture is None:
            raise ImageError(f"{stored!r} is not in the results store: submit the requests file again")
        return picture
    path = _confined(stored, chart_root)
    try:
        return read_bounded(path, called=stored)
    except ImageError:
        if chart_root is not None and not os.path.isdir(chart_root):  # each chart would fail alike
            raise ChartRootError("CHART_ROOT is no folder where this worker runs (not mounted?)") from None
        raise


def _confined(stored: str, chart_root: Path | None) -> Path:
    if chart_root is None:
        if not Path(stored).is_absolute():
            raise ChartRootError("the charts' paths are relative to a CHART_ROOT, and this worker has none")
        return Path(stored)
    resolved = _resolved(chart_root / stored, called=stored)
    if not resolved.is_relative_to(chart_root):
        raise ImageError(f"{stored!r} leads outside CHART_ROOT: this worker doesn't read it")
    return resolved


def _resolved(path: Path, *, called: str | None = None) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a circle of links; a NUL in a forged path
        raise ImageError(f"{called or str(path)!r} can't be followed: {error}") from error
