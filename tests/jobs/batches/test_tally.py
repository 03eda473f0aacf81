"""What a batch's answers say together: values counted, tokens and dollars."""

from collections import Counter
from typing import Any

import pytest

from jobs.batches.tally import spent_line, tally, tally_line
from jobs.core.money import Price
from jobs.schemas import Field

TREND = Field(name="trend", type="string")
DRAWN = Field(name="drawn", type="boolean")
LEVELS = Field(name="levels", type="number", many=True)


@pytest.mark.parametrize(
    ("answers", "lines"),
    [
        ([], []),
        ([None, "prose", {"other": 1}, {"trend": None}], []),
        (
            [{"trend": "up", "drawn": True}, {"trend": "down", "drawn": False}, {"trend": "up", "levels": [1]}],
            ["trend: up 2 · down 1", "drawn: yes 1 · no 1"],
        ),
        ([{"trend": f"in words {n}"} for n in range(9)], []),  # no choice between a few
        ([{"trend": "up\n  \n(surely)"}], ["trend: up (surely) 1"]),
        ([{"trend": {"odd": 1}}], ["trend: {'odd': 1} 1"]),
    ],
)
def test_values_of_fields_that_choose_between_a_few_are_counted(answers: list[Any], lines: list[str]) -> None:
    counted = tally([TREND, DRAWN, LEVELS], answers)
    assert [tally_line(name, values) for name, values in counted.items()] == lines


@pytest.mark.parametrize(
    ("prices", "line"),
    [
        ([], "tokens: 2,000,000 in, 1,000,000 out"),
        ([(1.0, 2.0)], "tokens: 2,000,000 in, 1,000,000 out, about $4.00"),
        ([(1.0, 2.0), (0.5, 0.5)], "tokens: 2,000,000 in, 1,000,000 out, about $1.50 to $4.00, as the provider was"),
    ],
)
def test_what_was_spent_is_told_in_tokens_and_in_dollars_where_prices_are_known(
    prices: list[tuple[float, float]], line: str
) -> None:
    known = [Price(input_usd_per_m=price[0], output_usd_per_m=price[1]) for price in prices]
    assert spent_line({"prompt_tokens": 2_000_000, "completion_tokens": 1_000_000}, known) == line


def test_no_value_makes_a_line_of_its_own_or_a_long_one() -> None:
    assert tally_line("a\nb", Counter({"x" * 1_000_000: 2})) == f"a\\nb: {'x' * 99}… 2"
