"""Where a chart lies: how its path is stored, and how a stored path becomes a file again, never outside CHART_ROOT.

One column of the ledger says what a job shows: a path; nothing (text alone); an `https://` URL, which the provider
fetches; `picture://HASH`, a picture that came within a request and stands in the ledger; `pictures://[...]`, a JSON
list of several of these. None is a path that `stored_path` could give: pathlib leaves no two slashes within one.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from jobs.charts.image_check import read_bounded
from jobs.core.errors import ImageError, InputError
from jobs.core.job import Pictures

#: How names of pictures in the ledger begin; the SHA-256 of the picture follows.
_IN_LEDGER = "picture://"

#: How several pictures begin.
_SEVERAL = "pictures://"

_URL_STARTS = ("https://", "http://")


class ChartRootError(ImageError):
    """Paths are relative, and there is no CHART_ROOT to find them below: no fault of the chart."""


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


def picture_name(sha256: str) -> str:
    """What stands in the ledger in the place of a path for a picture that is itself in the ledger."""
    return f"{_IN_LEDGER}{sha256}"


def join_pictures(stored: Sequence[str]) -> str:
    """What stands in the ledger for a job's pictures, in their order; "" for none.

    >>> join_pictures(["/a.png"]), join_pictures([]), join_pictures(["/a.png", "https://x/b.png"])
    ('/a.png', '', 'pictures://["/a.png", "https://x/b.png"]')
    """
    if len(stored) > 1:
        return _SEVERAL + json.dumps(list(stored), ensure_ascii=False)
    return stored[0] if stored else ""


def split_pictures(stored: str) -> list[str]:
    """The job's pictures, each as it is stored; none for text alone."""
    if stored.startswith(_SEVERAL):
        return [str(one) for one in json.loads(stored.removeprefix(_SEVERAL))]
    return [stored] if stored else []


def is_url(stored: str) -> bool:
    """Whether the provider fetches it, and we never do."""
    return stored.startswith(_URL_STARTS)


def read_chart(stored: str, chart_root: Path | None, pictures: Pictures) -> bytes:
    """The bytes of a stored path's file, or of a picture in the ledger.

    Raises ImageError: it can't be read, or it lies outside `chart_root` once all links are followed.
    """
    if stored.startswith(_IN_LEDGER):
        picture = pictures(stored.removeprefix(_IN_LEDGER))
        if picture is None:
            raise ImageError(f"{stored!r} is not in the results store: submit the requests file again")
        return picture
    return read_bounded(_confined(stored, chart_root))


def _confined(stored: str, chart_root: Path | None) -> Path:
    if chart_root is None:
        if not Path(stored).is_absolute():
            raise ChartRootError("the charts' paths are relative to a CHART_ROOT, and this worker has none")
        return Path(stored)
    resolved = _resolved(chart_root / stored)
    if not resolved.is_relative_to(chart_root):
        raise ImageError(f"{stored!r} leads outside CHART_ROOT ({chart_root}): this worker doesn't read it")
    return resolved


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a circle of links; a NUL in a forged path
        raise ImageError(f"{str(path)!r} can't be followed: {error}") from error
