"""Lanes in Redis: the queues that their jobs wait in, and the gates that say when a call may be made.

All Redis keys of ours, and all that we write into RQ's, are in `lua/`; nothing else touches them.
"""

# What is imported here is what the room shows of itself.
# mypy: implicit-reexport
# ruff: noqa: F401

from jobs.lanes.gates import SUSPENDED, Gate, Gates, WorkerEntry, account_of
from jobs.lanes.queues import Depth, LaneQueues, Priority, queue_name
from jobs.lanes.scripts import TASK, WAKE_CHANNEL, Scripts
