"""Threads that meet in the key ring. Every meeting is arranged by barriers and events; nothing sleeps."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from scaivault.crypto.cache import ExpiringCache, Kept
from scaivault.crypto.keyring import KeyRing
from scaivault.kernel.errors import Unavailable

THREADS = 8
PATIENCE_SECONDS = 10


class Gate:
    """Holds the key service's decryption until the other threads are seen to wait for its outcome."""

    def __init__(self):
        self.waiting = threading.Semaphore(0)
        self.patient = False

    def on_cache(self, result):
        if result == "shared":
            self.waiting.release()

    def before(self, operation, _context):
        if operation == "decrypt":
            self.patient = all(self.waiting.acquire(timeout=PATIENCE_SECONDS) for _ in range(THREADS - 1))


def meet(act):
    """`act` from eight threads at once; what each returned or raised."""
    barrier = threading.Barrier(THREADS)

    def one(_):
        barrier.wait(PATIENCE_SECONDS)
        try:
            return act()
        except Unavailable as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(THREADS)))


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def ring(store, kms, gate):
    KeyRing(store, kms, seconds_to_keep=60, most_tenants=9).for_tenant("ptn_1", "ten_1")
    kms.calls.clear()
    kms.before = gate.before
    return KeyRing(store, kms, seconds_to_keep=60, most_tenants=9, on_cache=gate.on_cache)


def test_threads_that_meet_unwrap_a_key_once_and_share_it(ring, kms, gate):
    keys = meet(lambda: ring.for_tenant("ptn_1", "ten_1"))
    assert gate.patient
    assert kms.calls == ["decrypt"]
    assert [one is keys[0] for one in keys] == [True] * THREADS


def test_threads_that_meet_share_a_failure(ring, kms, gate):
    kms.broken = True
    errors = meet(lambda: ring.for_tenant("ptn_1", "ten_1"))
    assert gate.patient
    assert kms.calls == ["decrypt"]
    assert [type(error) for error in errors] == [Unavailable] * THREADS


def test_tenants_that_meet_unwrap_their_partners_key_once(store, kms):
    KeyRing(store, kms, seconds_to_keep=60, most_tenants=9).for_tenant("ptn_1", "ten_0")
    kms.calls.clear()
    on_their_way, all_came = threading.Semaphore(0), []

    def until_all_are_on_their_way(*_):
        all_came.append(all(on_their_way.acquire(timeout=PATIENCE_SECONDS) for _ in range(THREADS)))

    kms.before = until_all_are_on_their_way
    ring = KeyRing(store, kms, seconds_to_keep=60, most_tenants=9, on_cache=lambda _: on_their_way.release())
    names = iter([f"ten_{number}" for number in range(THREADS)])
    tenants = {keys.tenant_id for keys in meet(lambda: ring.for_tenant("ptn_1", next(names)))}
    assert len(tenants) == THREADS
    assert all_came == [True]
    assert kms.calls == ["decrypt"]


def test_a_slow_key_service_delays_no_other_tenant(store, kms):
    ring = KeyRing(store, kms, seconds_to_keep=60, most_tenants=9)
    ring.for_tenant("ptn_1", "ten_cached")
    asked, answer = threading.Event(), threading.Event()

    def slow_for_partner_2(_operation, context):
        if b"ptn_2" in context:
            asked.set()
            answer.wait(PATIENCE_SECONDS)

    kms.before = slow_for_partner_2
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ring.for_tenant, "ptn_2", "ten_slow")
        assert asked.wait(PATIENCE_SECONDS)
        others = [("ptn_1", "ten_cached"), ("ptn_1", "ten_new"), ("ptn_3", "ten_elsewhere")]
        served = [ring.for_tenant(*other).tenant_id for other in others]
        assert not slow.done()
        answer.set()
        assert slow.result(PATIENCE_SECONDS).tenant_id == "ten_slow"
    assert served == ["ten_cached", "ten_new", "ten_elsewhere"]


@pytest.fixture
def cache():
    return ExpiringCache(most=2, monotonic=lambda: 0.0, told=lambda _: None)


def test_what_was_loading_when_it_was_forgotten_is_not_kept(cache):
    def load_while_forgotten():
        cache.forget(lambda name: name == "one")
        return Kept("stale", 1.0)

    assert cache.get("one", load_while_forgotten).held == "stale"
    assert cache.get("one", lambda: Kept("new", 1.0)).held == "new"


def test_a_load_that_was_forgotten_does_not_end_the_one_that_followed(cache):
    def load_while_replaced():
        cache.forget(lambda _: True)
        cache.get("one", lambda: Kept("new", 1.0))
        return Kept("stale", 1.0)

    cache.get("one", load_while_replaced)
    assert cache.get("one", lambda: Kept("third", 1.0)).held == "new"


def test_a_thread_that_is_ended_while_loading_leaves_the_others_an_error_and_a_way_on():
    outcomes, joined = [], threading.Event()
    cache = ExpiringCache(most=2, monotonic=lambda: 0.0, told=lambda told: told == "shared" and joined.set())

    def join():
        try:
            cache.get("one", lambda: Kept("never", 1.0))
        except BaseException as error:  # noqa: BLE001 - which one it is, is the question
            outcomes.append(type(error))

    def ended():
        other = threading.Thread(target=join)
        other.start()
        assert joined.wait(PATIENCE_SECONDS)
        threads.append(other)
        raise SystemExit

    threads = []
    with pytest.raises(SystemExit):
        cache.get("one", ended)
    threads[0].join(PATIENCE_SECONDS)
    assert outcomes == [Unavailable]
    assert cache.get("one", lambda: Kept("after", 1.0)).held == "after"
