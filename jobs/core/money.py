"""US dollars: what a provider takes, and how an amount is written."""

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
