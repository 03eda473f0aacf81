"""The sample charts are what the script draws, and good enough to be asked about."""

import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat
from tools.render_charts import SAMPLES, Chart, encode, prices, render_all

from jobs.charts.image_check import IMAGE_SUFFIXES, check_image, read_bounded
from worker.cli.demo_command import CHARTS
from worker.image_processor import preprocess_chart_image

FILES = sorted(path.relative_to(CHARTS).as_posix() for path in CHARTS.rglob("*") if path.suffix in IMAGE_SUFFIXES)
each_chart = pytest.mark.parametrize("chart", SAMPLES, ids=lambda chart: chart.file)


def test_there_are_a_dozen_in_several_formats_and_folders_and_they_are_small() -> None:
    assert len(FILES) == 12
    assert {Path(file).suffix for file in FILES} == {
        ".png", ".jpg", ".webp", ".gif", ".bmp", ".tiff",
    }  # fmt: skip
    assert len({Path(file).parent for file in FILES}) >= 3
    assert sum((CHARTS / file).stat().st_size for file in FILES) < 400_000


def test_each_has_a_known_trend_and_its_name_does_not_give_it_away() -> None:
    trends = json.loads((CHARTS / "trends.json").read_text(encoding="utf-8"))
    assert sorted(trends) == FILES
    assert trends == {chart.file: chart.trend for chart in SAMPLES}
    assert {trends[file] for file in FILES} == {"up", "down", "sideways"}
    assert not any(trend in file for file, trend in trends.items())


@each_chart
def test_the_prices_go_where_the_trend_says(chart: Chart) -> None:
    closes = [bar.close for bar in prices(chart)]
    third = len(closes) // 3
    move = (sum(closes[-third:]) - sum(closes[:third])) / third / (max(closes) - min(closes))
    assert {"up": move > 0.4, "down": move < -0.4, "sideways": abs(move) < 0.25}[chart.trend]


@each_chart
def test_the_script_draws_what_ships(chart: Chart) -> None:
    """Equal pixels with the Pillow that drew them; another one's text and JPEG may differ by a trace."""
    shipped, drawn = (Image.open(BytesIO(data)) for data in ((CHARTS / chart.file).read_bytes(), encode(chart)))
    assert (drawn.format, drawn.size, drawn.mode) == (shipped.format, shipped.size, shipped.mode)
    difference = ImageChops.difference(drawn.convert("RGBA"), shipped.convert("RGBA"))
    assert max(ImageStat.Stat(difference).mean) < 2


def test_the_script_draws_the_same_bytes_each_time(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        render_all(tmp_path / folder)
    for file in [*FILES, "trends.json"]:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


@pytest.mark.parametrize("file", FILES)
def test_each_passes_the_check_and_can_be_sent(file: str) -> None:
    data = read_bounded(CHARTS / file)
    header = check_image(data)
    _, metadata = preprocess_chart_image(data)
    assert max(metadata["width"], metadata["height"]) <= 2048
    assert (metadata["source"]["width"], metadata["source"]["height"]) == (header.width, header.height)


def test_together_they_exercise_every_preparation() -> None:
    seen = {file: preprocess_chart_image((CHARTS / file).read_bytes())[1] for file in FILES}
    assert {metadata["source"]["mode"] for metadata in seen.values()} >= {"RGB", "RGBA", "P", "L", "1"}
    assert {metadata["changed"] for metadata in seen.values()} == {True, False}
    turned = seen["meridian-bank-phone.jpg"]
    assert turned["source"]["width"] > turned["source"]["height"]
    assert turned["width"] < turned["height"]
