"""chartq, the producer's side and what both sides share. Never imports `worker`.

    from jobs import batch_status, iter_results, submit_folder, submit_requests

These are loaded when they are first asked for: whoever needs `jobs.core.errors` alone waits for no database driver.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.api import batch_status, iter_results, submit_folder, submit_requests

__all__ = ["batch_status", "iter_results", "submit_folder", "submit_requests"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from jobs import api

    return getattr(api, name)
