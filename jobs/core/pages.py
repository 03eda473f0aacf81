"""Many things, some at a time."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def pages(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """`items` in lists of at most `size`, each read when it is taken (`itertools.batched` comes with Python 3.12).

    >>> list(pages("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    waiting = iter(items)
    while page := list(islice(waiting, size)):
        yield page
