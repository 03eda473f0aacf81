"""A process that is short of memory: a real limit on its address space (`ulimit -v`), from a moment on."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: For a program of its own (`python -c`): imports what a command needs, leaves itself so many bytes, and runs it.
LIMITED = """
import resource, runpy, sys
room = int(sys.argv[1])
sys.argv = ["chartq", *sys.argv[2:]]
import jobs.batches.session, jobs.charts.heif, jobs.cli.submit_commands, worker.image_processor, worker.main
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, resource.RLIM_INFINITY))
runpy.run_module("worker.main", run_name="__main__")
"""


@contextmanager
def no_more_memory_than(room: int, *, process: int = 0) -> Iterator[None]:
    """A process (0: this one) that gets at most `room` bytes of addresses more than it has now."""
    before = resource.prlimit(process, resource.RLIMIT_AS)
    pages = int(Path(f"/proc/{process or 'self'}/statm").read_text().split()[0])
    resource.prlimit(process, resource.RLIMIT_AS, (pages * resource.getpagesize() + room, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_AS, before)
