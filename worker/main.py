"""The console script `chartq`: the producer's commands, and those that call the provider."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from jobs.cli.commands import PRODUCER_COMMANDS
from jobs.cli.lazy import CommandSpec, load
from jobs.cli.main import group, run

if TYPE_CHECKING:
    from jobs.config.settings import Settings
    from jobs.core.job import Question
    from jobs.core.money import Price

COMMANDS = {
    "run": CommandSpec("worker.cli.run_command:run", "Submit a folder, ask about every chart, show how it goes."),
    "worker": CommandSpec("worker.cli.work_command:worker", "Work on what is queued, within the provider's limits."),
    "serve": CommandSpec("worker.cli.serve_command:serve", "Serve chartq to programs over HTTP."),
    **PRODUCER_COMMANDS,
    "rehearse": CommandSpec(
        "worker.cli.rehearse_command:rehearse", "Show what a run would do and take, on a fast clock."
    ),
    "demo": CommandSpec("worker.cli.demo_command:demo", "Ask about the sample charts; needs no token."),
    "doctor": CommandSpec("worker.cli.doctor_command:doctor", "Check Redis, store, token, endpoint and model."),
    "models": CommandSpec(
        "worker.cli.model_commands:models", "Who serves a model, does it take images, at what price?"
    ),
    "health": CommandSpec("worker.cli.health_command:health", "Tell whether this machine's workers live (exit code)."),
    "metrics": CommandSpec("worker.cli.metrics_command:metrics", "Serve what all workers share to Prometheus."),
    "completion": CommandSpec(
        "worker.cli.completion:completion", "Print the script that completes words in your shell."
    ),
}


def prices_of(settings: "Settings", question: "Question") -> "Sequence[Price]":
    """For `submit --dry-run`: see `worker.hf.prices`, which is loaded only if it comes to that."""
    prices: Sequence[Price] = load("worker.hf.prices:prices_of")(settings, question)
    return prices


chartq = group(COMMANDS, "chartq", obj=prices_of)


def main() -> NoReturn:
    """The entry point."""
    run(chartq)


if __name__ == "__main__":
    main()
