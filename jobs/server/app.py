"""The app: routes, and what is around them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from jobs.config.settings import Settings, producer_settings
from jobs.server.backend import Backend, Services
from jobs.server.errors import answer_errors_of
from jobs.server.guard import Guard
from jobs.server.openai import chat
from jobs.server.routes import analyze, batches, health, jobs, lanes

_ABOUT = """\
chartq asks a vision model about charts: exactly once, as fast as the provider allows. Errors have OpenAI's shape.
With keys (`chartq keys create NAME`) every request but `/health` needs `Authorization: Bearer KEY`.
"""


def create_app(settings: Settings | None = None, *, services: Services | None = None) -> FastAPI:
    """The HTTP API for these settings; without any, for what the environment says. Opened with the first request.

    May be mounted in another app; `app.state.backend.close()` ends what it opened. Raises SettingsError.
    """
    backend = Backend(settings=settings or producer_settings(), services=services or Services())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        backend.close()

    app = FastAPI(
        title="chartq",
        version=version("chartq"),
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,  # its scripts come from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.backend = backend
    for router in (health.router, analyze.router, jobs.router, batches.router, lanes.router, chat.router):
        app.include_router(router)
    answer_errors_of(app)
    app.add_middleware(Guard)
    return app
