"""US dollars: what a provider takes, and how an amount is written."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a provider takes, in US dollars per million tokens."""

    input_usd_per_m: float
    output_usd_per_m: float


def usd(amount: float) -> str:
    """`$12.30`; of what is less than a cent the first two digits: `$0.0042`."""
    if amount == 0 or amount >= 0.01:
        return f"${amount:,.2f}"
    return f"${float(f'{amount:.2g}'):.8f}".rstrip("0")


def dollars(prompt_tokens: float, completion_tokens: float, prices: Iterable[Price]) -> tuple[float, float] | None:
    """What so many tokens cost at the cheapest and at the dearest of the prices; None if there is none."""
    costs = [(prompt_tokens * one.input_usd_per_m + completion_tokens * one.output_usd_per_m) / 1e6 for one in prices]
    return (min(costs), max(costs)) if costs else None


def about_usd(costs: tuple[float, float], because: str) -> str:
    """`about $0.10 to $0.30, as the provider was`."""
    least, most = map(usd, costs)
    return f"about {least}" + (f" to {most}, {because}" if least != most else "")
