import pytest

from scaivault.crypto.kms.timed import TimedKeys
from scaivault.kernel.errors import Unavailable

ACTS = {
    "encrypt": lambda keys: keys.encrypt(bytes(32), b""),
    "decrypt": lambda keys: keys.decrypt(keys.encrypt(bytes(32), b""), b""),
    "sign": lambda keys: keys.sign(b"message"),
}


@pytest.fixture
def told():
    return {"seconds": [], "failed": [], "calls": []}


@pytest.fixture
def keys(kms, told):
    def on_call(what, started, failure=None, /):
        told["calls"].append((what, started > 0, type(failure)))

    return TimedKeys(kms, lambda *seen: told["seconds"].append(seen), told["failed"].append, on_call)


@pytest.mark.parametrize(("operation", "act"), ACTS.items(), ids=ACTS)
def test_each_operation_is_timed_under_its_name(keys, told, operation, act):
    act(keys)
    name, seconds = told["seconds"][-1]
    assert (name, told["failed"]) == (operation, [])
    assert told["calls"][-1] == (operation, True, type(None))
    assert 0 <= seconds < 60


@pytest.mark.parametrize("operation", ["encrypt", "sign"])
def test_a_failure_is_timed_counted_and_passed_on(keys, kms, told, operation):
    kms.broken = True
    with pytest.raises(Unavailable):
        ACTS[operation](keys)
    assert [name for name, _ in told["seconds"]] == told["failed"] == [operation]
    assert told["calls"] == [(operation, True, Unavailable)]


def test_a_failed_decryption_is_counted_as_one(keys, kms, told):
    sealed = keys.encrypt(bytes(32), b"")
    kms.broken = True
    with pytest.raises(Unavailable):
        keys.decrypt(sealed, b"")
    assert told["failed"] == ["decrypt"]


def test_the_key_id_is_the_inner_ones(keys, kms):
    assert keys.key_id == kms.key_id
