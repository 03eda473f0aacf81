"""Who validates what waits: one server at a time, by one clock."""

import time

import pytest
from support.producer import Producer
from support.stores import QUESTION

from jobs.batches.session import Session
from jobs.ledger.openai_batches import NewOpenAIBatch
from jobs.server.intake import Intake


@pytest.mark.parametrize("wrong_s", [-3600, 3600])
def test_what_another_server_has_taken_is_left_to_it_whatever_this_hosts_clock_says(
    user: Producer, monkeypatch: pytest.MonkeyPatch, wrong_s: int
) -> None:
    new = NewOpenAIBatch(
        owner="", input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h", metadata=None
    )
    with user.session() as session:
        session.ledger.create_openai_batch(new, question=QUESTION, name=None, now=session.now())
        assert session.ledger.take_openai_batch(session.now()) is not None
        right = time.time
        monkeypatch.setattr(time, "time", lambda: right() + wrong_s)
        with Session(user.settings) as here:
            assert not Intake(lambda: here, lambda: None)._take_one(here)
