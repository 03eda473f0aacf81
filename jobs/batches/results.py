"""A batch's results: as documents, or as lines of JSON, each read when it is taken."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from jobs.batches.documents import image_document, result_document, result_line
from jobs.core.pages import pages
from jobs.core.text import dumps
from jobs.ledger import Batch, Ledger
from jobs.schemas import schema_of

#: Rows whose sources are looked up at a time.
_PAGE = 100


@dataclass(frozen=True, kw_only=True)
class Results:
    """Iterates over the documents, in the order of submission."""

    ledger: Ledger
    batch: Batch
    #: Only rows of this state.
    status: str | None = None
    #: With the answer that each asks about, its job, and where that one's picture lies.
    with_source: bool = False
    #: With the server's replies, which are most of what there is to read.
    with_raw: bool = True

    def __iter__(self) -> Iterator[dict[str, Any]]:
        documents = self._each(result_document)
        return with_sources(self.ledger, self.batch, documents) if self.with_source else documents

    def lines(self) -> Iterator[str]:
        """Each document as JSON, as `dumps` spells it."""
        return map(dumps, self) if self.with_source else self._each(result_line)

    def _each(self, made: Any) -> Iterator[Any]:
        rows = self.ledger.results(self.batch, status=self.status, with_raw=self.with_raw)
        return map(partial(made, structured=schema_of(self.batch.question) is not None), rows)


def with_sources(ledger: Ledger, batch: Batch, rows: Iterator[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each document with the answer that it asks about, its job and that one's picture."""
    for page in pages(rows, _PAGE):
        sources = ledger.sources_of(batch, [row["custom_id"] for row in page])
        for row in page:
            job_id, text, image = sources.get(row["custom_id"], (None, None, ""))
            yield {**row, "source_job_id": job_id, "source_text": text, "source_image": image_document(image)}
