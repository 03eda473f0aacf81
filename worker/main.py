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
    "run": Place("worker.cli:run", "Submit a folder, ask about every chart, show how it goes."),
    "worker": Place("worker.work_command:worker", "Work on what is queued, within the provider's limits."),
    **PRODUCER_COMMANDS,
    "rehearse": Place("worker.rehearse:rehearse", "Show what a run would do and take, on a fast clock."),
    "demo": Place("worker.cli:demo", "Ask about the sample charts; needs no token."),
    "doctor": Place("worker.doctor:doctor", "Check Redis, store, token, endpoint and model."),
    "models": Place("worker.model_commands:models", "Who serves a model, does it take images, at what price?"),
    "health": Place("worker.health:health", "Tell whether this machine's workers live (exit code)."),
    "metrics": Place("worker.metrics:metrics", "Serve what all workers share to Prometheus."),
    "completion": Place("worker.completion:completion", "Print the script that completes words in your shell."),
}


def prices_of(settings: "Settings", question: "Question") -> "Sequence[Price]":
    """For `submit --dry-run`: see `worker.prices`, which is loaded only if it comes to that."""
    prices: Sequence[Price] = load("worker.prices:prices_of")(settings, question)
    return prices


chartq = group(COMMANDS, "chartq", obj=prices_of)


def main() -> NoReturn:
    """The entry point."""
    run(chartq)


if __name__ == "__main__":
    main()
