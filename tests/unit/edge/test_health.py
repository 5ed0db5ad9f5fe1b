"""Readiness: right, cheap, and unmoved by a probe that hangs. Threads meet at barriers and events; nothing sleeps."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from scaivault.edge.health import CACHE_SECONDS, Check, Condition, Finding, Readiness
from scaivault.kernel.errors import Unavailable

PATIENCE_SECONDS = 10
THREADS = 8
PLANTED = "hunter2-planted"


class HandClock:
    def __init__(self):
        self.seconds = 1_000.0

    def __call__(self):
        return self.seconds

    def forward(self, seconds):
        self.seconds += seconds


class Probe:
    """Well, unless `failure` is set; hangs while `gate` is shut; counts its calls."""

    def __init__(self):
        self.calls = 0
        self.failure = None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.done = threading.Semaphore(0)

    def __call__(self):
        self.calls += 1
        self.entered.release()
        assert self.gate.wait(PATIENCE_SECONDS)
        self.done.release()
        if self.failure:
            raise self.failure


class Room:
    """A readiness of named probes, under a clock that the test moves."""

    def __init__(self, *names, deadline_seconds=PATIENCE_SECONDS):
        self.clock = HandClock()
        self.probes = {name: Probe() for name in names}
        self.closed = []
        checks = {name: Check(probe, deadline_seconds) for name, probe in self.probes.items()}
        self.changes = []
        self.readiness = Readiness(
            checks, [lambda: self.closed.append("closed")], lambda *change: self.changes.append(change), self.clock
        )

    def look(self):
        """What is reported once the last answer is too old, one word a component."""
        self.clock.forward(2 * CACHE_SECONDS)
        return {name: found.condition.value for name, found in self.readiness.findings().items()}

    def leave(self):
        for probe in self.probes.values():
            probe.gate.set()
        self.readiness.close()


@pytest.fixture
def room(request):
    made = []

    def make(*names, **options):
        made.append(Room(*names, **options))
        return made[-1]

    yield make
    for each in made:
        each.leave()


def test_all_is_well(room):
    here = room("database", "redis")
    findings = here.readiness.findings()
    assert [found.condition for found in findings.values()] == [Condition.OK] * 2
    assert all(found.latency_ms >= 0 for found in findings.values())


class TestCache:
    def test_an_answer_is_good_for_a_second(self, room):
        here = room("database")
        for elapsed in (0, 0.5, 0.5):
            here.clock.forward(elapsed)
            here.readiness.findings()
        assert here.probes["database"].calls == 1

    def test_and_no_longer(self, room):
        here = room("database")
        here.readiness.findings()
        here.clock.forward(CACHE_SECONDS + 0.001)
        here.readiness.findings()
        assert here.probes["database"].calls == 2

    def test_the_second_counts_from_the_end_of_the_look(self, room):
        """A look that took long must not be out of date the moment it is made."""
        here = room("database")
        here.probes["database"].failure = None
        slow = here.probes["database"]
        original = slow.__class__.__call__

        def takes_a_while():
            here.clock.forward(3)
            original(slow)

        here.readiness._watches["database"].check = Check(takes_a_while, PATIENCE_SECONDS)
        here.readiness.findings()
        here.clock.forward(0.9)
        here.readiness.findings()
        assert slow.calls == 1

    def test_nobody_queues_behind_a_look_that_takes_its_time(self, room):
        """Who asks meanwhile is told what was found last, and asks nobody."""
        here = room("database", "redis")
        before = here.readiness.findings()
        here.clock.forward(2 * CACHE_SECONDS)
        slow = here.probes["database"]
        slow.gate.clear()
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(here.readiness.findings)
            assert slow.entered.acquire(timeout=PATIENCE_SECONDS)
            assert slow.entered.acquire(timeout=PATIENCE_SECONDS)
            assert [here.readiness.findings() for _ in range(THREADS)] == [before] * THREADS
            assert not first.done()
            slow.gate.set()
            assert first.result(PATIENCE_SECONDS) is here.readiness.findings()
        assert [probe.calls for probe in here.probes.values()] == [2, 2]

    def test_who_asks_before_anything_is_known_is_told_that(self, room):
        here = room("database", "redis")
        slow = here.probes["database"]
        slow.gate.clear()
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(here.readiness.findings)
            assert slow.entered.acquire(timeout=PATIENCE_SECONDS)
            words = {found.condition for found in here.readiness.findings().values()}
            assert words == {Condition.STARTING}
            slow.gate.set()
            assert {found.condition for found in first.result(PATIENCE_SECONDS).values()} == {Condition.OK}

    def test_the_last_findings_are_to_be_had_without_a_look(self, room):
        here = room("database")
        assert here.readiness.last()["database"].condition is Condition.STARTING
        found = here.readiness.findings()
        here.clock.forward(1_000)
        assert here.readiness.last() is found
        assert here.probes["database"].calls == 1

    def test_a_look_is_made_when_it_is_asked_for_however_new_the_last_one_is(self, room):
        here = room("database")
        here.readiness.look()
        here.readiness.look()
        assert here.probes["database"].calls == 2


class TestTolerance:
    def test_the_first_bad_answer_of_a_fresh_process_counts(self, room):
        here = room("database", "redis")
        here.probes["redis"].failure = Unavailable()
        assert here.look() == {"database": "ok", "redis": "unreachable"}

    def test_one_bad_answer_in_between_does_not(self, room):
        here = room("database")
        probe = here.probes["database"]
        for failure in (None, Unavailable(), None, Unavailable(), None):
            probe.failure = failure
            assert here.look() == {"database": "ok"}

    def test_the_second_in_a_row_does_and_the_first_good_one_ends_it(self, room):
        here = room("database")
        assert here.look() == {"database": "ok"}
        here.probes["database"].failure = Unavailable()
        assert [here.look()["database"] for _ in range(3)] == ["ok", "unreachable", "unreachable"]
        here.probes["database"].failure = None
        assert [here.look()["database"] for _ in range(2)] == ["ok", "ok"]

    def test_what_is_lost_and_what_is_back_is_told_once(self, room):
        here = room("database", "redis")
        probe, away = here.probes["redis"], Unavailable()
        for failure in (None, away, away, away, None, None):
            probe.failure = failure
            here.look()
        assert here.changes == [("redis", Condition.UNREACHABLE, away), ("redis", Condition.OK, None)]

    def test_what_a_fresh_process_does_not_find_is_told(self, room):
        here = room("database")
        here.probes["database"].failure = trouble = ValueError()
        here.look()
        assert here.changes == [("database", Condition.ERROR, trouble)]

    def test_after_recovery_one_bad_answer_is_forgiven_again(self, room):
        here = room("database")
        here.probes["database"].failure = Unavailable()
        here.look()
        here.probes["database"].failure = None
        here.look()
        here.probes["database"].failure = Unavailable()
        assert [here.look()["database"] for _ in range(2)] == ["ok", "unreachable"]

    def test_components_are_forgiven_on_their_own(self, room):
        here = room("database", "redis")
        here.look()
        here.probes["redis"].failure = Unavailable()
        here.look()
        here.probes["database"].failure = Unavailable()
        assert here.look() == {"database": "ok", "redis": "unreachable"}


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        (Unavailable(PLANTED), "unreachable"),
        (RuntimeError(PLANTED), "error"),
        (KeyError(PLANTED), "error"),
        (TimeoutError(PLANTED), "timeout"),
        (AssertionError(PLANTED), "error"),
    ],
)
def test_whatever_a_probe_dies_of_the_answer_is_a_word(room, failure, word):
    here = room("encryption")
    here.probes["encryption"].failure = failure
    assert here.look() == {"encryption": word}
    assert PLANTED not in repr(here.readiness.findings())


class TestHanging:
    def test_a_probe_that_hangs_is_late_and_delays_nobody_else(self, room):
        here = room("database", "redis", deadline_seconds=0.05)
        here.probes["database"].gate.clear()
        assert here.look() == {"database": "timeout", "redis": "ok"}
        assert here.readiness.findings()["database"] == Finding(Condition.TIMEOUT, None)

    def test_probes_run_side_by_side(self, room):
        here = room("database", "redis", "encryption")
        meeting = threading.Barrier(3)
        for watch in here.readiness._watches.values():
            watch.check = Check(lambda: meeting.wait(PATIENCE_SECONDS), PATIENCE_SECONDS)
        assert set(here.look().values()) == {"ok"}

    def test_it_is_not_asked_again_until_it_has_come_back(self, room):
        here = room("database", "redis", deadline_seconds=0.02)
        hung = here.probes["database"]
        hung.gate.clear()
        for _ in range(4):
            assert here.look()["database"] == "timeout"
        assert (hung.calls, here.probes["redis"].calls) == (1, 4)

        hung.gate.set()
        assert hung.done.acquire(timeout=PATIENCE_SECONDS)
        here.readiness._watches["database"].running.result(PATIENCE_SECONDS)
        assert here.look()["database"] == "ok"
        assert hung.calls == 2

    def test_it_is_waited_for_once(self, room):
        """Its deadline runs from when it was asked: while it hangs, the later looks are made without it."""
        here = room("database")
        waited = []

        class Hung(Future):
            def result(self, timeout=None):
                waited.append(timeout)
                raise TimeoutError

        watch = here.readiness._watches["database"]
        watch.running, watch.asked_at = Hung(), here.clock()
        here.look()
        here.clock.forward(PATIENCE_SECONDS)
        here.look()
        assert waited == [PATIENCE_SECONDS - 2 * CACHE_SECONDS, 0.0]

    def test_all_may_hang_and_the_answer_still_comes(self, room):
        here = room("database", "redis", "encryption", deadline_seconds=0.02)
        for probe in here.probes.values():
            probe.gate.clear()
        assert here.look() == dict.fromkeys(here.probes, "timeout")

    def test_what_it_says_when_it_is_too_late_is_not_news(self, room):
        """An answer to yesterday's question does not say how it is today."""
        here = room("database", deadline_seconds=0.02)
        hung = here.probes["database"]
        hung.gate.clear()
        here.look()
        hung.gate.set()
        here.readiness._watches["database"].running.result(PATIENCE_SECONDS)
        hung.failure = Unavailable()
        assert here.look() == {"database": "unreachable"}


def test_closing_closes_what_the_probes_keep_open(room):
    here = room("database")
    here.look()
    here.readiness.close()
    assert here.closed == ["closed"]


def test_closing_does_not_wait_for_a_probe_that_hangs(room):
    here = room("database", deadline_seconds=0.02)
    here.probes["database"].gate.clear()
    here.look()
    here.readiness.close()
    assert here.closed == ["closed"]
