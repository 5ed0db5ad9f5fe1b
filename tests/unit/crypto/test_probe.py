"""The probe of the key chain: what it costs, and what it notices."""

import pytest

from scaivault.crypto.envelope import Envelope
from scaivault.crypto.errors import TamperedCiphertext
from scaivault.crypto.keyring import KeyRing
from scaivault.crypto.probe import STATE_SECONDS, WRAP_SECONDS, KeyProbe
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.ports import KeyState
from tests.fakes import MemoryKeys


@pytest.fixture
def asked(kms, monkeypatch):
    """How many times the state was asked for."""
    answers = []
    answer = kms.state
    monkeypatch.setattr(kms, "state", lambda: answers.append(1) or answer())
    return answers


@pytest.fixture
def probe(kms, store, monotonic, asked):
    ring = KeyRing(store, kms, seconds_to_keep=60, most_tenants=9)
    return KeyProbe(kms, Envelope(ring), ring.check_root, monotonic)


def test_before_the_first_check_nothing_is_claimed(probe):
    assert probe.state is KeyState.UNAVAILABLE


def test_every_check_opens_and_few_wrap_or_ask_for_the_state(probe, kms, monotonic, asked):
    for _ in range(4):
        probe.check()
        monotonic.seconds += 1.0
    # One of each is for the key of the installation's that is made by whoever is first.
    assert (kms.calls.count("encrypt"), kms.calls.count("decrypt"), len(asked)) == (1 + 1, 1 + 4, 1)
    assert probe.state is KeyState.ACTIVE
    monotonic.seconds += WRAP_SECONDS
    probe.check()
    assert (kms.calls.count("encrypt"), kms.calls.count("decrypt"), len(asked)) == (3, 5 + 2, 1)
    monotonic.seconds += STATE_SECONDS
    probe.check()
    assert len(asked) == 2


def test_a_failure_is_told_at_once_in_the_state_too(probe, kms):
    probe.check()
    kms.broken = True
    with pytest.raises(Unavailable):
        probe.check()
    assert probe.state is KeyState.UNAVAILABLE
    kms.broken = False
    probe.check()
    assert probe.state is KeyState.ACTIVE


def test_another_root_key_than_before_is_noticed(probe, kms):
    probe.check()
    kms._sealed.clear()
    with pytest.raises(TamperedCiphertext):
        probe.check()


def test_a_root_key_that_is_not_the_installation_s_is_noticed_though_it_works(probe, kms, store):
    probe.check()
    other = MemoryKeys()
    ring = KeyRing(store, other, seconds_to_keep=60, most_tenants=9)
    with pytest.raises(Unavailable, match="root key"):
        KeyProbe(other, Envelope(ring), ring.check_root).check()


def test_the_stored_key_is_looked_up_again_when_the_root_key_was_changed(probe, kms, store, monotonic):
    probe.check()
    [(purpose, row)] = store.system.items()
    kms._sealed.clear()
    store.system.clear()
    monotonic.seconds += WRAP_SECONDS
    probe.check()
    assert store.system[purpose].wrapped != row.wrapped


def test_a_service_that_answers_something_else_is_noticed(probe, kms, monkeypatch):
    probe.check()
    monkeypatch.setattr(kms, "decrypt", lambda *_: bytes(32))
    with pytest.raises(Unavailable, match="does not return"):
        probe.check()
