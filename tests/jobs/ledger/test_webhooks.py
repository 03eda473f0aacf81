"""Ends of batches that are to be told: each has one teller at a time."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from support.stores import submit

from jobs.ledger import Ledger
from jobs.ledger.webhooks import CLAIM_S


def test_of_many_who_look_at_once_one_tells(ledger: Ledger) -> None:
    ledger.note_ends(1.0)  # from here on
    batches = [submit(ledger, "", now=2).batch_id for _ in range(12)]
    ledger.note_ends(3.0)
    all_look = Barrier(6)

    def look(_number: int) -> list[str]:
        all_look.wait(30)
        return [due.batch_id for _ in batches if (due := ledger.claim_webhook(4.0)) is not None]

    with ThreadPoolExecutor(6) as pool:
        claimed = [batch for some in pool.map(look, range(6)) for batch in some]
    assert len(claimed) == len(set(claimed))
    assert {*claimed} <= {*batches}


def test_a_teller_that_falls_silent_is_followed(ledger: Ledger) -> None:
    ledger.note_ends(1.0)
    submit(ledger, "", now=2)
    ledger.note_ends(3.0)
    first = ledger.claim_webhook(4.0)
    assert first is not None
    assert ledger.claim_webhook(3.9 + CLAIM_S) is None
    second = ledger.claim_webhook(4.0 + CLAIM_S)
    assert second is not None
    assert second.webhook_id == first.webhook_id
