"""The pages that name tests tell the truth: each row of docs/faults.md names some, and each that is named exists."""

import re

from support.repository import ROOT

#: By their names, which are unique.
FILES = {file.stem: file for file in (ROOT / "tests").rglob("test_*.py")}
PAGE = (ROOT / "docs" / "faults.md").read_text("utf-8")
PROMISES = (
    (ROOT / "docs" / "how-it-works.md").read_text("utf-8").partition("## What always holds")[2].partition("\n## ")[0]
)
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "| proved by |" not in line]


def named(text: str) -> list[tuple[str, str]]:
    return re.findall(r"`(test_\w+)::(test_\w+)`", text)


def test_every_row_names_a_test() -> None:
    assert len(ROWS) > 40
    assert [row for row in ROWS if not named(row.split("|")[3])] == []


def test_each_of_the_sixteen_promises_names_a_test_or_shares_another_ones() -> None:
    rows = re.findall(r"^\| +(\d+) \| .+ \| (.+) \|$", PROMISES, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 17))
    assert [number for number, proof in rows if not named(proof)] == ["8"]


def test_every_test_that_is_named_exists() -> None:
    missing = [
        (file, test)
        for file, test in named(PAGE + PROMISES)
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
