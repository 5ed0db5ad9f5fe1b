"""How long the issuer's keys are kept, when they are fetched again, and who waits."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from scaivault.crypto.jwt.key_set import parse_key_set
from scaivault.features.identity.service import issuer_keys
from scaivault.features.identity.service.issuer_keys import IssuerKeys, KeySource
from scaivault.kernel.errors import TokenInvalid, Unavailable
from scaivault.outbound.errors import NoDocument
from scaivault.outbound.http import Document
from tests.issuer import as_json, ec_key, jwk

HOUR = 3_600.0


def key_set(*names):
    return parse_key_set(as_json({"keys": [jwk(ec_key(name), name) for name in names]}))


class Issuer:
    """A fetch that can be made to fail or to hang, and a clock by hand."""

    def __init__(self):
        self.keys, self.fresh_seconds = key_set("a"), HOUR
        self.is_away = False
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.reached = threading.Event()
        self.fetches = 0
        self.failures = []
        self.now = 1_000.0
        self.issuer_keys = IssuerKeys(self.fetch, lambda: self.now, self.failures.append)

    def fetch(self):
        self.fetches += 1
        self.reached.set()
        assert self.may_answer.wait(20)
        if self.is_away:
            raise NoDocument
        return self.keys, self.fresh_seconds

    def find(self, kid="a"):
        return self.issuer_keys.find(kid).kid

    def landed(self):
        """Return when no fetch is under way."""
        flight = self.issuer_keys._flight
        if flight is not None:
            flight.landed.result(5)


@pytest.fixture
def issuer():
    return Issuer()


def test_many_who_come_first_share_one_fetch(issuer):
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: issuer.find(), range(50))) == {"a"}
    assert issuer.fetches == 1


def test_a_set_is_fetched_anew_before_its_time_is_over_and_nobody_waits(issuer):
    issuer.find()
    issuer.may_answer.clear()
    issuer.now += 0.79 * HOUR
    assert issuer.find() == "a"
    assert issuer.fetches == 1
    issuer.now += 0.02 * HOUR
    issuer.reached.clear()
    assert issuer.find() == "a"
    assert issuer.reached.wait(5)
    assert issuer.find() == "a"
    issuer.may_answer.set()
    issuer.landed()
    assert issuer.fetches == 2


def test_past_its_time_a_set_is_not_used_without_asking(issuer):
    issuer.find()
    issuer.keys = key_set("b")
    issuer.now += HOUR + 1
    with pytest.raises(TokenInvalid):
        issuer.find("a")
    assert issuer.find("b") == "b"
    assert issuer.fetches == 2


def test_what_hangs_is_waited_for_once(issuer, monkeypatch):
    monkeypatch.setattr(issuer_keys, "WAIT_SECONDS", 0.2)
    issuer.find()
    issuer.may_answer.clear()
    issuer.now += HOUR + 1
    assert issuer.find() == "a"
    monkeypatch.setattr(issuer_keys, "WAIT_SECONDS", 0.0)
    assert issuer.find() == "a"
    issuer.may_answer.set()


def test_when_fetches_fail_the_last_set_serves_for_a_day_and_no_longer(issuer):
    issuer.find()
    issuer.is_away = True
    issuer.now += issuer_keys.SERVE_SECONDS - 1
    assert issuer.find() == "a"
    issuer.landed()
    issuer.now += 2
    with pytest.raises(Unavailable):
        issuer.find()
    issuer.landed()
    issuer.is_away = False
    issuer.now += issuer_keys.RETRY_SECONDS
    issuer.find("a")


def test_attempts_that_fail_are_spaced(issuer):
    issuer.is_away = True
    for _ in range(5):
        with pytest.raises(Unavailable):
            issuer.find()
    assert issuer.fetches == 1
    issuer.now += issuer_keys.RETRY_SECONDS
    with pytest.raises(Unavailable):
        issuer.find()
    assert issuer.fetches == 2
    assert [type(failure) for failure in issuer.failures] == [NoDocument] * 2


def test_a_machine_without_threads_is_an_attempt_that_failed(issuer, monkeypatch):
    def no_more(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as without, pytest.raises(Unavailable):
        without.setattr(threading.Thread, "start", no_more)
        issuer.find()
    issuer.now += issuer_keys.RETRY_SECONDS
    assert issuer.find() == "a"


def test_unknown_names_cost_one_fetch_a_minute(issuer):
    issuer.find()
    for minute in range(3):
        issuer.now += issuer_keys.REFETCH_SECONDS
        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(lambda each: unknown(issuer, f"x{each}"), range(50))) == {True}
        assert issuer.fetches == 2 + minute


def unknown(issuer, kid):
    try:
        issuer.find(kid)
    except TokenInvalid:
        return True
    return False


def test_the_generation_changes_when_the_keys_do(issuer):
    issuer.find()
    first = issuer.issuer_keys.generation()
    issuer.now += HOUR + 1
    assert issuer.issuer_keys.generation() == first
    issuer.keys = key_set("a", "b")
    issuer.now += HOUR + 1
    assert issuer.issuer_keys.generation() == first + 1


class Fixed:
    def __init__(self, max_age_seconds):
        self.max_age_seconds = max_age_seconds

    def fetch(self, _url, _max_bytes):
        return Document(as_json({"keys": [jwk(ec_key(), "a")]}), self.max_age_seconds)


@pytest.mark.parametrize(
    ("said", "fresh"), [(None, 3_600), (0, 60), (59, 60), (300, 300), (3_600, 3_600), (10**9, 3_600)]
)
def test_how_long_a_set_is_fresh_is_its_word_within_bounds(said, fresh):
    assert KeySource(Fixed(said), "https://id.example", "https://id.example/keys").fetch()[1] == fresh
