"""Why a model stopped, in the words of OpenAI, TGI, Gemini, Anthropic and the servers that speak like them. Pure."""

from typing import Literal

from jobs.core.finish_reason import CUT_OFF, plain

End = Literal["itself", "length", "filter", "refusal", "tool", "broken"]

#: As `plain` spells them. What stands nowhere here ended by itself: stop, eos_token, end_turn, or nothing at all.
_ENDS: dict[End, str] = {
    "filter": "contentfilter contentfiltered safety recitation prohibitedcontent blocklist blocked spii sensitive "
    "toxic errortoxic guardrailintervened contentpolicy contentpolicyviolation policyviolation moderation flagged",
    "refusal": "refusal refused",
    "tool": "toolcalls toolcall tooluse functioncall malformedfunctioncall unexpectedtoolcall",
    "broken": "error abort aborted cancelled canceled timeout insufficientsystemresource",
}
_END_OF: dict[str, End] = {word: end for end, words in _ENDS.items() for word in words.split()}
_END_OF |= dict.fromkeys(CUT_OFF, "length")


def end_of(finish_reason: str | None) -> End:
    """What a server's `finish_reason` means: `Content-Filter` is a filter, None is "itself".

    >>> end_of("FINISH_REASON_MAX_TOKENS"), end_of("IMAGE_SAFETY"), end_of("eos_token")
    ('length', 'filter', 'itself')
    """
    word = plain(finish_reason)
    return _END_OF.get(word) or _END_OF.get(word.removeprefix("image"), "itself")
