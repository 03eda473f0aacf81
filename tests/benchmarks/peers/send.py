"""`python -m benchmarks.peers.send APP TASK FILE`: a job on APP's queue for each path in FILE; says what it took."""

import importlib
import json
import resource
import sys
import time
from pathlib import Path


def main() -> None:
    app = importlib.import_module(f"benchmarks.peers.{sys.argv[1]}_app")
    paths = Path(sys.argv[3]).read_text().splitlines()
    started = time.monotonic()
    app.send(sys.argv[2], paths)
    took_s = time.monotonic() - started
    print(json.dumps({"took_s": took_s, "peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))


if __name__ == "__main__":
    main()
