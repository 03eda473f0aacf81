"""A folder's files as rows: read as suits them, in the walk's order either way."""

import os
from pathlib import Path

from PIL import Image

from jobs.core.job import Question
from jobs.ledger import NewMember
from jobs.submit.folder import ChartFiles
from jobs.submit.source import Rejected


def test_large_files_and_small_ones_are_rows_in_the_walks_order(tmp_path: Path) -> None:
    large = os.urandom(1200 * 1200 * 3)  # 4 MB as PNG: takes longer to read than a thread costs
    for number in range(60):
        path = tmp_path / f"{number:02d}.png"
        if number == 7:
            path.write_bytes(b"no picture")
        elif number < 20 or number >= 50:
            Image.frombytes("RGB", (1200, 1200), large).save(path, compress_level=0)
        else:
            Image.new("RGB", (20, number)).save(path)
    source = ChartFiles(paths=[tmp_path], question=Question(prompt="Up?", model="org/model"))
    rows = list(source.rows(()).items)
    names = [Path(row.path).name if isinstance(row, Rejected) else row.custom_id for row in rows]
    assert names == [f"{number:02d}.png" for number in range(60)]
    assert [row.position for row in rows if isinstance(row, NewMember)] == [*range(7), *range(8, 60)]
    assert [type(row) for row in rows].index(Rejected) == 7
