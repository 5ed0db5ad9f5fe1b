import base64
import copy
import json
import pickle
import traceback
from dataclasses import asdict, dataclass

import pytest

from scaivault.crypto import aead
from scaivault.crypto.aead import Kind
from scaivault.crypto.chain import WrappedKey
from scaivault.crypto.cursors import CursorSigner
from scaivault.crypto.envelope import Envelope, Place, Sealed
from scaivault.crypto.errors import UnsafeKeyFile
from scaivault.crypto.keyring import KeyRing
from scaivault.crypto.keys import Key, TenantKeys
from scaivault.crypto.kms.local import LocalKeys
from scaivault.crypto.tokens import TokenHasher
from scaivault.kernel.errors import InvalidCursor, VaultError
from scaivault.kernel.plaintext import Plaintext
from tests.fakes import MemoryKeys, MemoryKeyStore

PLANTED = b"planted-secret-of-32-bytes-00001"
FORMS = [
    PLANTED.decode(),
    PLANTED.hex(),
    base64.b64encode(PLANTED).decode().rstrip("="),
    base64.urlsafe_b64encode(PLANTED).decode().rstrip("="),
    str(list(PLANTED))[1:-1],
]
PLACE = Place("ptn_1", "ten_1", "app/db", 1)
KEYS = TenantKeys("ptn_1", "ten_1", {1: Key(PLANTED)})


def shows(text):
    return [form for form in FORMS if form in text]


def ring_of_planted_keys():
    kms = MemoryKeys()
    store = MemoryKeyStore()
    context = aead.aad("partner-key", "ptn_1", "1")
    store.add_partner_key("ptn_1", WrappedKey(1, kms.encrypt(PLANTED, context), kms.key_id, None))
    ring = KeyRing(store, kms, seconds_to_keep=60, most_tenants=9)
    ring.for_tenant("ptn_1", "ten_1")
    return ring


HOLDERS = {
    "plaintext": Plaintext(PLANTED),
    "key": Key(PLANTED),
    "tenant keys": KEYS,
    "key ring": ring_of_planted_keys(),
    "envelope": Envelope(ring_of_planted_keys()),
    "token hasher": TokenHasher(Key(PLANTED)),
    "cursor signer": CursorSigner(Key(PLANTED)),
    "sealed": Sealed(PLANTED, PLANTED),
    "wrapped key": WrappedKey(1, PLANTED, None, 1),
    "in containers": [{"one": Plaintext(PLANTED)}, (Key(PLANTED),)],
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r:>60}".format, lambda holder: "%s %r" % (holder, holder)])  # noqa: UP031
def test_no_textual_form_shows_the_secret(holder, show):
    # Arrange / control: the search itself finds the value where it is.
    assert shows(repr(PLANTED))
    assert shows(show((holder,))) == []


@pytest.mark.parametrize("kind", [Plaintext, Key])
def test_redacted_bytes_say_so_and_reveal_on_demand(kind):
    hidden = kind(PLANTED)
    assert (repr(hidden), str(hidden), f"{hidden}", f"{hidden:>40}") == ("[redacted]",) * 4
    assert hidden.reveal() == PLANTED


@pytest.mark.parametrize("kind", [Plaintext, Key])
@pytest.mark.parametrize(
    "serialise", [pickle.dumps, json.dumps, copy.copy, copy.deepcopy, bytes, vars, hash, iter, len]
)
def test_redacted_bytes_can_not_be_serialised_copied_or_walked(kind, serialise):
    with pytest.raises(TypeError) as caught:
        serialise(kind(PLANTED))
    assert shows(str(caught.value)) == []


def test_a_dataclass_around_a_plaintext_does_not_turn_into_a_dict():
    @dataclass
    class Around:
        hidden: Plaintext

    with pytest.raises(TypeError):
        asdict(Around(Plaintext(PLANTED)))


@pytest.mark.parametrize("secret", [KEYS, HOLDERS["key ring"]], ids=["tenant keys", "key ring"])
def test_what_holds_keys_does_not_pickle(secret):
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (Plaintext(b"a"), Plaintext(b"a"), True),
        (Plaintext(b"a"), Plaintext(b"b"), False),
        (Plaintext(b"a"), Plaintext(b"ab"), False),
        (Plaintext(PLANTED), Key(PLANTED), False),
        (Plaintext(b"a"), b"a", False),
    ],
)
def test_equality_is_between_secrets_of_one_type(left, right, same):
    assert (left == right) is same


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_is_32_bytes(length):
    with pytest.raises(ValueError, match="a key is 32 bytes"):
        Key(bytes(length))


def key_file(tmp_path, line, mode=0o600):
    path = tmp_path / "key"
    path.write_bytes(line)
    path.chmod(mode)
    return path


LINE = b"scaivault-local-key v1 development " + base64.b64encode(PLANTED) + b"\n"
FLIPPED = bytearray(aead.seal(Key(PLANTED), Plaintext(PLANTED), b""))
FLIPPED[-1] ^= 1
WRAPPED = Envelope.seal(KEYS, PLACE, Plaintext(PLANTED))

FAILURES = {
    "value": lambda _: aead.open_sealed(Key(PLANTED), bytes(FLIPPED), b""),
    "wrapped key": lambda _: aead.unwrap(Kind.BY_TENANT_KEY, Key(PLANTED), 1, WRAPPED.wrapped_key, b"elsewhere"),
    "elsewhere": lambda _: Envelope.open(KEYS, Place("ptn_1", "ten_1", "app/other", 1), WRAPPED),
    "cursor": lambda _: CursorSigner(Key(PLANTED)).open(CursorSigner(Key(PLANTED)).sign(PLANTED, b"a"), b"b"),
    "development key": lambda tmp_path: LocalKeys(key_file(tmp_path, LINE), development=False),
    "malformed key": lambda tmp_path: LocalKeys(key_file(tmp_path, LINE + b"x"), development=True),
    "legible key": lambda tmp_path: LocalKeys(key_file(tmp_path, LINE, 0o644), development=True),
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_no_exception_shows_the_secret_not_even_with_local_variables(tmp_path, fail):
    with pytest.raises(VaultError) as caught:
        fail(tmp_path)
    error = caught.value
    assert isinstance(error, InvalidCursor | UnsafeKeyFile) or error.code == "internal_error"
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in told.stack if "scaivault/crypto" in frame.filename]
    assert frames
    assert shows(f"{error!r} {error.details}") == []
    assert [shows(str(frame.locals)) for frame in frames] == [[]] * len(frames)
