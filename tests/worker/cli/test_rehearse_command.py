"""`chartq rehearse`: the run's own figures on a fast clock, nobody's token used, nothing left behind."""

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from support.executions import ending
from support.producer import Producer, producer_in
from support.stack import Stack, draw_charts, eventually, finish, stack

from jobs.batches.shapes import BatchDocument
from jobs.core.clock import SYSTEM_CLOCK, FastClock
from jobs.core.rates import RateLimits
from worker.cli.forecast import Forecast, Provider, Tally, fitting_speed
from worker.engine.policy import Done, Refused, Throttled
from worker.main import chartq
from worker.rehearsal import Behaviour, ParsedRequest
from worker.rehearsal.fault_plan import FaultPlan
from worker.rehearsal.state import ServerState


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Stack]:
    # A port that nobody listens on, and a token that must not be sent anywhere.
    with stack(tmp_path, HF_BASE_URL="http://127.0.0.1:9/v1", HF_TOKEN="hf_mine", HF_BILL_TO="me") as made:
        made.environment["TMPDIR"] = str(tmp_path / "tmp")
        (tmp_path / "tmp").mkdir()
        yield made


# The whole command


def test_a_known_rate_is_kept_without_a_refusal_and_nothing_of_it_stays(user: Stack) -> None:
    charts = draw_charts(user.folder / "charts", 30)
    (charts / "broken.png").write_bytes(b"\x89PNG")
    done = user.run("rehearse", str(charts), "--rate", "10/m", "--speed", "40", "--latency", "3", "--json")
    told = done.json()
    assert (told["charts"], told["calls"], told["answered"], told["refused"]) == (30, 30, 30, 0)
    assert told["request_counts"]["finished"] == 30
    assert [Path(reject["path"]).name for reject in told["rejected"]] == ["broken.png"]
    assert 120 <= told["duration_s"] <= 120 * 5, "two more windows of a minute, and what this machine adds"
    assert told["done_by"] is not None
    assert told["rehearsal"] is True
    assert not user.home.exists()
    assert list((user.folder / "tmp").iterdir()) == []


def test_an_untold_rate_costs_refusals_but_no_chart(user: Stack) -> None:
    charts = draw_charts(user.folder / "charts", 24)
    rehearsed = ("rehearse", str(charts), "-p", "Up?", "--untold", "--speed", "30", "--latency", "2")
    done = user.run(*rehearsed, HF_RATE_LIMIT="20/m")
    calls, refused = (int(done.stdout.splitlines()[1].split()[index]) for index in (0, 4))
    assert done.stdout.startswith("24 charts would take")
    assert calls == 24 + refused > 24
    assert "0 charts failed for good" in done.stdout
    assert "20/m, which chartq was not told" in done.stdout
    assert "REHEARSAL" in done.stderr


def test_failures_that_are_ordered_come_and_are_counted(user: Stack) -> None:
    charts = draw_charts(user.folder / "charts", 8)
    ordered = ("--fail-every", "2:422", "--fail-every", "7:413")
    rehearsed = ("rehearse", str(charts), *ordered, "--latency", "1", "--concurrency", "4")
    done = user.run(*rehearsed, expect=1)
    assert "8 calls: 3 answered, 0 refused as too many, 5 failed; 5 charts failed for good" in done.stdout
    assert "limit none" in done.stdout


def test_ctrl_c_ends_it_and_says_how_far_it_came(user: Stack) -> None:
    charts = draw_charts(user.folder / "charts", 30)
    log = user.folder / "said"
    process = user.launch("-m", "worker.main", "rehearse", str(charts), "--rate", "10/h", "--speed", "100", log=log)
    eventually(lambda: "in_progress" in process.said)
    process.send_signal(signal.SIGINT)
    ended = finish(process)
    assert ended.code == 130
    assert re.match(r"ended after .* with (0|\d|10) of 30 charts done\n", ended.stdout)
    assert "Traceback" not in ended.stderr
    assert list((user.folder / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--rate", "plenty"], "write 30/h"),
        (["--fail-every", "often"], "'--fail-every': 'often' is not like 10:502"),
        (["--fail-every", "²:502"], "10:502"),
        (["--latency", "200"], "VISION_TIMEOUT"),
        (["--speed", "0.5"], "0.5"),
    ],
)
def test_what_cannot_be_rehearsed_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], says: str
) -> None:
    with producer_in(tmp_path, monkeypatch) as user:
        draw_charts(user.folder / "charts", 1)
        assert says in _rehearse(user, *args).stderr


def test_without_a_path_nothing_is_rehearsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with producer_in(tmp_path, monkeypatch) as user:
        assert "PATH" in user.run("rehearse", expect=2, commands=chartq).stderr


def _rehearse(user: Producer, *args: str) -> Any:
    return user.run("rehearse", "charts", *args, expect=2, commands=chartq)


# How fast


def provider(rate: str = "") -> Provider:
    windows = RateLimits.parse(rate).default
    return Provider(windows=windows, told=bool(windows), latency_s=4.0, concurrency=16)


@pytest.mark.parametrize(
    ("rate", "charts", "shortest_s"),
    [
        ("", 1, 4.0),
        ("", 16, 4.0),
        ("", 17, 8.0),
        ("30/h", 30, 8.0),
        ("30/h", 31, 3600.0),
        ("30/h", 1000, 33 * 3600.0),
        ("5/s,30/h", 1000, 33 * 3600.0),
        ("1/s", 100, 99.0),
    ],
)
def test_no_run_is_shorter_than_its_windows_and_its_calls(rate: str, charts: int, shortest_s: float) -> None:
    assert provider(rate).shortest_s(charts) == shortest_s


@pytest.mark.parametrize(
    ("rate", "charts", "wanted", "speed"),
    [
        ("30/h", 1000, 1000, 1000),  # 25 s of calls spread over two minutes
        ("600/m", 1000, 1000, 10),  # 1,000 calls take 25 s here, whatever is asked
        ("", 16, 1000, 4),  # 4 s that are to take one
        ("", 1000, 2, 2),
        ("1000/s", 100_000, 1000, 10),
    ],
)
def test_the_speed_is_lowered_to_what_the_machine_can_show(rate: str, charts: int, wanted: float, speed: float) -> None:
    assert fitting_speed(wanted, provider(rate), charts) == speed


# What is told


def test_calls_are_told_apart_by_what_came_of_them() -> None:
    tally = Tally()
    answered = ending(Done(), answer=object())
    for one in (answered, ending(Throttled()), ending(Refused()), ending(Refused(), called=False)):
        tally.count(one)
    assert (tally.calls, tally.answered, tally.refused) == (3, 1, 1)


@pytest.mark.parametrize(
    ("call_s", "took_s", "slow"),
    [
        (0.4, 30.0, None),  # 4 s each, as they should
        (1.6, 100.0, 2.0),  # 16 s each, and nothing but calls
        (1.6, 10_000.0, None),  # 16 s each, but a budget decides
    ],
)
def test_a_machine_that_does_not_keep_up_is_told_only_where_it_matters(
    call_s: float, took_s: float, slow: float | None
) -> None:
    tally = Tally(calls=100, answered=100, answering_s=100 * call_s)
    counts = {"total": 100, "finished": 100, "failed": 0}
    batch = cast(BatchDocument, {"status": "completed", "request_counts": counts, "hold": None})
    forecast = Forecast(provider=provider(), speed=10, took_s=took_s, tally=tally, batch=batch)
    assert forecast.slow_machine == slow
    assert ("keep up" in "".join(forecast.lines())) == (slow is not None)
    json.dumps(forecast.document())


# The clock


def test_a_fast_clock_stands_still_until_it_is_started() -> None:
    clock = FastClock(1000)
    assert clock.now() == clock.now() == clock.began_at
    clock.start()
    time.sleep(0.05)
    passed_s = clock.now() - clock.began_at
    clock.start()
    assert clock.now() - clock.began_at >= passed_s >= 50
    assert clock.redis_now_ms() == pytest.approx(clock.now() * 1000, abs=600_000)


def test_waits_shrink_but_nobody_looks_all_the_time() -> None:
    clock = FastClock(100)
    assert (clock.poll_interval_s(0), clock.poll_interval_s(0.001), clock.poll_interval_s(60)) == (0, 0.005, 0.6)
    assert (SYSTEM_CLOCK.poll_interval_s(0.001), SYSTEM_CLOCK.redis_now_ms(), SYSTEM_CLOCK.speed) == (0.001, None, 1)


# The stand-in


def test_of_several_budgets_all_hold() -> None:
    script = FaultPlan(Behaviour(budgets=[(2, 1.0), (3, 60.0)]))
    asked = ParsedRequest(kind="chat", model="org/m")
    allowed = [script.decide(asked, now).fault is None for now in (0.0, 0.1, 0.2, 1.5, 2.5)]
    assert allowed == [True, True, False, False, False]  # the refused one counts in the other window
    assert script.decide(asked, 2.6).wait_s == pytest.approx(57.4)


def test_a_call_arrives_when_it_was_sent_if_that_is_known_and_never_before_the_last_one() -> None:
    sent = {"first": 100.0, "late": 161.0, "earlier": 130.0}
    stage = ServerState(Behaviour(budgets=[(2, 60.0)]), FastClock(1000), sent.get)
    asked = ParsedRequest(kind="chat", model="org/m")
    arrived = [stage.enter("/", asked, {"x-amzn-trace-id": name}).call.outcome for name in sent]
    assert arrived == ["answer", "answer", "answer"]
    assert stage.enter("/", asked, {"x-amzn-trace-id": "earlier"}).call.outcome == "throttled"
