"""One chaos run, from the first worker to the last line of the report."""

from pathlib import Path

from chaos.plan import drawn
from chaos.report import Report, report_of
from chaos.scene import Plan, made
from chaos.watch import Watch


def run(plan: Plan, folder: Path) -> Report:
    """Do it all. Leaves its files in `folder`, and no process."""
    with made(plan, folder) as scene:
        with Watch(scene.ledger, scene.crew, scene.users.retries) as watch:
            scene.warm_up()
            scene.play(
                drawn(plan.seed, seconds=plan.seconds, fault_every_s=plan.fault_every_s, wish_every_s=plan.wish_every_s)
            )
            finished_s = scene.finish()
        return report_of(scene, watch, finished_s)
