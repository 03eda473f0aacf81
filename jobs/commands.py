"""The producer's commands, and where each stands. None needs the worker's libraries."""

from jobs.lazy import Place

PRODUCER_COMMANDS = {
    "submit": Place("jobs.submit_commands:submit", "Put a folder of charts on the queue."),
    "list": Place("jobs.batch_commands:list_batches", "List the batches, newest first."),
    "status": Place("jobs.batch_commands:status", "Say where a batch or a job stands."),
    "wait": Place("jobs.batch_commands:wait", "Wait until a batch has ended or is on hold."),
    "watch": Place("jobs.batch_commands:watch", "Watch a batch live; Ctrl-C leaves it running."),
    "results": Place("jobs.result_commands:results", "Write a batch's results, in the order of submission."),
    "compare": Place("jobs.result_commands:compare", "Show two batches' answers side by side."),
    "retry": Place("jobs.batch_commands:retry", "Queue again what failed, with fresh attempts."),
    "cancel": Place("jobs.batch_commands:cancel", "Cancel what has not started."),
    "resume": Place("jobs.batch_commands:resume", "Open what is on hold, and restore what Redis has lost."),
    "lanes": Place("jobs.lane_commands:lanes", "Show what is open, closed until when, on hold and why."),
    "logs": Place("jobs.log_commands:logs", "Tell what happened to a batch or a job, call by call."),
}
