import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.crypto import aead
from scaivault.crypto.aead import Kind
from scaivault.crypto.errors import TamperedCiphertext
from scaivault.crypto.keys import Key, derive
from scaivault.kernel.plaintext import Plaintext

KEY = Key(bytes(range(32)))
PARTS = st.lists(st.text(st.characters(codec=None), max_size=12), max_size=5)


@given(plaintext=st.binary(max_size=2_000), context=st.binary(max_size=200))
def test_what_was_sealed_opens(plaintext, context):
    assert aead.open_sealed(KEY, aead.seal(KEY, Plaintext(plaintext), context), context).reveal() == plaintext


@given(plaintext=st.binary(max_size=40), data=st.data())
def test_any_flipped_bit_of_a_value_fails_to_open(plaintext, data):
    sealed = aead.seal(KEY, Plaintext(plaintext), b"here")
    with pytest.raises(TamperedCiphertext):
        aead.open_sealed(KEY, flip(sealed, data.draw(st.integers(0, len(sealed) * 8 - 1))), b"here")


@pytest.mark.parametrize("kind", [Kind.BY_TENANT_KEY, Kind.BY_PARTNER_KEY, Kind.BY_ROOT_KEY])
def test_every_flipped_bit_of_a_wrapped_key_fails_to_open(kind):
    wrapped = aead.wrap(kind, KEY, 7, Key.fresh(), b"here")
    for bit in range(len(wrapped) * 8):
        with pytest.raises(TamperedCiphertext):
            aead.unwrap(kind, KEY, 7, flip(wrapped, bit), b"here")


@pytest.mark.parametrize("length", range(aead.WRAPPED_BYTES))
def test_a_truncated_wrapped_key_fails_to_open(length):
    wrapped = aead.wrap(Kind.BY_TENANT_KEY, KEY, 1, Key.fresh(), b"")[:length]
    with pytest.raises(TamperedCiphertext):
        aead.unwrap(Kind.BY_TENANT_KEY, KEY, 1, wrapped, b"")
    with pytest.raises(TamperedCiphertext):
        aead.wrapping_version(Kind.BY_TENANT_KEY, wrapped)


@pytest.mark.parametrize("length", range(len(aead.seal(KEY, Plaintext(b"four"), b""))))
def test_a_truncated_value_fails_to_open(length):
    with pytest.raises(TamperedCiphertext):
        aead.open_sealed(KEY, aead.seal(KEY, Plaintext(b"four"), b"")[:length], b"")


def test_a_key_wrapped_under_one_kind_does_not_open_as_another():
    wrapped = aead.wrap(Kind.BY_PARTNER_KEY, KEY, 1, Key.fresh(), b"")
    with pytest.raises(TamperedCiphertext):
        aead.unwrap(Kind.BY_TENANT_KEY, KEY, 1, wrapped, b"")
    with pytest.raises(TamperedCiphertext):
        aead.wrapping_version(Kind.BY_TENANT_KEY, wrapped)


def test_a_wrapped_key_does_not_open_as_a_value_nor_a_value_as_a_wrapped_key():
    wrapped = aead.wrap(Kind.BY_TENANT_KEY, KEY, 1, Key.fresh(), b"")
    with pytest.raises(TamperedCiphertext):
        aead.open_sealed(KEY, wrapped, b"")
    value = aead.seal(KEY, Plaintext(bytes(36)), b"")
    assert len(value) == aead.WRAPPED_BYTES
    with pytest.raises(TamperedCiphertext):
        aead.unwrap(Kind.BY_TENANT_KEY, KEY, 1, value, b"")


@given(version=st.integers(1, 2**32 - 1))
def test_a_wrapped_key_names_its_wrapping_version_and_opens_under_it_alone(version):
    key = Key.fresh()
    wrapped = aead.wrap(Kind.BY_TENANT_KEY, KEY, version, key, b"")
    assert aead.wrapping_version(Kind.BY_TENANT_KEY, wrapped) == version
    assert aead.unwrap(Kind.BY_TENANT_KEY, KEY, version, wrapped, b"") == key
    with pytest.raises(TamperedCiphertext):
        aead.unwrap(Kind.BY_TENANT_KEY, KEY, version ^ 1, wrapped, b"")


@given(left=PARTS, right=PARTS)
def test_two_lists_of_parts_never_share_an_encoding(left, right):
    assert (aead.aad(*left) == aead.aad(*right)) == (left == right)


@given(parts=PARTS)
def test_the_encoding_of_parts_can_be_undone(parts):
    encoded, found = aead.aad(*parts), []
    while encoded:
        length = int.from_bytes(encoded[:4], "big")
        found.append(encoded[4 : 4 + length].decode("utf-8", "surrogatepass"))
        encoded = encoded[4 + length :]
    assert found == parts


@pytest.mark.parametrize(
    ("left", "right"),
    [(("ab", "c"), ("a", "bc")), (("a",), ("a", "")), ((), ("",)), (("a\x00\x00\x00\x01b",), ("a", "b"))],
)
def test_moving_a_boundary_changes_the_encoding(left, right):
    assert aead.aad(*left) != aead.aad(*right)


def test_derived_keys_differ_by_purpose_and_from_their_source():
    derived = {derive(KEY, purpose).reveal() for purpose in ("one", "two", "")}
    assert len(derived | {KEY.reveal()}) == 4


def flip(sealed, bit):
    flipped = bytearray(sealed)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)
