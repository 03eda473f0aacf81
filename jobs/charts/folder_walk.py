"""From the PATHs that somebody named to the charts in them, as a stream: memory does not grow with the tree."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.charts.image_check import IMAGE_SUFFIXES

#: Of files whose lines are requests.
REQUESTS_SUFFIXES = (".jsonl", ".ndjson")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file to ask about, or why it can't be."""

    path: Path
    #: Relative to the folder submitted; with several PATHs prefixed with the folder's name.
    custom_id: str
    error: str | None = None


def walk(paths: Sequence[Path], *, recursive: bool = True) -> Iterator[Found]:
    """The image files in `paths`, in a fixed order: PATHs as given, names sorted within a folder.

    Hidden files and those without an image's suffix are skipped in folders; a named file needs the suffix only.
    Folders that are symbolic links are not entered below a PATH: they may lead in a circle.
    """
    for path, label in zip(paths, _labels(paths), strict=True):
        if os.path.isdir(path):  # Path.is_dir raises on names that are too long or may not be looked up
            yield from _tree(path, label, recursive)
        else:
            yield _named_file(path, label or path.name)


def _labels(paths: Sequence[Path]) -> list[str]:
    """What each PATH's custom ids begin with: nothing for a single one, else its name, made unique."""
    if len(paths) == 1:
        return [""]
    names = [_name(path) for path in paths]
    taken = set(names)
    labels: list[str] = []
    for name in names:
        label, number = name, 2
        while label in labels or (label != name and label in taken):
            label, number = _numbered(name, number), number + 1
        labels.append(label)
    return labels


def _name(path: Path) -> str:
    """The last part of where a PATH leads: `.` and `..` have names too."""
    return os.path.basename(os.path.abspath(path)) or path.anchor.strip("/") or "root"


def _numbered(name: str, number: int) -> str:
    stem, suffix = os.path.splitext(name)
    return f"{stem}~{number}{suffix}" if suffix.lower() in IMAGE_SUFFIXES else f"{name}~{number}"


def _named_file(path: Path, custom_id: str) -> Found:
    return Found(path=path, custom_id=custom_id, error=_why_not(path))


def _why_not(path: Path) -> str | None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "there is no such file or folder: check the path"
    except (OSError, ValueError) as error:
        return f"it can't be looked at: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISREG(mode):
        return "it is a pipe, socket or device, not an image file"
    if path.suffix.lower() in REQUESTS_SUFFIXES:
        return "a requests file is submitted by itself: as the only PATH, or over HTTP by /v1/files and /v1/batches"
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        images, requests = ", ".join(sorted(one[1:] for one in IMAGE_SUFFIXES)), " or ".join(REQUESTS_SUFFIXES)
        return f"not an image file by its name: {images} are taken; a requests file ends in {requests}"
    return None


def _tree(top: Path, label: str, recursive: bool) -> Iterator[Found]:
    """A folder and what is below it, without recursion: a tree may be deeper than Python's stack."""
    open_folders = [_in_folder(str(top), label)]
    while open_folders:
        one = next(open_folders[-1], None)
        if one is None:
            open_folders.pop()
        elif isinstance(one, Found):
            yield one
        elif recursive:
            open_folders.append(_in_folder(*one))


def _in_folder(folder: str, prefix: str) -> "Iterator[Found | tuple[str, str]]":
    """A folder's images, and its sub-folders as (path, custom id), by name."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in scan if _counts(entry))
    except OSError as error:
        yield Found(path=Path(folder), custom_id=prefix, error=f"the folder can't be read: {error.strerror}")
        return
    for name, is_folder in entries:
        path = os.path.join(folder, name)
        custom_id = f"{prefix}/{name}" if prefix else name
        yield (path, custom_id) if is_folder else Found(path=Path(path), custom_id=custom_id)


def _counts(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry of a folder is an image by its name, or a folder to enter."""
    if entry.name.startswith("."):
        return False
    if entry.is_dir(follow_symlinks=False):
        return True
    return os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES and not _is_linked_folder(entry)


def _is_linked_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:
        return False  # a circle of links: reading it will say so
