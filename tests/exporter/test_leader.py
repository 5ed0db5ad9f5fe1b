"""Who leads, by a hand clock: never on yesterday's proof."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from exporter.leader import BEAT_SECONDS, LEASE_SECONDS, SILENCE_SECONDS, Leadership
from scaivault.kernel.errors import Unavailable
from scaivault.storage.reading import ANSWER_SECONDS
from scaivault.storage.session_lock import ANSWER_SECONDS as LOCK_ANSWER_SECONDS
from tests.exporter.clocks import HandClock


class FakeServer:
    """Gives the lock to one session, and ends a session that has been silent for too long."""

    def __init__(self, clock):
        self.clock = clock
        self.holder = None
        self.heard_at = 0.0

    def end_silent(self):
        if self.holder is not None and self.clock() - self.heard_at >= SILENCE_SECONDS:
            self.holder = None


class FakeLock:
    """storage.SessionLock. `delay` passes between the server's answer and its being read, as if frozen just then."""

    def __init__(self, server):
        self.server = server
        self.is_away = False
        self.held = False
        self.delay = 0.0

    def hold(self):
        self.server.end_silent()
        if self.is_away or self.was_ended():
            self.let_go()
            raise Unavailable
        if self.server.holder is None:
            self.server.holder = self
        holds = self.server.holder is self
        if holds:
            self.server.heard_at = self.server.clock()
        self.held = holds
        self.server.clock.forward(self.delay)
        return holds

    def was_ended(self):
        """The server has ended the session that held the lock, which it finds out by asking on it."""
        return self.held and self.server.holder is not self

    def is_cut_within(self, _seconds):
        return False

    def let_go(self):
        self.held = False
        if self.server.holder is self:
            self.server.holder = None


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def server(clock):
    return FakeServer(clock)


@pytest.fixture
def lock(server):
    return FakeLock(server)


@pytest.fixture
def changes():
    return []


@pytest.fixture
def leadership(lock, changes, clock):
    return Leadership(lock, changes.append, clock)


def test_nobody_leads_before_a_proof(leadership, changes):
    assert leadership.term() is None
    assert changes == []


def test_a_proof_is_good_for_the_lease_and_no_longer(leadership, clock, changes):
    leadership.beat()
    assert leadership.term() == 1
    clock.forward(LEASE_SECONDS - 0.01)
    assert leadership.term() == 1
    clock.forward(0.01)
    assert leadership.term() is None
    assert changes == [True]


def test_proofs_go_on_with_the_term(leadership, clock, changes):
    for _ in range(20):
        leadership.beat()
        clock.forward(BEAT_SECONDS)
    assert leadership.term() == 1
    assert changes == [True]


def test_a_proof_counts_from_when_it_was_asked_for(leadership, lock, clock):
    """Frozen between the server's answer and the reading of it: the answer is as old as the question."""
    lock.delay = LEASE_SECONDS
    leadership.beat()
    assert leadership.term() is None


def test_a_leader_that_can_not_prove_it_resigns_at_once(leadership, lock, changes):
    leadership.beat()
    lock.is_away = True
    leadership.beat()
    assert leadership.term() is None
    assert changes == [True, False]


def test_who_finds_the_lock_taken_does_not_lead(server, leadership, clock):
    other = Leadership(FakeLock(server), lambda _: None, clock)
    other.beat()
    leadership.beat()
    assert (other.term(), leadership.term()) == (1, None)


def test_a_term_after_another_has_another_number(leadership, clock):
    leadership.beat()
    clock.forward(LEASE_SECONDS)
    leadership.beat()
    assert leadership.term() == 2


def test_the_times_leave_room_for_each_other():
    """A beat that is answered as late as can be still comes within the lease; the lease ends before the server's
    patience; and all of it fits in the shortest interval there is."""
    assert BEAT_SECONDS + LOCK_ANSWER_SECONDS < LEASE_SECONDS < SILENCE_SECONDS
    assert SILENCE_SECONDS + BEAT_SECONDS < 5
    assert ANSWER_SECONDS < 5


class Exporters(RuleBasedStateMachine):
    """Three exporters that are frozen, cut off and woken in any order, and one that looks at all of them."""

    @initialize()
    def start(self):
        self.clock = HandClock()
        self.server = FakeServer(self.clock)
        self.locks = [FakeLock(self.server) for _ in range(3)]
        self.exporters = [Leadership(lock, lambda _: None, self.clock) for lock in self.locks]

    @rule(which=st.integers(0, 2), delay=st.sampled_from([0.0, 0.1, 2.0, 3.5, 10.0]))
    def beat(self, which, delay):
        self.locks[which].delay = delay
        self.exporters[which].beat()

    @rule(which=st.integers(0, 2), is_away=st.booleans())
    def cut(self, which, is_away):
        self.locks[which].is_away = is_away

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 2.9, 3.0, 4.0, 20.0]))
    def time_passes(self, seconds):
        self.clock.forward(seconds)

    @invariant()
    def at_most_one_leads(self):
        assert len([each for each in self.exporters if each.term() is not None]) <= 1


Exporters.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestExporters = Exporters.TestCase
