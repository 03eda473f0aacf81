"""`CHARTQ_HOME` and folders inside it: private to the user, as they hold prompts, answers and the queue."""

import os
import stat
from pathlib import Path


def make_home(home: Path) -> None:
    """Create the home as a folder of the user's own (0700), which git passes over. Raises OSError.

    A folder that has other things in it stays as it is: `CHARTQ_HOME=/data` must lock nobody out of /data.
    """
    empty = not home.exists() or not any(home.iterdir())
    home.mkdir(parents=True, exist_ok=True)
    if empty:
        home.chmod(0o700)
        (home / ".gitignore").write_text("*\n", "ascii")  # `git add .` and `git clean -fd` leave the answers alone


def make_private_folder(folder: Path) -> None:
    """Create a folder that is ours alone (0700), or make it so. Raises OSError, also if it is another's."""
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise PermissionError(f"{folder} is not a folder of this user's own")
    if stat.S_IMODE(status.st_mode) != 0o700:
        folder.chmod(0o700)
