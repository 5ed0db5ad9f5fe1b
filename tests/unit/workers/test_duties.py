"""Duties: done while there is something to do, rested from when there is not, and nobody's fault but their own."""

import threading

import pytest

from scaivault.workers.duties import Crew, Duty, pause_after

PATIENCE_SECONDS = 10


class Hearer:
    def __init__(self):
        self.done, self.failures = [], []
        self.news = threading.Condition()

    def did(self, duty, how_much):
        with self.news:
            self.done.append((duty, how_much))
            self.news.notify_all()

    def failed(self, duty, failure):
        with self.news:
            self.failures.append((duty, str(failure)))
            self.news.notify_all()

    def await_true(self, check):
        with self.news:
            assert self.news.wait_for(check, PATIENCE_SECONDS), (self.done, self.failures)


@pytest.fixture
def hearer():
    return Hearer()


@pytest.fixture
def crew(hearer):
    opened = []

    def open_crew(*duties):
        made = Crew(duties, hearer)
        made.open()
        opened.append(made)
        return made

    yield open_crew
    for each in opened:
        assert each.close(PATIENCE_SECONDS)


def test_what_has_more_to_do_is_called_again_at_once(crew, hearer):
    left = [3, 2, 1, 0]
    crew(Duty("work", 3_600, lambda: left.pop(0)))
    hearer.await_true(lambda: hearer.done == [("work", 3), ("work", 2), ("work", 1), ("work", 0)])


def test_who_rests_is_woken_by_a_bell(crew, hearer):
    made = crew(Duty("work", 3_600, lambda: 0))
    hearer.await_true(lambda: len(hearer.done) == 1)
    made.wake("work")
    hearer.await_true(lambda: len(hearer.done) == 2)


def test_a_bell_that_rings_during_the_work_is_heard_after_it(crew, hearer):
    working, go_on = threading.Event(), threading.Event()

    def run():
        working.set()
        assert go_on.wait(PATIENCE_SECONDS)
        return 0

    made = crew(Duty("work", 3_600, run))
    assert working.wait(PATIENCE_SECONDS)
    made.wake("work")
    go_on.set()
    hearer.await_true(lambda: len(hearer.done) >= 2)


def test_one_that_fails_or_has_a_hundred_thousand_things_to_do_holds_up_nobody(crew, hearer):
    def fail():
        raise RuntimeError("in vain")

    crew(Duty("broken", 0, fail), Duty("greedy", 0, lambda: 1), Duty("modest", 0.01, lambda: 0))
    hearer.await_true(lambda: hearer.done.count(("modest", 0)) >= 5)
    assert ("broken", "in vain") in hearer.failures


def test_a_batch_that_is_under_way_is_finished_and_none_begun(hearer):
    working, go_on = threading.Event(), threading.Event()

    def run():
        working.set()
        go_on.wait(PATIENCE_SECONDS)
        return 1

    made = Crew([Duty("work", 0, run)], hearer)
    made.open()
    assert working.wait(PATIENCE_SECONDS)
    assert not made.close(0)
    go_on.set()
    assert made.close(PATIENCE_SECONDS)
    assert hearer.done == [("work", 1)]


def test_pauses_double_are_bounded_and_never_all_alike():
    for failures, longest in ((1, 1), (2, 2), (3, 4), (7, 60), (1_000_000, 60)):
        pauses = {pause_after(failures) for _ in range(50)}
        assert len(pauses) > 1
        assert all(longest / 2 <= pause <= longest for pause in pauses)
