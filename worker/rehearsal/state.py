"""What the stand-in knows and does, without the network: decide, note, answer. Safe for many threads."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, get_args

from jobs.core.clock import SYSTEM_CLOCK, Clock
from worker.rehearsal import models
from worker.rehearsal.answers import answer, bad_answer
from worker.rehearsal.behaviour import BadAnswerKind, Behaviour, BrokenKind, MisfitKind
from worker.rehearsal.fault_plan import Decision, FaultPlan
from worker.rehearsal.record import Call, Record
from worker.rehearsal.refusals import refuse
from worker.rehearsal.reply import Reply, json_reply
from worker.rehearsal.request_parser import NotUnderstoodError, ParsedRequest

#: From a call's trace id to when it was sent, in the clock's steady seconds. On a fast clock the machine's own
#: milliseconds would be minutes, and calls would seem to arrive in windows that they were not sent in.
SentAt = Callable[[str], float | None]


_BAD_ANSWERS = get_args(BadAnswerKind)
_MISFITS = get_args(MisfitKind)
_BROKEN = get_args(BrokenKind)
_WHAT = "chartq's rehearsal server: it stands in for Hugging Face's API. No answer of it is a model's."


@dataclass(frozen=True)
class Part:
    """A call's part in the play, from its arrival on."""

    asked: ParsedRequest
    #: The behaviour at its arrival; later changes are for later calls.
    behaviour: Behaviour
    decision: Decision
    #: Its line in the record.
    call: Call
    number: int

    def reply(self) -> Reply:
        """What to send; a broken connection breaks a good answer."""
        fault = self.decision.fault
        if fault in _BAD_ANSWERS:
            return bad_answer(str(fault), self.asked, self.number)
        if fault is not None and fault not in _BROKEN + _MISFITS:
            return refuse(fault, self.asked, hints=self.behaviour.hints, wait_s=self.decision.wait_s)
        try:
            misfit = str(fault) if fault in _MISFITS else None
            return answer(self.asked, self.behaviour, self.number, misfit=misfit)
        except ValueError as error:
            return json_reply({"error": [f"Error in `inputs`: Invalid image: {error}"]}, 400)


class ServerState:
    """Behaviour, fault plan and record of one stand-in."""

    def __init__(self, behaviour: Behaviour, clock: Clock = SYSTEM_CLOCK, sent_at: SentAt | None = None) -> None:
        self.record = Record()
        self.clock, self._sent_at = clock, sent_at
        self._latest = float("-inf")
        self._plan = FaultPlan(behaviour)
        self._lock = Lock()
        self._numbers = 0

    @property
    def behaviour(self) -> Behaviour:
        return self._plan.behaviour

    def behave(self, **changes: Any) -> None:
        with self._lock:
            self._plan.behave(replace(self._plan.behaviour, **changes))

    def enter(self, path: str, asked: ParsedRequest, headers: Mapping[str, str]) -> Part:
        """Decide on a call and note it, in one step, so that record and budget agree on the order."""
        call = _call(path, asked, headers)
        with self._lock:
            decision = self._plan.decide(asked, self._moment(headers))
            self._plan.in_flight[asked.model_id] += 1
            self._numbers += 1
            call.at = time.time()
            call.concurrent = self._plan.in_flight.total()
            call.outcome = decision.fault or "answer"
            self.record.append(call)
            return Part(asked, self._plan.behaviour, decision, call, self._numbers)

    def _moment(self, headers: Mapping[str, str]) -> float:
        """When the call arrives: when it was sent, if that is known. Moments only ever go forward."""
        sent_at = self._sent_at(headers.get("x-amzn-trace-id", "")) if self._sent_at else None
        self._latest = max(self._latest, self.clock.steady() if sent_at is None else sent_at)
        return self._latest

    def leave(self, part: Part) -> None:
        with self._lock:
            self._plan.in_flight[part.asked.model_id] -= 1

    def turn_away(self, path: str, headers: Mapping[str, str], error: NotUnderstoodError) -> Reply:
        """A request that asks nothing: noted as a call, answered outside of all limits."""
        call = _call(path, ParsedRequest(kind="chat", model=""), headers)
        call.outcome = call.status = error.status
        call.at = call.ended_at = time.time()
        self.record.append(call)
        return json_reply({"error": str(error)}, error.status)

    def look_up(self, path: str, token: str | None) -> Reply:
        """The GETs. The router's lists need no token; the classic status does."""
        behaviour = self.behaviour
        if path in ("/", "/health"):
            return json_reply({"rehearsal": True, "what": _WHAT})
        if path == "/rehearsal/record":
            return json_reply(self.record.as_json())
        self.record.lookups.append(path)
        if isinstance(behaviour.fault, int) and behaviour.fault >= 500:
            nobody = ParsedRequest(kind="chat", model="")
            return refuse(behaviour.fault, nobody, hints="none", wait_s=0)
        if path == "/v1/models":
            return models.list_models(behaviour)
        place, found, model_id = path.partition("/models/")
        if not found:
            return json_reply({"error": f"Not Found: {path}"}, 404)
        if place == "/v1":
            return models.router_model(model_id, behaviour)
        if behaviour.token is not None and token != behaviour.token:
            return json_reply({"error": "Invalid username or password."}, 401)
        return models.task_model(model_id, behaviour)


def _call(path: str, asked: ParsedRequest, headers: Mapping[str, str]) -> Call:
    """Its line in the record, before anything is decided."""
    image_size, image_format = asked.image_header()
    return Call(
        at=0.0,
        path=path,
        model=asked.model or None,
        prompt=asked.prompt,
        image_sha256=asked.image_sha256,
        image_count=len(asked.images),
        image_urls=list(asked.image_urls),
        image_size=image_size,
        image_format=image_format,
        concurrent=0,
        token_fingerprint=asked.token_fingerprint,
        headers=headers,
        body=asked.body,
        outcome="answer",
    )
