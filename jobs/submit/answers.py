"""The answers of another batch as rows of a batch: a question about each, one stage behind the other."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobs.core.errors import InputError
from jobs.core.job import Question, job_id
from jobs.ledger import Batch, Ledger, NewMember, SourceAnswer
from jobs.schemas import answer_fields, parsed_answer
from jobs.submit.question import MAX_PROMPT_CHARS
from jobs.submit.source import Rejected, Rows
from jobs.submit.template import ALWAYS, Template


@dataclass(frozen=True, kw_only=True)
class AnswersOf:
    """The finished rows of a batch. The same again adds what has finished since, to the same batch."""

    ledger: Ledger
    batch: Batch
    #: What is asked; its prompt is the template as it was written.
    question: Question
    with_image: bool = False
    sample: None = None
    grows: bool = True

    @property
    def labels(self) -> Sequence[str]:
        return [f"answers of {self.batch.batch_id}"]

    @property
    def identity(self) -> Sequence[Any]:
        return [["answers", self.batch.batch_id], self.question.id, self.with_image]

    @property
    def template(self) -> Template:
        """Raises InputError."""
        return Template.parse(self.question.prompt, known=names_in_answers(self.batch.question))

    def rows(self, already: Collection[str], batch: Batch | None = None) -> Rows:
        """Those that `batch` has not asked about yet: also anew, where the answer is another one now."""
        return Rows(items=self._rows(self.template, batch))

    def _rows(self, template: Template, stage: Batch | None) -> Iterator[NewMember | Rejected]:
        structured = template.names - set(ALWAYS)
        for answer in self.ledger.unasked_answers(self.batch, stage, self._charts() if self.with_image else None):
            try:
                question = self._question(template, answer, structured=bool(structured))
            except InputError as error:
                yield Rejected(path=answer.custom_id, error=str(error))
                continue
            yield NewMember(
                position=answer.position,
                custom_id=answer.custom_id,
                job_id=job_id(answer.image_sha256, question.id),
                image_sha256=answer.image_sha256,
                image=answer.image,
                question=question,
                source_job=answer.job_id,
                source_at=answer.finished_at,
            )

    def _charts(self) -> Batch:
        """The first batch of the chain, which asks about the charts themselves."""
        batch = self.batch
        while batch.source is not None:
            batch = self.ledger.batch(batch.source)
        return batch

    def _question(self, template: Template, answer: SourceAnswer, *, structured: bool) -> Question:
        """Raises InputError: the answer lacks a field, or is too long, or there is no picture to show."""
        if self.with_image and not answer.image:
            raise InputError("it is the answer to a text without a picture: ask without --with-image")
        prompt = template.fill(_values(answer, structured=structured))
        if len(prompt) > MAX_PROMPT_CHARS:
            raise InputError(f"with its answer the prompt has {len(prompt):,} characters; at most {MAX_PROMPT_CHARS:,}")
        return replace(self.question, prompt=prompt)


def names_in_answers(question: Question) -> list[str]:
    """What a template about the answers to a question may name."""
    return [*ALWAYS, *(field.name for field in answer_fields(question) if field.name not in ALWAYS)]


def _values(answer: SourceAnswer, *, structured: bool) -> Mapping[str, Any]:
    fields = parsed_answer(answer.text) if structured else None
    own = {"text": answer.text, "custom_id": answer.custom_id}
    return {**fields, **own} if isinstance(fields, dict) else own
