"""What a check found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What was looked at, whether it is well (None: not known, or a hint), and what to do."""

    name: str
    ok: bool | None
    message: str
    todo: str | None = None


def size_text(count: int) -> str:
    """`1.5 GB` for a number of bytes."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"
