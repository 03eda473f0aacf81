"""Why a model stopped, told apart from how servers spell it: rows keep their words, readers compare these."""

import re

#: What they put around their words: case, what stands between, and the name of the list that a word is of.
_BETWEEN = re.compile(r"[^a-z0-9]+")
_PREFIXES = ("finishreason", "stopreason")

#: That an answer ended at max_tokens: its text stops in the middle. As `plain` spells it.
CUT_OFF = (
    "length", "limit", "incomplete", "truncated",
    "maxtokens", "maxtoken", "maxnewtokens", "maxoutputtokens", "maxcompletiontokens", "maxtokensreached", "tokenlimit",
    "outputtokenlimit", "numpredict", "maxlength", "lengthlimit", "modellength", "errorlimit",
    "contextlength", "contextlengthexceeded", "contextwindowexceeded", "modelcontextwindowexceeded",
)  # fmt: skip

#: The same in SQL, of the column `jobs.finish_reason`.
_SPELLED = "LOWER(jobs.finish_reason)"
for _piece in ("_", "-", ".", " ", *_PREFIXES):
    _SPELLED = f"REPLACE({_SPELLED}, '{_piece}', '')"
IS_CUT_OFF_SQL = f"{_SPELLED} IN ({', '.join(repr(reason) for reason in CUT_OFF)})"


def plain(reason: str | None) -> str:
    """A server's word as words are compared.

    >>> plain("FinishReason.MAX_TOKENS"), plain("Content-Filter"), plain(None)
    ('maxtokens', 'contentfilter', '')
    """
    word = _BETWEEN.sub("", (reason or "").lower())
    for prefix in _PREFIXES:
        word = word.removeprefix(prefix)
    return word


def is_cut_off(reason: str | None) -> bool:
    """Whether an answer that ended so is only the beginning of one."""
    return plain(reason) in CUT_OFF
