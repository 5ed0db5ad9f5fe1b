"""Threads that serve at most so many at once, and go on serving however many wait."""

import contextlib
import threading
from concurrent.futures import CancelledError

import pytest

from scaivault.gunicorn_threads import LendingThreads
from tests.waiting import await_true

PATIENCE_SECONDS = 60


@pytest.fixture
def gates():
    """Events that are all set in the end, so that no thread stays behind a test that fails."""
    made = []

    def gate():
        made.append(threading.Event())
        return made[-1]

    yield gate
    for each in made:
        each.set()


class Tally:
    """How many are at work, and the most there ever were."""

    def __init__(self):
        self._turn = threading.Lock()
        self.now = self.most = 0

    @contextlib.contextmanager
    def work(self):
        with self._turn:
            self.now += 1
            self.most = max(self.most, self.now)
        yield
        with self._turn:
            self.now -= 1


def request_threads():
    return [each for each in threading.enumerate() if each.name == "request"]


def test_what_comes_of_a_call_is_told():
    threads = LendingThreads(2)
    assert threads.submit(lambda number: number + 1, 1).result(PATIENCE_SECONDS) == 2
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 // 0).result(PATIENCE_SECONDS)
    threads.shutdown()


def test_no_more_than_so_many_are_at_work_at_once(gates):
    threads, tally, gate = LendingThreads(3), Tally(), gates()

    def work():
        with tally.work():
            gate.wait(PATIENCE_SECONDS)

    done = [threads.submit(work) for _ in range(10)]
    await_true(lambda: tally.now == 3)
    gate.set()
    for each in done:
        each.result(PATIENCE_SECONDS)
    assert tally.most == 3
    threads.shutdown()


def test_a_hundred_that_wait_keep_nobody_from_being_served(gates):
    threads, gate, tally = LendingThreads(4), gates(), Tally()

    def wait():
        with threads.lent():
            gate.wait(PATIENCE_SECONDS)
        with tally.work():
            return True

    waiting = [threads.submit(wait) for _ in range(100)]
    served = [threads.submit(lambda: "served") for _ in range(50)]
    assert [each.result(PATIENCE_SECONDS) for each in served] == ["served"] * 50
    assert not any(each.done() for each in waiting)
    gate.set()
    assert all(each.result(PATIENCE_SECONDS) for each in waiting)
    assert tally.most <= 4, "whoever comes back takes a place like everybody"
    threads.shutdown()


def test_the_threads_that_were_one_too_many_end(gates):
    before = len(request_threads())
    threads, gate = LendingThreads(2), gates()

    def wait():
        with threads.lent():
            gate.wait(PATIENCE_SECONDS)

    waiting = [threads.submit(wait) for _ in range(20)]
    await_true(lambda: threads._lent == 20)
    assert len(request_threads()) >= before + 20
    gate.set()
    for each in waiting:
        each.result(PATIENCE_SECONDS)
    await_true(lambda: len(request_threads()) <= before + 2)
    threads.shutdown()
    await_true(lambda: len(request_threads()) == before)


def test_who_comes_back_is_not_kept_waiting_by_who_comes_anew(gates):
    threads, gate, hold = LendingThreads(1), gates(), gates()
    order = []

    def waits():
        with threads.lent():
            gate.wait(PATIENCE_SECONDS)
        order.append("back")

    def holds():
        gate.set()
        await_true(lambda: threads._returning == 1)
        hold.wait(PATIENCE_SECONDS)

    first = threads.submit(waits)
    threads.submit(holds)
    later = [threads.submit(order.append, "new") for _ in range(5)]
    hold.set()
    for each in (first, *later):
        each.result(PATIENCE_SECONDS)
    assert order == ["back", *["new"] * 5]
    threads.shutdown()


def test_a_wait_that_fails_gives_its_place_back():
    threads = LendingThreads(1)

    def fails():
        with threads.lent():
            raise ValueError

    for _ in range(3):
        with pytest.raises(ValueError, match=r"^$"):
            threads.submit(fails).result(PATIENCE_SECONDS)
    assert threads.submit(lambda: "served").result(PATIENCE_SECONDS) == "served"
    threads.shutdown()


def test_what_was_not_begun_at_the_end_is_cancelled(gates):
    threads, gate, begun = LendingThreads(1), gates(), gates()

    def work():
        begun.set()
        gate.wait(PATIENCE_SECONDS)
        return "done"

    under_way, never = threads.submit(work), threads.submit(work)
    assert begun.wait(PATIENCE_SECONDS)
    threads.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(CancelledError):
        never.result(PATIENCE_SECONDS)
    gate.set()
    assert under_way.result(PATIENCE_SECONDS) == "done"
    with pytest.raises(RuntimeError):
        threads.submit(work)
