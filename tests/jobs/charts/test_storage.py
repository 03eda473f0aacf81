"""Where a chart lies: what isn't there is the chart's fault, a CHART_ROOT that isn't there is nobody's chart's."""

from pathlib import Path

import pytest

from jobs.charts.storage import ChartRootError, read_chart
from jobs.core.errors import ImageError


def _no_picture(_sha256: str) -> bytes | None:
    return None


def test_a_root_that_is_not_mounted_is_told_from_a_chart_that_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "mount"
    with pytest.raises(ChartRootError, match="not mounted"):
        read_chart("a.png", root, _no_picture)
    root.mkdir()
    with pytest.raises(ImageError, match="can't be read") as gone:
        read_chart("a.png", root, _no_picture)
    assert not isinstance(gone.value, ChartRootError)
    (root / "a.png").write_bytes(b"chart")
    assert read_chart("a.png", root, _no_picture) == b"chart"
