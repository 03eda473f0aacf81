"""The checks of this machine: settings and folders."""

import os
import shutil
from pathlib import Path

from jobs.config.log_dir import log_folder
from jobs.config.settings import Settings
from worker.monitoring.checks.check import Check, size_text

#: Free bytes: below the first SQLite and Redis soon can't write, below the second a big batch may not fit.
_TOO_LITTLE_SPACE, _LITTLE_SPACE = 50_000_000, 1_000_000_000


def check_settings(settings: Settings) -> Check:
    """The settings, which could be read, and where they come from."""
    where = "the environment and .env" if Path(".env").is_file() else "the environment; no .env here"
    return Check("settings", True, f"HF_API={settings.hf_api}, VISION_MODEL={settings.vision_model} ({where})")


def check_home(settings: Settings) -> Check:
    """CHARTQ_HOME can be written and has room; where Redis and the store are elsewhere it needs none."""
    home = settings.chartq_home
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Check("home", False, f"CHARTQ_HOME={home} can't be written", "Set CHARTQ_HOME to a folder of your own.")
    free = shutil.disk_usage(there).free
    message = f"{home}: {size_text(free)} free"
    if log_folder(settings) is not None and free < _LITTLE_SPACE:
        return Check("home", None if free >= _TOO_LITTLE_SPACE else False, message, "Make room on this disk.")
    return Check("home", True, message)


def check_chart_root(root: Path | None) -> Check:
    """CHART_ROOT is a folder that can be read."""
    if root is None:
        return Check("chart_root", True, "CHART_ROOT is not set: images are found by their absolute paths")
    mount = "Mount the charts there, or set CHART_ROOT to where they are."
    if not root.is_dir():
        return Check("chart_root", False, f"CHART_ROOT={root} is no folder here", mount)
    if not os.access(root, os.R_OK | os.X_OK):
        return Check("chart_root", False, f"CHART_ROOT={root} can't be read", "Give this user the right to read it.")
    with os.scandir(root) as entries:
        empty = next(entries, None) is None
    if empty:
        return Check("chart_root", None, f"CHART_ROOT={root} is empty", mount)
    return Check("chart_root", True, f"{root} can be read")
