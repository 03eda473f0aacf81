"""What to do after a call: the one pure decision between a reply and the queue.

Done | Throttled | Unreachable | NotBegun | Transient | Refused | Hold. Nothing here sleeps, stores or logs.
"""

import errno
from dataclasses import dataclass
from typing import Literal

from jobs.charts.storage import ChartRootError
from jobs.core.errors import ImageError, OutOfMemoryError, SchemaError
from worker.hf import errors
from worker.hf.backoff import backoff_s, usable_wait_s

Scope = Literal["lane", "account"]
Reason = Literal["token", "permission", "credits", "model", "gated", "firewall", "chart_root"]


@dataclass(frozen=True)
class Done:
    """The answer is in."""


@dataclass(frozen=True)
class Throttled:
    """The server has no room (429) or loads the model: back to the queue, no attempt spent."""

    #: Seconds that the server asked for, without jitter; None if it didn't say.
    hint_s: float | None = None


@dataclass(frozen=True)
class Unreachable:
    """Nothing reached the server: back to the queue, no attempt spent."""


@dataclass(frozen=True)
class NotBegun:
    """The job waited in hand for a call to end, and goes back as it came."""


@dataclass(frozen=True)
class Transient:
    """It may go better next time: one attempt spent."""

    #: Seconds until the next attempt.
    wait_s: float
    #: The attempts are used up: the job fails instead.
    last: bool


@dataclass(frozen=True)
class Refused:
    """This job's own fault, or an answer that would be the same again: it fails at once."""


@dataclass(frozen=True)
class Hold:
    """Every job of the lane or account would fail alike: nothing fails, someone has to act."""

    scope: Scope
    reason: Reason
    #: What happened and what to do, for the user.
    message: str


Outcome = Done | Throttled | Unreachable | NotBegun | Transient | Refused | Hold

_HOLDS: dict[type[errors.HFAPIError], tuple[Scope, Reason, str]] = {
    errors.HFPermissionError: (
        "account",
        "permission",
        'Give the token the permission "Make calls to Inference Providers" at '
        "https://huggingface.co/settings/tokens, then: chartq resume",
    ),
    errors.HFAuthenticationError: (
        "account",
        "token",
        "Check HF_TOKEN (https://huggingface.co/settings/tokens), then: chartq resume",
    ),
    errors.HFCreditsError: (
        "account",
        "credits",
        "Add credits at https://huggingface.co/settings/billing or wait for next month "
        "(another provider: at its own billing page), then: chartq resume",
    ),
    errors.HFGatedModelError: (
        "lane",
        "gated",
        "Accept the model's terms on its page at https://huggingface.co, then: chartq resume",
    ),
    errors.HFBlockedError: (
        "account",
        "firewall",
        "Ask who runs the network or the proxy (HTTPS_PROXY) to let calls to HF_BASE_URL through, or call from another "
        "network; if HF_BASE_URL is your own server, look at what stands before it. Then: chartq resume",
    ),
    errors.HFModelNotFoundError: (
        "lane",
        "model",
        "See who serves it with: chartq models MODEL; check HF_BASE_URL and HF_API, then: chartq resume "
        "(or submit with another -m)",
    ),
}
#: The machine's faults, not the file's: no descriptors or memory left, a disk or a mount that fails.
_MACHINE_FAULTS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE})

#: A machine that fails one chart so often, ever more rarely asked for an hour, will not read it.
MAX_FAULTS = 12

_THROTTLES = (errors.HFRateLimitError, errors.HFModelLoadingError)
_TRANSIENTS = (errors.HFServerError, errors.HFBadAnswerError, errors.HFTimeoutError, errors.HFConnectionError)


def decide(
    error: Exception | None,
    *,
    attempts: int,
    max_attempts: int,
    retry_delay_s: float,
    jitter: float,
    refusal_counts: bool = False,
    faults: int = 1,
) -> Outcome:
    """What to do with a job whose call ended in `error` (None: it was answered).

    `attempts` counts the one that just failed; `jitter` is drawn from 0..1 by the caller;
    `refusal_counts` makes a refusal count as an attempt (a job that is refused while others pass); `faults`: how often
    this machine has failed the job, this time included.
    Raises TypeError for an exception that is no outcome of a call: a fault in our own code.
    """
    if error is None:
        return Done()
    if isinstance(error, ChartRootError):
        return Hold("lane", "chart_root", f"{error}: set CHART_ROOT for every worker, then: chartq resume")
    if (again_s := machines_fault_s(error)) is not None:
        # No call was made, so none is counted; another worker, or this one later, can read the chart.
        wait_s = backoff_s(faults, retry_delay_s=max(retry_delay_s, again_s), jitter=jitter)
        return Transient(wait_s, last=faults >= MAX_FAULTS)
    if isinstance(error, ImageError | SchemaError | errors.HFRequestError | errors.HFWouldRepeatError):
        return Refused()
    if (hold := _hold(error)) is not None:
        return hold
    if isinstance(error, _THROTTLES) and not refusal_counts:
        return Throttled(usable_wait_s(error.hint_s))
    if isinstance(error, errors.HFUnreachableError):
        return Unreachable()
    if isinstance(error, _THROTTLES + _TRANSIENTS):
        wait_s = backoff_s(attempts, retry_delay_s=retry_delay_s, jitter=jitter, hint_s=error.hint_s)
        return Transient(wait_s, last=attempts >= max_attempts)
    raise TypeError(f"{type(error).__name__} is no outcome of a call")


def machines_fault_s(error: Exception | None) -> float | None:
    """For a fault of this machine the seconds until it is worth another look: memory is not there in a second."""
    if isinstance(error, OutOfMemoryError):
        return 10.0
    cause = error.__cause__ if isinstance(error, ImageError) else None
    return 1.0 if isinstance(cause, OSError) and cause.errno in _MACHINE_FAULTS else None


def _hold(error: Exception) -> Hold | None:
    for kind, (scope, reason, advice) in _HOLDS.items():
        if isinstance(error, kind):
            return Hold(scope, reason, f"{error} — {advice}")
    return None
