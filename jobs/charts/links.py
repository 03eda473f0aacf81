"""From the URL of a request's picture to the chart: a data URI, a `file://` URL, a path, or one for the provider."""

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from jobs.charts.image_check import check_image, read_bounded
from jobs.charts.storage import stored_path
from jobs.core.errors import ImageError, InputError
from jobs.core.job import url_hash
from jobs.core.places import picture_name

_SCHEME = re.compile(r"\A([A-Za-z][A-Za-z0-9+.-]*)://")

#: Characters of a URL that are repeated to the user.
_SHOWN_CHARS = 120

#: Characters of the longest URL; browsers and servers take about as many.
_MAX_URL_CHARS = 8000


@dataclass(frozen=True, kw_only=True)
class LinkedChart:
    """A chart that can be asked about."""

    sha256: str
    #: Its place, as the ledger has it.
    stored: str
    #: Pixels; 0: nobody looked.
    longest_side: int = 0
    #: The picture itself, if it has no file.
    picture: bytes | None = field(default=None, repr=False)


def is_https(url: str) -> bool:
    return url[:8].lower() == "https://"


def is_data_uri(url: str) -> bool:
    return url[:5].lower() == "data:"


def chart_of(url: str, *, folder: Path, chart_root: Path | None) -> LinkedChart:
    """Read and check the picture; relative paths begin at `folder`. Raises InputError, ImageError.

    `https://` goes to the provider as it is: nobody here looks what lies there.
    """
    if is_https(url):
        stored = _checked_url(url)
        return LinkedChart(sha256=url_hash(stored), stored=stored)
    if is_data_uri(url):
        return chart_of_bytes(_decoded(url))
    return chart_at(folder / _path_in(url), chart_root)


def chart_at(path: Path, chart_root: Path | None) -> LinkedChart:
    """The chart in a file. Raises InputError, ImageError."""
    stored = stored_path(path, chart_root)  # first: what lies outside is not even opened
    data = read_bounded(path)
    return LinkedChart(longest_side=_longest_side(data), sha256=hashlib.sha256(data).hexdigest(), stored=stored)


def _checked_url(url: str) -> str:
    """The URL in the ledger's spelling. Raises InputError: no provider could fetch it."""
    stored = f"https://{url[8:]}"
    if len(stored) > _MAX_URL_CHARS or " " in stored or not stored.isprintable():
        raise InputError(f"the picture is at {url[:_SHOWN_CHARS]!r}: that is no URL that can be fetched")
    try:
        host = urlsplit(stored).hostname
    except ValueError as error:  # half an IPv6 address
        raise InputError(f"the picture is at {url[:_SHOWN_CHARS]!r}: that is no URL: {error}") from None
    if not host:
        raise InputError(f"the picture is at {url[:_SHOWN_CHARS]!r}: it names no host")
    return stored


def chart_of_bytes(picture: bytes) -> LinkedChart:
    """The chart in a picture's bytes. Raises ImageError."""
    side, sha256 = _longest_side(picture), hashlib.sha256(picture).hexdigest()
    return LinkedChart(sha256=sha256, stored=picture_name(sha256), longest_side=side, picture=picture)


def _longest_side(picture: bytes) -> int:
    header = check_image(picture)
    return max(header.width, header.height)


def chart_from_elsewhere(url: str, chart_root: Path | None) -> LinkedChart:
    """As `chart_of`, for a URL that came over the network: files are read below `chart_root` only."""
    if is_data_uri(url) or is_https(url):
        return chart_of(url, folder=Path(), chart_root=chart_root)
    path = path_below(chart_root, url)
    return chart_of(str(path), folder=path.parent, chart_root=chart_root)


def path_below(chart_root: Path | None, name: str) -> Path:
    """The file or folder that somebody elsewhere names: a path or `file://` URL, never outside `chart_root`.

    Nothing is looked at. Raises InputError.
    """
    if chart_root is None:
        raise InputError("files of the server are read only below CHART_ROOT, and that is not set: upload the pictures")
    if not name:
        raise InputError("the path is empty: write one below CHART_ROOT, `.` for all of it")
    try:
        path = (chart_root / _path_in(name)).resolve()
    except (OSError, RuntimeError, ValueError):  # a circle of links, a NUL
        raise InputError(f"{name[:_SHOWN_CHARS]!r} can't be followed") from None
    if not path.is_relative_to(chart_root):
        raise InputError(f"{name[:_SHOWN_CHARS]!r} lies outside CHART_ROOT")
    return path


def raw_picture(uri: str) -> bytes:
    """What a data URI holds, picture or not; the URI itself if it holds nothing."""
    try:
        return _decoded(uri)
    except ImageError:
        return uri.encode("utf-8", "surrogatepass")


def _decoded(uri: str) -> bytes:
    """The bytes of a data URI (RFC 2397). No larger than a line of the file, hence no bound of its own."""
    comma = uri.find(",", 0, 200)
    if comma < 0 or not uri[:comma].lower().endswith(";base64"):
        raise ImageError("the data URI is not in base64: write data:image/png;base64,...")
    try:
        return base64.b64decode(uri[comma + 1 :] + "=" * (-(len(uri) - comma - 1) % 4), validate=True)
    except (ValueError, binascii.Error) as error:  # a ValueError: characters beyond ASCII
        raise ImageError(f"the data URI is damaged ({error}): encode the picture again") from None


def _path_in(url: str) -> Path:
    scheme = _SCHEME.match(url)
    if scheme is None:
        return Path(url)
    if scheme[1].lower() != "file":
        raise InputError(
            f"the picture is at {url[:_SHOWN_CHARS]!r}: write an https:// URL, which the provider fetches, a data URI, "
            "a file:// URL or a path"
        )
    host, slash, path = url[scheme.end() :].partition("/")
    if host.lower() not in ("", "localhost") or not slash:
        raise InputError(f"{url[:_SHOWN_CHARS]!r} is no file of this machine: write file:///folder/chart.png")
    return Path(os.fsdecode(unquote_to_bytes(f"/{path}")))
