import pytest

from tests.fakes import MemoryKeys, MemoryKeyStore


@pytest.fixture
def kms():
    return MemoryKeys()


@pytest.fixture
def store():
    return MemoryKeyStore()


class HandClock:
    """A monotonic clock that moves when told."""

    def __init__(self):
        self.seconds = 1_000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def monotonic():
    return HandClock()
