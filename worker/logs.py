"""Logs: lines for people, or one JSON object a line (`LOG_FORMAT=json`), always on stderr."""

import json
import logging
import sys
import time
from datetime import UTC, datetime

_FIELDS = ("job_id", "batch_id", "model")


class JsonFormatter(logging.Formatter):
    """`{"ts", "level", "event", "message", "job_id"?, "batch_id"?, "model"?}`."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        entry = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": getattr(record, "event", message),
            "message": message,
            **{name: getattr(record, name) for name in _FIELDS if hasattr(record, name)},
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def configure_logging(level: str, form: str) -> None:
    """Set up our loggers, once, at the edge. RQ's say the same things again and are kept to warnings."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(JsonFormatter() if form == "json" else formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("chartq", "jobs", "worker"):
        logging.getLogger(name).setLevel(level)
    logging.getLogger("rq.worker").setLevel(logging.WARNING)
