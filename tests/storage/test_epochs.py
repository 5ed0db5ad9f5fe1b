"""Epochs over two processes' worth of connections: every move is seen, in time, whoever else moves."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from scaivault.storage import epochs
from scaivault.storage.database import Database
from scaivault.storage.epochs import Epochs
from tests.waiting import await_in_force

THREADS = 6
MOVES = 15
PATIENCE_SECONDS = 30
TENANTS = [f"tnt_{number}" for number in range(THREADS)]


@pytest.fixture
def make_database(database_url):
    made = []

    def make():
        database = Database(database_url, THREADS, lambda _seconds: None)
        database.open()
        made.append(database)
        return database

    yield make
    for database in made:
        database.close()


@pytest.fixture
def here(make_database, database_url):
    """The process that moves."""
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO partners (id, name) VALUES ('ptn_a', '')")
        for tenant_id in TENANTS:
            connection.execute("INSERT INTO tenants (id, partner_id, name) VALUES (%s, 'ptn_a', '')", [tenant_id])
    return make_database()


@pytest.fixture
def elsewhere(here, make_database):
    """What another process knows, asking whenever it may."""
    return Epochs(make_database())


@pytest.fixture
def attentive(here, make_database):
    """What a process knows that asks every time."""
    seconds = iter(range(10**9))
    return Epochs(make_database(), lambda: float(next(seconds)))


def move(database, tenant_id=TENANTS[0]):
    with database.transaction() as tx:
        epochs.move(tx, tenant_id)


def newest(database):
    with database.session() as session:
        return epochs.find_newest(session)


def test_a_move_is_seen_elsewhere_within_its_time(here, elsewhere):
    for _ in range(2):
        before = elsewhere.of(TENANTS[0])
        move(here)
        await_in_force(lambda: elsewhere.of(TENANTS[0]), lambda after, before=before: after != before)


def test_a_move_is_the_moving_tenants_alone(here, attentive):
    before = {tenant_id: attentive.of(tenant_id) for tenant_id in TENANTS}
    move(here)
    assert {tenant_id for tenant_id in TENANTS if attentive.of(tenant_id) != before[tenant_id]} == {TENANTS[0]}


def test_a_move_that_is_rolled_back_has_never_been(here, attentive):
    before = attentive.of(TENANTS[0])
    with pytest.raises(ValueError, match="never mind"), here.transaction() as tx:
        epochs.move(tx, TENANTS[0])
        raise ValueError("never mind")
    assert attentive.of(TENANTS[0]) == before
    assert newest(here) == 0


def test_a_move_is_seen_when_it_is_committed_and_not_before(here, attentive):
    before = attentive.of(TENANTS[0])
    with here.transaction() as tx:
        epochs.move(tx, TENANTS[0])
        assert attentive.of(TENANTS[0]) == before
    assert attentive.of(TENANTS[0]) == before + 1


def test_whoever_moves_later_is_seen_later(here, attentive):
    """The second mover waits for the first: otherwise its higher epoch would hide the lower one that comes after."""
    first_has_moved, second_has_begun = threading.Event(), threading.Event()

    def second():
        assert first_has_moved.wait(PATIENCE_SECONDS)
        with here.transaction() as tx:
            second_has_begun.set()
            epochs.move(tx, TENANTS[1])

    attentive.watch()
    with ThreadPoolExecutor(1) as pool:
        moving = pool.submit(second)
        with here.transaction() as tx:
            epochs.move(tx, TENANTS[0])
            first_has_moved.set()
            assert second_has_begun.wait(PATIENCE_SECONDS)
            assert attentive.of(TENANTS[1]) == 0
        moving.result(PATIENCE_SECONDS)
    assert (attentive.of(TENANTS[0]), attentive.of(TENANTS[1])) == (1, 2)


def test_of_many_moves_at_once_none_is_missed(here, attentive):
    """The watcher asks all the while; in the end it knows of each tenant's last move."""
    start = threading.Barrier(THREADS + 1)
    moved = threading.Event()
    known = {}

    def mover(tenant_id):
        start.wait(PATIENCE_SECONDS)
        for _ in range(MOVES):
            move(here, tenant_id)

    def watcher():
        while not moved.is_set():
            for tenant_id in TENANTS:
                epoch = attentive.of(tenant_id)
                assert epoch >= known.get(tenant_id, 0)
                known[tenant_id] = epoch

    with ThreadPoolExecutor(THREADS + 1) as pool:
        attentive.watch()
        watching = pool.submit(watcher)
        moving = [pool.submit(mover, tenant_id) for tenant_id in TENANTS]
        start.wait(PATIENCE_SECONDS)
        for each in moving:
            each.result(PATIENCE_SECONDS)
        moved.set()
        watching.result(PATIENCE_SECONDS)
    with here.session() as session:
        stored = {row.tenant_id: row.epoch for row in epochs.list_moved(session, 0)}
    assert {tenant_id: attentive.of(tenant_id) for tenant_id in TENANTS} == stored
    assert newest(here) == max(stored.values()) == THREADS * MOVES
    assert len(set(stored.values())) == THREADS


def test_a_schema_without_its_clock_is_named(here, elsewhere):
    with here.session() as session:
        session.run("DELETE FROM authority_clock")
    for ask in (lambda: move(here), lambda: elsewhere.of(TENANTS[0])):
        with pytest.raises(RuntimeError, match="server migrate"):
            ask()
