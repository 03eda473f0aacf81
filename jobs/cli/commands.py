"""The producer's commands, and where each stands. None needs the worker's libraries."""

from jobs.cli.lazy import CommandSpec

PRODUCER_COMMANDS = {
    "submit": CommandSpec("jobs.cli.submit_commands:submit", "Put a folder of charts on the queue."),
    "list": CommandSpec("jobs.cli.batch_commands:list_batches", "List the batches, newest first."),
    "status": CommandSpec("jobs.cli.batch_commands:status", "Say where a batch or a job stands."),
    "wait": CommandSpec("jobs.cli.batch_commands:wait", "Wait until a batch has ended or is on hold."),
    "watch": CommandSpec("jobs.cli.batch_commands:watch", "Watch a batch live; Ctrl-C leaves it running."),
    "results": CommandSpec("jobs.cli.result_commands:results", "Write a batch's results, in the order of submission."),
    "compare": CommandSpec("jobs.cli.compare_command:compare", "Show two batches' answers side by side."),
    "errors": CommandSpec("jobs.cli.errors_command:errors", "Say what went wrong, by kind, and how often."),
    "retry": CommandSpec("jobs.cli.mend_commands:retry", "Queue again what failed, with fresh attempts."),
    "cancel": CommandSpec("jobs.cli.mend_commands:cancel", "Cancel what has not started."),
    "resume": CommandSpec("jobs.cli.mend_commands:resume", "Open what is on hold, and restore what Redis has lost."),
    "pause": CommandSpec("jobs.cli.control_commands:pause", "Start no call any more: of a model, a batch, or at all."),
    "limit": CommandSpec("jobs.cli.control_commands:limit", "Set a model's budget for all workers while they run."),
    "delete": CommandSpec("jobs.cli.control_commands:delete", "Remove a batch that has ended, with its answers."),
    "prune": CommandSpec("jobs.cli.control_commands:prune", "Remove all batches that ended long ago."),
    "lanes": CommandSpec("jobs.cli.lane_commands:lanes", "Show what is open, closed until when, on hold and why."),
    "keys": CommandSpec("jobs.cli.key_commands:keys", "Make, list and revoke keys of the HTTP API."),
    "logs": CommandSpec("jobs.cli.log_commands:logs", "Tell what happened to a batch or a job, call by call."),
}
