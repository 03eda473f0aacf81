"""docs/faults.md tells the truth: each of its rows names tests, and each of them exists."""

import re

from support.repository import ROOT

#: By their names, which are unique.
FILES = {file.stem: file for file in (ROOT / "tests").rglob("test_*.py")}
PAGE = (ROOT / "docs" / "faults.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "| proved by |" not in line]


def named(text: str) -> list[tuple[str, str]]:
    return re.findall(r"`(test_\w+)::(test_\w+)`", text)


def test_every_row_names_a_test() -> None:
    assert len(ROWS) > 40
    assert [row for row in ROWS if not named(row.split("|")[3])] == []


def test_every_test_that_is_named_exists() -> None:
    missing = [
        (file, test)
        for file, test in named(PAGE)
        if not re.search(rf"^def {test}\(", FILES[file].read_text("utf-8"), re.MULTILINE)
    ]
    assert missing == []


def test_every_test_of_the_files_about_faults_is_named() -> None:
    """These files are about nothing else: a new one belongs on the page, or its name here."""
    files = ("test_redis_faults", "test_full_disk", "test_lost_together", "test_fuzz")
    there = {
        (file, test)
        for file in files
        for test in re.findall(r"^def (test_\w+)\(", FILES[file].read_text("utf-8"), re.MULTILINE)
    }
    assert there - set(named(PAGE)) == set()
