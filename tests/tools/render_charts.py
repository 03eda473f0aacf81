"""Draw the sample charts: `PYTHONPATH=tests python -m tools.render_charts [FOLDER]`, else over those that ship.

Pillow only, its built-in font, seeded prices: the same Pillow draws the same bytes. The names are invented.
`trends.json` says of each chart where it goes (`up`, `down`, `sideways`), so that answers can be judged.
"""

import argparse
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageDraw, ImageFont

from worker.cli.demo_command import CHARTS
from worker.rehearsal.fake_vision import Trend

Colour = str
Box = tuple[int, int, int, int]

#: Change of the price from the first bar to the last, without the noise.
_DRIFT: dict[Trend, float] = {"up": 0.42, "down": -0.34, "sideways": 0.0}
#: Lines are drawn this many times larger and averaged down: Pillow's own have no smooth edges.
_SMOOTH = 4
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours of a chart; an empty `paper` is transparent."""

    paper: Colour
    ink: Colour
    faint: Colour
    grid: Colour
    rise: Colour
    fall: Colour
    lines: tuple[Colour, Colour, Colour]


LIGHT = Theme(
    paper="#ffffff", ink="#131722", faint="#6a6d78", grid="#e9ecf2", rise="#089981", fall="#f23645",
    lines=("#2962ff", "#ff9800", "#9c27b0"),
)  # fmt: skip
DARK = Theme(
    paper="#131722", ink="#e6e8ee", faint="#868b98", grid="#232838", rise="#26a69a", fall="#ef5350",
    lines=("#5b9cf6", "#ffb74d", "#ce93d8"),
)  # fmt: skip
GLASS = Theme(
    paper="#ffffff00", ink="#1f2937", faint="#64748b", grid="#cbd5e180", rise="#15803d", fall="#b91c1c",
    lines=("#0f62fe", "#d97706", "#7c3aed"),
)  # fmt: skip
PRINT = Theme(
    paper="#ffffff", ink="#000000", faint="#555555", grid="#d8d8d8", rise="#9a9a9a", fall="#202020",
    lines=("#000000", "#777777", "#aaaaaa"),
)  # fmt: skip
FAX = Theme(
    paper="#ffffff", ink="#000000", faint="#000000", grid="#ffffff", rise="#ffffff", fall="#000000",
    lines=("#000000", "#000000", "#000000"),
)  # fmt: skip


@dataclass(frozen=True)
class Bar:
    """One candle: the prices and the volume of a day, an hour, ..."""

    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One sample: what it shows, how it looks, how it is stored."""

    file: str
    title: str
    trend: Trend
    size: tuple[int, int]
    theme: Theme = LIGHT
    bars: int = 80
    start_price: float = 100.0
    #: How much the price moves, compared with a share over some months.
    swing: float = 1.0
    step: timedelta = timedelta(days=1)
    style: Literal["candles", "line", "area"] = "candles"
    averages: tuple[int, ...] = ()
    bands: bool = False
    volume: bool = False
    rsi: bool = False
    #: From the drawn picture to the one that is stored.
    convert: Callable[[Image.Image], Image.Image] = lambda image: image
    save: dict[str, Any] = field(default_factory=dict)


def prices(chart: Chart) -> list[Bar]:
    """A drift with noise that returns to it, so that the trend is the one that was asked for."""
    rng = random.Random(chart.file)
    bars: list[Bar] = []
    last, noise = chart.start_price, 0.0
    wick = chart.start_price * chart.swing * 0.009
    for index in range(chart.bars):
        progress = index / (chart.bars - 1)
        noise = 0.86 * noise + rng.gauss(0, 0.011)
        wave = 0.03 * math.sin(progress * math.tau * 3)
        move = _DRIFT[chart.trend] * progress + noise + wave
        close = chart.start_price * (1 + chart.swing * move)
        high = max(last, close) + abs(rng.gauss(0, wick))
        low = min(last, close) - abs(rng.gauss(0, wick))
        volume = math.exp(rng.gauss(0, 0.35)) * (1 + 25 * abs(close / last - 1) / chart.swing)
        bars.append(Bar(last, high, low, close, volume))
        last = close
    return bars


def moving_average(values: Sequence[float], length: int) -> list[float | None]:
    """The simple moving average; None while there are too few values."""
    return [sum(values[end - length : end]) / length if end >= length else None for end in range(1, len(values) + 1)]


def relative_strength(closes: Sequence[float], length: int = 14) -> list[float | None]:
    """Wilder's RSI, 0 to 100 (New Concepts in Technical Trading Systems, 1978), on plain averages."""
    changes = [after - before for before, after in pairwise(closes)]
    gains = moving_average([max(change, 0.0) for change in changes], length)
    losses = moving_average([max(-change, 0.0) for change in changes], length)
    pairs = zip(gains, losses, strict=True)
    return [None, *(None if g is None or lo is None else 100 * g / ((g + lo) or 1) for g, lo in pairs)]


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers between `low` and `high`, about `count` of them."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step)
    return [step * index for index in range(first, math.floor(high / step) + 1)]


class Panel:
    """A rectangle of the picture with its own scale of values."""

    def __init__(self, image: Image.Image, box: Box, theme: Theme, bars: int, low: float, high: float) -> None:
        self.image, self.box, self.theme = image, box, theme
        self.low, self.high = low, high
        self.draw = ImageDraw.Draw(image, "RGBA")
        self.slot = (box[2] - box[0]) / bars

    def x(self, index: float) -> float:
        return self.box[0] + (index + 0.5) * self.slot

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.box[3] - share * (self.box[3] - self.box[1])

    def grid(self, ticks: Sequence[float], font: ImageFont.FreeTypeFont, digits: int, *, tag: float = math.inf) -> None:
        """Horizontal lines with their values, except where the tag of the last price will stand."""
        left, _, right, _ = self.box
        for tick in ticks:
            y = round(self.y(tick))
            self.draw.line((left, y, right, y), fill=self.theme.grid)
            if abs(self.y(tag) - y) > font.size * 1.3:
                text = f"{tick:,.{digits}f}"
                self.draw.text((right + 7, y), text, fill=self.theme.faint, font=font, anchor="lm")

    def frame(self) -> None:
        self.draw.line((self.box[0], self.box[3], self.box[2], self.box[3]), fill=self.theme.faint)
        self.draw.line((self.box[2], self.box[1], self.box[2], self.box[3]), fill=self.theme.faint)

    def line(self, values: Sequence[float | None], colour: Colour, width: float) -> None:
        points = [(self.x(i), self.y(value)) for i, value in enumerate(values) if value is not None]
        self._smooth(points, colour, width)

    def area(self, values: Sequence[float], colour: Colour) -> None:
        points = [(self.x(i), self.y(value)) for i, value in enumerate(values)]
        ground = [(points[-1][0], self.box[3]), (points[0][0], self.box[3])]
        self.draw.polygon([*points, *ground], fill=f"{colour}38")
        self._smooth(points, colour, 2)

    def candles(self, bars: Sequence[Bar]) -> None:
        half = max(1, round(self.slot * 0.34))
        for index, bar in enumerate(bars):
            rising = bar.close >= bar.open
            colour = self.theme.rise if rising else self.theme.fall
            x = round(self.x(index))
            outline = self.theme.ink if self.theme in (PRINT, FAX) else colour
            self.draw.line((x, round(self.y(bar.high)), x, round(self.y(bar.low))), fill=outline)
            top, bottom = sorted((round(self.y(bar.open)), round(self.y(bar.close))))
            self.draw.rectangle((x - half, top, x + half, bottom), fill=colour, outline=outline)

    def columns(self, bars: Sequence[Bar]) -> None:
        half = max(1, round(self.slot * 0.34))
        for index, bar in enumerate(bars):
            colour = self.theme.rise if bar.close >= bar.open else self.theme.fall
            x = round(self.x(index))
            self.draw.rectangle((x - half, round(self.y(bar.volume)), x + half, self.box[3]), fill=f"{colour}80")

    def tag(self, value: float, text: str, colour: Colour, font: ImageFont.FreeTypeFont) -> None:
        """The last price on the axis, as trading programs show it."""
        y, right = round(self.y(value)), self.box[2]
        for x in range(self.box[0], right, 6):
            self.draw.line((x, y, x + 2, y), fill=colour)
        half = round(font.size * 0.72)
        self.draw.rectangle((right + 1, y - half, self.image.width, y + half), fill=colour)
        self.draw.text((right + 7, y), text, fill="#ffffff", font=font, anchor="lm")

    def _smooth(self, points: Sequence[tuple[float, float]], colour: Colour, width: float) -> None:
        left, top, right, bottom = self.box
        mask = Image.new("L", ((right - left) * _SMOOTH, (bottom - top) * _SMOOTH))
        scaled = [((x - left) * _SMOOTH, (y - top) * _SMOOTH) for x, y in points]
        ImageDraw.Draw(mask).line(scaled, fill=255, width=round(width * _SMOOTH), joint="curve")
        self.image.paste(colour, (left, top), mask.reduce(_SMOOTH))


def draw(chart: Chart) -> Image.Image:
    """The whole picture, RGB, or RGBA on transparent paper."""
    width, height = chart.size
    # Pillow blends half-transparent colours into RGB only; on transparent paper they stay half transparent.
    image = Image.new("RGBA" if chart.theme is GLASS else "RGB", chart.size, chart.theme.paper)
    font = _font(max(10.0, min(width, height) / 42))
    bars = prices(chart)
    left, right = round(width * 0.02), width - round(font.size * 4.6)
    shares = [1.0] + [0.22] * chart.volume + [0.28] * chart.rsi
    top, bottom = round(font.size * 4.2), height - round(font.size * 2.2)
    gap = round(font.size * 1.1)
    room = bottom - top - gap * (len(shares) - 1)
    boxes: list[Box] = []
    for share in shares:
        tall = round(room * share / sum(shares))
        boxes.append((left, top, right, top + tall))
        top += tall + gap
    price = _price_panel(image, boxes.pop(0), chart, bars, font)
    if chart.volume:
        most = max(bar.volume for bar in bars)
        panel = Panel(image, boxes.pop(0), chart.theme, len(bars), 0, most * 1.08)
        panel.columns(bars)
        panel.frame()
        _caption(panel, "Volume", font)
    if chart.rsi:
        panel = Panel(image, boxes.pop(0), chart.theme, len(bars), 0, 100)
        panel.grid((30, 70), font, 0)
        panel.line(relative_strength([bar.close for bar in bars]), chart.theme.lines[2], 1.5)
        panel.frame()
        _caption(panel, "RSI 14", font)
    _time_axis(price, chart, bottom, font)
    _heading(price, chart, bars, font)
    return image


def _price_panel(
    image: Image.Image, box: Box, chart: Chart, bars: Sequence[Bar], font: ImageFont.FreeTypeFont
) -> Panel:
    closes = [bar.close for bar in bars]
    low, high = min(bar.low for bar in bars), max(bar.high for bar in bars)
    margin = (high - low) * 0.07
    panel = Panel(image, box, chart.theme, len(bars), low - margin, high + margin)
    digits = _digits(chart)
    panel.grid(nice_ticks(panel.low, panel.high, max(5, (box[3] - box[1]) // 45)), font, digits, tag=closes[-1])
    if chart.style == "candles":
        panel.candles(bars)
    elif chart.style == "area":
        panel.area(closes, chart.theme.lines[0])
    else:
        panel.line(closes, chart.theme.lines[0], 2)
    for length, colour in zip(chart.averages, _average_colours(chart), strict=False):
        panel.line(moving_average(closes, length), colour, 1.5)
    if chart.bands:
        _bollinger(panel, closes)
    panel.frame()
    tag = chart.theme.rise if bars[-1].close >= bars[-1].open else chart.theme.fall
    tag = chart.theme.ink if chart.theme in (PRINT, FAX) else tag
    panel.tag(closes[-1], f"{closes[-1]:,.{digits}f}", tag, font)
    return panel


def _average_colours(chart: Chart) -> Sequence[Colour]:
    return chart.theme.lines if chart.style == "candles" else chart.theme.lines[1:]


def _bollinger(panel: Panel, closes: Sequence[float], length: int = 20) -> None:
    """Two standard deviations around the moving average (Bollinger)."""
    middle = moving_average(closes, length)
    squares = moving_average([close * close for close in closes], length)
    pairs = list(zip(middle, squares, strict=True))
    for side in (-2, 2):
        edge = [
            None if mean is None or square is None else mean + side * math.sqrt(max(square - mean**2, 0))
            for mean, square in pairs
        ]
        panel.line(edge, panel.theme.lines[0], 1.2)
    panel.line(middle, panel.theme.lines[1], 1.2)


def _heading(panel: Panel, chart: Chart, bars: Sequence[Bar], font: ImageFont.FreeTypeFont) -> None:
    digits, theme = _digits(chart), chart.theme
    x, y = panel.box[0], round(font.size * 0.7)
    panel.draw.text((x, y), chart.title, fill=theme.ink, font=_font(font.size * 1.35))
    y += round(font.size * 1.75)
    last = bars[-1]
    change = (last.close / bars[-2].close - 1) * 100
    values = (("O", last.open), ("H", last.high), ("L", last.low), ("C", last.close))
    text = "  ".join(f"{name} {value:,.{digits}f}" for name, value in values) + f"  {change:+.2f}%"
    panel.draw.text((x, y), text, fill=theme.rise if change >= 0 and theme is not FAX else theme.ink, font=font)
    x += round(panel.draw.textlength(text, font=font) + font.size * 1.5)
    for length, colour in zip(chart.averages, _average_colours(chart), strict=False):
        panel.draw.text((x, y), f"MA {length}", fill=colour, font=font)
        x += round(font.size * 3.6)
    if chart.bands:
        panel.draw.text((x, y), "BB 20, 2", fill=theme.lines[0], font=font)


def _time_axis(panel: Panel, chart: Chart, bottom: int, font: ImageFont.FreeTypeFont) -> None:
    every = max(1, math.ceil(font.size * 6.5 / panel.slot))
    year = 2025 if chart.step < timedelta(days=7) else 2020
    start = datetime(year, 1, 6, 9, 0, tzinfo=UTC)
    for index in range(every // 2, chart.bars, every):
        x = round(panel.x(index))
        panel.draw.line((x, bottom, x, bottom + 4), fill=chart.theme.faint)
        text = _date(start + index * chart.step, chart.step)
        panel.draw.text((x, bottom + 7), text, fill=chart.theme.faint, font=font, anchor="mt")


def _caption(panel: Panel, text: str, font: ImageFont.FreeTypeFont) -> None:
    panel.draw.text((panel.box[0] + 3, panel.box[1] + 2), text, fill=panel.theme.faint, font=font)


def _date(moment: datetime, step: timedelta) -> str:
    month = _MONTHS[moment.month - 1]
    day = f"{month} {moment.day}"
    if step >= timedelta(days=7):
        return f"{month} {moment.year}"
    return day if step >= timedelta(days=1) else f"{day} {moment:%H:%M}"


def _digits(chart: Chart) -> int:
    return 4 if chart.start_price < 15 else 2 if chart.start_price < 1000 else 0


def _font(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "this Pillow has no FreeType"
    return font


def _palette(image: Image.Image) -> Image.Image:
    return image.quantize(64, dither=Image.Dither.NONE)


def _turned(image: Image.Image) -> Image.Image:
    """As a phone stores it: lying on its side; EXIF orientation 6 says how to turn it back."""
    return image.transpose(Image.Transpose.ROTATE_90)


def _orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


SAMPLES = (
    Chart(
        file="nova-robotics-daily.png", title="NOVA Robotics · 1D · NASDAQ", trend="up", size=(1280, 720),
        bars=96, start_price=84, averages=(10, 30), volume=True, rsi=True, save={"optimize": True},
    ),
    Chart(
        file="harbor-shipping-daily.png", title="Harbor Shipping · 1D · NYSE", trend="down", size=(800, 450),
        theme=GLASS, bars=120, start_price=46, style="line", averages=(20,), volume=True,
        save={"optimize": True},
    ),
    Chart(
        file="crypto/kite-usd-1h.png", title="KITE / USD · 1h", trend="sideways", size=(900, 506), theme=DARK,
        bars=84, start_price=412, step=timedelta(hours=1), averages=(9, 21), volume=True,
        convert=_palette, save={"optimize": True},
    ),
    Chart(
        file="crypto/orbit-usd-4h.webp", title="ORBIT / USD · 4h", trend="up", size=(960, 540), theme=DARK,
        bars=90, start_price=27400, step=timedelta(hours=4), bands=True, volume=True,
        save={"quality": 82, "method": 6},
    ),
    Chart(
        file="meridian-bank-phone.jpg", title="Meridian Bank · 1D", trend="down", size=(540, 820), bars=56,
        start_price=131, averages=(10,), volume=True, rsi=True, convert=_turned,
        save={"quality": 80, "optimize": True, "exif": _orientation(6)},
    ),
    Chart(
        file="polaris-air-daily.jpg", title="Polaris Air · 1D · XETRA", trend="up", size=(800, 450),
        theme=DARK, bars=72, start_price=18, averages=(10, 30), save={"quality": 80, "optimize": True},
    ),
    Chart(
        file="solara-energy-weekly.gif", title="Solara Energy · 1W", trend="up", size=(640, 400), bars=104,
        start_price=33, step=timedelta(days=7), style="area", convert=_palette,
    ),
    Chart(
        file="granite-insurance-print.png", title="Granite Insurance, daily", trend="sideways",
        size=(720, 432), theme=PRINT, bars=64, start_price=205, averages=(20,), volume=True,
        convert=lambda image: image.convert("L"), save={"optimize": True},
    ),
    Chart(
        file="pinewood-timber-fax.bmp", title="Pinewood Timber, daily", trend="down", size=(480, 300),
        theme=FAX, bars=48, start_price=71,
        convert=lambda image: image.convert("1", dither=Image.Dither.NONE),
    ),
    Chart(
        file="quarry-metals-months.tiff", title="Quarry Metals · 1M", trend="sideways", size=(640, 400),
        bars=60, start_price=58, step=timedelta(days=30), style="line", averages=(12,), rsi=True,
        save={"compression": "tiff_adobe_deflate"},
    ),
    Chart(
        file="fx/eur-nok-15m.png", title="EUR / NOK · 15m", trend="down", size=(700, 394), bars=70,
        start_price=11.64, swing=0.05, step=timedelta(minutes=15), averages=(9, 21), save={"optimize": True},
    ),
    Chart(
        file="fx/usd-chf-1h.webp", title="USD / CHF · 1h", trend="sideways", size=(760, 428), theme=LIGHT,
        bars=76, start_price=0.89, swing=0.07, step=timedelta(hours=1), bands=True, rsi=True,
        save={"lossless": True},
    ),
)  # fmt: skip


def encode(chart: Chart) -> bytes:
    """The file's bytes, in the format that its suffix names."""
    buffer = BytesIO()
    kind = Image.registered_extensions()[Path(chart.file).suffix]
    chart.convert(draw(chart)).save(buffer, kind, **chart.save)
    return buffer.getvalue()


def render_all(folder: Path) -> None:
    """Write every sample and `trends.json` (custom_id -> trend) into `folder`."""
    for chart in SAMPLES:
        path = folder / chart.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(chart))
    trends = {chart.file: chart.trend for chart in sorted(SAMPLES, key=lambda chart: chart.file)}
    (folder / "trends.json").write_text(json.dumps(trends, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=CHARTS)
    render_all(parser.parse_args().folder)
