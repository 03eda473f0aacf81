"""(g) What is left of a chart's labels in the picture that a model is shown. OCR stands in for the model's eyes.

Charts with known prices on their axis, as today's screens show them, go through the real preparation; Tesseract
(Debian's package tesseract-ocr; fonts-dejavu-core for the second font) reads the axis of what comes out.
"""

import math
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from statistics import mean, median

import click
from PIL import Image, ImageFont, ImageOps
from tools.render_charts import DARK, LIGHT, Chart, Panel, Theme, moving_average, prices

from benchmarks.table import Table, say
from worker.image_processor import preprocess_chart_image

MAX_SIDES = (1024, 1536, 2048, 3072)

#: What a token of today's vision models shows: 32 x 32 px (Qwen3-VL; others 28).
_PATCH_PX = 32

#: How high labels are made for Tesseract, which knows letters of 20 to 40 px, and how. A label counts that it reads in
#: one of these: of the same 88 small ones it read 58 or 68, as the strip was a pixel higher or not.
_ENLARGED = (
    (30, Image.Resampling.LANCZOS),
    (36, Image.Resampling.LANCZOS),
    (42, Image.Resampling.LANCZOS),
    (36, Image.Resampling.BICUBIC),
)

#: Labels in Pillow's own font (Aileron), whose digits are narrow, and in Matplotlib's and Debian's, a fifth wider.
_FONTS = (None, "DejaVuSans.ttf")

_RUNS = 5


@dataclass(frozen=True)
class Screen:
    """Where a chart was looked at, and how high its labels are there."""

    name: str
    size: tuple[int, int]
    label_px: int


SCREENS = (
    Screen("Full HD", (1920, 1080), 10),
    Screen("QHD", (2560, 1440), 12),
    Screen("4K", (3840, 2160), 18),
    Screen("phone", (1440, 3200), 12),
)


@dataclass(frozen=True)
class Drawn:
    """A chart: its file, the prices on its axis, the share of its width at which the axis begins."""

    file: bytes
    labels: Sequence[str]
    axis: float


@dataclass(frozen=True)
class Reading:
    """One chart at one size."""

    size: tuple[int, int]
    #: Of its labels, 0 to 1.
    read: float
    sent_bytes: int
    cpu_ms: float


class MissingToolError(click.ClickException):
    """This machine can't measure it."""


def read_labels(screens: Sequence[Screen], max_sides: Sequence[int]) -> Table:
    """Each screen, dark and light, at each longest side."""
    if shutil.which("tesseract") is None:
        raise MissingToolError("readability needs tesseract (apt-get install tesseract-ocr)")
    rows = []
    for screen in screens:
        charts = [[draw(screen, theme, font) for theme in (LIGHT, DARK)] for font in _FONTS]
        for max_side in max_sides:
            readings = [[_reading(screen, chart, max_side) for chart in of_it] for of_it in charts]
            rows.append(_row(screen, max_side, readings))
            say(f"  {rows[-1]}")
    columns = ("chart", "label px", "max side", "sent as", "read, narrow", "read, wide", "kB", "tokens", "CPU ms")
    return Table(columns, rows, [_version()])


def draw(screen: Screen, theme: Theme, font_file: str | None) -> Drawn:
    """Candles, two averages and a price every three heights of a label."""
    width, height = screen.size
    label_px, axis = screen.label_px, width - 6 * screen.label_px
    image = Image.new("RGB", screen.size, theme.paper)
    chart = Chart(file=screen.name, title="", trend="up", size=screen.size, bars=width // 12, start_price=1400)
    bars = prices(chart)
    low, high = min(bar.low for bar in bars), max(bar.high for bar in bars)
    panel = Panel(image, (0, label_px, axis, height - label_px), theme, len(bars), low, high)
    count = (height - 2 * label_px) // (3 * label_px)
    ticks = [low + (high - low) * (number + 0.5) / count for number in range(count)]
    font = _font(font_file, label_px)
    panel.grid(ticks, font, 2)
    panel.candles(bars)
    for length, colour in zip((10, 30), theme.lines, strict=False):
        panel.line(moving_average([bar.close for bar in bars], length), colour, 1.5)
    file = BytesIO()
    image.save(file, "PNG")
    return Drawn(file.getvalue(), [f"{tick:,.2f}" for tick in ticks], axis / width)


def _font(file: str | None, size: int) -> ImageFont.FreeTypeFont:
    try:
        font = ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)
    except OSError:
        raise click.ClickException(f"readability needs {file} (apt-get install fonts-dejavu-core)") from None
    assert isinstance(font, ImageFont.FreeTypeFont), "this Pillow has no FreeType"
    return font


def _reading(screen: Screen, chart: Drawn, max_side: int) -> Reading:
    spent = []
    for _ in range(_RUNS):
        started = time.process_time()
        sent, metadata = preprocess_chart_image(chart.file, max_side=max_side)
        spent.append((time.process_time() - started) * 1000)
    size = metadata["width"], metadata["height"]
    words = _words(sent, chart.axis, screen.label_px * size[0] / screen.size[0])
    share = sum(label in words for label in chart.labels) / len(chart.labels)
    return Reading(size, share, len(sent), median(spent))


def _words(sent: bytes, axis: float, label_px: float) -> set[str]:
    """What Tesseract reads on the axis, dark on light and as high as it likes it."""
    with Image.open(BytesIO(sent)) as image:
        strip = image.convert("L").crop((int(image.width * axis), 0, image.width, image.height))
    if strip.getpixel((0, 0)) < 128:  # type: ignore[operator]  # one band
        strip = ImageOps.invert(strip)
    return set().union(*(_read(strip, wanted / label_px, how) for wanted, how in _ENLARGED))


def _read(strip: Image.Image, enlarged: float, how: Image.Resampling) -> set[str]:
    size = round(strip.width * enlarged), round(strip.height * enlarged)
    file = BytesIO()
    strip.resize(size, how).save(file, "PNG", compress_level=1)
    command = ["tesseract", "-", "-", "--psm", "6", "-c", "tessedit_char_whitelist=0123456789.,"]
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    done = subprocess.run(command, input=file.getvalue(), capture_output=True, check=True, env=environment)
    return set(done.stdout.decode().split())


def _row(screen: Screen, max_side: int, of_fonts: Sequence[Sequence[Reading]]) -> list[str]:
    readings = [reading for of_it in of_fonts for reading in of_it]
    width, height = readings[0].size
    return [
        f"{screen.name}, {screen.size[0]} x {screen.size[1]}",
        str(screen.label_px),
        str(max_side),
        f"{width} x {height}",
        *(f"{100 * mean(reading.read for reading in of_it):.0f} %" for of_it in of_fonts),
        f"{mean(reading.sent_bytes for reading in readings) / 1000:.0f}",
        f"{math.ceil(width / _PATCH_PX) * math.ceil(height / _PATCH_PX):,}",
        f"{mean(reading.cpu_ms for reading in readings):.1f}",
    ]


def _version() -> str:
    said = subprocess.run(["tesseract", "--version"], capture_output=True, text=True, check=True)
    return f"Read by {(said.stdout or said.stderr).splitlines()[0]}."
