"""The producer's commands, and where each stands. None needs the worker's libraries."""

from jobs.cli.lazy import Place

PRODUCER_COMMANDS = {
    "submit": Place("jobs.cli.submit_commands:submit", "Put a folder of charts on the queue."),
    "list": Place("jobs.cli.batch_commands:list_batches", "List the batches, newest first."),
    "status": Place("jobs.cli.batch_commands:status", "Say where a batch or a job stands."),
    "wait": Place("jobs.cli.batch_commands:wait", "Wait until a batch has ended or is on hold."),
    "watch": Place("jobs.cli.batch_commands:watch", "Watch a batch live; Ctrl-C leaves it running."),
    "results": Place("jobs.cli.result_commands:results", "Write a batch's results, in the order of submission."),
    "compare": Place("jobs.cli.result_commands:compare", "Show two batches' answers side by side."),
    "retry": Place("jobs.cli.batch_commands:retry", "Queue again what failed, with fresh attempts."),
    "cancel": Place("jobs.cli.batch_commands:cancel", "Cancel what has not started."),
    "resume": Place("jobs.cli.batch_commands:resume", "Open what is on hold, and restore what Redis has lost."),
    "lanes": Place("jobs.cli.lane_commands:lanes", "Show what is open, closed until when, on hold and why."),
    "logs": Place("jobs.cli.log_commands:logs", "Tell what happened to a batch or a job, call by call."),
}
