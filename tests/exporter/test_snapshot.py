"""What was seen is told while it is fresh and of this term, and not a moment longer."""

import threading

import pytest

from exporter.snapshot import Collector, Watch
from scaivault.observability.catalogue.features import SECRETS
from scaivault.observability.exposition import gauge
from tests.exporter.clocks import HandClock

INTERVAL, DEADLINE = 15.0, 5.0
PATIENCE_SECONDS = 10


class Source:
    """Looked at by a collector: `failure` is raised, `seconds` pass, the gate may be shut."""

    def __init__(self, clock):
        self.clock = clock
        self.failure = None
        self.seconds = 0.0
        self.looks = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def look(self):
        self.looks += 1
        self.entered.release()
        assert self.gate.wait(PATIENCE_SECONDS)
        self.clock.forward(self.seconds)
        if self.failure:
            raise self.failure
        return [gauge(SECRETS, [(("tnt_a",), float(self.looks))])]


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def source(clock):
    return Source(clock)


@pytest.fixture
def term():
    return [1]


@pytest.fixture
def told():
    return []


@pytest.fixture
def watch(source, clock, term, told):
    watch = Watch(
        Collector("secrets", source.look, DEADLINE),
        INTERVAL,
        lambda: term[0],
        lambda: told.append("seen"),
        lambda name, failure: told.append((name, failure)),
        clock,
        lambda: clock() + 1_000_000,
    )
    yield watch
    source.gate.set()
    watch.close()


def number(watch, term=1):
    snapshot = watch.fresh(term)
    return snapshot.families[0].samples[0].value if snapshot else None


def test_nothing_is_told_before_a_look(watch):
    assert number(watch) is None
    assert not watch.is_up(1)
    assert (watch.last_success_at, watch.last_seconds) == (0.0, 0.0)


def test_what_was_seen_is_told_for_three_intervals(watch, clock, told):
    assert watch.look(1)
    assert (number(watch), watch.is_up(1), told) == (1, True, ["seen"])
    clock.forward(3 * INTERVAL)
    assert number(watch) == 1
    clock.forward(0.001)
    assert number(watch) is None
    assert not watch.is_up(1)
    assert watch.last_success_at == 1_001_000.0


def test_it_is_as_old_as_the_look_s_beginning(watch, clock, source):
    source.seconds = 4.0
    assert watch.look(1)
    assert watch.last_seconds == 4.0
    clock.forward(3 * INTERVAL - 4.0)
    assert number(watch) == 1
    clock.forward(0.001)
    assert number(watch) is None


def test_a_look_that_fails_leaves_what_is_fresh_and_says_so(watch, source, told):
    watch.look(1)
    source.failure = ValueError("planted")
    assert not watch.look(1)
    assert (number(watch), watch.is_up(1)) == (1, False)
    assert told[-1] == ("secrets", source.failure)
    source.failure = None
    assert watch.look(1)
    assert (number(watch), watch.is_up(1)) == (3, True)


def test_a_look_that_comes_too_late_has_failed(watch, source, told):
    source.seconds = DEADLINE + 0.001
    assert not watch.look(1)
    assert number(watch) is None
    assert told == [("secrets", None)]


@pytest.mark.parametrize("asked", [None, 2])
def test_what_was_seen_in_one_term_is_not_told_in_another(watch, asked):
    watch.look(1)
    assert number(watch, asked) is None
    assert not watch.is_up(asked)


def test_a_look_that_hangs_is_not_begun_again_and_what_was_seen_grows_old(watch, source, clock):
    watch.look(1)
    source.entered.acquire()
    source.gate.clear()
    watch.open()
    assert source.entered.acquire(timeout=PATIENCE_SECONDS)
    assert not watch.is_stuck()
    clock.forward(DEADLINE + 0.001)
    assert watch.is_stuck()
    assert (number(watch), watch.is_up(1)) == (1, False)
    watch.wake()
    clock.forward(3 * INTERVAL)
    assert number(watch) is None
    assert source.looks == 2
    source.gate.set()


def test_nobody_looks_who_does_not_lead(watch, source, term):
    term[0] = None
    watch.open()
    watch.wake()
    assert not source.entered.acquire(timeout=0.2)
    term[0] = 1
    watch.wake()
    assert source.entered.acquire(timeout=PATIENCE_SECONDS)
