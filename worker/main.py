"""The console script `chartq`: the producer's commands, and those that call the provider."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from jobs.cli import group, run
from jobs.commands import PRODUCER_COMMANDS
from jobs.lazy import Place, load

if TYPE_CHECKING:
    from jobs.cost import Price
    from jobs.job import Question
    from jobs.settings import Settings

COMMANDS = {
    "run": Place("worker.cli:run", "Submit a folder of charts, ask about all of them, and show how it goes."),
    "worker": Place(
        "worker.cli:worker", "Work on what is queued: up to N calls in flight, within the provider's limits."
    ),
    **PRODUCER_COMMANDS,
    "models": Place(
        "worker.model_commands:models",
        "Is MODEL served, by whom, does it take images, at what price? Without MODEL: all vision models.",
    ),
    "doctor": Place(
        "worker.doctor:doctor",
        "Check settings, Redis, results store, endpoint, token, model and folders, and say what to do.",
    ),
    "health": Place(
        "worker.health:health",
        "Tell whether this machine's workers, Redis and the results store are alive; exit code 1 if not.",
    ),
    "metrics": Place(
        "worker.metrics:metrics",
        "Serve what all workers share (queues, gates, permits, RQ's workers) as metrics, also while no worker runs.",
    ),
    "rehearse": Place("worker.rehearse:rehearse", "Show what a run would do: calls, refusals, how long, done by when."),
    "demo": Place(
        "worker.cli:demo", "Ask about the sample charts: Hugging Face if HF_TOKEN is set, else the rehearsal server."
    ),
}


def prices_of(settings: "Settings", question: "Question") -> "Sequence[Price]":
    """For `submit --dry-run`: see `worker.prices`, which is loaded only if it comes to that."""
    prices: Sequence[Price] = load("worker.prices:prices_of")(settings, question)
    return prices


chartq = group(COMMANDS, "chartq", obj=prices_of)


def main() -> NoReturn:
    """The entry point."""
    run(chartq)
