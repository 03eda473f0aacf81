"""Questions that are asked one at a time."""

from support.lanes import HOUR_S, Lanes
from support.stores import QUESTION

from jobs.ledger import Ledger
from jobs.submit.single import SingleQuestion, SingleQuestions


def test_they_are_dated_by_redis_clock(lanes: Lanes, ledger: Ledger) -> None:
    lanes.clock.pass_s(-24 * HOUR_S)
    asked = SingleQuestion(question=QUESTION, charts=[])
    SingleQuestions().ask(ledger, lanes.queues, asked)
    [batch] = ledger.batches()
    assert batch.created_at == batch.sealed_at == ledger.job(asked.job_id).queued_at == lanes.clock.now()
