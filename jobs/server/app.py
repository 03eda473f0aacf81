"""The app: routes, and what is around them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from jobs.batches.session import Session
from jobs.config.settings import Settings, producer_settings
from jobs.server import page
from jobs.server.auth import OPEN_PATHS, Authentication
from jobs.server.backend import Backend, Services
from jobs.server.errors import answer_errors_of
from jobs.server.guard import Guard
from jobs.server.openai import batches as openai_batches
from jobs.server.openai import chat, files, models
from jobs.server.responses import Document
from jobs.server.routes import analyze, batches, health, jobs, lanes, rows
from jobs.server.shapes import ERRORS

_ABOUT = """\
chartq asks a vision model about charts: exactly once, as fast as the provider allows. Errors have OpenAI's shape.
With keys (`chartq keys create NAME`) every request but `/health` needs `Authorization: Bearer KEY`; the page at `/`
asks for it.
"""


def create_app(
    settings: Settings | None = None, *, services: Services | None = None, session: Session | None = None
) -> FastAPI:
    """The HTTP API for these settings; without any, for what the environment says. Opened with the first request.

    May be mounted in another app; `app.state.backend.close()` ends what it opened. `session`: one whose store and Redis
    are used instead, and whose settings. Raises SettingsError.
    """
    settings = session.settings if session else settings or producer_settings()
    backend = Backend(settings=settings, services=services or Services(), lender=session)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        backend.intake.start()
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
        responses=ERRORS,
        default_response_class=Document,
    )
    app.state.backend = backend
    for room in (health, analyze, jobs, rows, batches, lanes, chat, files, openai_batches, models, page):
        app.include_router(room.router)
    answer_errors_of(app, settings.chart_root, backend.trouble)
    app.openapi = partial(_openapi, app)  # type: ignore[method-assign]  # FastAPI's own way to change it
    app.add_middleware(
        Authentication,
        callers=backend.callers,
        loopback_only=backend.services.loopback_only,
        changed=backend.recent.forget,
    )
    app.add_middleware(Guard, trouble=backend.trouble)
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """What the routes say of themselves, and that keys may be asked for; made when it is first wanted."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemes = {"key": {"type": "http", "scheme": "bearer", "description": "`chartq keys create NAME`"}}
        document.setdefault("components", {})["securitySchemes"] = schemes
        document["security"] = [{"key": []}, {}]
        _leave_out_422(document)
        for path in OPEN_PATHS & document["paths"].keys():
            for operation in document["paths"][path].values():
                operation["security"] = []
        app.openapi_schema = document
    return app.openapi_schema


def _leave_out_422(document: dict[str, Any]) -> None:
    """FastAPI tells of its own answer to what does not fit; here that is a 400 like others (`answer_errors_of`)."""
    for methods in document["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"].get("schemas", {}).pop(name, None)
