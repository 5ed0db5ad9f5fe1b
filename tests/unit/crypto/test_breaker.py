"""The circuit breaker against a model of what it promises."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scaivault.crypto.kms.breaker import Breaker, Circuit

MOST_FAILURES = 3
OPEN_SECONDS = 10.0


class Promises(RuleBasedStateMachine):
    """Calls begin and end in any order while time passes; the model knows only the promise."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.breaker = Breaker(most_failures=MOST_FAILURES, open_seconds=OPEN_SECONDS, monotonic=lambda: self.now)
        self.under_way = []  # (ticket, how many times the circuit had turned)
        self.turns = 0
        self.failures = 0
        self.opened_at = None
        self.probing = False

    @rule(seconds=st.sampled_from([0.0, 1.0, OPEN_SECONDS - 0.5, OPEN_SECONDS]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def a_call_begins(self):
        ticket = self.breaker.enter()
        if self.opened_at is None:
            assert ticket is not None
        elif self.probing or self.now < self.opened_at + OPEN_SECONDS:
            assert ticket is None
        else:
            assert ticket is not None
            self.probing = True
            self.turns += 1
        if ticket is not None:
            self.under_way.append((ticket, self.turns))

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(min_value=0), well=st.booleans())
    def a_call_ends(self, which, well):
        ticket, turns = self.under_way.pop(which % len(self.under_way))
        self.breaker.settle(ticket, well=well)
        if turns != self.turns:
            return
        if well:
            self.failures = 0
            if self.probing:
                self.probing, self.opened_at, self.turns = False, None, self.turns + 1
            return
        self.failures += 1
        if self.probing or self.failures == MOST_FAILURES:
            self.probing, self.failures = False, 0
            self.opened_at, self.turns = self.now, self.turns + 1

    @invariant()
    def the_circuit_is_what_the_model_says(self):
        expected = Circuit.HALF_OPEN if self.probing else Circuit.CLOSED if self.opened_at is None else Circuit.OPEN
        assert self.breaker.circuit is expected

    @invariant()
    def at_most_one_probe_is_under_way(self):
        if self.probing:
            assert sum(turns == self.turns for _, turns in self.under_way) == 1


TestPromises = Promises.TestCase


@pytest.fixture
def breaker(monotonic):
    return Breaker(most_failures=2, open_seconds=5.0, monotonic=monotonic)


def test_a_success_between_failures_begins_the_count_anew(breaker):
    for well in (False, True, False):
        breaker.settle(breaker.enter(), well=well)
    assert breaker.circuit is Circuit.CLOSED


def test_what_began_before_it_opened_does_not_close_it(breaker, monotonic):
    early = [breaker.enter() for _ in range(3)]
    breaker.settle(early[0], well=False)
    breaker.settle(early[1], well=False)
    monotonic.seconds += 5.0
    probe = breaker.enter()
    breaker.settle(early[2], well=True)
    assert breaker.circuit is Circuit.HALF_OPEN
    breaker.settle(probe, well=True)
    assert breaker.circuit is Circuit.CLOSED
