"""Lanes in a Redis of the module's own, emptied for each test."""

import pytest
from support.lanes import Lanes, Worker


@pytest.fixture
def worker(lanes: Lanes) -> Worker:
    """One without limits, of an account whose token was taken before."""
    return lanes.worker()
