"""Lanes in a Redis of the module's own, emptied for each test."""

import pytest
from redis import Redis
from support.lanes import Lanes


@pytest.fixture
def lanes(redis: Redis) -> Lanes:
    return Lanes(redis)
