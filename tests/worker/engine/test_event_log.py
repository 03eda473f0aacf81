"""Who has paused or limited what stands in the worker's log, once."""

import logging

import pytest

from jobs.core.controls import EVERYTHING, NO_CONTROLS, Controls, Limit, Pause
from jobs.core.rates import Window
from worker.engine.event_log import changes, controls_told

PAUSED = Controls(version=1, pauses={EVERYTHING: Pause(by="ann@host", since=1.0)})
LIMITED = Controls(
    version=2, limits={"org/model": Limit(by="bob@host", since=1.0, windows=(Window(calls=30, window_ms=60_000),))}
)


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (NO_CONTROLS, PAUSED, ["everything: paused by ann@host"]),
        (PAUSED, PAUSED, []),
        (PAUSED, NO_CONTROLS, ["everything: not paused any more"]),
        (PAUSED, LIMITED, ["everything: not paused any more", "model org/model: limit 30/m, set by bob@host"]),
        (LIMITED, NO_CONTROLS, ["model org/model: no limit any more"]),
    ],
)
def test_each_change_is_a_line(before: Controls, after: Controls, lines: list[str]) -> None:
    assert [line for _, line in changes(before, after, 10.0)] == lines


def test_a_worker_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="chartq.worker")
    read = controls_told(lambda: PAUSED)
    assert read() == read() == PAUSED
    assert caplog.messages == ["everything: paused by ann@host"]
