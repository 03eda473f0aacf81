"""The house: few modules outside its rooms, and nothing heavy loaded without need. `make lint` keeps the layers."""

import subprocess
import sys
from pathlib import Path

import pytest

import jobs
from jobs.cli.ownership import check_import_names
from jobs.core.errors import InstallationError

_ROOT = Path(jobs.__file__).parent.parent
_FILES = sorted([*_ROOT.glob("jobs/**/*.py"), *_ROOT.glob("worker/**/*.py")])
#: Nothing that a command of one's own has left behind, say.
_AT_THE_TOP = {
    *(
        "jobs",
        "worker",
        "tests",
        "docs",
        "docker-compose.yml",
        "pyproject.toml",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
    ),
    *("SECURITY.md", "Makefile", "Dockerfile", "requirements.lock", "requirements-build.lock"),
    *(".ci", ".dockerignore", ".env.example", ".gitignore"),
}


def module_of(file: Path) -> str:
    parts = file.relative_to(_ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("folder", ["jobs", "worker", "tests"])
def test_a_new_module_goes_into_a_room(folder: str) -> None:
    assert len(list((_ROOT / folder).glob("*.py"))) <= 6


def test_at_the_top_stands_what_the_readme_names_and_what_tools_need() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=_ROOT)
    assert {path.partition("/")[0] for path in listed.stdout.split("\0")} - {""} == _AT_THE_TOP


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    assert not {module_of(file).rpartition(".")[2] for file in _FILES} & sys.stdlib_module_names


def test_importing_jobs_loads_next_to_nothing() -> None:
    loaded = "import sys, jobs, jobs.core.errors; print(*sorted(name.partition('.')[0] for name in sys.modules))"
    names = set(_python(loaded).split())
    assert not names & {"sqlalchemy", "redis", "rq", "PIL", "click", "pydantic", "requests", "worker"}


def test_the_producers_commands_load_nothing_of_the_worker() -> None:
    loaded = "import sys, jobs.cli.main, jobs.api; print(*sorted(name.partition('.')[0] for name in sys.modules))"
    assert not set(_python(loaded).split()) & {"worker", "requests", "urllib3"}


def test_an_unknown_name_in_jobs_is_an_ordinary_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = jobs.nonsense


@pytest.mark.parametrize(
    "brought", ["jobs/__init__.py,sha256=x,1", "worker/cli/run_command.py,,", "jobs.py,sha256=x,1"]
)
def test_another_distribution_that_owns_our_names_is_an_error_at_start(tmp_path: Path, brought: str) -> None:
    _record(tmp_path, "chartq-1.0.dist-info", "jobs/__init__.py,sha256=x,1\nworker/cli.py,,\n")
    _record(tmp_path, "innocent-1.0.dist-info", "innocent/jobs/__init__.py,,\nworkers.py,,\njobs_too/x.py,,\n")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "worker").mkdir()
    check_import_names({tmp_path})
    _record(tmp_path, "other_jobs-2.1.dist-info", f"other_jobs-2.1.dist-info/METADATA,,\n{brought}\n")
    with pytest.raises(InstallationError, match=r"other_jobs brings .* an environment of its own"):
        check_import_names({tmp_path})


def test_this_environment_is_ours() -> None:
    check_import_names()


def _record(site: Path, name: str, content: str) -> None:
    (site / name).mkdir()
    (site / name / "RECORD").write_text(content)


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_ROOT)
    return done.stdout
