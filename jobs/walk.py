"""From the PATHs that somebody named to the charts in them, as a stream: memory does not grow with the folder."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.images import IMAGE_SUFFIXES


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file to ask about, or why it can't be."""

    path: Path
    #: Relative to the folder submitted; with several PATHs prefixed with the folder's name.
    custom_id: str
    error: str | None = None


def walk(paths: Sequence[Path], *, recursive: bool = True) -> Iterator[Found]:
    """The image files in `paths`, in a fixed order: PATHs as given, names sorted within a folder.

    Files without an image's suffix and hidden ones are skipped in folders, and refused when they are named
    themselves. Folders that are symbolic links are not entered below a PATH: they may lead in a circle.
    """
    for path, label in zip(paths, _labels(paths), strict=True):
        if path.is_dir():
            yield from _folder(path, label, recursive)
        else:
            yield _named_file(path, label or path.name)


def _labels(paths: Sequence[Path]) -> list[str]:
    """What each PATH's custom ids begin with: nothing for a single one, else its name, made unique."""
    if len(paths) == 1:
        return [""]
    names = [path.absolute().name or path.anchor for path in paths]
    doubled = {name for name, count in Counter(names).items() if count > 1}
    seen: Counter[str] = Counter()
    labels = []
    for name in names:
        seen[name] += 1
        labels.append(f"{name}~{seen[name]}" if name in doubled and seen[name] > 1 else name)
    return labels


def _named_file(path: Path, custom_id: str) -> Found:
    error = None
    if not path.exists():
        error = "there is no such file or folder: check the path"
    elif path.suffix.lower() not in IMAGE_SUFFIXES:
        error = f"not an image file by its name: {', '.join(sorted(s[1:] for s in IMAGE_SUFFIXES))} are taken"
    return Found(path=path, custom_id=custom_id, error=error)


def _folder(folder: Path, prefix: str, recursive: bool) -> Iterator[Found]:
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        yield Found(path=folder, custom_id=prefix, error=f"the folder can't be read: {error.strerror}")
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        custom_id = f"{prefix}/{entry.name}" if prefix else entry.name
        if entry.is_dir(follow_symlinks=False):
            if recursive:
                yield from _folder(Path(entry.path), custom_id, recursive)
        elif Path(entry.name).suffix.lower() in IMAGE_SUFFIXES and not _is_linked_folder(entry):
            yield Found(path=Path(entry.path), custom_id=custom_id)


def _is_linked_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:
        return False  # a circle of links: reading it will say so
