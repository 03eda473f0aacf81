"""What a request may see and do: the one way from a handler to batches and jobs."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.responses import Response

from jobs.batches.session import Session
from jobs.core.errors import UnknownIdError
from jobs.ledger import Batch, JobRow
from jobs.ledger.files import StoredFile
from jobs.ledger.openai_batches import OpenAIBatch
from jobs.server.auth import Caller
from jobs.server.backend import Backend
from jobs.server.query import check_query


@dataclass(frozen=True, kw_only=True)
class Access:
    """One request's view of the store. Raises UnknownIdError for what isn't there."""

    backend: Backend
    session: Session
    caller: Caller

    @property
    def owner(self) -> str:
        """Whose things are seen; "": everybody's, where there are no keys."""
        return self.caller.name

    @property
    def who(self) -> str:
        """Who acts, for others to read: the key's name."""
        return self.caller.name or f"http@{socket.gethostname()}"

    async def recent(self, kind: str, name: str, read: Callable[[], Response]) -> Response:
        """What this key is shown of it, read at most a moment ago."""
        body = await self.backend.recent.get((kind, name, self.owner), lambda: bytes(read().body))
        return Response(body, media_type="application/json")

    def batch(self, batch_id: str) -> Batch:
        batch = self.session.ledger.batch(batch_id)
        if self.owner and batch.owner != self.owner:
            raise UnknownIdError(f"no batch {batch_id!r}")
        return batch

    def batches(self) -> Iterator[Batch]:
        """The newest first."""
        return self.session.ledger.batches(owner=self.owner or None)

    def lanes(self) -> set[str]:
        """All that are asked for: which models others ask is theirs to know."""
        return self.session.ledger.lanes(owner=self.owner)

    def job(self, job_id: str) -> JobRow:
        if self.owner and not self.session.ledger.is_job_of(job_id, self.owner):
            raise UnknownIdError(f"no job {job_id!r}")
        return self.session.ledger.job(job_id, owner=self.owner)

    def file(self, file_id: str) -> StoredFile:
        file = self.session.ledger.file(file_id)
        if file.owner != self.owner:
            raise UnknownIdError(f"no file {file_id!r}")
        return file

    def openai_batch(self, batch_id: str) -> OpenAIBatch:
        record = self.session.ledger.openai_batch(batch_id)
        if record.owner != self.owner:
            raise UnknownIdError(f"no batch {batch_id!r}")
        return record


def backend_of(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


async def _access(request: Request) -> Access:
    check_query(request)
    backend = backend_of(request)
    return Access(backend=backend, session=backend.session(), caller=request.state.caller)


#: What handlers ask for.
Granted = Annotated[Access, Depends(_access)]
