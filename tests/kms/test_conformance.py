"""What every KeyService must do. A new provider joins `PROVIDERS`."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from scaivault.crypto.errors import TamperedCiphertext
from scaivault.crypto.kms.aws import AwsKeys
from scaivault.crypto.kms.local import LocalKeys, write_key_file
from scaivault.crypto.kms.pkcs11 import Pkcs11Keys
from scaivault.crypto.kms.resilient import ResilientKeys
from scaivault.crypto.kms.timed import TimedKeys
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.ports import KeyState
from tests.fakes import MemoryKeys
from tests.kms import hsm

KEY = bytes(range(32))


@dataclass
class Provider:
    keys: Any
    stop: Any
    start: Any
    stranger: Any


def local(request):
    tmp_path = request.getfixturevalue("tmp_path")
    path, away, other = tmp_path / "key", tmp_path / "away", tmp_path / "other"
    write_key_file(path, development=True)
    write_key_file(other, development=True)
    return Provider(
        LocalKeys(path, development=True),
        stop=lambda: path.rename(away),
        start=lambda: away.rename(path),
        stranger=LocalKeys(other, development=True),
    )


def memory(_request):
    keys = MemoryKeys()
    return Provider(
        keys,
        stop=lambda: setattr(keys, "broken", True),
        start=lambda: setattr(keys, "broken", False),
        stranger=MemoryKeys("memory:2"),
    )


def aws(request):
    server = request.getfixturevalue("aws_kms")

    def keys():
        return AwsKeys(server.add_key(), signing_key_arn=server.add_signing_key(), endpoint_url=server.url)

    return Provider(
        keys(),
        stop=lambda: setattr(server, "down", True),
        start=lambda: setattr(server, "down", False),
        stranger=keys(),
    )


def pkcs11(request):
    token = request.getfixturevalue("hsm_token")
    token.add_root("other root")
    for label in (hsm.ROOT_LABEL, "other root"):
        token.add_signing_key(label + "-sign")

    def keys(label):
        return Pkcs11Keys(hsm.LIBRARY, token.label, token.pin_file, label)

    return Provider(keys(hsm.ROOT_LABEL), stop=token.pull, start=token.plug, stranger=keys("other root"))


def resilient(request):
    provider = memory(request)
    provider.keys = ResilientKeys(provider.keys, attempt_seconds=0, deadline_seconds=0)
    return provider


def timed(request):
    provider = local(request)
    provider.keys = TimedKeys(provider.keys, lambda *_: None, lambda _: None)
    return provider


PROVIDERS = {
    "local": local,
    "memory": memory,
    "aws": aws,
    "pkcs11": pkcs11,
    "timed local": timed,
    "resilient memory": resilient,
}


@pytest.fixture(params=PROVIDERS.values(), ids=PROVIDERS)
def provider(request):
    return request.param(request)


def test_what_was_wrapped_opens_in_its_context(provider):
    assert provider.keys.decrypt(provider.keys.encrypt(KEY, b"here"), b"here") == KEY


def test_a_wrapped_key_does_not_show_the_key(provider):
    assert KEY not in provider.keys.encrypt(KEY, b"here")


def test_wrapping_twice_gives_two_results(provider):
    assert provider.keys.encrypt(KEY, b"here") != provider.keys.encrypt(KEY, b"here")


@pytest.mark.parametrize("context", [b"", b"her", b"here ", b"there"])
def test_it_does_not_open_in_another_context(provider, context):
    sealed = provider.keys.encrypt(KEY, b"here")
    with pytest.raises(TamperedCiphertext):
        provider.keys.decrypt(sealed, context)


def test_it_does_not_open_when_any_byte_was_changed(provider):
    sealed = provider.keys.encrypt(KEY, b"here")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(TamperedCiphertext):
            provider.keys.decrypt(bytes(changed), b"here")


@pytest.mark.parametrize("sealed", [b"", b"x", bytes(200)])
def test_what_was_never_wrapped_does_not_open(provider, sealed):
    with pytest.raises(TamperedCiphertext):
        provider.keys.decrypt(sealed, b"here")


def test_another_root_key_does_not_open_it_and_has_another_id(provider):
    sealed = provider.keys.encrypt(KEY, b"here")
    with pytest.raises(TamperedCiphertext):
        provider.stranger.decrypt(sealed, b"here")
    assert provider.stranger.key_id != provider.keys.key_id


def test_signatures_depend_on_the_message_and_the_key(provider):
    signatures = {provider.keys.sign(b"one"), provider.keys.sign(b"two"), provider.stranger.sign(b"one")}
    assert len(signatures) == 3
    assert all(signatures)


@pytest.mark.parametrize(
    "act",
    [
        lambda keys, _: keys.encrypt(KEY, b"here"),
        lambda keys, sealed: keys.decrypt(sealed, b"here"),
        lambda keys, _: keys.sign(b"message"),
    ],
    ids=["encrypt", "decrypt", "sign"],
)
def test_an_outage_is_unavailable_and_what_was_wrapped_before_opens_after(provider, act):
    sealed = provider.keys.encrypt(KEY, b"here")
    provider.stop()
    with pytest.raises(Unavailable):
        act(provider.keys, sealed)
    provider.start()
    assert provider.keys.decrypt(sealed, b"here") == KEY


def test_the_key_id_stays_and_is_known_during_an_outage(provider):
    before = provider.keys.key_id
    provider.stop()
    assert provider.keys.key_id == before != ""


def test_its_state_is_active_and_unavailable_during_an_outage(provider):
    assert provider.keys.state() is KeyState.ACTIVE
    provider.stop()
    assert provider.keys.state() is KeyState.UNAVAILABLE
    provider.start()
    assert provider.keys.state() is KeyState.ACTIVE


def test_an_empty_context_is_a_context(provider):
    sealed = provider.keys.encrypt(KEY, b"")
    assert provider.keys.decrypt(sealed, b"") == KEY
    with pytest.raises(TamperedCiphertext):
        provider.keys.decrypt(sealed, b"\0")


def test_any_bytes_are_a_context(provider):
    context = bytes(range(256))
    assert provider.keys.decrypt(provider.keys.encrypt(KEY, context), context) == KEY


def test_many_threads_may_use_it_at_once(provider):
    def there_and_back(number):
        key, context = bytes([number]) * 32, str(number).encode()
        return provider.keys.decrypt(provider.keys.encrypt(key, context), context) == key

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(there_and_back, range(40)))
