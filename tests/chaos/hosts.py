"""The hosts of workers and commands: the clocks of two in three are ten minutes wrong."""

from collections.abc import Sequence

from support import other_clock

#: Seconds by which they are, one host after the other; the first one's is right.
CLOCKS_WRONG_S: Sequence[float] = (0, 600, -600)


def program(wrong_s: float) -> Sequence[str]:
    """Python's arguments for `chartq` on a host whose clock is so wrong."""
    return (str(other_clock.__file__), str(wrong_s)) if wrong_s else ("-m", "worker.main")
