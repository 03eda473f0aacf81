"""Which failures are alike: their messages without what varies from one to the next. Pure, and linear in the text."""

import re

#: What names one thing among many: quoted texts, URLs, paths, pictures, hexadecimal ids, numbers. In this order.
_VARYING = re.compile(
    r"""https?://\S++ | "[^"\n]{0,200}" | '[^'\n]{0,200}' | `[^`\n]{0,200}` | (?<![\w.~-])/?[\w.~-]++(?:/[\w.~-]++)++
    | (?<![\w.~-])\w++(?:[.~-]++\w++)*+(?:(?<=\.(?:png|jpg|gif|bmp|tif))|(?<=\.(?:jpeg|webp|tiff|avif|heic|heif)))
    | \b(?=[\w-]{0,40}\d)[\w-]{8,}+ | \d++(?:[.,x×]\d++)*+""",
    re.VERBOSE | re.IGNORECASE,
)

#: Characters of a message that are compared.
_COMPARED_CHARS = 300


def error_kind(message: str) -> str:
    """What is the same of messages that say the same of different things.

    >>> error_kind("image 17 of '/a/b.png' is 3000x2000") == error_kind("image 4 of '/c.png' is 640x480")
    True
    """
    return " ".join(_VARYING.sub("…", message[: 4 * _COMPARED_CHARS]).split())[:_COMPARED_CHARS]
