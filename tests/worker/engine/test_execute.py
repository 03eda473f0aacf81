"""A task on a machine that can't read its chart: not called, no attempt spent, and not for ever."""

from dataclasses import replace

from support.executions import started_job, task_of

from jobs.core.job import Question
from jobs.core.places import picture_name
from jobs.ledger import StartedJob
from worker.engine.policy import MAX_FAULTS, Refused, Transient
from worker.hf.client import HuggingFaceClient
from worker.hf.config import HFConfig

QUESTION = Question(prompt="Up?", model="org/model", parameters={})
JOB = started_job(picture_name("ab"), question_id=QUESTION.id, image_sha256="ab")


def test_what_this_machine_fails_is_counted_for_each_job_until_it_goes_well() -> None:
    pictures: dict[str, bytes] = {}

    def picture(sha256: str) -> bytes | None:
        if sha256 not in pictures:
            raise MemoryError
        return pictures[sha256]

    client = HuggingFaceClient(HFConfig(api_key="hf_x", base_url="http://127.0.0.1:9/v1"))
    task = task_of(client, pictures=picture)

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
