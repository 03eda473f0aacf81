"""Running a check: it ends within its limit, whatever it meets, and says what it met."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from typing import TypeVar

from redis.exceptions import RedisError

from jobs.core.errors import ChartqError
from worker.hf.errors import HFAPIError
from worker.monitoring.checks.check import Check

#: Longest wait in seconds for one answer from the network.
NETWORK_TIMEOUT_S = 10.0

#: Longest that a check takes: a little more, so that what the library says about its time-out is heard.
CHECK_LIMIT_S = NETWORK_TIMEOUT_S + 2

#: What to do when what a check needs raises an error; most errors' own text is more precise.
_TODO = {
    "redis": "Does it load its data, or hang? Its log tells: the embedded one's is CHARTQ_HOME/redis/redis.log.",
    "store": "Set RESULTS_URL, or CHARTQ_HOME for the SQLite file, to where this user can write.",
    "home": "Set CHARTQ_HOME to a folder of your own.",
    "chart_root": "Set CHART_ROOT to the folder with the charts.",
}

_T = TypeVar("_T")


def bounded(name: str, work: Callable[[], Iterable[Check]], *, limit_s: float = CHECK_LIMIT_S) -> Iterable[Check]:
    """What `work` finds, or that it failed or took too long."""
    todo = _TODO.get(name)
    try:
        return within(limit_s, lambda: list(work()))
    except TooLongError as error:
        return [Check(name, False, str(error), f"Does something hang: network, disk, a lock? {todo or ''}".rstrip())]
    except (ChartqError, HFAPIError, RedisError) as error:
        return [Check(name, False, str(error), todo)]
    except OSError as error:
        return [Check(name, False, f"{error.filename or ''} {error.strerror or error}".strip(), todo)]
    except Exception as error:  # noqa: BLE001 (whatever it is, the other checks go on; its text may be secret)
        return [Check(name, False, f"the check itself failed: {type(error).__name__}", "Please report this.")]


class TooLongError(Exception):
    """A check did not end within its limit."""


def within(limit_s: float, work: Callable[[], _T]) -> _T:
    """`work`'s value or exception, or TooLongError.

    On a thread of its own, since name look-ups and dead network drives can't be interrupted; one that is given
    up ends with the process.
    """
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 (raised again where it is waited for)
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    if not wait([future], limit_s).done:
        raise TooLongError(f"no answer within {limit_s:g} s")
    return future.result()
