"""A task on a machine that can't read its chart: not called, no attempt spent, and not for ever."""

from dataclasses import replace

from jobs.core.job import Question
from jobs.core.places import picture_name
from jobs.ledger import StartedJob
from worker.engine.execute import Task
from worker.engine.policy import MAX_FAULTS, Refused, Transient
from worker.hf.client import HuggingFaceClient
from worker.hf.config import HFConfig

QUESTION = Question(prompt="Up?", model="org/model", parameters={})
JOB = StartedJob(
    job_id="j", execution_id="e", question_id=QUESTION.id, image_sha256="ab", image=picture_name("ab"),
    attempts=0, throttled=0, losses=0, queued_at=0, batch_id="b",
)  # fmt: skip


def test_what_this_machine_fails_is_counted_for_each_job_until_it_goes_well() -> None:
    pictures: dict[str, bytes] = {}

    def picture(sha256: str) -> bytes | None:
        if sha256 not in pictures:
            raise MemoryError
        return pictures[sha256]

    client = HuggingFaceClient(HFConfig(api_key="hf_x", base_url="http://127.0.0.1:9/v1"))
    task = Task(
        client=client, chart_root=None, timeout_s=1, text_timeout_s=1, max_attempts=3, retry_delay_s=1, pictures=picture
    )  # fmt: skip

    def outcomes(job: StartedJob, times: int) -> list[Transient]:
        ended = [task.perform(job, QUESTION) for _ in range(times)]
        assert not any(one.called for one in ended)
        return [one.outcome for one in ended if isinstance(one.outcome, Transient)]

    assert [one.last for one in outcomes(JOB, MAX_FAULTS - 1)] == [False] * (MAX_FAULTS - 1)
    assert [one.last for one in outcomes(replace(JOB, job_id="another"), 1)] == [False]
    assert [one.last for one in outcomes(JOB, 1)] == [True]
    pictures["ab"] = b"no picture, but here"
    assert isinstance(task.perform(JOB, QUESTION).outcome, Refused)
    del pictures["ab"]
    assert [one.last for one in outcomes(JOB, 1)] == [False]
