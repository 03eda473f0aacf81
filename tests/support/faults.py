"""Rules for the rehearsal server's `fault_for`: which calls fail, and how."""

from collections.abc import Callable, Mapping

from worker.rehearsal import Fault, ParsedRequest

Rule = Callable[[ParsedRequest], Fault | None]


def by_prompt(faults: Mapping[str, Fault]) -> Rule:
    """By a part of the prompt."""
    return lambda asked: next((fault for part, fault in faults.items() if part in asked.prompt), None)


def by_image(faults: Mapping[str, Fault]) -> Rule:
    """By the SHA-256 (hexadecimal) of the image as it was sent."""
    return lambda asked: faults.get(asked.image_sha256 or "")
