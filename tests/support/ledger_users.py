"""Other commands with the same results store, as real processes: `python -m support.ledger_users URL WORD [NAME]`.

`open` opens the ledger and leaves; `write` opens a batch of its own and works on it and on a shared one, 93
transactions in all; `full` finds that files can't grow any more, and after a while that they can.
"""

import resource
import signal
import subprocess
import sys
from pathlib import Path

from jobs.ledger import Ledger, Returned, StoreUnavailableError
from support.stores import finished, id_of, members_of, open_batch, submit

SHARED = [f"shared {n}" for n in range(10)]


def start_user(url: str, word: str, name: str = "") -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "support.ledger_users", url, word, name],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _write(ledger: Ledger, name: str) -> None:
    mine = [f"{name} {n}" for n in range(20)]
    submit(ledger, [*SHARED, *mine], now=1)  # 3 transactions
    for n in range(18):
        chart, shared = mine[n], SHARED[n % len(SHARED)]
        ledger.start([(id_of(chart), name)], 2)
        ledger.record([finished(chart, name, name)], 3)
        ledger.start([(id_of(shared), name)], 2)
        ledger.record([Returned(job_id=id_of(shared), execution_id=name, throttled=1)], 3)
        ledger.give_back_attempts({id_of(shared): 1, id_of(mine[n + 1]): 1})


def _full(ledger: Ledger) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most))
    batch = open_batch(ledger, now=1)
    rows = members_of(f"chart {n}" for n in range(2000))
    try:
        ledger.add_members(batch, rows, refresh=False, count_rehearsals=False, now=1)
    except StoreUnavailableError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    ledger.add_members(batch, rows, refresh=False, count_rehearsals=False, now=1)
    print(ledger.counts(batch, recent_since=0).queued)


if __name__ == "__main__":
    with Ledger.open(sys.argv[1]) as opened:
        if sys.argv[2] == "write":
            _write(opened, sys.argv[3])
        if sys.argv[2] == "full":
            _full(opened)
    print("done")
