"""What chartq does to a picture that no peer does: decode it. `python -m benchmarks.picture_cost FILE`.

Says the CPU ms for FILE, then the median over the PNG samples that ship: drawn charts take longer than noise.
"""

import sys
import time
from pathlib import Path
from statistics import median

from worker.cli.sample_charts import CHARTS
from worker.image_processor import preprocess_chart_image

_RUNS = 10


def cpu_ms(file: Path) -> float:
    data = file.read_bytes()
    started = time.process_time()
    for _ in range(_RUNS):
        preprocess_chart_image(data)
    return (time.process_time() - started) * 1000 / _RUNS


def main() -> None:
    samples = sorted(CHARTS.rglob("*.png"))
    print(f"{cpu_ms(Path(sys.argv[1])):.2f} {median(map(cpu_ms, samples)):.2f}")


if __name__ == "__main__":
    main()
