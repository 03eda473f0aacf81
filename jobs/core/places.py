"""What stands in the ledger for a job's pictures. No library of images is loaded to tell.

One column says what a job shows: a path; nothing (text alone); an `https://` URL, which the provider fetches;
`picture://HASH`, a picture that came within a request and stands in the ledger; `pictures://[...]`, a JSON list of
several of these. None is a path that `stored_path` could give: pathlib leaves no two slashes within one.
"""

import json
from collections.abc import Sequence

#: How names of pictures in the ledger begin; the SHA-256 of the picture follows.
IN_LEDGER = "picture://"

#: How several pictures begin.
_SEVERAL = "pictures://"

_URL_STARTS = ("https://", "http://")


def picture_name(sha256: str) -> str:
    """What stands in the ledger in the place of a path for a picture that is itself in the ledger."""
    return f"{IN_LEDGER}{sha256}"


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
