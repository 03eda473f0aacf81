"""What calls will cost: tokens by what answers took so far, dollars by the providers' prices. Pure functions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.config.settings import Settings
from jobs.core.job import Question
from jobs.core.money import Price, about_usd, dollars
from jobs.core.text import counted
from jobs.ledger import TokensSpent

#: The prices of the providers that may answer a question, as far as anybody tells; empty: not known. Never raises.
PricesOf = Callable[[Settings, Question], Sequence[Price]]


def no_prices(_settings: Settings, _question: Question) -> Sequence[Price]:
    """For the producer's half, which asks no provider anything."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Cost:
    """An estimate, and what it rests on."""

    prompt_tokens: int
    completion_tokens: int
    #: The answers whose average was taken.
    basis: TokensSpent
    #: At the cheapest and at the dearest provider; None: no price is known.
    usd: tuple[float, float] | None = None

    def tokens_document(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "by_answers": self.basis.answers,
            "to_the_same_question": self.basis.same_question,
        }

    def price_document(self) -> dict[str, float] | None:
        return {"least": round(self.usd[0], 6), "most": round(self.usd[1], 6)} if self.usd else None

    def tokens_text(self) -> str:
        """For people."""
        tokens = f"about {about(self.prompt_tokens)} in, {about(self.completion_tokens)} out"
        answers = counted(self.basis.answers, "answer")
        to = "to this question" if self.basis.same_question else "of this model to other questions"
        return f"{tokens}, by the average of {answers} {to}"

    def price_text(self) -> str:
        """For people; "" if it isn't known."""
        return about_usd(self.usd, "as the provider may be") if self.usd else ""


def cost(calls: int, spent: TokensSpent | None, prices: Sequence[Price]) -> Cost | None:
    """What so many calls take if they are like those that were answered; None if none was."""
    if spent is None:
        return None
    prompt, completion = (calls * tokens / spent.answers for tokens in (spent.prompt_tokens, spent.completion_tokens))
    return Cost(
        prompt_tokens=round(prompt),
        completion_tokens=round(completion),
        basis=spent,
        usd=dollars(prompt, completion, prices),
    )


def about(number: int) -> str:
    """An estimate with its first three digits.

    >>> about(1_234_567)
    '1,230,000'
    """
    return f"{float(f'{number:.3g}'):,.0f}"
