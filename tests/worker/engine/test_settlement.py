"""What the ledger writes and what Redis hears, for every way that an execution can end."""

from dataclasses import dataclass, replace

import pytest
from support.executions import LEASE, ending

from jobs.core.errors import ImageError, OutOfMemoryError
from jobs.ledger import Change, Failed, Finished, JobError, Returned
from worker.engine.exchange import Move, Verdict
from worker.engine.policy import Done, Hold, Outcome, Refused, Throttled, Transient, Unreachable
from worker.engine.settlement import (
    FinishedExecution,
    change,
    described,
    dropped,
    given_back,
    set_aside,
    settlement,
    verdict_first,
)
from worker.hf import errors
from worker.hf.replies import Answer

TROUBLE = errors.HFServerError("HTTP 502", status_code=502, hint_s=4.0)
NO_ANSWER = errors.HFBadAnswerError("null content", status_code=200)
THROTTLE = errors.HFRateLimitError("slow down", status_code=429, hint_s=52.0)
LOADING = errors.HFModelLoadingError("loading", status_code=503, hint_s=20.0)
BROKE = errors.HFCreditsError("no credits", status_code=402)
BAD_REQUEST = errors.HFRequestError("too big", status_code=413)
ANSWER = Answer(text="up", raw={"a": 1}, prompt_tokens=7, completion_tokens=2, request_id="r", provider="p")

BAD_GATEWAY = ("HFServerError", "HTTP 502", 502)


@dataclass(frozen=True)
class Case:
    """One row of the table in worker/engine/settlement.py."""

    outcome: Outcome
    error: Exception | None
    writes: Change
    verdict: Verdict | None
    to: Move
    called: bool = True
    suspect: int = 0
    outage: bool = False
    heard: bool = False

    @property
    def ending(self) -> FinishedExecution:
        about = {"called": self.called, "outage": self.outage, "heard": self.heard}
        return ending(self.outcome, error=self.error, lease=replace(LEASE, suspect=self.suspect), **about)


def returned(**about: object) -> Returned:
    return Returned(job_id="j", execution_id="e", **about)  # type: ignore[arg-type]


def failed(kind: str, message: str, status_code: int | None, *, attempts: int) -> Failed:
    about = {"error_type": kind, "message": message, "status_code": status_code, "attempts_spent": attempts}
    return Failed(job_id="j", execution_id="e", **about)  # type: ignore[arg-type]


def later(kind: str, message: str, status_code: int | None, *, attempts: int) -> Returned:
    error = JobError(type=kind, message=message, status_code=status_code)
    return returned(status="scheduled", attempts_spent=attempts, error=error)


AGAIN, LAST = Transient(3.0, last=False), Transient(3.0, last=True)
SHORT = OutOfMemoryError("not enough memory")
SHORT_LATER = later("OutOfMemoryError", "not enough memory", None, attempts=0)
TROUBLE_LATER, TROUBLE_FAILED = later(*BAD_GATEWAY, attempts=1), failed(*BAD_GATEWAY, attempts=1)
BAD_ANSWER_LATER = later("HFBadAnswerError", "null content", 200, attempts=1)
TOO_BIG, TORN = failed("HFRequestError", "too big", 413, attempts=1), failed("ImageError", "torn", None, attempts=0)
HELD = Hold("account", "credits", "Add credits")
UNREACHED = errors.HFUnreachableError("refused")

CASES = {
    "refused after a call": Case(Refused(), BAD_REQUEST, TOO_BIG, "ok", "failed"),
    "refused without a call": Case(Refused(), ImageError("torn"), TORN, "unused", "failed", called=False),
    "transient": Case(AGAIN, TROUBLE, TROUBLE_LATER, None, "delay", heard=True),
    "transient, the last attempt": Case(LAST, TROUBLE, TROUBLE_FAILED, None, "failed", heard=True),
    "transient, not heard": Case(AGAIN, TROUBLE, TROUBLE_LATER, "transient", "delay"),
    "transient, a bad answer": Case(AGAIN, NO_ANSWER, BAD_ANSWER_LATER, "ok", "delay"),
    "short of memory before the call": Case(AGAIN, SHORT, SHORT_LATER, "unused", "delay", called=False),
    "short of memory in the middle of the call": Case(
        AGAIN, SHORT, replace(SHORT_LATER, attempts_spent=1), "gone", "delay"
    ),
    "transient, suspect": Case(AGAIN, TROUBLE, TROUBLE_LATER, "suspect", "delay", suspect=1),
    "transient, suspect, the last attempt": Case(LAST, TROUBLE, TROUBLE_FAILED, "suspect", "failed", suspect=1),
    "in an outage": Case(AGAIN, TROUBLE, returned(), None, "back", outage=True, heard=True),
    "in an outage, the last attempt": Case(LAST, TROUBLE, returned(), None, "back", outage=True, heard=True),
    "throttled": Case(Throttled(52.0), THROTTLE, returned(throttled=1), "throttled", "front"),
    "loading": Case(Throttled(20.0), LOADING, returned(throttled=1), "throttled", "front"),
    "unreachable": Case(Unreachable(), UNREACHED, returned(), "unreachable", "front"),
    "never called, through no fault of its own": Case(
        Unreachable(), OSError("no ledger"), returned(), "unused", "front", called=False
    ),
    "hold": Case(HELD, BROKE, returned(), "hold", "front"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_ending_is_written_heard_and_moved_as_the_table_says(case: Case) -> None:
    settled = settlement(case.ending)
    assert change(case.ending) == case.writes
    assert (settled.verdict, settled.to) == (case.verdict, case.to)
    assert settled.lease.execution == "e"


def test_an_answer_is_written_whole_and_passes_the_gate() -> None:
    ended = ending(Done(), answer=ANSWER)
    written, settled = change(ended), settlement(ended)
    assert isinstance(written, Finished)
    assert (written.job_id, written.execution_id, written.attempts_spent) == ("j", "e", 1)
    answer = written.answer
    assert (answer.text, answer.raw, answer.prompt_tokens, answer.completion_tokens) == ("up", {"a": 1}, 7, 2)
    assert (answer.request_id, answer.provider, answer.latency_s, answer.rehearsal) == ("r", "p", 1.5, False)
    assert (settled.verdict, settled.to, settled.took_s, settled.error) == ("ok", "finished", 1.5, None)


def test_an_answer_counts_even_in_an_outage() -> None:
    ended = ending(Done(), answer=ANSWER, outage=True)
    assert isinstance(change(ended), Finished)
    assert settlement(ended).to == "finished"


def test_a_rehearsals_answer_is_marked() -> None:
    written = change(ending(Done(), answer=replace(ANSWER, rehearsal=True)))
    assert isinstance(written, Finished)
    assert written.answer.rehearsal


def test_a_done_without_an_answer_is_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError):
        change(ending(Done()))


@pytest.mark.parametrize("name", CASES)
def test_only_a_transient_failure_is_heard_before_it_is_written(name: str) -> None:
    case = CASES[name]
    first = verdict_first(case.ending)
    if isinstance(case.outcome, Transient) and not case.suspect and case.error is TROUBLE:
        assert first is not None
        assert (first.verdict, first.to, first.hint_s) == ("transient", None, 4.0)
        assert 0 <= first.jitter <= 1
    else:
        assert first is None


@pytest.mark.parametrize(
    ("name", "hint_s", "why"),
    [("throttled", 52.0, "throttled"), ("loading", 20.0, "loading"), ("unreachable", None, "unreachable")],
)
def test_the_gate_hears_for_how_long_and_why(name: str, hint_s: float | None, why: str) -> None:
    settled = settlement(CASES[name].ending)
    assert (settled.hint_s, settled.why) == (hint_s, why)
    assert 0 <= settled.jitter <= 1


def test_a_hold_says_who_is_held_why_and_what_to_do() -> None:
    settled = settlement(CASES["hold"].ending)
    assert (settled.scope, settled.reason, settled.message) == ("account", "credits", "Add credits")


def test_the_back_off_goes_with_the_job() -> None:
    assert settlement(CASES["transient"].ending).delay_s == 3.0
    assert settlement(CASES["throttled"].ending).delay_s is None


def test_rq_is_told_why_a_job_failed() -> None:
    assert settlement(CASES["refused after a call"].ending).error == "too big"
    assert settlement(CASES["transient, the last attempt"].ending).error == "HTTP 502"


@pytest.mark.parametrize(("used", "verdict"), [(True, "gone"), (False, "unused")])
def test_a_job_given_back_goes_to_its_place_and_its_permit_too_if_no_call_was_made(used: bool, verdict: str) -> None:
    settled = given_back(LEASE, used=used)
    assert (settled.verdict, settled.to) == (verdict, "front")


def test_a_job_that_nobody_wants_and_one_that_is_not_ours_cost_no_permit() -> None:
    assert (dropped(LEASE).verdict, dropped(LEASE).to) == ("unused", "drop")
    assert (set_aside(LEASE).verdict, set_aside(LEASE).to) == ("unused", "refuse")


def test_an_error_is_described_by_kind_words_and_status() -> None:
    assert described(TROUBLE) == JobError(type="HFServerError", message="HTTP 502", status_code=502)
    assert described(ImageError("torn")) == JobError(type="ImageError", message="torn", status_code=None)
