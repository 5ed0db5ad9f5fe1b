"""Upkeep: every job comes round, whatever becomes of the others, and once more at the end. Nothing here sleeps."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from scaivault.kernel.errors import Unavailable
from scaivault.workers.periodic import Job, Periodic, Record

PATIENCE_SECONDS = 10
OFTEN = 0.001
NEVER = 10_000.0


class Chore:
    """Counts its runs, fails with `failures` one by one, and says when it is done."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.runs = 0
        self.ran = threading.Semaphore(0)

    def __call__(self):
        self.runs += 1
        self.ran.release()
        if self.failures:
            raise self.failures.pop(0)

    def await_runs(self, count):
        return all(self.ran.acquire(timeout=PATIENCE_SECONDS) for _ in range(count))


@pytest.fixture
def reported():
    return []


@pytest.fixture
def upkeep(reported):
    made = []

    def make(*jobs):
        made.append(Periodic(jobs, lambda job, failure: reported.append((job, failure))))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_job_comes_round_again_and_again(upkeep):
    chore = Chore()
    upkeep(Job("often", OFTEN, chore)).open()
    assert chore.await_runs(5)


def test_each_job_has_its_own_time(upkeep):
    often, never = Chore(), Chore()
    here = upkeep(Job("never", NEVER, never), Job("often", OFTEN, often))
    here.open()
    assert often.await_runs(5)
    assert never.runs == 0


def test_nothing_runs_before_it_is_due(upkeep):
    chore = Chore()
    here = upkeep(Job("never", NEVER, chore))
    here.open()
    assert chore.runs == 0


@pytest.mark.parametrize("failure", [Unavailable(), OSError("gone"), RuntimeError("a bug"), KeyError("another")])
def test_a_job_that_fails_is_reported_and_tried_again(upkeep, reported, failure):
    chore, other = Chore(failure), Chore()
    upkeep(Job("chore", OFTEN, chore), Job("other", OFTEN, other)).open()
    assert chore.await_runs(3)
    assert other.await_runs(3)
    assert reported == [("chore", failure)]


def test_an_orderly_end_does_every_job_once_more(upkeep):
    chores = [Chore(), Chore()]
    here = upkeep(*(Job(str(number), NEVER, chore) for number, chore in enumerate(chores)))
    here.open()
    here.close()
    assert [chore.runs for chore in chores] == [1, 1]


@pytest.mark.parametrize("failure", [Unavailable(), RuntimeError("a bug")])
def test_a_job_that_fails_at_the_end_does_not_keep_the_next_from_its_last_run(upkeep, reported, failure):
    last = Chore()
    here = upkeep(Job("first", NEVER, Chore(failure)), Job("last", NEVER, last))
    here.open()
    here.close()
    assert last.runs == 1
    assert reported == [("first", failure)]


def test_the_thread_has_ended_when_it_is_closed(upkeep):
    chore = Chore()
    here = upkeep(Job("often", OFTEN, chore))
    here.open()
    assert chore.await_runs(1)
    thread = here._thread
    here.close()
    assert not thread.is_alive()


def test_closing_what_was_never_opened_does_nothing(upkeep):
    chore = Chore()
    upkeep(Job("often", OFTEN, chore)).close()
    assert chore.runs == 0


def test_closing_twice_does_the_last_run_once(upkeep):
    chore = Chore()
    here = upkeep(Job("never", NEVER, chore))
    here.open()
    here.close()
    here.close()
    assert chore.runs == 1


def test_what_was_closed_may_be_opened_again(upkeep):
    chore = Chore()
    here = upkeep(Job("often", OFTEN, chore))
    here.open()
    here.close()
    here.open()
    assert chore.await_runs(chore.runs + 2)


def test_what_is_not_owed_is_not_done_at_the_end(upkeep):
    owed, other = Chore(), Chore()
    periodic = upkeep(Job("other", NEVER, other, is_owed_at_end=False), Job("owed", NEVER, owed))
    periodic.open()
    periodic.close()
    assert (owed.runs, other.runs) == (1, 0)


def test_without_jobs_there_is_no_thread(upkeep):
    before = threading.active_count()
    upkeep().open()
    assert threading.active_count() == before


class TestRecords:
    class HandClock:
        def __init__(self):
            self.instant = datetime(2026, 1, 1, tzinfo=UTC)

        def now(self):
            return self.instant

    def test_it_is_noted_when_each_job_last_ended_well_and_when_not(self):
        clock = self.HandClock()
        chore, other = Chore(Unavailable()), Chore()
        here = Periodic([Job("chore", NEVER, chore), Job("other", NEVER, other)], lambda _job, _failure: None, clock)
        assert here.records["chore"] == Record(None, None)
        here.open()
        here.close()
        failed_at = clock.instant
        clock.instant += timedelta(minutes=1)
        here.open()
        here.close()
        assert here.records["chore"] == Record(last_success=clock.instant, last_failure=failed_at)
        assert here.records["other"] == Record(last_success=clock.instant, last_failure=None)
