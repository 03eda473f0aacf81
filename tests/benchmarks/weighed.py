"""Run a command and write what it took into a file: `python -IS weighed.py FILE COMMAND...`.

A process starts out with the peak memory of the one that starts it, hence a small one between: this.
"""

import os
import sys

if __name__ == "__main__":
    file, *command = sys.argv[1:]
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    with open(file, "w", encoding="ascii") as out:
        out.write(f"{usage.ru_maxrss / 1000} {usage.ru_utime + usage.ru_stime}")
    sys.exit(os.waitstatus_to_exitcode(status))
