"""Whether Redis answers: known soon, also when it does not."""

import os
import signal
import socket
import time

import pytest
from redis import ConnectionPool

from scaivault.kernel.errors import Unavailable
from scaivault.storage.redis import ANSWER_SECONDS, RedisProbe
from scaivault.storage.told import ToldRedis

SOON = ANSWER_SECONDS + 1.5


@pytest.fixture
def observed():
    return []


@pytest.fixture
def probe(redis_url, observed):
    probe = RedisProbe(redis_url, observed.append)
    yield probe
    probe.close()


@pytest.fixture
def nowhere():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield f"redis://:hunter2@127.0.0.1:{nobody.getsockname()[1]}/0"


@pytest.fixture
def frozen(redis_server):
    os.kill(redis_server.process.pid, signal.SIGSTOP)
    yield
    os.kill(redis_server.process.pid, signal.SIGCONT)


def seconds_of(call):
    started = time.monotonic()
    call()
    return time.monotonic() - started


def fails(probe):
    with pytest.raises(Unavailable):
        probe.check()


def test_it_is_well_and_timed(probe, observed):
    probe.check()
    probe.check()
    assert len(observed) == 2


def test_it_tells_its_memory(probe):
    assert 0 < probe.memory_used_mb() < 1_000


def test_nothing_that_listens_is_known_at_once(nowhere, observed):
    """No library's patience in between: who asks has a deadline of half a second."""
    probe = RedisProbe(nowhere, observed.append)
    assert seconds_of(lambda: fails(probe)) < SOON
    assert seconds_of(lambda: probe.memory_used_mb() is None) < SOON
    assert len(observed) == 1


def test_one_that_stands_still_is_given_up(probe, frozen, observed):
    assert seconds_of(lambda: fails(probe)) < SOON
    assert probe.memory_used_mb() is None
    assert len(observed) == 1


def test_one_that_comes_back_is_well_at_the_next_question(probe, redis_server):
    probe.check()
    os.kill(redis_server.process.pid, signal.SIGSTOP)
    try:
        fails(probe)
    finally:
        os.kill(redis_server.process.pid, signal.SIGCONT)
    probe.check()


def test_a_wrong_password_is_not_well_and_not_told(redis_server):
    with pytest.raises(Unavailable) as failure:
        RedisProbe(f"redis://:hunter2@127.0.0.1:{redis_server.port}/0", lambda _seconds: None).check()
    assert "hunter2" not in str(failure.value)


class TestWhoIsTold:
    @pytest.fixture
    def told(self):
        return []

    @pytest.fixture
    def on_call(self, told):
        return lambda what, started, failure=None, /: told.append(
            (what, started > 0, failure and type(failure).__name__)
        )

    def test_of_a_command_its_name(self, redis_url, told, on_call):
        client = ToldRedis(ConnectionPool.from_url(redis_url), on_call)
        client.set("planted-key", "planted-value")
        client.get("planted-key")
        client.close()
        assert told == [("SET", True, None), ("GET", True, None)]

    def test_of_one_that_failed_also_how(self, nowhere, told, on_call):
        probe = RedisProbe(nowhere, lambda _seconds: None, on_call)
        with pytest.raises(Unavailable):
            probe.check()
        probe.close()
        assert told == [("PING", True, "ConnectionError")]
