"""How long to wait before trying again what may go better next time."""

import math

#: Longest back-off in seconds after a transient failure; an outage that outlasts it is the gate's business.
MAX_BACKOFF_S = 900.0

#: Doublings after which `MAX_BACKOFF_S` is reached anyway; keeps 2**n small for absurd attempt counts.
_MAX_DOUBLINGS = 40


def backoff_s(attempts: int, *, retry_delay_s: float, jitter: float, hint_s: float | None = None) -> float:
    """Seconds before the next attempt after `attempts` failed ones.

    `retry_delay_s` * 2^(attempts - 1), of which the upper half is scaled by `jitter` (0..1) so that jobs that
    failed together don't come back together; at most `MAX_BACKOFF_S`, but never sooner than the hint asks.
    """
    doublings = min(attempts - 1, _MAX_DOUBLINGS)
    backoff = min(retry_delay_s * 2.0**doublings, MAX_BACKOFF_S) * (0.5 + 0.5 * jitter)
    return max(backoff, usable_wait_s(hint_s) or 0.0)


def usable_wait_s(seconds: float | None) -> float | None:
    """`seconds` if it is one to wait for: positive and finite."""
    return seconds if seconds is not None and math.isfinite(seconds) and seconds > 0 else None
