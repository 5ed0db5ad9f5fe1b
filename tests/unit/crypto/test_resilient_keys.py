"""Retries: how often, how long, for what; and when nobody is asked any more."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.crypto.errors import KeyServiceAway, TamperedCiphertext
from scaivault.crypto.kms.resilient import FIRST_PAUSE_SECONDS, MOST_FAILURES, MOST_RETRIES, OPEN_SECONDS, ResilientKeys
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.ports import KeyState
from tests.fakes import MemoryKeys

ACTS = {
    "encrypt": lambda keys: keys.encrypt(bytes(32), b""),
    "decrypt": lambda keys: keys.decrypt(b"sealed", b""),
    "sign": lambda keys: keys.sign(b"message"),
}


class Stage:
    """A key service of scripted failures, on a clock that moves by what calls and pauses take."""

    def __init__(self, *failures, call_seconds=0.0, attempt_seconds=1.0, deadline_seconds=5.0, spread=1.0):
        self.failures = list(failures)
        self.now = 0.0
        self.call_seconds = call_seconds
        self.pauses = []
        self.inner = MemoryKeys(before=self.before)
        self.keys = ResilientKeys(
            self.inner,
            attempt_seconds=attempt_seconds,
            deadline_seconds=deadline_seconds,
            monotonic=lambda: self.now,
            sleep=self.sleep,
            uniform=lambda low, high: low + (high - low) * spread,
        )

    def before(self, _operation, _subject):
        self.now += self.call_seconds
        if self.failures:
            failure = self.failures.pop(0)
            if failure is not None:
                raise failure

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds

    def fail_until_open(self):
        for _ in range(MOST_FAILURES):
            self.failures = [Unavailable()]
            with pytest.raises(Unavailable):
                self.keys.sign(b"")
        self.inner.calls.clear()


@pytest.mark.parametrize("act", [ACTS["encrypt"], ACTS["sign"]], ids=["encrypt", "sign"])
def test_what_passes_is_asked_again(act):
    stage = Stage(KeyServiceAway(), KeyServiceAway())
    assert act(stage.keys)
    assert len(stage.inner.calls) == 3


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_twice_and_then_no_more(act):
    stage = Stage(*[KeyServiceAway()] * 9)
    with pytest.raises(KeyServiceAway):
        act(stage.keys)
    assert len(stage.inner.calls) == 1 + MOST_RETRIES
    assert stage.pauses == [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS]


@pytest.mark.parametrize("failure", [Unavailable(), TamperedCiphertext(), ValueError()], ids=repr)
def test_nothing_else_is_asked_again(failure):
    stage = Stage(failure)
    with pytest.raises(type(failure)):
        stage.keys.encrypt(bytes(32), b"")
    assert len(stage.inner.calls) == 1


@given(
    call_seconds=st.floats(0, 3),
    deadline_seconds=st.floats(3, 12),
    spread=st.floats(0, 1),
)
def test_no_operation_outlasts_its_deadline(call_seconds, deadline_seconds, spread):
    stage = Stage(
        *[KeyServiceAway()] * 9,
        call_seconds=call_seconds,
        attempt_seconds=3.0,
        deadline_seconds=deadline_seconds,
        spread=spread,
    )
    with pytest.raises(KeyServiceAway):
        stage.keys.sign(b"")
    assert stage.now <= deadline_seconds + 1e-9
    assert all(0 <= pause <= FIRST_PAUSE_SECONDS * 2**turn for turn, pause in enumerate(stage.pauses))


def test_who_is_down_is_not_asked_for_a_while_and_then_once():
    stage = Stage()
    stage.fail_until_open()
    for act in ACTS.values():
        with pytest.raises(KeyServiceAway):
            act(stage.keys)
    assert stage.inner.calls == []
    stage.now += OPEN_SECONDS
    stage.failures = [Unavailable()]
    with pytest.raises(Unavailable):
        stage.keys.sign(b"")
    with pytest.raises(KeyServiceAway):
        stage.keys.sign(b"")
    assert stage.inner.calls == ["sign"]
    stage.now += OPEN_SECONDS
    assert stage.keys.sign(b"")
    assert stage.keys.sign(b"")


def test_while_one_probes_the_others_are_turned_away():
    stage = Stage()
    stage.fail_until_open()
    stage.now += OPEN_SECONDS
    inside, go_on = threading.Event(), threading.Event()

    def hold(_operation, _subject):
        inside.set()
        go_on.wait(10)

    stage.inner.before = hold
    probe = threading.Thread(target=stage.keys.sign, args=(b"",))
    probe.start()
    assert inside.wait(10)
    with pytest.raises(KeyServiceAway):
        stage.keys.sign(b"")
    go_on.set()
    probe.join(10)
    assert stage.keys.sign(b"")


def test_tampered_ciphertexts_do_not_open_the_circuit():
    stage = Stage()
    for _ in range(MOST_FAILURES + 1):
        with pytest.raises(TamperedCiphertext):
            stage.keys.decrypt(b"hostile", b"")
    assert stage.keys.sign(b"")


def test_the_state_is_asked_past_the_circuit():
    stage = Stage()
    stage.fail_until_open()
    assert stage.keys.state() is KeyState.ACTIVE
    stage.inner.broken = True
    assert stage.keys.state() is KeyState.UNAVAILABLE
