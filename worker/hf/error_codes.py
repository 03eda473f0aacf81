"""What an error's codes and words mean, whatever status they came with: a status of their own, or nothing left. Pure.

Codes come as `error_words.error_codes` gives them, by their letters.
"""

import re
from collections.abc import Sequence

from worker.hf.error_words import letters, quoted_codes
from worker.hf.retry_hints import MAX_HINT_S

#: Codes that mean nothing else, whatever hint comes along.
_USED_UP = re.compile(
    r"insufficient[a-z]{0,10}(?:quota|credit|balance|fund)|notenough(?:balance|credit|quota)|exceededcurrentquota"
    r"|billing(?:hardlimit|limit|notactive|disabled|error)|billoverdue|accountoverdue|arrearage|freetieronly"
    r"|creditbalancetoolow|creditsexhausted|creditlimit|outofcredit|paymentrequired"
    r"|budgetexceeded|exceededbudget|spend(?:ing)?limit|balance(?:exhausted|depleted|toolow|notenough)"
)

#: Words that mean it unless the server also says when to come back (Gemini's limit per minute has them too), or names
#: the time in which more comes.
_USED_UP_WORDS = re.compile(
    r"check your plan and billing"
    r"|insufficient (?:account )?(?:credits?|quota|balance|funds)"
    r"|insufficient [a-z ]{0,30}\bbalance\b|check your billing"
    r"|\bbalance (?:is )?(?:zero|negative|too low|insufficient|not enough|exhausted|depleted)"
    r"|quota is (?:too low|insufficient|not enough)|余额不足|额度不足|欠费"
    r"|\bfree (?:tier|trial|plan)(?: (?:is|has|been|was))* (?:exhausted|used up|over|ended|expired)"
    r"|\b(?:out of|no|any|not enough|depleted|used up|used all|exceeded) [a-z ]{0,40}\bcredits?\b"
    r"|(?:monthly|billing|spending|spend|plan)(?:'s)? [a-z ]{0,30}\b(?:limit|quota|cap|budget|allowance)\b"
    r"[a-z ]{0,20}\b(?:reached|exceeded|used up|exhausted)"
    r"|(?:reached|reaching|exceeded|used up|exhausted) [a-z ]{0,20}\b(?:monthly|billing|spending|spend|plan)(?:'s)? "
    r"[a-z ]{0,30}\b(?:limit|quota|cap|budget|allowance)\b"
    r"|budget [a-z ]{0,20}exceeded"
    r"|quota [a-z ]{0,20}for (?:the|this|your) (?:current )?(?:month|billing period|plan)\b"
    r"|(?:calls?|requests?) ?(?:/|per|a) ?month"
    r"|credit limit (?:exceeded|reached)|key(?:'s)? spending limit (?:exceeded|reached)"
    r"|specified API usage limits"  # Anthropic's, until the month is over
    r"|key limit exceeded \((?:total|monthly) limit\)"  # OpenRouter: what this key may spend
    r"|payment required",
    re.I,
)

#: Of a 400 only these: its words may be the question's own.
_SURELY_USED_UP = re.compile(
    r"check your plan and billing|credit balance is too low|specified API usage limits|欠费", re.I
)
_IN_QUOTES = re.compile(r"(?<![A-Za-z0-9])'[^']{0,2000}'(?![A-Za-z0-9])|\"[^\"]{0,2000}\"|`[^`]{0,2000}`")

#: So does the account's quota, unless it is one of a rate.
_QUOTA = re.compile(
    r"(?:exceed(?:ed|s)?|exhausted|used up|reached) (?:your|its)\b[a-z ]{0,20}quota|out of [a-z ]{0,20}quota"
    r"|quota (?:has been |is |was )?(?:exceeded|exhausted|used up)|quota_?(?:exceeded|exhausted|depleted)",
    re.I,
)
_PER_TIME = re.compile(
    r"concurren|simultaneous|parallel|slow down"
    r"|per.{0,5}(?:second|minute|hour|day)|/ ?(?:sec|min|h(?:ou)?r|day|[smhd]\b)|\b[rt]p[smhd]\b",
    re.I,
)
_RATE = re.compile(r"daily|hourly|\bmetric\b|\brate\b|throttl", re.I)

_FILTERED = re.compile(r"contentfilter|contentpolicy|responsibleai|datainspection|moderation|promptblocked")
_FILTERED_WORDS = re.compile(
    r"content (?:policy|filter|management policy|moderation)|requires moderation|safety system"
    r"|(?:input|prompt|image|content|request)[a-z ]{0,20} flagged",
    re.I,
)


def _code(words: str) -> re.Pattern[str]:
    """A whole code: `rate_limit`, `RateLimitError`, `ThrottlingException`."""
    return re.compile(f"(?:{words})(?:error|exception)?")


#: The status that a code stands for, the surest first.
_MEANS = {
    401: _code(r"(?:invalid|incorrect|expired|missing)(?:api(?:key|token)|(?:auth|access|bearer)token|token)"
               r"|apikey(?:is)?(?:not|in)valid|authentication(?:failed)?|unauthori[sz]ed|unauthenticated"),
    429: _code(r"[a-z]{0,30}ratelimit(?:ed|exceeded|reached)?|toomanyrequests|resourceexhausted|throttl(?:ing|ed)"),
    404: _code(r"(?:invalid)?model(?:id)?(?:is)?(?:not(?:found|supported|available|exists?)|decommissioned|retired)"),
    403: _code("modeltermsrequired|permission(?:denied)?|forbidden|accessdenied"),
    503: _code("serviceunavailable|unavailable|[a-z]{0,20}overloaded|modelloading"),
    400: _code("(?:bad|invalid)request|context(?:length|window)exceeded|validation|invalidargument"),
}  # fmt: skip

#: In plain words that are no codes, without what stands between their letters.
_PLAIN = {
    401: re.compile(r"(?:invalid|incorrect|expired|missing)apikey|apikey(?:is)?(?:not|in)valid"),
    429: re.compile(r"ratelimit|toomanyrequests"),
    503: re.compile(r"currentlyloading"),
}

_STATUS = re.compile(r"[45][0-9]{2}")


def is_used_up(status: int, said: str, codes: Sequence[str], *, hint_s: float | None) -> bool:
    """Whether the account has nothing left, which no waiting cures; `hint_s`: seconds after which to try again."""
    is_about_calls = status not in (400, 413, 422)  # else about this one, whose question may stand in its words
    if any(_USED_UP.search(code) for code in (*codes, *(quoted_codes(said) if is_about_calls else ()))):
        return True
    said = _IN_QUOTES.sub(" ", said)
    if not is_about_calls:
        return _SURELY_USED_UP.search(said) is not None
    if hint_s is not None and hint_s <= MAX_HINT_S:
        return False
    all_said = f"{said} {' '.join(codes)}"
    if _PER_TIME.search(all_said):
        return False
    return _USED_UP_WORDS.search(said) is not None or (
        _QUOTA.search(all_said) is not None and _RATE.search(all_said) is None
    )


def is_filtered(said: str, codes: Sequence[str]) -> bool:
    """Whether a filter of contents refused it."""
    return _FILTERED_WORDS.search(said) is not None or any(_FILTERED.search(code) for code in codes)


def status_meant(codes: Sequence[str], said: str = "") -> int | None:
    """The HTTP status that the codes stand for, or else the plain words; None if they name none.

    >>> status_meant(["ratelimitexceeded"]), status_meant(["503"]), status_meant([])
    (429, 503, None)
    """
    named = (status for status, code in _MEANS.items() if any(map(code.fullmatch, codes)))
    numbers = (int(one) for one in codes if _STATUS.fullmatch(one))
    told = (status for status, plain in _PLAIN.items() if plain.search(letters(said)))
    return next((status for found in (named, numbers, told) for status in found), None)
