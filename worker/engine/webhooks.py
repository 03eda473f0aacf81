"""Webhooks: the end of a batch is told to CHARTQ_WEBHOOK_URL, signed, until it is heard or given up.

What is due stands in the ledger, and whoever sends it claims it there: one of all workers and servers does, and after a
restart it goes on with the same `webhook-id`. Convention: https://www.standardwebhooks.com.
"""

import base64
import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests
from redis.exceptions import RedisError

from jobs.batches.session import Session
from jobs.core.errors import ChartqError, SettingsError, UnknownIdError
from jobs.core.time_text import iso
from jobs.ledger.webhooks import DueWebhook

log = logging.getLogger("chartq.worker")

#: Seconds between two looks.
_LOOK_S = 2.0

#: Seconds for connecting, and for the head of the answer; the rest of it isn't read.
_TIMEOUT_S = (5.0, 15.0)


class Webhooks:
    """Tells what is due. Safe to run anywhere, any number at once."""

    def __init__(self, session: Session, *, url: str, secret: str, now: Callable[[], float]) -> None:
        self._session, self._url, self._now = session, url, now
        self._key = base64.b64decode(secret.removeprefix("whsec_"))

    def begin(self) -> None:
        """From now on ends are told, in a store that never told any too. Raises StoreError, RedisError."""
        self._session.ledger.note_ends(self._now())

    def round(self) -> None:
        """Take up what has ended, and tell all that is due. Raises StoreError, RedisError."""
        ledger, now = self._session.ledger, self._now()
        if not ledger.has_webhook_work(now):
            return
        ledger.note_ends(now)
        while due := ledger.claim_webhook(now):
            self._tell(due)

    def _tell(self, due: DueWebhook) -> None:
        ledger = self._session.ledger
        problem = self._post(due)
        if problem is None:
            ledger.webhook_heard(due)
            log.info("told %s of %s", due.event, due.batch_id)
        elif ledger.webhook_not_heard(due, self._now()):
            log.warning("the webhook for %s was not heard, and is told again: %s", due.batch_id, problem)
        else:
            log.error("the webhook for %s was never heard, and is given up: %s", due.batch_id, problem)

    def _post(self, due: DueWebhook) -> str | None:
        """Why it was not heard; None: it was. The URL may hold a secret, and is not repeated."""
        body = json.dumps(self._event(due)).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "chartq",
            **signed(body, message_id=due.webhook_id, timestamp=int(self._session.clock.now()), key=self._key),
        }
        try:
            with requests.post(
                self._url, data=body, headers=headers, timeout=_TIMEOUT_S, allow_redirects=False, stream=True
            ) as answer:
                return None if 200 <= answer.status_code < 300 else f"it was answered with {answer.status_code}"
        except requests.RequestException as error:
            return type(error).__name__

    def _event(self, due: DueWebhook) -> dict[str, Any]:
        """As OpenAI's webhooks, which the openai package unwraps."""
        return {
            "id": due.webhook_id.replace("msg_", "evt_"),
            "object": "event",
            "type": due.event,
            "timestamp": iso(due.ended_at),
            "created_at": int(due.ended_at),
            "data": {"id": due.batch_id, **self._about(due)},
        }

    def _about(self, due: DueWebhook) -> dict[str, Any]:
        try:
            document = self._session.document(due.batch_id)
        except UnknownIdError:
            return {}  # deleted meanwhile
        return {name: document[name] for name in ("name", "model", "status", "request_counts", "usage", "finished_at")}


def signed(body: bytes, *, message_id: str, timestamp: int, key: bytes) -> dict[str, str]:
    """The headers that say what it is, when it was sent, and that it was us."""
    content = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{signature}"}


@contextmanager
def webhooks_told(session: Session) -> Iterator[None]:
    """While the block runs ends are told in a thread of its own, if somebody is to be told. Raises SettingsError."""
    settings = session.settings
    if settings.webhook_url is None:
        yield
        return
    if settings.webhook_secret is None:
        raise SettingsError(
            "CHARTQ_WEBHOOK_URL is set, and CHARTQ_WEBHOOK_SECRET isn't: nobody could tell who speaks; "
            'CHARTQ_WEBHOOK_SECRET="whsec_$(openssl rand -base64 32)"'
        )
    view = Session(settings, shared=session)
    webhooks = Webhooks(
        view,
        url=settings.webhook_url.get_secret_value(),
        secret=settings.webhook_secret.get_secret_value(),
        now=view.now,
    )
    with suppress(ChartqError, RedisError, OSError):  # the rounds try again
        webhooks.begin()  # before any work: a small first batch has ended before the first round
    over = threading.Event()
    thread = threading.Thread(target=_run, args=(webhooks, over), name="webhooks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()  # a last look, since a `run` ends with its batch
        thread.join(sum(_TIMEOUT_S) + _LOOK_S)


def _run(webhooks: Webhooks, over: threading.Event) -> None:
    last = False
    while not last:
        last = over.wait(_LOOK_S)
        try:
            webhooks.round()
        except (ChartqError, RedisError, OSError) as error:
            log.debug("webhooks: %s", error)
        except Exception:  # nobody would be told any more
            log.exception("webhooks: a fault in chartq, please report it")
