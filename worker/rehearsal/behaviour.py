"""How the stand-in behaves: one frozen value, replaced as a whole while it runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from worker.rehearsal.request_parser import ParsedRequest

#: Whether a budget's windows lie in a fixed row or move along with the calls.
Window = Literal["fixed", "sliding"]

#: In which form a 429 says how long to wait.
Hints = Literal["none", "retry-after", "retry-after-ms", "message"]

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

#: The faults that have a name.
KINDS: frozenset[str] = frozenset(
    get_args(RefusalKind) + get_args(BadAnswerKind) + get_args(MisfitKind) + get_args(BrokenKind)
)


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Settings of the stand-in. The default is a server that answers everybody at once."""

    #: How long an answer takes; refusals come at once.
    latency_s: float = 0.0

    #: `(calls, seconds)`: calls per window, for each token and model; beyond it: 429. Several hold together.
    budgets: Sequence[tuple[int, float]] = ()
    window: Window = "fixed"
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
    #: The models that are served; None: all.
    models: Sequence[str] | None = None

    #: What every call gets while this is set: an outage.
    fault: Fault | None = None
    #: What the next calls get, in the order of arrival; None lets one through.
    first_faults: Sequence[Fault | None] = ()
    #: `(n, fault)`: every n-th call gets the fault; a call that several mean gets the first of them.
    fail_every: Sequence[tuple[int, Fault]] = ()
    #: Any other rule; must be quick, since it runs under the server's lock.
    fault_for: Callable[[ParsedRequest], Fault | None] | None = None

    #: False: the image isn't decoded, the answer is a fixed sentence. For load tests.
    look: bool = True
