"""A sample of a folder: which of its charts are asked first."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Some charts of a walk, by their positions in it."""

    positions: frozenset[int]
    #: Charts of the whole walk.
    found: int


def choose(custom_ids: Iterable[str], count: int, *, already: Collection[str] = ()) -> Sample:
    """`count` of the charts of a walk, spread over it; those that are in the batch `already` count, and stay.

    Memory grows with the sample, not with the walk.
    """
    found, taken = 0, set()
    for position, custom_id in enumerate(custom_ids):
        found = position + 1
        if custom_id in already:
            taken.add(position)
    return Sample(positions=spread(count, found, taken), found=found)


def spread(count: int, found: int, taken: Collection[int] = ()) -> frozenset[int]:
    """`count` of the positions below `found` with all of `taken` among them, as evenly as those allow.

    The walk is cut into `count` stretches. Without `taken` the first position of each is chosen.

    >>> sorted(spread(4, 12)), sorted(spread(8, 12, spread(4, 12)))
    ([0, 3, 6, 9], [0, 1, 3, 4, 6, 7, 9, 10])
    """
    if count >= found:
        return frozenset(range(found))
    served = {position * count // found for position in taken}
    # Stretch n begins where `position * count // found` becomes n. Each has a position, since count < found.
    free = [-(-number * found // count) for number in range(count) if number not in served]
    wanted = max(0, count - len(taken))
    return frozenset(taken).union(free[number * len(free) // wanted] for number in range(wanted))
