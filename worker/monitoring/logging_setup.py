"""Logs: lines for people, or one JSON object a line (`LOG_FORMAT=json`), always on stderr."""

import json
import logging
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from worker.monitoring.log_file import LogFile

#: What else a record may tell; each only where it is known.
_FIELDS = (
    *("job_id", "batch_id", "model", "attempt", "latency_s"),
    *("error", "status_code", "hint_s", "again_in_s", "why", "until"),
    *("request_id", "method", "path", "status", "took_s", "bytes_in", "bytes_out", "key", "client"),
)

#: `json.dumps` would make one for each line.
_encoder = json.JSONEncoder(ensure_ascii=False)

log = logging.getLogger("chartq.worker")


class JsonFormatter(logging.Formatter):
    """`{"ts", "level", "event", "message", "job_id"?, "batch_id"?, "model"?, ...}`."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        known = vars(record)
        entry = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": known.get("event", message),
            "message": message,
            **{name: value for name in _FIELDS if (value := known.get(name)) is not None},
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return _encoder.encode(entry)


def configure_logging(level: str, form: str, *, folder: Path | None = None) -> None:
    """Set up our loggers, once, at the edge. RQ's say the same things again and are kept to warnings.

    `folder`: where a log file is kept as well, for `chartq logs`; it has all from INFO on, whatever `level` is.
    """
    # No line of ours tells these, and finding them out is half of what a line costs (Python's logging HOWTO).
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(JsonFormatter() if form == "json" else formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("chartq", "jobs", "worker"):
        logging.getLogger(name).setLevel(level)
    details = logging.getLogger("chartq.details")
    details.setLevel(logging.CRITICAL)
    details.propagate = False
    logging.getLogger("rq.worker").setLevel(logging.WARNING)
    if folder is not None:
        _keep_file(folder, handler, level)


def _keep_file(folder: Path, on_stderr: logging.Handler, level: str) -> None:
    """Nothing depends on the file: where it can't be written there is none."""
    try:
        file = LogFile(folder)
    except OSError as error:
        log.debug("no log file, `chartq logs` won't know of this process: %s", error)
        return
    file.setFormatter(JsonFormatter())
    file.addFilter(lambda record: record.name != "chartq.access")  # a page that polls would push everything else out
    on_stderr.setLevel(level)
    logging.getLogger().addHandler(file)
    for name in ("chartq", "jobs", "worker"):
        logger = logging.getLogger(name)
        logger.setLevel(min(logger.level, logging.INFO))
    details = logging.getLogger("chartq.details")
    details.setLevel(logging.INFO)
    details.handlers[:] = [file]
