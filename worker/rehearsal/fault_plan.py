"""What happens to a call: decided at its arrival from the behaviour, the calls before it and the time."""

from collections import Counter
from dataclasses import dataclass

from worker.rehearsal.behaviour import Behaviour, Fault
from worker.rehearsal.budget import Budget
from worker.rehearsal.request_parser import ParsedRequest


@dataclass(frozen=True)
class Decision:
    """`fault` is None for a good answer."""

    fault: Fault | None = None
    #: What the hint of a refusal should say, in seconds.
    wait_s: float = 0.0


class FaultPlan:
    """Asked under a lock, for it isn't thread-safe. `now`: seconds of a clock that only goes forward."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.in_flight: Counter[str] = Counter()
        self._budgets: dict[tuple[str | None, str], list[Budget]] = {}
        self._woken: dict[str, float] = {}
        self._answered: Counter[str | None] = Counter()
        self._position = 0

    def behave(self, behaviour: Behaviour) -> None:
        """Go on with another behaviour. What its changed parts had counted begins anew."""
        before, self.behaviour = self.behaviour, behaviour
        if (before.budgets, before.window) != (behaviour.budgets, behaviour.window):
            self._budgets.clear()
        if before.cold_start_s != behaviour.cold_start_s:
            self._woken.clear()
        if before.credits != behaviour.credits:
            self._answered.clear()
        if (before.first_faults, before.fail_every) != (behaviour.first_faults, behaviour.fail_every):
            self._position = 0

    def decide(self, asked: ParsedRequest, now: float) -> Decision:
        """In the order in which a router looks: itself, the account, the model, the limits, the request."""
        behaviour, hint_s = self.behaviour, self.behaviour.hint_s
        fault = behaviour.fault or self._next_fault() or self._who_and_what(asked)
        if fault:
            return Decision(fault, hint_s)
        if (wait_s := self._spend(asked, now)) > 0:
            return Decision("throttled", wait_s)
        if behaviour.max_concurrency is not None and self.in_flight[asked.model_id] >= behaviour.max_concurrency:
            return Decision("overloaded", hint_s)
        if (loading_s := self._loading_s(asked, now)) > 0:
            return Decision("loading", loading_s)
        fault = behaviour.fault_for(asked) if behaviour.fault_for else None
        return Decision(fault or self._credit_fault(asked), hint_s)

    def _next_fault(self) -> Fault | None:
        self._position += 1
        if self._position <= len(self.behaviour.first_faults):
            return self.behaviour.first_faults[self._position - 1]
        return next((fault for n, fault in self.behaviour.fail_every if self._position % n == 0), None)

    def _who_and_what(self, asked: ParsedRequest) -> Fault | None:
        behaviour = self.behaviour
        if behaviour.token is not None and asked.token != behaviour.token:
            return 401
        return "unsupported" if behaviour.models is not None and asked.model_id not in behaviour.models else None

    def _spend(self, asked: ParsedRequest, now: float) -> float:
        """Seconds to wait by the strictest budget; a call that one refuses has counted in the others."""
        key, behaviour = (asked.token_fingerprint, asked.model_id), self.behaviour
        if key not in self._budgets:
            self._budgets[key] = [Budget(calls, window_s, behaviour.window) for calls, window_s in behaviour.budgets]
        return max((budget.take(now) for budget in self._budgets[key]), default=0.0)

    def _loading_s(self, asked: ParsedRequest, now: float) -> float:
        if self.behaviour.cold_start_s <= 0:
            return 0.0
        return self._woken.setdefault(asked.model_id, now) + self.behaviour.cold_start_s - now

    def _credit_fault(self, asked: ParsedRequest) -> Fault | None:
        """A credit is taken when the answer begins, so that calls in flight can't overdraw."""
        if self.behaviour.credits is None:
            return None
        if self._answered[asked.token_fingerprint] >= self.behaviour.credits:
            return 402
        self._answered[asked.token_fingerprint] += 1
        return None
