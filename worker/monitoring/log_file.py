"""A process's own log file under CHARTQ_HOME/logs, for `chartq logs`: JSON lines, a bounded number of bytes.

It must never cost a job: what can't be written is not written.
"""

import logging
import os
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from jobs.broker.file_lock import is_locked, try_lock
from jobs.config.home import make_home, make_private_folder
from jobs.config.log_dir import SUFFIX

#: Bytes of a file, and how many files of a process are kept: about 100,000 jobs.
FILE_BYTES, FILES = 5_000_000, 8

#: Files of all processes that are kept when another one starts, and their bytes; those of living processes stay.
ALL_FILES, ALL_BYTES = 100, 100_000_000


class LogFile(logging.Handler):
    """Writes each record as it comes. Raises OSError when it is made where nothing can be written."""

    def __init__(self, folder: Path, *, file_bytes: int = FILE_BYTES, files: int = FILES) -> None:
        super().__init__(logging.INFO)
        make_home(folder.parent)
        make_private_folder(folder)
        prune(folder, files=ALL_FILES - 1, total_bytes=ALL_BYTES)
        self._folder, self._file_bytes, self._files = folder, file_bytes, files
        self._process = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}-{uuid4().hex[:6]}"
        self._number = 0
        self._mine: deque[Path] = deque()
        self._descriptor, self._bytes = self._next_file(), 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
        except (TypeError, ValueError):  # a message that doesn't fit its arguments
            self.handleError(record)
            return
        with suppress(OSError):
            if self._bytes + len(line) > self._file_bytes and self._bytes:
                self._turn_over()
            self._bytes += os.write(self._descriptor, line)

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._descriptor)
        super().close()

    def _turn_over(self) -> None:
        descriptor = self._next_file()
        os.close(self._descriptor)
        self._descriptor, self._bytes = descriptor, 0
        while len(self._mine) > self._files:
            self._mine.popleft().unlink(missing_ok=True)

    def _next_file(self) -> int:
        """A new file, locked as long as this process has it open."""
        path = self._folder / f"{self._process}-{self._number:06d}{SUFFIX}"
        descriptor = try_lock(path)
        if descriptor is None:
            raise FileExistsError(f"{path} is another process's")
        self._number += 1
        self._mine.append(path)
        return descriptor


def prune(folder: Path, *, files: int, total_bytes: int) -> None:
    """Remove the oldest files until no more than so many, and so many bytes, are left; not those that are in use."""
    found = [(path, path.stat().st_size) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    count, size = len(found), sum(size for _, size in found)
    for path, bytes_ in found:
        if count <= files and size <= total_bytes:
            return
        if not is_locked(path):
            path.unlink(missing_ok=True)
            count, size = count - 1, size - bytes_
