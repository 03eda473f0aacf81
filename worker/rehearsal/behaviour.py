"""How the stand-in behaves: one frozen value, replaced as a whole while it runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from worker.rehearsal.request_parser import ParsedRequest

#: Whether a budget's windows lie in a fixed row or move along with the calls.
Window = Literal["fixed", "sliding"]

#: In which form a 429 says how long to wait: every form that servers have been seen to use, and none at all.
Hints = Literal[
    "none", "retry-after", "retry-after-float", "retry-after-date", "retry-after-ms", "ratelimit", "message"
]

#: Refusals that have a name because their status alone doesn't say what they are.
RefusalKind = Literal["throttled", "overloaded", "loading", "gated", "permission", "unsupported"]

#: A 200 that is no answer.
BadAnswerKind = Literal["null-content", "empty-content", "no-choices", "error-in-200", "html", "broken-json"]

#: An answer that is none to a question with a JSON schema: JSON of other values, prose, JSON that was cut off.
MisfitKind = Literal["misfit", "prose", "cut-short"]

#: A connection that fails: closed unanswered, closed in mid-answer, never answered, a byte now and then.
BrokenKind = Literal["drop", "drop-midway", "hang", "drip"]

#: What may go wrong with a call: a status, or a kind by its name.
Fault = int | RefusalKind | BadAnswerKind | MisfitKind | BrokenKind

_KINDS = frozenset(get_args(RefusalKind) + get_args(BadAnswerKind) + get_args(MisfitKind) + get_args(BrokenKind))


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Settings of the stand-in. The default is a server that answers everybody at once."""

    #: How long an answer takes; refusals come at once.
    latency_s: float = 0.0

    #: Calls per window of so many seconds, for each token and model; beyond it: 429.
    budget: tuple[int, float] | None = None
    #: Further budgets that hold as well, as in 5 a second and 30 an hour.
    further_budgets: Sequence[tuple[int, float]] = ()
    window: Window = "fixed"
    #: Whether refused calls count as spent. Shows in sliding windows only: a full fixed one can't get fuller.
    refusals_count: bool = True
    hints: Hints = "none"
    #: What the hint of a 429 or 503 says that comes from a fault and not from a budget.
    hint_s: float = 1.0
    #: Most calls of a model in flight; beyond it: 429 "Model is overloaded", as TGI says it.
    max_concurrency: int | None = None

    #: A model's first call wakes it; it refuses with 503 "currently loading" for so long.
    cold_start_s: float = 0.0
    #: Answers that each token is good for; then 402.
    credits: int | None = None
    #: The only token that is let in; others get 401. None: everybody is.
    token: str | None = None
    #: False: the token lacks the permission (403).
    permission: bool = True
    #: The models that are served; None: all.
    models: Sequence[str] | None = None
    #: Models whose terms nobody accepted (403).
    gated: Sequence[str] = ()
    #: Models listed without "image" among their input modalities.
    text_models: Sequence[str] = ()

    #: What every call gets while this is set: an outage.
    fault: Fault | None = None
    #: What the next calls get, in the order of arrival; None lets one through.
    first_faults: Sequence[Fault | None] = ()
    #: `(n, fault)`: every n-th call gets the fault; a call that several mean gets the first of them.
    fail_every: Sequence[tuple[int, Fault]] = ()
    #: By the SHA-256 (hexadecimal) of the image as it was sent.
    image_faults: Mapping[str, Fault] = field(default_factory=dict)
    #: By a part of the prompt.
    prompt_faults: Mapping[str, Fault] = field(default_factory=dict)
    #: Any other rule; must be quick, since it runs under the server's lock.
    fault_for: Callable[[ParsedRequest], Fault | None] | None = None
    #: After an error the connection is closed without a word, as `transformers serve` does after a 500.
    hang_up_after_errors: bool = False
    #: Seconds between the pieces of a "drip".
    drip_s: float = 0.1

    #: Bigger requests get 413. TGI's limit is 2,000,000.
    max_body_bytes: int = 20_000_000
    #: Answers begin with a `<think>` part.
    think: bool = False
    #: False: the image isn't decoded, the answer is a fixed sentence. For load tests.
    look: bool = True

    def __post_init__(self) -> None:
        if self.hints not in get_args(Hints):
            raise ValueError(f"hints={self.hints!r} is none of {', '.join(get_args(Hints))}")
        if self.window not in get_args(Window):
            raise ValueError(f"window={self.window!r} is none of {', '.join(get_args(Window))}")
        for calls, window_s in self.budgets:
            if calls < 1 or window_s <= 0:
                raise ValueError(f"budget={(calls, window_s)!r} must be (calls >= 1, seconds > 0)")
        for fault in self._faults():
            check_fault(fault)

    @property
    def budgets(self) -> tuple[tuple[int, float], ...]:
        """All that hold."""
        return (*([self.budget] if self.budget else []), *self.further_budgets)

    def _faults(self) -> list[Fault]:
        every = [fault for _, fault in self.fail_every]
        named = [*self.image_faults.values(), *self.prompt_faults.values(), *self.first_faults, self.fault]
        return every + [fault for fault in named if fault is not None]


def check_fault(fault: Fault) -> Fault:
    """Raises ValueError for what isn't an error status or the name of a fault."""
    good = 400 <= fault <= 599 if isinstance(fault, int) else fault in _KINDS
    if not good:
        raise ValueError(f"{fault!r} is neither a status of 400 to 599 nor one of {', '.join(sorted(_KINDS))}")
    return fault
