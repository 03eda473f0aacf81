"""The HTTP API (extra `server`): one more thin face over what the commands do.

    app.mount("/charts", create_app())

FastAPI is loaded when the app is made, not before.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.server.app import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from jobs.server import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("jobs", "worker"):
            raise
        from jobs.core.errors import InstallationError

        raise InstallationError(f"the HTTP API needs more: pip install 'chartq[server]' ({error})") from error
    return app.create_app
