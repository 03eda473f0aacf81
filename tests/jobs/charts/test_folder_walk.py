"""What `submit` finds in the PATHs it is given: which files, under which custom ids, in which order."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from jobs.charts.folder_walk import Found, walk


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def ids(paths: Sequence[Path], *, recursive: bool = True) -> list[str]:
    return [found.custom_id for found in walk(paths, recursive=recursive)]


def only(path: Path) -> Found:
    [found] = walk([path])
    return found


def test_one_folder_gives_paths_relative_to_it_sorted_by_name(tmp_path: Path) -> None:
    touch(*(tmp_path / "charts" / name for name in ("b.png", "a.PNG", "b/z.jpg", "b/a/deep.webp", "c.tiff")))
    assert ids([tmp_path / "charts"]) == ["a.PNG", "b/a/deep.webp", "b/z.jpg", "b.png", "c.tiff"]
    assert [found.path.exists() for found in walk([tmp_path / "charts"])] == [True] * 5


def test_several_paths_are_prefixed_with_their_names_and_come_in_the_order_given(tmp_path: Path) -> None:
    touch(tmp_path / "one" / "x.png", tmp_path / "two" / "x.png", tmp_path / "single.gif")
    assert ids([tmp_path / "two", tmp_path / "single.gif", tmp_path / "one"]) == [
        "two/x.png",
        "single.gif",
        "one/x.png",
    ]


def test_paths_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "charts" / "x.png", tmp_path / "b" / "charts" / "x.png")
    folders = [tmp_path / "a" / "charts", tmp_path / "b" / "charts"]
    assert ids(folders) == ["charts/x.png", "charts~2/x.png"]
    files = [folder / "x.png" for folder in folders]
    assert ids(files) == ["x.png", "x~2.png"]
    assert len(set(ids([*folders, *folders]))) == 4


def test_a_made_up_name_meets_no_real_one(tmp_path: Path) -> None:
    folders = [tmp_path / "a" / "x", tmp_path / "b" / "x", tmp_path / "x~2"]
    touch(*(folder / "c.png" for folder in folders))
    assert len(set(ids(folders))) == 3
    assert ids(folders)[2] == "x~2/c.png"


def test_dots_have_the_names_of_the_folders_they_stand_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "charts" / "in" / "x.png", tmp_path / "other" / "y.png")
    monkeypatch.chdir(tmp_path / "charts" / "in")
    assert ids([Path("."), Path(".."), Path("../../other")]) == ["in/x.png", "charts/in/x.png", "other/y.png"]


def test_one_named_file_goes_by_its_name(tmp_path: Path) -> None:
    touch(tmp_path / "charts" / "x.png")
    assert only(tmp_path / "charts" / "x.png") == Found(path=tmp_path / "charts" / "x.png", custom_id="x.png")


def test_hidden_and_foreign_files_are_skipped_in_folders(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in (".x.png", ".git/x.png", "notes.txt", "png", "x.png.bak", "x.svg", "x.bmp")))
    assert ids([tmp_path]) == ["x.bmp"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("notes.txt", "not an image file by its name"),
        ("missing.png", "no such file"),
        ("pipe.png", "a pipe"),
        ("n" * 300 + ".png", "too long"),
    ],
)
def test_a_named_file_that_is_no_image_is_refused_in_words(tmp_path: Path, name: str, says: str) -> None:
    touch(tmp_path / "notes.txt")
    os.mkfifo(tmp_path / "pipe.png")
    assert says in str(only(tmp_path / name).error)


def test_a_named_file_may_be_hidden_and_a_folder_may_be_called_like_an_image(tmp_path: Path) -> None:
    touch(tmp_path / ".x.png", tmp_path / "odd.png" / "y.png")
    assert only(tmp_path / ".x.png").error is None
    assert ids([tmp_path]) == ["odd.png/y.png"]


def test_without_recursion_sub_folders_are_left_alone(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "sub" / "b.png")
    assert ids([tmp_path], recursive=False) == ["a.png"]


def test_links_that_lead_in_a_circle_end_nowhere(tmp_path: Path) -> None:
    touch(tmp_path / "charts" / "x.png")
    (tmp_path / "charts" / "loop").symlink_to(tmp_path / "charts")
    (tmp_path / "charts" / "folder.png").symlink_to(tmp_path / "charts")
    (tmp_path / "charts" / "self.png").symlink_to(tmp_path / "charts" / "self.png")
    (tmp_path / "charts" / "good.png").symlink_to(tmp_path / "charts" / "x.png")
    assert ids([tmp_path / "charts"]) == ["good.png", "self.png", "x.png"]
    assert only(tmp_path / "charts" / "self.png").error is not None


def test_a_link_to_a_folder_may_be_the_path_itself(tmp_path: Path) -> None:
    touch(tmp_path / "charts" / "x.png")
    (tmp_path / "link").symlink_to(tmp_path / "charts")
    assert ids([tmp_path / "link"]) == ["x.png"]


ODD_NAMES = [b"new\nline.png", "📈 émoji.png".encode(), b"a" * 251 + b".png", b"\xff\xfe.png", b"-p.png", b"[red]x.png"]


@pytest.mark.parametrize("name", ODD_NAMES, ids=repr)
def test_any_name_that_a_file_can_have_is_found(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name)).touch()
    [found] = walk([tmp_path])
    assert os.fsencode(found.path) == os.fsencode(tmp_path) + b"/" + name
    assert found.path.exists()


def test_a_tree_may_be_deeper_than_pythons_stack(tmp_path: Path) -> None:
    home = os.open(".", os.O_RDONLY)
    os.chdir(tmp_path)
    try:
        for _ in range(1300):
            os.mkdir("d")
            os.chdir("d")
        Path("x.png").touch()
    finally:
        os.fchdir(home)
        os.close(home)
    try:
        [found] = walk([tmp_path])
        assert found.error is None
        assert found.custom_id.count("/") == 1300
    finally:
        subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # too deep for shutil too


def test_it_is_a_stream(tmp_path: Path) -> None:
    touch(tmp_path / "first" / "x.png")
    files = walk([tmp_path / "first", tmp_path / "second"])
    assert next(files).custom_id == "first/x.png"
    touch(tmp_path / "second" / "y.png")  # not looked at yet
    assert [found.custom_id for found in files] == ["second/y.png"]
