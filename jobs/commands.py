"""The producer's commands, gathered. Each parses, calls one function, prints; none needs the worker's libraries."""

from jobs.batch_commands import cancel, list_batches, resume, retry, status, wait, watch
from jobs.lane_commands import lanes
from jobs.result_commands import compare, results
from jobs.submit_commands import submit

PRODUCER_COMMANDS = (submit, list_batches, status, wait, watch, results, compare, retry, cancel, resume, lanes)
