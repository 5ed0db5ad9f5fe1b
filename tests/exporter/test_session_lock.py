"""One session holds the lock, for as long as it lives and speaks."""

import contextlib

import pytest

from exporter.leader import LOCK
from scaivault.kernel.errors import Unavailable
from scaivault.storage.session_lock import SessionLock
from tests.exporter.furnishing import run

PATIENCE_SECONDS = 10
SESSIONS = "FROM pg_stat_activity WHERE application_name = 'scaivault-exporter' AND datname = current_database()"


@pytest.fixture
def locks(database_url):
    with contextlib.ExitStack() as stack:

        def make(silent_seconds=PATIENCE_SECONDS):
            lock = SessionLock(database_url, LOCK, silent_seconds)
            stack.callback(lock.let_go)
            return lock

        yield make


def test_one_holds_it_and_goes_on_holding_it(locks):
    first, second = locks(), locks()
    assert [first.hold() for _ in range(3)] == [True] * 3
    assert not second.hold()
    first.let_go()
    await_hold(second)


def await_hold(lock):
    """The server needs a moment to see that a session is over."""
    for _ in range(200):
        if lock.hold():
            return
        lock.is_cut_within(0.05)
    pytest.fail("the lock did not come free")


def test_a_session_that_is_cut_is_noticed_without_asking(database_url, locks):
    first, second = locks(), locks()
    assert first.hold()
    assert not first.is_cut_within(0.01)
    run(database_url, f"SELECT pg_terminate_backend(pid) {SESSIONS}")
    assert first.is_cut_within(PATIENCE_SECONDS)
    await_hold(second)
    with pytest.raises(Unavailable):
        first.hold()
    assert not first.hold()


def test_a_session_that_falls_silent_is_ended_by_the_server(locks):
    first, second = locks(silent_seconds=0.3), locks()
    assert first.hold()
    assert first.is_cut_within(PATIENCE_SECONDS)
    await_hold(second)


def test_a_database_that_is_not_there_is_unavailable():
    lock = SessionLock("postgresql://nobody@127.0.0.1:1/nothing", LOCK, 1)
    with pytest.raises(Unavailable):
        lock.hold()
    assert not lock.is_cut_within(0.01)
