"""How old a process's knowledge of who may do what can be. The database is a stand-in that counts and can go away."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from scaivault.kernel.errors import Unavailable
from scaivault.storage.epochs import FRESH_SECONDS, Epochs

THREADS = 8
PATIENCE_SECONDS = 10


class HandClock:
    """A monotonic clock that moves when told, and tells who counts that it was read."""

    def __init__(self):
        self.seconds = 1_000.0
        self.was_read = threading.Semaphore(0)

    def __call__(self):
        self.was_read.release()
        return self.seconds


class Database:
    """Tenants and their epochs. `is_away` is an outage; `before_answer` runs inside every question."""

    def __init__(self, clock):
        self.clock = clock
        self.epochs = {}
        self.newest = 0
        self.sessions = 0
        self.is_away = False
        self.before_answer = lambda: None

    def move(self, tenant_id):
        self.newest += 1
        self.epochs[tenant_id] = self.newest

    @contextlib.contextmanager
    def session(self):
        self.sessions += 1
        self.before_answer()
        if self.is_away:
            raise Unavailable
        yield self

    def one(self, kind, _query):
        return kind(self.newest)

    def many(self, kind, _query, *, since):
        return [kind(tenant_id, epoch) for tenant_id, epoch in self.epochs.items() if epoch > since]


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def database(clock):
    return Database(clock)


@pytest.fixture
def epochs(database, clock):
    return Epochs(database, clock)


def test_a_move_is_known_when_half_a_second_has_passed(epochs, database, clock):
    before = epochs.of("tnt_a")
    database.move("tnt_a")
    clock.seconds += FRESH_SECONDS
    assert epochs.of("tnt_a") == before
    clock.seconds += 0.001
    assert epochs.of("tnt_a") == 1 != before


def test_moves_of_others_change_nothing(epochs, database, clock):
    before = epochs.of("tnt_a")
    database.move("tnt_b")
    clock.seconds += 1
    assert epochs.of("tnt_a") == before
    assert epochs.of("tnt_b") == 1


def test_the_database_is_asked_once_in_half_a_second(epochs, database, clock):
    for _ in range(100):
        epochs.of("tnt_a")
        clock.seconds += FRESH_SECONDS / 100
    assert database.sessions == 1


def test_knowledge_ages_from_the_asking_and_not_from_the_answer(epochs, database, clock):
    """What moved while the answer was under way may not be in it."""

    def takes_a_while():
        clock.seconds += FRESH_SECONDS

    database.before_answer = takes_a_while
    epochs.of("tnt_a")
    database.before_answer = lambda: None
    clock.seconds += 0.001
    epochs.of("tnt_a")
    assert database.sessions == 2


def test_what_moved_while_the_first_question_was_under_way_is_known_at_the_next(epochs, database, clock):
    database.move("tnt_a")
    database.before_answer = lambda: database.move("tnt_b")
    epochs.of("tnt_a")
    database.before_answer = lambda: None
    database.move("tnt_c")
    clock.seconds += 1
    assert epochs.of("tnt_c") == 3


def test_whoever_watches_misses_no_move_from_then_on(epochs, database, clock):
    epochs.watch()
    database.move("tnt_a")
    clock.seconds += 1
    assert epochs.of("tnt_a") == 1
    epochs.watch()
    assert database.sessions == 2


def test_without_the_database_fresh_knowledge_holds_and_old_knowledge_does_not(epochs, database, clock):
    epochs.of("tnt_a")
    database.is_away = True
    clock.seconds += FRESH_SECONDS
    epochs.of("tnt_a")
    clock.seconds += 0.001
    with pytest.raises(Unavailable):
        epochs.of("tnt_a")


def test_every_new_request_asks_anew_and_the_first_answer_ends_the_outage(epochs, database, clock):
    database.is_away = True
    for _ in range(3):
        clock.seconds += 1
        with pytest.raises(Unavailable):
            epochs.of("tnt_a")
    database.is_away = False
    database.move("tnt_a")
    clock.seconds += 1
    epochs.of("tnt_a")
    assert database.sessions == 4


def test_a_fresh_process_without_its_database_knows_nothing(epochs, database):
    database.is_away = True
    for ask in (lambda: epochs.of("tnt_a"), epochs.watch):
        with pytest.raises(Unavailable):
            ask()


class Crowd:
    """Threads that all want to know at once. The first question waits until the others stand behind it."""

    def __init__(self, epochs, clock):
        self.epochs = epochs
        self.arriving = threading.Barrier(THREADS)
        clock.was_read = self.read = threading.Semaphore(0)

    def gather(self):
        """Each has read the clock on its way in; the one that asks, once more."""
        assert all(self.read.acquire(timeout=PATIENCE_SECONDS) for _ in range(THREADS + 1))

    def one(self, _):
        self.arriving.wait(PATIENCE_SECONDS)
        try:
            return self.epochs.of("tnt_a")
        except Unavailable:
            return "unavailable"

    def ask(self):
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(self.one, range(THREADS)))


def test_threads_that_meet_ask_once_and_share_the_answer(epochs, database, clock):
    crowd = Crowd(epochs, clock)
    database.before_answer = crowd.gather
    assert crowd.ask() == [0] * THREADS
    assert database.sessions == 1


def test_threads_that_meet_share_a_failure_too(epochs, database, clock):
    """Were each to try again in turn, the last would wait for eight time-outs."""
    crowd = Crowd(epochs, clock)

    def times_out():
        crowd.gather()
        clock.seconds += 5

    database.before_answer = times_out
    database.is_away = True
    assert crowd.ask() == ["unavailable"] * THREADS
    assert database.sessions == 1
