"""chartq on a host whose clock is wrong by so many seconds: `other_clock.py SECONDS ARGS...`."""

import runpy
import sys
import time


def main() -> None:
    wrong_s, right = float(sys.argv.pop(1)), time.time
    time.time = lambda: right() + wrong_s
    runpy.run_module("worker.main", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
