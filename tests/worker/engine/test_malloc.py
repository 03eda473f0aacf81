"""A worker that has decoded large charts on many threads gives their memory back."""

import ctypes
import subprocess
import sys

import pytest

#: Decodes on sixteen threads, then says how many bytes of the process are still resident.
PROGRAM = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from PIL import Image
from worker.image_processor import preprocess_chart_image
from worker.engine.malloc import give_memory_back

if sys.argv[1:] == ["give back"]:
    give_memory_back()
file = BytesIO()
Image.linear_gradient("L").resize((1600, 900)).convert("RGB").save(file, "PNG", compress_level=1)
with ThreadPoolExecutor(16) as pool:
    in_flight = list(pool.map(lambda _: preprocess_chart_image(file.getvalue(), max_side=1024), range(64)))
with open("/proc/self/statm") as statm:
    print(int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
"""

only_glibc = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="another malloc than glibc's"
)


@only_glibc
def test_what_large_charts_took_goes_back_to_the_system() -> None:
    assert _resident_mb("give back") < 60 < 100 < _resident_mb()


def _resident_mb(*arguments: str) -> float:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1e6
