"""Commands that only look take the newest batch where none is named, and say which one that was."""

import shlex
import time
from pathlib import Path

from jobs.batches.session import RESULTS_FILE, Session
from jobs.cli.output import say
from jobs.config.settings import Settings
from jobs.core.errors import UnknownIdError
from jobs.core.text import label
from jobs.core.time_text import duration
from jobs.ledger import Batch


def batch_or_newest(session: Session, batch_id: str | None) -> Batch:
    """The batch that is named, or the newest. Raises UnknownIdError."""
    if batch_id is not None:
        return session.ledger.batch(batch_id)
    newest = next(iter(session.ledger.batches()), None)
    if newest is None:
        raise UnknownIdError(no_batches(session.settings))
    ago = duration(max(0.0, time.time() - newest.created_at))
    called = f"{label(newest.name)}, " if newest.name else ""
    say(f"the newest batch: {newest.batch_id} ({called}{label(newest.question.model)}, submitted {ago} ago)")
    return newest


def no_batches(settings: Settings) -> str:
    """That there is none, and what to do first; the demo's answers have a home of their own."""
    words = 'there is no batch yet; ask about a folder of charts: chartq run FOLDER -p "Is the trend up or down?"'
    if (demo_home(settings) / RESULTS_FILE).exists():
        words += f"\nthe demo's answers: {in_demo(settings, 'list')}"
    return words


def demo_home(settings: Settings) -> Path:
    return settings.chartq_home / "demo"


def in_demo(settings: Settings, command: str) -> str:
    """The whole line that runs a command in the demo's home, whatever the shell's variables say."""
    servers = [name for name in ("redis_url", "results_url") if getattr(settings, name) is not None]
    home = f"CHARTQ_HOME={shlex.quote(str(demo_home(settings)))}"
    return " ".join([home, *(f"{name.upper()}=" for name in servers), "chartq", command])
