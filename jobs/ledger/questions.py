"""Questions in the ledger: written once, read often."""

import json
from collections.abc import Iterable, Mapping

from jobs.core.errors import UnknownIdError
from jobs.core.job import Question
from jobs.ledger.transaction import Row, Transaction


def get(tx: Transaction, question_id: str) -> Question:
    """The question; raises UnknownIdError."""
    found = get_all(tx, [question_id]).get(question_id)
    if found is None:
        raise UnknownIdError(f"no question {question_id} in the results store")
    return found


def get_all(tx: Transaction, question_ids: Iterable[str]) -> dict[str, Question]:
    """Those of the questions that exist, by id."""
    wanted = set(question_ids)
    found = {one: question for one in wanted if (question := tx.questions.kept(one)) is not None}
    if missing := wanted - found.keys():
        for row in tx.rows("questions", ids=sorted(missing)):
            found[row.id] = _question(row)
            tx.questions.keep(row.id, found[row.id])
    return found


def lanes(tx: Transaction, *, owner: str = "") -> set[str]:
    """Every lane that is asked for; with `owner`, by that one's batches."""
    return set(tx.values("lanes_of_owner", owner=owner) if owner else tx.values("lanes"))


def was_answered(tx: Transaction, lane: str) -> bool:
    """Whether any question of the lane has an answer: all questions of a batch are of one lane."""
    (answered,) = tx.values("answers_of_lane", lane=lane)
    return bool(answered)


def put(tx: Transaction, asked: Mapping[str, Question]) -> None:
    """Write questions, by id, unless they are there."""
    # Another submit may be writing the same ones: sorted, so that the two don't wait for each other.
    tx.run_many(
        "put_question",
        [
            {
                **vars(question),
                "id": question_id,
                "lane": question.lane,
                # In their own order: a model fills in a schema's fields as they come.
                "parameters": json.dumps(dict(question.parameters), ensure_ascii=False, allow_nan=False),
            }
            for question_id, question in sorted(asked.items())
        ],
    )


def drop_unasked(tx: Transaction, question_ids: Iterable[str]) -> None:
    """Remove those of the questions that no job and no batch asks any more."""
    ids = sorted(set(question_ids))
    tx.values("lock_questions", ids=ids)  # a submit that is taking one of them up is through before we look
    tx.run("drop_unasked_questions", ids=ids)


def _question(row: Row) -> Question:
    return Question(
        prompt=row.prompt,
        model=row.model,
        parameters=json.loads(row.parameters),
        api=row.api,
        task=row.task,
        image_max_side=row.image_max_side,
        image_max_bytes=row.image_max_bytes,
    )
