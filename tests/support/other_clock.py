"""chartq on a host whose clock is wrong by so many seconds: `other_clock.py SECONDS ARGS...`."""

import runpy
import sys
import time


def main() -> None:
    wrong_s, right, right_ns = float(sys.argv.pop(1)), time.time, time.time_ns
    time.time = lambda: right() + wrong_s
    time.time_ns = lambda: right_ns() + int(wrong_s * 1e9)  # logs are dated by it from Python 3.13 on
    runpy.run_module("worker.main", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
