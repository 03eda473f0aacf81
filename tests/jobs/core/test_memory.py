"""Errors that say that memory or threads have run out, told from all others."""

import pytest

from jobs.core.errors import InputError, OutOfMemoryError
from jobs.core.memory import out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("not enough memory"),
        RuntimeError("can't start new thread"),
        ImportError("libwebp.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_want_of_memory_is_a_sentence_that_names_it(error: Exception) -> None:
    short = out_of_memory(error)
    assert short is not None
    assert "memory" in str(short)


@pytest.mark.parametrize(
    "error", [RuntimeError("a fault of ours"), OSError(28, "No space left on device"), InputError("memory.png")]
)
def test_anything_else_is_something_else(error: Exception) -> None:
    assert out_of_memory(error) is None
