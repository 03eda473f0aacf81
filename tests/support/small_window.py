"""chartq with queues that hold five jobs in Redis: `small_window.py COMMAND...`; all else is the real thing."""

from jobs.lanes import queues
from worker.main import main

if __name__ == "__main__":
    queues.WINDOW = 5
    main()
