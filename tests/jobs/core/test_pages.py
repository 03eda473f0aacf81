"""Many things, some at a time."""

from collections.abc import Iterator

from jobs.core.pages import pages


def test_a_page_is_read_when_it_is_taken() -> None:
    taken: list[str] = []

    def letters() -> Iterator[str]:
        for letter in "abcde":
            taken.append(letter)
            yield letter

    found = pages(letters(), 2)
    assert (next(found), taken) == (["a", "b"], ["a", "b"])
    assert list(found) == [["c", "d"], ["e"]]
    assert list(pages([], 2)) == []
