"""The words of a query: those that a request knows, each once and with a value.

A word that is misspelt would otherwise leave out a filter, and a request act on more than was meant.
"""

from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant

from jobs.server.errors import ApiError, unknown

#: Where any word may come: OpenAI's clients add their own, and monitors add some to get past caches.
_TOLERANT = ("/v1/", "/health")


def check_query(request: Request) -> None:
    """Raises ApiError naming the first word that this request doesn't know, that says nothing, or is there twice."""
    route = request.scope["route"]
    if not request.scope["query_string"] or route.path.startswith(_TOLERANT):
        return
    known, given = list(_words(route.dependant)), set[str]()
    for word, value in request.query_params.multi_items():
        if word not in known:
            raise unknown(word, known)
        if not value:
            raise _unfit(word, "is empty: leave it out, or say which")
        if "\0" in value:
            raise _unfit(word, "has a NUL character: nothing has one")
        if word in given:
            raise _unfit(word, "is there twice: send it once")
        given.add(word)


def _words(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for other in dependant.dependencies:
        yield from _words(other)


def _unfit(word: str, what: str) -> ApiError:
    return ApiError(400, f"{word[:100]!r} {what}", param=word[:100])
