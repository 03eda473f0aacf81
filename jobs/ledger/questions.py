"""Questions in the ledger: written once, read often."""

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, select

from jobs.core.errors import UnknownIdError
from jobs.core.job import Question
from jobs.ledger.database import upserting
from jobs.ledger.schema import AnyRow, questions

#: Questions kept in memory per process; a prompt may have 100 kB.
_KEPT = 256


class Questions:
    """The questions of one ledger, the last ones used kept in memory. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Question] = OrderedDict()

    def kept(self, question_id: str) -> Question | None:
        """The question, if it is in memory."""
        with self._lock:
            if question_id in self._kept:
                self._kept.move_to_end(question_id)
            return self._kept.get(question_id)

    def get(self, connection: Connection, question_id: str) -> Question:
        """The question; raises UnknownIdError."""
        found = self.get_all(connection, [question_id]).get(question_id)
        if found is None:
            raise UnknownIdError(f"no question {question_id} in the results store")
        return found

    def get_all(self, connection: Connection, question_ids: Iterable[str]) -> dict[str, Question]:
        """Those of the questions that exist, by id."""
        wanted = set(question_ids)
        found = {one: question for one in wanted if (question := self.kept(one)) is not None}
        if missing := wanted - found.keys():
            rows = connection.execute(select(questions).where(questions.c.id.in_(sorted(missing))))
            for row in rows:
                found[row.id] = self._keep(row.id, _question(row))
        return found

    def _keep(self, question_id: str, question: Question) -> Question:
        with self._lock:
            self._kept[question_id] = question
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return question


def lanes(connection: Connection) -> set[str]:
    """The lanes of all questions."""
    return set(connection.execute(select(questions.c.lane).distinct()).scalars())


def put(connection: Connection, asked: Mapping[str, Question]) -> None:
    """Write questions, by id, unless they are there."""
    if not asked:
        return
    insert = upserting(connection, questions).on_conflict_do_nothing(index_elements=["id"])
    # Another submit may be writing the same ones: sorted, so that the two don't wait for each other.
    connection.execute(
        insert,
        [
            {
                "id": question_id,
                "prompt": question.prompt,
                "model": question.model,
                # In their own order: a model fills in a schema's fields as they come.
                "parameters": json.dumps(dict(question.parameters), ensure_ascii=False, allow_nan=False),
                "api": question.api,
                "task": question.task,
                "lane": question.lane,
            }
            for question_id, question in sorted(asked.items())
        ],
    )


def _question(row: AnyRow) -> Question:
    return Question(
        prompt=row.prompt, model=row.model, parameters=json.loads(row.parameters), api=row.api, task=row.task
    )
