"""Webhooks: told once, signed, repeated on schedule with the same id, never lost and never invented."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from standardwebhooks import Webhook
from support.hf_server import Scripted, ScriptedServer, Seen
from support.producer import Producer, producer_in
from support.stack import draw_charts, eventually
from support.stores import STORES, new_store

from jobs.batches.session import Session
from jobs.core.errors import SettingsError
from jobs.ledger.webhooks import AGAIN_AFTER_S, CLAIM_S
from worker.engine.webhooks import Webhooks, webhooks_told

SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"


@pytest.fixture(params=STORES)
def user(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Producer]:
    url = new_store(request.param, tmp_path)
    with producer_in(tmp_path, monkeypatch) as made:
        monkeypatch.setenv("RESULTS_URL", url)
        draw_charts(tmp_path / "charts", 2)
        yield made


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def teller(session: Session, url: str, clock: Clock) -> Webhooks:
    return Webhooks(session, url=f"{url}/hook?token=s3cret", secret=SECRET, now=clock)


def event(seen: Seen) -> dict[str, Any]:
    """What was told."""
    document: dict[str, Any] = json.loads(seen.body)
    return document


def test_the_end_of_a_batch_is_told_once_with_a_signature_that_others_verify(user: Producer, clock: Clock) -> None:
    old = user.submit("charts", prompt="Old?")["batch_id"]
    user.answer(old)
    with ScriptedServer(Scripted({}, 204)) as server, user.session() as session:
        webhooks = teller(session, server.url, clock)
        webhooks.round()  # from here on
        batch_id = user.submit("charts")["batch_id"]
        webhooks.round()
        assert server.seen == []
        user.answer(batch_id)
        clock.now_s = time.time()
        for _ in range(3):
            webhooks.round()
        (seen,) = server.seen
    headers = {name.lower(): value for name, value in seen.headers.items()}
    told: Any = Webhook(SECRET).verify(seen.body, headers)
    assert (told["type"], told["data"]["id"], told["data"]["status"]) == ("batch.completed", batch_id, "completed")
    client = openai.OpenAI(api_key="none", webhook_secret=SECRET)
    unwrapped = client.webhooks.unwrap(seen.body, headers)
    assert unwrapped.type == "batch.completed"
    assert unwrapped.data.id == batch_id


def test_not_heard_it_is_repeated_on_schedule_with_the_same_id_and_then_given_up(user: Producer, clock: Clock) -> None:
    with ScriptedServer(Scripted({}, 500)) as server, user.session() as session:
        webhooks = teller(session, server.url, clock)
        webhooks.round()
        batch_id = user.submit("charts")["batch_id"]
        user.answer(batch_id)
        webhooks.round()
        for number, wait_s in enumerate(AGAIN_AFTER_S, start=1):
            assert len(server.seen) == number
            clock.now_s += wait_s - 1
            teller(session, server.url, clock).round()  # as another process would, after a restart
            assert len(server.seen) == number
            clock.now_s += 1.1
            teller(session, server.url, clock).round()
        assert len(server.seen) == len(AGAIN_AFTER_S) + 1
        clock.now_s += 10 * AGAIN_AFTER_S[-1]
        webhooks.round()
        assert len(server.seen) == len(AGAIN_AFTER_S) + 1
    ids = {name.lower(): value for name, value in server.seen[0].headers.items()}["webhook-id"]
    assert all(one.headers.get("webhook-id") == ids for one in server.seen)


def test_a_teller_that_died_is_followed_by_another_and_two_tell_once(user: Producer, clock: Clock) -> None:
    with ScriptedServer(Scripted({}, 200)) as server, user.session() as session, user.session() as other:
        teller(session, server.url, clock).round()
        user.answer(user.submit("charts")["batch_id"])
        session.ledger.note_ends(clock())
        dying = session.ledger.claim_webhook(clock())
        assert dying is not None
        teller(other, server.url, clock).round()
        assert server.seen == []
        clock.now_s += CLAIM_S + 1
        teller(other, server.url, clock).round()
        teller(session, server.url, clock).round()
        assert [one.headers.get("webhook-id") for one in server.seen] == [dying.webhook_id]


def test_its_secret_goes_to_no_log_and_nothing_goes_where_it_is_redirected(
    user: Producer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedServer(Scripted({}, 200)) as elsewhere, user.session() as session:
        with ScriptedServer(Scripted({}, 307, {"Location": elsewhere.url})) as server:
            webhooks = teller(session, server.url, clock)
            webhooks.round()
            user.answer(user.submit("charts")["batch_id"])
            webhooks.round()
            assert len(server.seen) == 1
        clock.now_s += AGAIN_AFTER_S[0] + 1
        webhooks.round()  # now nobody is there
        assert elsewhere.seen == []
    assert caplog.text.count("was not heard") == 2
    assert "s3cret" not in caplog.text


def test_each_kind_of_end_has_its_word_and_a_second_end_is_told_too(user: Producer, clock: Clock) -> None:
    with ScriptedServer(Scripted({}, 200)) as server, user.session() as session:
        webhooks = teller(session, server.url, clock)
        webhooks.round()
        failed = user.submit("charts", prompt="Fail?")["batch_id"]
        for row in user.results(failed):
            user.fail(row["job_id"])
        canceled = user.submit("charts", prompt="Cancel?")["batch_id"]
        user.run("cancel", canceled)
        webhooks.round()
        assert {(event(one)["type"], event(one)["data"]["id"]) for one in server.seen} == {
            ("batch.failed", failed),
            ("batch.cancelled", canceled),
        }
        user.run("retry", failed)
        webhooks.round()
        user.answer(failed)
        webhooks.round()
        assert (event(server.seen[-1])["type"], event(server.seen[-1])["data"]["id"]) == ("batch.completed", failed)
        assert len(server.seen) == 3


def test_a_homes_first_run_tells_of_its_end_before_it_leaves(user: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(Scripted({}, 200)) as server:
        monkeypatch.setenv("CHARTQ_WEBHOOK_URL", server.url)
        monkeypatch.setenv("CHARTQ_WEBHOOK_SECRET", SECRET)
        with user.session() as session, webhooks_told(session):
            user.answer(user.submit("charts")["batch_id"])
        eventually(lambda: len(server.seen) == 1)


@pytest.mark.parametrize("wrong_s", [-3600, 3600])
def test_what_is_due_and_whose_it_is_is_told_by_redis_clock(
    user: Producer, monkeypatch: pytest.MonkeyPatch, wrong_s: int
) -> None:
    with ScriptedServer(Scripted({}, 200)) as server, user.session() as session:
        monkeypatch.setenv("CHARTQ_WEBHOOK_URL", server.url)
        monkeypatch.setenv("CHARTQ_WEBHOOK_SECRET", SECRET)
        session.ledger.note_ends(session.now())  # from here on
        for prompt in ("Up?", "Down?"):
            user.answer(user.submit("charts", prompt=prompt)["batch_id"])
        session.ledger.note_ends(session.now())
        elsewhere = session.ledger.claim_webhook(session.now())  # another host is about to tell it
        assert elsewhere is not None
        right = time.time
        monkeypatch.setattr(time, "time", lambda: right() + wrong_s)
        with Session(user.settings) as here, webhooks_told(here):
            eventually(lambda: len(server.seen) > 0)
        assert [event(one)["data"]["id"] for one in server.seen] != [elsewhere.batch_id]
        assert len(server.seen) == 1


def test_without_a_secret_nothing_is_told(user: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTQ_WEBHOOK_URL", "http://127.0.0.1:1/hook?token=s3cret")
    with user.session() as session, pytest.raises(SettingsError, match="CHARTQ_WEBHOOK_SECRET"), webhooks_told(session):
        pass
    for wrong in ("s3cret", "whsec_", "whsec_s3cret", "whsec_c2hvcnQ="):
        monkeypatch.setenv("CHARTQ_WEBHOOK_SECRET", wrong)
        with pytest.raises(SettingsError) as told:
            user.settings  # noqa: B018 (reading it is the check)
        assert "s3cret" not in str(told.value)
