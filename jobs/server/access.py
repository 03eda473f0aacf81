"""What a request may see and do: the one way from a handler to batches and jobs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from jobs.batches.session import Session
from jobs.ledger import Batch, JobRow
from jobs.server.backend import Backend


@dataclass(frozen=True, kw_only=True)
class Access:
    """One request's view of the store. Raises UnknownIdError for what isn't there."""

    backend: Backend
    session: Session

    def batch(self, batch_id: str) -> Batch:
        return self.session.ledger.batch(batch_id)

    def batches(self) -> Iterator[Batch]:
        """The newest first."""
        return self.session.ledger.batches()

    def job(self, job_id: str) -> JobRow:
        return self.session.ledger.job(job_id)


def backend_of(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


async def _access(request: Request) -> Access:
    backend = backend_of(request)
    return Access(backend=backend, session=backend.session())


#: What handlers ask for.
Granted = Annotated[Access, Depends(_access)]
