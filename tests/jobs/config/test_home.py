"""The home folder: the user's own, and nobody's business but chartq's."""

import stat
import subprocess
from pathlib import Path

from jobs.config.home import make_home


def test_a_home_within_a_repository_is_left_alone_by_git(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    home = tmp_path / ".chartq"
    make_home(home)
    answers = home / "results.db"
    answers.touch()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for command in (["status", "--porcelain"], ["clean", "-fd"]):
        done = subprocess.run(["git", "-C", str(tmp_path), *command], check=True, capture_output=True, text=True)
        assert done.stdout == ""
    assert answers.exists()


def test_a_folder_with_other_things_in_it_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "theirs").touch()
    tmp_path.chmod(0o755)
    make_home(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert [entry.name for entry in tmp_path.iterdir()] == ["theirs"]
