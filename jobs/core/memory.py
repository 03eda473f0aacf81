"""Out of memory, in whatever words Python and the system say so."""

from jobs.core.errors import OutOfMemoryError

_ADVICE = "raise the limit (ulimit -v, ulimit -u, the container's), or lower --concurrency"

#: For a thread's stack or a library there was no room.
_WORDS = ("can't start new thread", "failed to map segment", "cannot allocate memory")


def out_of_memory(error: BaseException) -> OutOfMemoryError | None:
    """The error as one sentence, if it says that memory or threads have run out."""
    if isinstance(error, OutOfMemoryError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemoryError(f"out of memory: {_ADVICE}")
    words = str(error)
    if isinstance(error, RuntimeError | ImportError | OSError) and any(known in words.lower() for known in _WORDS):
        return OutOfMemoryError(f"out of memory or threads ({words[:100]}): {_ADVICE}")
    return None
