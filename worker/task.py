"""What RQ jobs of ours name, `worker.task.ask`: data in Redis, so it stays where it is."""


def ask(job_id: str) -> None:
    """The function that our RQ jobs name. A plain `rq worker` that runs it learns what to run instead."""
    raise RuntimeError(f"job {job_id} is chartq's: run `chartq worker`, it keeps the provider's limits")
