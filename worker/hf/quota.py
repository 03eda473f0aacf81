"""Whether a refusal says that the account has nothing left: no waiting cures that, as it does a rate limit. Pure."""

import re

#: Codes that mean nothing else, whatever hint comes along.
_CODES = re.compile(
    r"\b(?:insufficient_(?:quota|credits?|balance|funds)|billing_(?:hard_)?limit_reached|billing_hard_limit|"
    r"billing_not_active|credit_balance_too_low|payment_required|out_of_credits?)\b",
    re.I,
)

#: Words that mean it unless the server also says when to come back (Gemini's limit per minute has them too).
_WORDS = re.compile(
    r"check your plan and billing"
    r"|insufficient (?:account )?(?:credits?|quota|balance|funds)"
    r"|(?:credit )?balance is (?:too low|insufficient|not enough)"
    r"|(?:out of|no|not enough|depleted|used up|exceeded) [a-z ]{0,40}\bcredits?\b"
    r"|(?:monthly|billing|spending|spend|plan)(?:'s)? [a-z ]{0,30}\b(?:limit|quota|cap|budget|allowance)\b"
    r"[a-z ]{0,20}\b(?:reached|exceeded|used up|exhausted)"
    r"|(?:reached|exceeded|used up|exhausted) [a-z ]{0,20}\b(?:monthly|billing|spending|spend|plan)(?:'s)? [a-z ]{0,30}"
    r"\b(?:limit|quota|cap|budget|allowance)\b"
    r"|quota [a-z ]{0,20}for (?:the|this|your) (?:current )?(?:month|billing period|plan)\b"
    r"|key(?:'s)? (?:spending|credit) limit (?:exceeded|reached)"
    r"|key limit exceeded \((?:total|monthly) limit\)"  # OpenRouter: what this key may spend
    r"|payment required",
    re.I,
)


def is_used_up(said: str, code: str, *, hint_s: float | None) -> bool:
    """By the server's words and its machine-readable codes. `hint_s`: seconds after which it said to try again."""
    return _CODES.search(code) is not None or (hint_s is None and _WORDS.search(said) is not None)
