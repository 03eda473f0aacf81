"""What is said before anything is asked: calls, tokens, dollars, time; each only as far as it is known."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from support.producer import Producer
from support.stack import Stack, draw_charts, stack
from support.stores import QUESTION, finished, start, submit

from jobs.batches.cost import about, cost
from jobs.batches.plan import Plan
from jobs.core.money import Price, usd
from jobs.ledger import Ledger, TokensSpent
from jobs.submit.submit import Submitted
from worker.hf.catalogue import ModelInfo, ProviderInfo
from worker.hf.prices import chargeable
from worker.main import chartq
from worker.rehearsal import Behaviour, Rehearsal

SPENT = TokensSpent(answers=4, prompt_tokens=4000, completion_tokens=200, same_question=True)
CHEAP, DEAR = (Price(input_usd_per_m=usd_in, output_usd_per_m=usd_out) for usd_in, usd_out in ((0.1, 1.0), (2.0, 4.0)))

NOW = 1_800_000_000.0


def plan(**changes: Any) -> Plan:
    done = Submitted(total=13, cached=3)
    return Plan(**{"done": done, "calls": 10, "max_side": 2048, "eta_s": None, "now": NOW, **changes})


@pytest.mark.parametrize(
    ("spent", "prices", "expected"),
    [
        (None, [CHEAP], None),  # a price alone says nothing
        (SPENT, [], (10_000, 500, None, None)),
        (SPENT, [CHEAP], (10_000, 500, 0.0015, 0.0015)),
        (SPENT, [DEAR, CHEAP], (10_000, 500, 0.0015, 0.022)),
    ],
)
def test_calls_cost_what_answers_did_at_the_least_and_the_highest_price(
    spent: TokensSpent | None, prices: list[Price], expected: Any
) -> None:
    found = cost(10, spent, prices)
    if found is None:
        assert expected is None
        return
    assert (found.prompt_tokens, found.completion_tokens) == expected[:2]
    assert (found.usd or (None, None)) == pytest.approx(expected[2:])


def test_an_estimate_has_no_more_digits_than_it_deserves() -> None:
    assert [about(number) for number in (0, 7, 1_234, 1_234_567)] == ["0", "7", "1,230", "1,230,000"]
    amounts = (0, 0.004_234, 0.000_012_3, 0.12, 12.3, 1234.5)
    assert [usd(amount) for amount in amounts] == ["$0.00", "$0.0042", "$0.000012", "$0.12", "$12.30", "$1,234.50"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"calls": 0}, []),
        ({}, ["tokens and price: not known before", "time: not known without a budget"]),
        ({"held": True}, ["tokens and price", "time: the lane is on hold"]),
        (
            {"cost": cost(10, SPENT, [CHEAP, DEAR]), "eta_s": 7200.0, "budget": "5/h"},
            [
                "tokens: about 10,000 in, 500 out, by the average of 4 answers to this question",
                "price: about $0.0015 to $0.02",
                "time: 2.0 h at 5/h, done by ",
            ],
        ),
        (
            {"cost": cost(10, dataclasses.replace(SPENT, answers=1, same_question=False), [])},
            [
                "tokens: about 40,000 in, 2,000 out, by the average of 1 answer of this model to",
                "price: not known",
                "t",
            ],
        ),
    ],
)
def test_people_are_told_what_is_known_and_what_is_not(changes: dict[str, Any], expected: list[str]) -> None:
    first, *others = plan(**changes).lines()
    assert re.match(r"13 charts: \d+ answered already, \d+ calls to make$", first)
    assert len(others) == len(expected)
    assert all(line.startswith(start) for line, start in zip(others, expected, strict=True))


def provider(name: str, price: float | None, status: str = "live") -> ProviderInfo:
    return ProviderInfo(name=name, status=status, input_usd_per_m=price, output_usd_per_m=price and 2 * price)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("org/model", [0.3, 0.1]),
        ("org/model:fastest", [0.3, 0.1]),
        ("org/model:cheapest", [0.1]),
        ("org/model:fireworks", [0.3]),
        ("org/model:silent", []),  # pinned, and doesn't tell
    ],
)
def test_only_those_are_priced_that_may_be_asked(model: str, expected: list[float]) -> None:
    providers = (
        provider("fireworks", 0.3),
        provider("nebius", 0.1),
        provider("silent", None),
        provider("x", 9, "error"),
    )
    info = ModelInfo(id=model, served=True, providers=providers)
    assert [price.input_usd_per_m for price in chargeable(info, model)] == expected


def test_answers_to_the_same_question_tell_more_than_those_of_the_same_model(ledger: Ledger) -> None:
    other = dataclasses.replace(QUESTION, prompt="What else?")
    submit(ledger, "abcd", now=1)
    assert ledger.tokens_spent(QUESTION, count_rehearsals=True) is None
    for chart in "abc":
        start(ledger, chart, now=1)
    rehearsed, silent = finished("b", rehearsal=True), finished("c")
    silent = dataclasses.replace(silent, answer=dataclasses.replace(silent.answer, prompt_tokens=None))
    ledger.record([finished("a"), rehearsed, silent], 2)
    spent = TokensSpent(answers=1, prompt_tokens=7, completion_tokens=3, same_question=True)
    assert ledger.tokens_spent(QUESTION, count_rehearsals=False) == spent
    both = dataclasses.replace(spent, answers=2, prompt_tokens=14, completion_tokens=6)
    assert ledger.tokens_spent(QUESTION, count_rehearsals=True) == both
    assert ledger.tokens_spent(other, count_rehearsals=False) == dataclasses.replace(spent, same_question=False)
    elsewhere = dataclasses.replace(QUESTION, model="org/other")
    assert ledger.tokens_spent(elsewhere, count_rehearsals=False) is None


def test_a_dry_run_asks_the_catalogue_for_the_price(user: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    charts = draw_charts(user.folder / "charts", 6)
    dry_run = ("submit", charts, "-p", "Up?", "--dry-run", "--json")
    monkeypatch.setenv("HF_RATE_LIMIT", "2/h")
    with Rehearsal(Behaviour()) as server:
        monkeypatch.setenv("HF_BASE_URL", server.base_url)
        assert user.run(*dry_run, commands=chartq).json()["price_usd"] is None
        assert server.record.lookups == []  # nothing is answered, so a price alone would tell nothing
        user.answer(user.submit(charts / "group-00" / "chart-0000.png")["batch_id"])
        plan = user.run(*dry_run, commands=chartq).json()
        assert (plan["calls"], plan["eta_s"]) == (5, pytest.approx(2 * 3600, abs=1))  # behind one that waits
        tokens = {"prompt_tokens": 35, "completion_tokens": 15, "by_answers": 1, "to_the_same_question": True}
        assert plan["tokens"] == tokens
        price = pytest.approx((35 * 0.15 + 15 * 0.6) / 1e6, abs=1e-6)
        assert plan["price_usd"] == {"least": price, "most": price}
        assert user.run(*dry_run).json()["price_usd"] is None  # the producer's half asks no provider
        server.behave(fault=500)
        assert user.run(*dry_run, commands=chartq).json()["price_usd"] is None
        assert len(server.record) == 0  # and nobody was called
    assert user.run(*dry_run, commands=chartq).json()["tokens"] == tokens  # nobody there is no error either


def test_a_run_tells_its_plan_first(tmp_path: Path) -> None:
    draw_charts(tmp_path / "charts", 9)
    with (
        Rehearsal(Behaviour()) as server,
        stack(tmp_path, HF_BASE_URL=server.base_url, HF_TOKEN="hf_x", HF_RATE_LIMIT="100/s") as user,
    ):
        arguments = ("run", str(tmp_path / "charts"), "-p", "Up?")
        first = _told(user, *arguments)
        assert re.search(r"^9 charts: \d answered already, \d calls? to make$", first, re.M)
        draw_charts(tmp_path / "charts", 12)
        again = _told(user, *arguments)
        # It works while it counts: the last calls may be over by then.
        assert re.search(r"by the average of \d+ answers to this question|: 12 answered already", again)
        assert user.run(*arguments, "--json", expect=0).stderr == ""


def _told(user: Stack, *arguments: str) -> str:
    return user.run(*arguments, expect=0).stderr
