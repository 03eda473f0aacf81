"""What is going to happen, and when: drawn from a seed, so that a run that found something can be had again."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

#: What befalls workers, Redis, the store and the provider, and for how long (seconds, from - to).
#: A frozen worker sleeps for longer than its lease of 15 s, a napping one doesn't.
FAULTS: Mapping[str, tuple[float, float]] = {
    "freeze": (16.5, 22),
    "kill": (0, 0),
    "nap": (2, 8),
    "terminate": (0, 0),
    "redis killed": (0.5, 4),
    "redis flushed": (0, 0),
    "redis paused": (2, 12),
    "store out": (3, 8),
    "kill two": (0, 0),
    "refusing": (1, 4),
    "loading": (1, 4),
    "failing": (1, 4),
    "silent": (0.5, 2),
    "slow": (3, 8),
    "crowded": (3, 8),
    "away": (0.5, 4),
    "stranger": (0, 0),
}

#: Those that hit a worker: they wait for a moment at which calls are in flight.
HURTS = frozenset({"freeze", "kill", "nap", "terminate", "kill two"})

#: What users do meanwhile; a submit more often than the rest.
WISHES: Sequence[str] = (
    "submit",
    "submit",
    "overlap",
    "submit",
    "cancel",
    "submit",
    "submit and die",
    "retry",
    "submit",
    "overlap",
    "resume",
    "status",
)


@dataclass(frozen=True, kw_only=True, order=True)
class Event:
    """One thing that happens."""

    at_s: float
    what: str
    lasts_s: float = 0.0
    #: Decides which worker, batch or kind is meant, whatever there is by then.
    pick: int = 0


def drawn(seed: int, *, seconds: float, fault_every_s: float, wish_every_s: float) -> list[Event]:
    """The whole run's events in order. Each kind comes once before any comes again."""
    rng = random.Random(seed)
    faults = [
        Event(at_s=at_s, what=what, lasts_s=rng.uniform(*FAULTS[what]), pick=rng.randrange(10**6))
        for at_s, what in zip(
            _times(rng, seconds, fault_every_s), _in_rounds(rng, list(FAULTS), "freeze"), strict=False
        )
    ]
    wishes = [
        Event(at_s=at_s, what=what, pick=rng.randrange(10**6))
        for at_s, what in zip(_times(rng, seconds, wish_every_s), _in_rounds(rng, WISHES, "submit"), strict=False)
    ]
    return sorted(faults + wishes)


def _times(rng: random.Random, seconds: float, every_s: float) -> Iterator[float]:
    at_s = 0.0
    while at_s < seconds:
        yield at_s
        at_s += rng.uniform(0.5, 1.5) * every_s


def _in_rounds(rng: random.Random, kinds: Sequence[str], first: str) -> Iterator[str]:
    """All of `kinds` in some order, then in another; `first` begins the first round."""
    while True:
        around = rng.sample(kinds, len(kinds))
        if first:
            around.remove(first)
            around.insert(0, first)
            first = ""
        yield from around
