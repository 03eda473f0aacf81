"""What the loop has settled: attempts that stand in the ledger while Redis tells an outage from failures."""

from collections.abc import Sequence

import pytest
from support.executions import ending
from support.lanes import LANE, Lanes
from support.stores import id_of, submit

from jobs.ledger import Ledger
from worker.engine.exchange import Lease
from worker.engine.policy import Done, Transient, Unreachable
from worker.engine.settler import Settler
from worker.hf.errors import HFConnectionError, HFServerError
from worker.hf.replies import Answer

CHARTS = ["before", "answered", "a", "b", "c", "d", "e"]


class Loop:
    """The worker's loop without its calls."""

    def __init__(self, lanes: Lanes, ledger: Ledger) -> None:
        self._ledger = ledger
        self.settler = Settler(ledger, lanes.worker().lane_client, lambda _ending: None)

    def begin(self, count: int) -> Sequence[Lease]:
        leases = self.settler.poll(want=count, ahead=0, in_flight=0, unready=(), in_hand=()).leases
        self._ledger.start([(lease.job, lease.execution) for lease in leases], 2)
        return leases

    def fail(self, lease: Lease) -> None:
        error = HFServerError("HTTP 502", status_code=502)
        self.settler.add([ending(Transient(0.0, last=False), lease=lease, error=error)])
        self.settler.record()
        self.begin(0)

    def answer(self, lease: Lease) -> None:
        said = Answer(text="up", raw={}, prompt_tokens=1, completion_tokens=1, request_id=None, provider=None)
        self.settler.add([ending(Done(), lease=lease, answer=said)])
        self.settler.record()
        self.begin(0)


def test_an_outage_leaves_each_job_the_attempts_that_it_had_spent_before(lanes: Lanes, ledger: Ledger) -> None:
    batch = submit(ledger, CHARTS, now=1)
    lanes.queues.enqueue([id_of(chart) for chart in CHARTS], lane=LANE, batch_id=batch.batch_id)
    loop = Loop(lanes, ledger)

    def attempts() -> dict[str, int]:
        return {chart: ledger.job(id_of(chart)).shown.attempts for chart in CHARTS}

    loop.fail(*loop.begin(1))
    lanes.clock.pass_s(0.1)
    once_more, answered, *others = loop.begin(7)
    loop.answer(answered)
    for lease in others[:4]:
        loop.fail(lease)
    spent = {"before": 1, "answered": 1, "a": 1, "b": 1, "c": 1, "d": 1, "e": 0}
    assert attempts() == spent
    loop.fail(others[4])
    loop.fail(once_more)
    loop.settler.record()
    assert attempts() == {**dict.fromkeys(CHARTS, 0), "before": 1, "answered": 1}
    assert lanes.gate().why == "outage"


@pytest.mark.parametrize("leaves", [False, True])
def test_attempts_that_a_refused_connection_gives_back_reach_the_ledger(
    lanes: Lanes, ledger: Ledger, leaves: bool
) -> None:
    batch = submit(ledger, CHARTS, now=1)
    lanes.queues.enqueue([id_of(chart) for chart in CHARTS], lane=LANE, batch_id=batch.batch_id)
    loop = Loop(lanes, ledger)
    *cut_off, refused = loop.begin(4)
    for lease in cut_off:
        loop.fail(lease)
    assert [ledger.job(lease.job).shown.attempts for lease in cut_off] == [1, 1, 1]
    loop.settler.add([ending(Unreachable(), lease=refused, error=HFConnectionError("refused"))])
    loop.settler.record()
    if leaves:
        loop.settler.finish()
    else:
        loop.begin(0)
        loop.settler.record()
    assert [ledger.job(lease.job).shown.attempts for lease in cut_off] == [0, 0, 0]
