"""Short of memory (`ulimit -v`): told as what it is, and no chart fails for it. All limits are real."""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.memory import LIMITED, no_more_memory_than
from support.serving import serve
from support.stack import PATIENCE_S, Stack, draw_charts, eventually, finish

from jobs.broker.embedded import embedded_redis
from worker.rehearsal import Rehearsal

#: Decoded: 48 MB as Pillow has it; with what its decoders need beside it up to 200.
_LARGE, _MIDDLING = (4000, 3000), (2400, 1800)  # both have to be shrunk, and so decoded

_WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("PNG", {"compress_level": 1}),
    "jpeg": ("JPEG", {}),
    "progressive": ("JPEG", {"progressive": True}),
    "webp": ("WEBP", {"method": 0}),
    "lossless": ("WEBP", {"lossless": True, "method": 0, "quality": 0}),
    "avif": ("AVIF", {"speed": 10}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
    "tiff": ("TIFF", {}),
    "lzw": ("TIFF", {"compression": "tiff_lzw"}),
}

#: Reads each file with less and less room, then one that is damaged, then all with enough; says what came of it.
_READER = """
import json, sys
from pathlib import Path
from typing import Any
from jobs.charts.image_check import check_image
from jobs.core.errors import ChartqError
from support.memory import no_more_memory_than
from worker.image_processor import preprocess_chart_image

def came_of(data):
    try:
        check_image(data)
        preprocess_chart_image(data)
    except (ChartqError, MemoryError) as error:
        return type(error).__name__, str(error)
    return "read", ""

charts = [Path(name).read_bytes() for name in sys.argv[2:]]
damaged = Path(sys.argv[1]).read_bytes()
for chart in charts:
    came_of(chart)  # loads what is loaded once
seen = {"short": [], "damaged": [], "enough": []}
for room in (4, 20):
    with no_more_memory_than(room * 1_000_000):
        seen["short"].append([came_of(chart) for chart in charts])
with no_more_memory_than(300_000_000):
    seen["damaged"].append(came_of(damaged))
seen["enough"] = [came_of(chart) for chart in charts]
print(json.dumps(seen))
"""


def drawn(folder: Path, name: str, size: tuple[int, int]) -> Path:
    kind, options = _WAYS[name]
    path = folder / f"{name}.{kind.lower()}"
    Image.effect_noise((400, 300), 50).convert("RGB").resize(size).save(path, kind, **options)
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(tmp_path_factory.mktemp("large"), "webp", _LARGE)


def test_no_whole_picture_of_any_format_is_called_damaged(tmp_path: Path) -> None:
    charts = {name: drawn(tmp_path, name, _MIDDLING) for name in _WAYS}
    small = BytesIO()
    Image.effect_noise((300, 200), 90).save(small, "JPEG")
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(small.getvalue()[:5000])
    done = subprocess.run(
        [sys.executable, "-c", _READER, str(damaged), *map(str, charts.values())],
        capture_output=True, text=True, check=True, timeout=PATIENCE_S,
        # What is freed goes back: glibc would keep some of it, by its own rules for what is wanted again.
        env={"PYTHONPATH": str(Path(__file__).parents[1]), "MALLOC_MMAP_THRESHOLD_": "65536"},
    )  # fmt: skip
    seen = json.loads(done.stdout)
    for row in seen["short"]:
        for name, (kind, words) in zip(charts, row, strict=True):
            assert kind in ("read", "OutOfMemoryError", "MemoryError"), (name, words)
    assert [kind for kind, _ in seen["short"][0]] == ["OutOfMemoryError"] * len(charts)
    assert all("memory" in words for _, words in seen["short"][0])
    assert [kind for kind, _ in seen["damaged"]] == ["ImageError"]
    assert [kind for kind, _ in seen["enough"]] == ["read"] * len(charts)


@pytest.mark.parametrize(
    ("room", "command", "words"),
    [
        (90_000_000, ["submit", "charts", "-p", "Up?"], "not enough memory to read an image of 4000 x 3000 pixels"),
        (30_000_000, ["run", "charts", "-p", "Up?"], "memory"),
    ],
)
def test_a_command_leaves_with_one_sentence(
    user: Stack, large: Path, room: int, command: list[str], words: str
) -> None:
    (user.folder / "charts").mkdir()
    (user.folder / "charts" / "large.webp").symlink_to(large)
    with embedded_redis(user.home):
        done = finish(user.launch("-c", LIMITED, str(room), *command))
    assert done.code == 1, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert sum(line.startswith("chartq: ") for line in done.stderr.splitlines()) == 1, done.stderr


def test_a_worker_short_of_memory_gives_its_jobs_back_and_no_attempt_is_spent(
    user: Stack, server: Rehearsal, large: Path
) -> None:
    folder = user.folder / "large"
    folder.mkdir()
    for number in range(6):  # as many as would hold a lane in which every job fails alike
        (folder / f"{number}.webp").write_bytes(_other(large, number))
    worker = user.worker("--concurrency", "2")
    small_id = user.submit(draw_charts(user.folder / "small", 4), VISION_MODEL="org/another")
    eventually(lambda: user.counts(small_id).finished == 4)  # all that is loaded once is loaded
    with no_more_memory_than(60_000_000, process=worker.pid):
        batch_id = user.submit(folder)
        jobs = [row["job_id"] for row in user.results(batch_id)]
        eventually(lambda: all(re.search(f"{job} transient: .*memory", worker.said) for job in jobs))
        document = user.status(batch_id)
        assert (document["status"], document["hold"]) == ("in_progress", None)
        assert document["request_counts"]["failed"] == 0
        assert len(server.record) == 4
    eventually(lambda: user.counts(batch_id).finished == 6)
    assert [row["attempts"] for row in user.results(batch_id)] == [1] * 6
    assert len(server.record) == 10
    assert worker.poll() is None


def _other(chart: Path, number: int) -> bytes:
    """The same picture as another file: bytes behind its end."""
    return chart.read_bytes() + bytes([number])


def test_over_http_it_is_503_and_nobodys_fault(user: Stack, large: Path) -> None:
    process, url = serve(user)
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.webp"\r\n\r\n'
    form = head + large.read_bytes() + b"\r\n--x--\r\n"
    request = urllib.request.Request(f"{url}/analyze", form, {"Content-Type": "multipart/form-data; boundary=x"})
    with no_more_memory_than(60_000_000, process=process.pid), pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=PATIENCE_S)
    assert refused.value.code == 503
    error = json.load(refused.value)["error"]
    assert error["code"] == "out_of_memory"
    assert "not enough memory to read an image of 4000 x 3000 pixels" in error["message"]
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        assert answer.status == 200


_THREADS = """
from threading import Event
from support.memory import no_more_memory_than
from worker.engine.threads import ThreadPool

ENVIRONMENT = {"VISION_MODEL": "org/model"}

go, done = Event(), []
pool, none = ThreadPool(100, lambda _: (go.wait(), done.append(1))), ThreadPool(100, print)
with no_more_memory_than(20_000_000):
    for number in range(100):
        pool.submit(number)
    assert 1 <= pool.size < 100, pool.size
go.set()
while len(done) < 100:
    Event().wait(0.01)
with no_more_memory_than(0):
    try:
        none.submit(1)
    except RuntimeError as error:
        print(error)
"""


def test_where_the_system_starts_no_more_threads_fewer_calls_are_made_at_a_time() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _THREADS],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "can't start new thread" in done.stdout
