"""Small pictures of the charts, as data URIs: read where the chart lies now, shown only if it is still that chart."""

import base64
import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import TypeVar

from PIL import Image, ImageOps

from jobs.charts.image_check import opened
from jobs.charts.storage import read_chart
from jobs.core.errors import ImageError, OutOfMemoryError
from jobs.core.in_order import in_order
from jobs.core.job import job_id
from jobs.core.places import is_url
from jobs.formats.format import ReportContext, Row

T = TypeVar("T")

#: Pixels. Shown about half as large: axis labels of a chart stay readable, and 1,000 charts are 8 MB.
_SIZE = (432, 288)

#: WebP's quality, and its effort from 0 to 6: at 2 a thumbnail takes 5 ms instead of 20, for a tenth more bytes.
_QUALITY, _EFFORT = 58, 2

#: Bytes of data URIs on one page; charts beyond it stand there without a picture. A browser keeps them all.
_PAGE_BYTES = 64_000_000

#: Pillow decodes outside Python's lock.
_THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A picture for an `img`; sides in pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Why there is no picture."""

    reason: str


Shot = Thumbnail | Missing


class Album:
    """Where the charts of a batch lie, and how to tell that a file is still the chart that was asked about."""

    def __init__(self, context: ReportContext) -> None:
        self._context = context
        #: Of most rows; with the image's hash it makes the job's id.
        self._question_id = context.question.id

    def shots(self, row: Row) -> Sequence[Shot]:
        """The row's pictures, small; of a question about an answer without one of its own, that answer's."""
        image, job = row["image"], row["job_id"]
        if image is None:
            image, job = row.get("source_image"), row.get("source_job_id") or ""
        if image is None:
            return ()
        if isinstance(image, str):
            return (self._shot(image, lambda sha256: self._is_asked(job, sha256)),)
        hashes = self._context.image_sha256(job).split(",")
        return [self._shot(stored, asked.__eq__) for stored, asked in zip(image, hashes, strict=False)]

    def _shot(self, stored: str, is_asked: Callable[[str], bool]) -> Shot:
        if is_url(stored):
            return Missing(reason=f"the provider fetched it from {stored}")
        try:
            data = read_chart(stored, self._context.chart_root, self._context.pictures)
            if not is_asked(hashlib.sha256(data).hexdigest()):
                return Missing(reason="the file has changed since it was asked about")
            return _shrunk(data)
        except (ImageError, OutOfMemoryError) as error:
            return Missing(reason=str(error))

    def _is_asked(self, job: str, sha256: str) -> bool:
        return job == job_id(sha256, self._question_id) or sha256 == self._context.image_sha256(job)


_NO_ROOM = Missing(reason=f"no picture: the page has {_PAGE_BYTES // 1_000_000} MB of them already")


def with_shots(items: Iterable[T], take: Callable[[T], Sequence[Shot]]) -> Iterator[tuple[T, Sequence[Shot]]]:
    """Each item with as many of its pictures as fit on a page, in order; made in threads, a bounded number ahead."""
    left = _PAGE_BYTES

    def taken(item: T) -> tuple[T, Sequence[Shot]]:
        return item, take(item) if left > 0 else (_NO_ROOM,)

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="thumbnail") as pool:
        for item, shots in in_order(pool, taken, items, ahead=4 * _THREADS):
            placed = []
            for shot in shots:
                left -= len(shot.uri) if isinstance(shot, Thumbnail) else 0
                placed.append(shot if left > 0 or isinstance(shot, Missing) else _NO_ROOM)
            yield item, placed


def _shrunk(data: bytes) -> Thumbnail:
    webp, width, height = shrunk_webp(data)
    uri = f"data:image/webp;base64,{base64.b64encode(webp).decode()}"
    return Thumbnail(uri=uri, width=width, height=height)


def shrunk_webp(data: bytes, size: tuple[int, int] = _SIZE, *, quality: int = _QUALITY) -> tuple[bytes, int, int]:
    """A chart's file as WebP that fits into `size`, with its width and height in pixels. Raises ImageError."""
    with opened(data) as image:
        image.draft("RGB", size)  # a JPEG is decoded at an eighth to a half of its size, if that is enough
        ImageOps.exif_transpose(image, in_place=True)
        picture = _eight_bit(image)
        picture.thumbnail(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        picture = _on_white(picture)
        file = BytesIO()
        picture.save(file, "WEBP", quality=quality, method=_EFFORT)
    return file.getvalue(), picture.width, picture.height


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey or colour of 8 bit, transparency kept for now: shrinking a palette's numbers would only drop pixels."""
    if image.mode.startswith(("I", "F")):
        low, high = (float(level) for level in image.getextrema())  # type: ignore[arg-type]  # one band
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ImageError("its pixels are not numbers (NaN or infinite)")
        scale = 255 / ((high - low) or 1)
        return image.convert("F").point(lambda level: level * scale - low * scale).convert("L")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("RGB", "L") else image.convert("RGB")


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    paper = Image.new("RGB", picture.size, "white")
    paper.paste(picture, mask=picture.getchannel("A"))
    return paper
