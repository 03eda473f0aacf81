"""Values that commands take, and go together."""

from pathlib import Path

import pytest
from support.producer import producer_in

from worker.main import chartq


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["worker", "--grace", "nan"], "no number"),
        (["worker", "--grace", "inf"], "not in the range"),
        (["worker", "--grace", "1e10"], "not in the range"),
        (["worker", "--burst", "--metrics-host", "0.0.0.0"], "goes with --metrics-port"),
        (["serve", "--grace", "nan"], "no number"),
        (["run", "charts", "-p", "Up?", "--grace", "nan"], "no number"),
        (["rehearse", "charts", "-p", "Up?", "--latency", "nan"], "no number"),
        (["rehearse", "charts", "-p", "Up?", "--speed", "nan"], "no number"),
        (["health", "--max-age", "nan"], "no number"),
    ],
)
def test_what_nobody_can_wait_for_or_listen_at_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], says: str
) -> None:
    with producer_in(tmp_path, monkeypatch) as user:
        assert says in user.run(*args, commands=chartq, expect=2).stderr
