"""What happens to a job after each way that a call can end."""

import errno
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.charts.storage import ChartRootError
from jobs.core.errors import ImageError, OutOfMemoryError, SchemaError
from worker.engine.policy import MAX_FAULTS, Done, Hold, Outcome, Refused, Throttled, Transient, Unreachable, decide
from worker.hf import errors
from worker.hf.backoff import MAX_BACKOFF_S, backoff_s


def outcome(error: Exception | None, *, attempts: int = 1, refusal_counts: bool = False) -> Outcome:
    return decide(
        error, attempts=attempts, max_attempts=3, retry_delay_s=2.0, jitter=1.0, refusal_counts=refusal_counts
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, Done()),
        (ImageError("torn"), Refused()),
        (SchemaError("a reference elsewhere"), Refused()),
        (OutOfMemoryError("not enough memory"), Transient(10.0, last=False)),
        (errors.HFRequestError("too big"), Refused()),
        (errors.HFRateLimitError("slow down"), Throttled(None)),
        (errors.HFRateLimitError("slow down", hint_s=52.0), Throttled(52.0)),
        (errors.HFModelLoadingError("loading", hint_s=20.0), Throttled(20.0)),
        (errors.HFUnreachableError("refused"), Unreachable()),
        (errors.HFConnectionError("reset"), Transient(2.0, last=False)),
        (errors.HFServerError("502"), Transient(2.0, last=False)),
        (errors.HFServerError("503", hint_s=30.0), Transient(30.0, last=False)),
        (errors.HFTimeoutError("late"), Transient(2.0, last=False)),
        (errors.HFBadAnswerError("empty"), Transient(2.0, last=False)),
        (errors.HFSchemaMismatchError("$.trend"), Transient(2.0, last=False)),
        (errors.HFMaxTokensError("thinking"), Refused()),
        (errors.HFRefusalError("declined"), Refused()),
        (errors.HFContentFilterError("filtered"), Refused()),
        (errors.HFToolCallError("a tool"), Refused()),
    ],
)
def test_each_error_has_its_outcome(error: Exception | None, expected: Outcome) -> None:
    assert outcome(error) == expected


def test_a_machine_that_fails_a_chart_again_and_again_is_asked_ever_more_rarely_and_gives_up() -> None:
    def after(faults: int) -> Outcome:
        short = OutOfMemoryError("not enough memory")
        return decide(short, attempts=1, max_attempts=3, retry_delay_s=2.0, jitter=1.0, faults=faults)

    found = [after(faults) for faults in range(1, MAX_FAULTS + 1)]
    assert [one.wait_s for one in found if isinstance(one, Transient)][:4] == [10, 20, 40, 80]
    assert [one.last for one in found if isinstance(one, Transient)] == [False] * (MAX_FAULTS - 1) + [True]
    assert 1800 < sum(one.wait_s for one in found if isinstance(one, Transient)) < 7200


@pytest.mark.parametrize(
    ("error", "scope", "reason", "advice"),
    [
        (errors.HFAuthenticationError("401"), "account", "token", "HF_TOKEN"),
        (errors.HFPermissionError("403"), "account", "permission", "permission"),
        (errors.HFCreditsError("402"), "account", "credits", "billing"),
        (errors.HFModelNotFoundError("404"), "lane", "model", "chartq models"),
        (errors.HFGatedModelError("403"), "lane", "gated", "terms"),
        (errors.HFBlockedError("403"), "account", "firewall", "network"),
    ],
)
def test_what_fails_for_everyone_holds_and_says_what_to_do(
    error: Exception, scope: str, reason: str, advice: str
) -> None:
    held = outcome(error)
    assert isinstance(held, Hold)
    assert (held.scope, held.reason) == (scope, reason)
    assert str(error) in held.message
    assert advice in held.message
    assert "chartq resume" in held.message


def test_a_refusal_counts_when_others_pass() -> None:
    error = errors.HFRateLimitError("slow down", hint_s=7.0)
    assert outcome(error, attempts=3, refusal_counts=True) == Transient(8.0, last=True)


def test_nothing_that_reached_nobody_counts_even_then() -> None:
    assert outcome(errors.HFUnreachableError("refused"), refusal_counts=True) == Unreachable()


@pytest.mark.parametrize(("attempts", "last"), [(1, False), (2, False), (3, True), (4, True)])
def test_the_last_attempt_is_the_last(attempts: int, last: bool) -> None:
    decided = outcome(errors.HFServerError("502"), attempts=attempts)
    assert isinstance(decided, Transient)
    assert decided.last is last


@pytest.mark.parametrize(
    ("attempts", "jitter", "expected_s"),
    [(1, 1.0, 2.0), (2, 1.0, 4.0), (3, 1.0, 8.0), (1, 0.0, 1.0), (3, 0.5, 6.0), (99, 1.0, MAX_BACKOFF_S)],
)
def test_back_off_doubles_up_to_its_cap(attempts: int, jitter: float, expected_s: float) -> None:
    assert backoff_s(attempts, retry_delay_s=2.0, jitter=jitter) == expected_s


@given(st.integers(1, 10**9), st.floats(0, 1e300), st.floats(0, 1), st.none() | st.floats())
def test_a_wait_is_a_finite_time_ahead(attempts: int, delay: float, jitter: float, hint: float | None) -> None:
    wait_s = backoff_s(attempts, retry_delay_s=delay, jitter=jitter, hint_s=hint)
    assert math.isfinite(wait_s)
    assert wait_s >= 0
    if hint is not None and math.isfinite(hint):
        assert wait_s >= hint


def test_a_fault_of_our_own_is_no_outcome() -> None:
    with pytest.raises(TypeError):
        outcome(KeyError("oops"))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE, errno.ENOMEM])
def test_what_the_machine_lacks_fails_no_chart(number: int) -> None:
    error = ImageError("'a.png' can't be read")
    error.__cause__ = OSError(number, "no luck")
    decided = outcome(error, attempts=99)
    assert isinstance(decided, Transient)
    assert not decided.last
    assert decided.wait_s > 0


def test_a_chart_that_is_gone_is_the_jobs_own_fault() -> None:
    error = ImageError("'a.png' can't be read")
    error.__cause__ = OSError(errno.ENOENT, "gone")
    assert outcome(error, attempts=1) == Refused()


def test_a_worker_without_the_chart_root_holds_the_lane_instead_of_failing_all_of_it() -> None:
    decided = outcome(ChartRootError("paths are relative"), attempts=1)
    assert isinstance(decided, Hold)
    assert (decided.scope, decided.reason) == ("lane", "chart_root")
    assert "CHART_ROOT" in decided.message
