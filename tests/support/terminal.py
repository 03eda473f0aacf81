"""What a program shows to a person."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from support.stack import PATIENCE_S


def on_a_terminal(module: str, *args: str, folder: Path, environment: Mapping[str, str]) -> str:
    """What `python -m MODULE ARGS` writes on a terminal, which it takes for its input and both of its outputs."""
    ours, theirs = pty.openpty()
    command, shown = [sys.executable, "-m", module, *args], b""
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as program:
        os.close(theirs)
        with suppress(OSError):  # how Linux says that the other side is closed
            while part := os.read(ours, 10_000):
                shown += part
        os.close(ours)
        program.wait(PATIENCE_S)
    return shown.decode()
