"""One preparation of a picture for several questions about it: models that are compared ask about the same charts.

A worker takes its lanes in turn, so that jobs about one chart come close together. Whoever comes while the picture is
made waits for it; whoever comes a little later finds it, as long as it is among the last few megabytes. A folder that
is asked about once keeps nothing.
"""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

#: Bytes of pictures that are kept: ten to thirty screenshots.
_KEPT_BYTES = 8_000_000

#: Pictures that are remembered, by name; and how many are kept after one that several questions asked for.
_LOOK_BACK = 64

#: The bytes to send, and what they are.
Made = tuple[bytes, dict[str, Any]]


class PictureKey(NamedTuple):
    """What a prepared picture is: the hash of the file that it was made of, and its limits."""

    sha256: str
    max_side: int
    max_bytes: int


class _Entry:
    def __init__(self, question_id: str) -> None:
        self.first_asked_by = question_id
        self.one_maker = threading.Lock()
        self.made: Made | None = None


class SharedPictures:
    """Prepared pictures by what they are. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[PictureKey, _Entry] = {}  # the one that was asked for last stands last
        self._to_keep = 0

    def get(self, key: PictureKey, question_id: str, make: Callable[[], Made]) -> Made:
        """The picture, made now unless it was a moment ago for another question. Raises what `make` raises.

        The caller has read the file and found that its hash is the key's.
        """
        entry = self._entry(key, question_id)
        with entry.one_maker:
            made = entry.made
            if made is None:
                made = make()
                self._keep(entry, made)
        return made

    def _entry(self, key: PictureKey, question_id: str) -> _Entry:
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is None:
                entry = _Entry(question_id)
                self._to_keep = max(0, self._to_keep - 1)
            elif entry.first_asked_by != question_id:
                self._to_keep = _LOOK_BACK
            self._entries[key] = entry
            if len(self._entries) > _LOOK_BACK:
                del self._entries[next(iter(self._entries))]
            self._make_room()
            return entry

    def _keep(self, entry: _Entry, made: Made) -> None:
        _, metadata = made
        if metadata["changed"]:  # what goes out as it came costs nothing to make
            with self._lock:
                entry.made = made
                self._make_room()

    def _make_room(self) -> None:
        """The oldest go; all of them once nobody shares."""
        too_many = sum(map(_size, self._entries.values())) - (_KEPT_BYTES if self._to_keep else 0)
        for entry in self._entries.values():
            if too_many <= 0:
                break
            too_many -= _size(entry)
            entry.made = None


def _size(entry: _Entry) -> int:
    made = entry.made
    return len(made[0]) if made else 0
