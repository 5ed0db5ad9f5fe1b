"""Calls that requests wait for: whatever becomes of Redis, they are over soon, and work again by themselves."""

import contextlib
import os
import signal
import socket
import threading
import time

import pytest
import redis

from scaivault.dev import valkey
from scaivault.kernel.errors import Unavailable
from scaivault.storage.redis import CALL_SECONDS, RedisCalls, Script, packed

ECHO = Script(b"return tonumber(ARGV[1])", arguments=3)
COUNT = Script(b"return redis.call('INCR', KEYS[1])", arguments=2)
SOON = CALL_SECONDS + 5.0  # what stands still is waited for without end, what is gone for a library's patience


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A server that a test may treat badly."""
    folder = tmp_path_factory.mktemp("valkey")
    server = valkey.start(folder, folder / "valkey.log")
    yield server
    server.stop()


@pytest.fixture
def own_url(own):
    with redis.Redis.from_url(own.url()) as client:
        client.flushall()
    return own.url()


@pytest.fixture
def observed():
    return []


@pytest.fixture
def calls(own_url, observed):
    calls = RedisCalls(own_url, 4, observed.append)
    calls.open()
    yield calls
    calls.close()


@pytest.fixture
def client(own_url):
    with redis.Redis.from_url(own_url) as client:
        yield client


@contextlib.contextmanager
def frozen(server):
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def echo(calls, number=7):
    return calls.run(ECHO, packed("1", "k", str(number)))


def fails(calls):
    started = time.monotonic()
    with pytest.raises(Unavailable):
        echo(calls)
    return time.monotonic() - started


def clients_of(client):
    return [each for each in client.client_list() if each["cmd"] != "client|list"]


def test_a_script_is_answered_and_timed(calls, observed):
    assert [echo(calls, number) for number in (3, 4)] == [3, 4]
    assert len(observed) >= 2


def test_a_script_that_was_forgotten_is_told_again(calls, client):
    echo(calls)
    client.script_flush()
    assert echo(calls) == 7


def test_nothing_is_connected_before_it_is_opened_or_after_it_is_closed(own_url, client):
    calls = RedisCalls(own_url, 4, lambda _seconds: None)
    fails(calls)
    calls.mend()
    assert clients_of(client) == []
    calls.open()
    assert len(clients_of(client)) == 4
    calls.close()
    fails(calls)
    calls.mend()
    fails(calls)


def test_as_many_threads_as_there_are_connections_never_lack_one(calls):
    answers = []

    def ask(first):
        answers.extend(echo(calls, number) == number for number in range(first, first + 300))

    threads = [threading.Thread(target=ask, args=(1_000 * first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 1_200
    assert all(answers)


def test_connections_that_were_closed_at_the_other_end_cost_nobody_an_answer(calls, client):
    """Redis hangs up on who was idle for long; all but one here, and then all."""
    for each in clients_of(client)[:3]:
        client.client_kill(each["addr"])
    assert echo(calls) == 7
    for each in clients_of(client):
        client.client_kill(each["addr"])
    fails(calls)
    calls.mend()
    assert echo(calls) == 7
    assert len(clients_of(client)) == 4


def test_one_that_stands_still_is_waited_for_once(own, observed):
    calls = RedisCalls(own.url(), 4, observed.append)
    calls.open()
    with frozen(own):
        assert CALL_SECONDS <= fails(calls) < SOON
        assert sum(fails(calls) for _ in range(1_000)) < SOON
    calls.mend()
    assert echo(calls) == 7
    calls.close()


def test_an_answer_that_comes_too_late_is_never_taken_for_another(own):
    calls = RedisCalls(own.url(), 1, lambda _seconds: None)
    calls.open()
    with frozen(own), pytest.raises(Unavailable):
        echo(calls, 1)
    calls.mend()
    assert echo(calls, 2) == 2
    calls.close()


def test_one_that_is_gone_is_known_at_once_and_found_when_it_is_back(tmp_path):
    folder = tmp_path / "valkey"
    server = valkey.start(folder, tmp_path / "log")
    calls = RedisCalls(server.url(), 2, lambda _seconds: None)
    calls.open()
    server.stop()
    assert fails(calls) < SOON
    calls.mend()
    assert fails(calls) < SOON
    server = valkey.start(folder, tmp_path / "log")
    calls.mend()
    assert echo(calls) == 7
    calls.close()
    server.stop()


def test_no_outage_is_too_long_to_come_back_from(tmp_path):
    """A pool of the library's makes 100 connections in its life, if it is not told otherwise; vain attempts count."""
    folder = tmp_path / "valkey"
    server = valkey.start(folder, tmp_path / "log")
    calls = RedisCalls(server.url(), 2, lambda _seconds: None)
    calls.open()
    server.stop()
    fails(calls)
    for _ in range(200):
        calls.mend()
    server = valkey.start(folder, tmp_path / "log")
    calls.mend()
    assert echo(calls) == 7
    calls.close()
    server.stop()


def test_one_that_accepts_and_says_nothing_is_no_redis():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        calls = RedisCalls(f"redis://127.0.0.1:{mute.getsockname()[1]}/0", 4, lambda _seconds: None)
        started = time.monotonic()
        calls.open()
        assert time.monotonic() - started < SOON
        fails(calls)
        calls.close()


def test_a_wrong_password_is_nothing_to_wait_for_and_not_told(redis_server):
    calls = RedisCalls(f"redis://:hunter2@127.0.0.1:{redis_server.port}/0", 1, lambda _seconds: None)
    calls.open()
    with pytest.raises(Unavailable) as failure:
        echo(calls)
    assert "hunter2" not in str(failure.value)


def test_a_url_can_not_talk_it_into_patience(own):
    calls = RedisCalls(f"{own.url()}?socket_timeout=30&protocol=3", 1, lambda _seconds: None)
    calls.open()
    assert echo(calls) == 7
    with frozen(own):
        assert fails(calls) < SOON
    calls.close()


class TestRefusals:
    """Redis answers, and does not do it: at once unavailable, and well again without a new connection."""

    def run(self, calls):
        return calls.run(COUNT, packed("1", "count"))

    def test_a_key_of_another_type(self, calls, client):
        client.lpush("count", "x")
        with pytest.raises(Unavailable):
            self.run(calls)
        client.delete("count")
        assert self.run(calls) == 1

    def test_no_memory(self, own):
        calls = RedisCalls(own.url(), 2, lambda _seconds: None)
        calls.open()
        with redis.Redis.from_url(own.url()) as client:
            before = client.config_get("maxmemory")["maxmemory"]
            policy = client.config_get("maxmemory-policy")["maxmemory-policy"]
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
            with pytest.raises(Unavailable):
                self.run(calls)
            client.config_set("maxmemory", before)
            client.config_set("maxmemory-policy", policy)
        assert self.run(calls) >= 1
        calls.close()

    def test_a_replica_is_left_for_whoever_writes(self, own, redis_server):
        calls = RedisCalls(own.url(), 2, lambda _seconds: None)
        calls.open()
        with redis.Redis.from_url(own.url()) as client:
            client.replicaof("127.0.0.1", redis_server.port)
            for _ in range(2):
                with pytest.raises(Unavailable):
                    self.run(calls)
            client.replicaof("NO", "ONE")
        fails(calls)  # both connections were given up: a new one may lead elsewhere
        calls.mend()
        assert self.run(calls) >= 1
        calls.close()

    def test_a_command_that_it_does_not_permit(self, own):
        with redis.Redis.from_url(own.url()) as client:
            client.acl_setuser("poor", enabled=True, passwords=["+poor"], commands=["+ping", "+client"], keys=["*"])
        calls = RedisCalls(f"redis://poor:poor@127.0.0.1:{own.port}/0", 1, lambda _seconds: None)
        calls.open()
        fails(calls)
        calls.close()
