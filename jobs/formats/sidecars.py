"""Results as files of their own: a tree that mirrors the charts', `CHART.txt` the answer and `CHART.json` the row.

A custom id is data, and may come from somebody else's file: whatever it says, nothing is written outside the
folder. Its parts become names by an escape that can be undone, and every folder on the way is opened without
following links, from the one before it.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from unicodedata import normalize

from jobs.core.errors import InputError
from jobs.core.job import ENDED_STATES
from jobs.core.text import UNSEEN
from jobs.formats.format import Row

#: Bytes of the longest name that file systems take, less our endings.
_MAX_NAME_BYTES = 255 - len(".json") - len("..part")

#: Control characters and those that turn what is read, what Windows and shares refuse or drop (devices' names, dots and
#: spaces at the end; so `..` is one too), and a % that would look like one of our escapes.
_UNSAFE = re.compile(
    rf'[\x00-\x1f\x7f-\x9f\ud800-\udfff{UNSEEN}<>:"|?*\\]|%(?=[0-9A-F]{{2}})|(?<![. ])[. ]+\Z'
    r"|\A(?:con|prn|aux|nul|com[1-9¹²³]|lpt[1-9¹²³])(?= *(?:\.|\Z))",
    re.IGNORECASE,
)

#: A folder that is called as a chart's file is: `a` and `a.txt/b` may be in one batch.
_FILES_ENDING = re.compile(r"\.(txt|json|part)$", re.IGNORECASE)


def write_sidecars(rows: Iterable[Row], folder: Path, *, status: str | None = None) -> int:
    """Write the files of every row that has ended (of this status), each whole or not at all; returns how many rows.

    `rows`: all of the batch, since names depend on those before.

    Raises InputError: the folder can't be written, or a link in it leads elsewhere.
    """
    count, names = 0, _Names()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _Tree(folder) as tree:
            for row in rows:
                folders, name = names.of(row["custom_id"])
                if row["status"] in ENDED_STATES and status in (None, row["status"]):
                    _write(tree, row, folders, name)
                    count += 1
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else ""
        raise InputError(f"{str(folder)!r}: {where!r} can't be written: {error.strerror}") from error
    return count


def _write(tree: "_Tree", row: Row, folders: list[str], name: str) -> None:
    document = json.dumps(row, ensure_ascii=False, indent=2) + "\n"
    tree.write(folders, f"{name}.json", document)
    if row["text"] is not None:
        tree.write(folders, f"{name}.txt", row["text"].rstrip("\n") + "\n")


def parts(custom_id: str) -> list[str]:
    """A custom id as the names of folders and a file.

    >>> parts("fx/eur.png"), parts("../../etc/passwd")
    (['fx', 'eur.png'], ['%2E%2E', '%2E%2E', 'etc', 'passwd'])
    """
    *folders, name = map(_name, custom_id.split("/"))
    return [*(_FILES_ENDING.sub(r"%2E\1", folder) for folder in folders), name]


def _name(part: str) -> str:
    if not part:
        return "%2F"  # a slash at the start, at the end, or two of them
    name = _UNSAFE.sub(_escaped, part)
    return name if len(name.encode()) <= _MAX_NAME_BYTES else _told_apart(name)


def _escaped(match: "re.Match[str]") -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _told_apart(name: str) -> str:
    encoded = name.encode()
    digest = hashlib.sha256(encoded).hexdigest()[:16]
    return encoded[: _MAX_NAME_BYTES - 17].decode("utf-8", "ignore") + f"~{digest}"


class _Names:
    """Names that stay apart on disks for which `a` and `A`, or the two forms of an é, are one."""

    def __init__(self) -> None:
        self._taken: set[int] = set()  # hashes: a batch may have a million

    def of(self, custom_id: str) -> tuple[list[str], str]:
        """Folders and name; custom ids of a batch are unique, so one that is taken is another's."""
        *folders, name = parts(custom_id)
        while (key := hash(_folded("/".join((*folders, name))))) in self._taken:
            name = _told_apart(name)
        self._taken.add(key)
        return folders, name


def _folded(path: str) -> str:
    """Alike for what such disks take for the same (Unicode's canonical caseless matching, D145)."""
    return path.lower() if path.isascii() else normalize("NFD", normalize("NFD", path).casefold())


class _Tree:
    """A folder to write below, through descriptors; the one written to last is kept open."""

    def __init__(self, folder: Path) -> None:
        self._top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: list[str] = []
        self._descriptor = self._top

    def __enter__(self) -> "_Tree":
        return self

    def __exit__(self, *_error: object) -> None:
        self._leave()
        os.close(self._top)

    def write(self, folders: list[str], name: str, text: str) -> None:
        """Not synced to the disk one by one, which takes minutes for 100,000: a cut file is written again."""
        self._enter(folders)
        temporary = f".{name}.part"
        descriptor = os.open(
            temporary,
            os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o666,
            dir_fd=self._descriptor,
        )
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            if (mode := self._mode_of(name)) is not None:
                os.fchmod(descriptor, mode)
            file.write(text)
        # A link in the file's place is replaced, not followed.
        os.replace(temporary, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def _mode_of(self, name: str) -> int | None:
        """Of the file that is replaced: who made it private wants it so."""
        with suppress(FileNotFoundError):
            found = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_mode
            return stat.S_IMODE(found) if stat.S_ISREG(found) else None
        return None

    def _enter(self, folders: list[str]) -> None:
        if folders == self._open:
            return
        self._leave()
        for name in folders:
            deeper = _folder_in(self._descriptor, name)
            opened = [*self._open, name]
            self._leave()
            self._descriptor, self._open = deeper, opened

    def _leave(self) -> None:
        if self._descriptor != self._top:
            os.close(self._descriptor)
        self._descriptor, self._open = self._top, []


def _folder_in(descriptor: int, name: str) -> int:
    """The folder of this name, made if need be; a link is refused (ENOTDIR or ELOOP)."""
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=descriptor)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
