from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.crypto import aead
from scaivault.crypto.aead import Kind
from scaivault.crypto.envelope import Envelope, Place, Sealed
from scaivault.crypto.errors import TamperedCiphertext, UnknownKeyVersion
from scaivault.crypto.keyring import KeyRing
from scaivault.crypto.keys import Key, TenantKeys
from scaivault.kernel.plaintext import Plaintext

PLACE = Place("ptn_1", "ten_1", "app/db", 3)
OLD, NEW = Key(bytes(32)), Key(bytes(range(32)))
KEYS = TenantKeys("ptn_1", "ten_1", {1: OLD, 2: NEW})


@given(plaintext=st.binary(max_size=2_000), path=st.text(), version=st.integers(1, 2**31))
def test_a_version_opens_where_it_was_sealed(plaintext, path, version):
    place = replace(PLACE, path=path, version=version)
    assert Envelope.open(KEYS, place, Envelope.seal(KEYS, place, Plaintext(plaintext))) == Plaintext(plaintext)


def test_the_highest_key_version_seals():
    only_new = TenantKeys("ptn_1", "ten_1", {2: NEW})
    assert Envelope.open(only_new, PLACE, Envelope.seal(KEYS, PLACE, Plaintext(b"x"))) == Plaintext(b"x")


def test_what_an_older_key_sealed_still_opens():
    sealed = Envelope.seal(TenantKeys("ptn_1", "ten_1", {1: OLD}), PLACE, Plaintext(b"x"))
    assert Envelope.open(KEYS, PLACE, sealed) == Plaintext(b"x")


def test_keys_that_are_too_old_are_told_apart_from_tampering():
    with pytest.raises(UnknownKeyVersion):
        Envelope.open(TenantKeys("ptn_1", "ten_1", {1: OLD}), PLACE, Envelope.seal(KEYS, PLACE, Plaintext(b"x")))


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(PLACE, partner_id="ptn_2"),
        replace(PLACE, tenant_id="ten_2"),
        replace(PLACE, path="app/dc"),
        replace(PLACE, path="app/d"),
        replace(PLACE, version=4),
        replace(PLACE, path="", tenant_id="ten_1app/db"),
    ],
    ids=str,
)
@pytest.mark.parametrize("part", ["both", "sealed", "wrapped_key"])
def test_what_is_moved_does_not_open_even_under_the_same_key(elsewhere, part):
    there = TenantKeys(elsewhere.partner_id, elsewhere.tenant_id, KEYS.by_version)
    moved = Envelope.seal(KEYS, PLACE, Plaintext(b"x"))
    if part != "both":
        moved = replace(Envelope.seal(there, elsewhere, Plaintext(b"y")), **{part: getattr(moved, part)})
    with pytest.raises(TamperedCiphertext):
        Envelope.open(there, elsewhere, moved)


def test_the_two_halves_of_two_seals_do_not_combine():
    one, other = (Envelope.seal(KEYS, PLACE, Plaintext(b"x")) for _ in range(2))
    with pytest.raises(TamperedCiphertext):
        Envelope.open(KEYS, PLACE, Sealed(one.sealed, other.wrapped_key))


def test_the_data_key_does_not_pass_for_a_value():
    sealed = Envelope.seal(KEYS, PLACE, Plaintext(b"x"))
    with pytest.raises(TamperedCiphertext):
        Envelope.open(KEYS, PLACE, Sealed(sealed.wrapped_key, sealed.wrapped_key))


@given(data=st.data(), part=st.sampled_from(["sealed", "wrapped_key"]))
def test_any_flipped_bit_fails_to_open(data, part):
    sealed = Envelope.seal(KEYS, PLACE, Plaintext(b"a value"))
    flipped = bytearray(getattr(sealed, part))
    bit = data.draw(st.integers(0, len(flipped) * 8 - 1))
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(TamperedCiphertext):
        Envelope.open(KEYS, PLACE, replace(sealed, **{part: bytes(flipped)}))


def test_no_two_seals_share_a_nonce_or_a_data_key():
    seals = [Envelope.seal(KEYS, PLACE, Plaintext(b"x")) for _ in range(500)]
    context = aead.aad("data-key", "ptn_1", "ten_1", "app/db", "3")
    data_keys = {aead.unwrap(Kind.BY_TENANT_KEY, NEW, 2, one.wrapped_key, context).reveal() for one in seals}
    nonces = {one.sealed[4:16] for one in seals} | {one.wrapped_key[8:20] for one in seals}
    assert (len(data_keys), len(nonces)) == (500, 1_000)


@pytest.mark.parametrize(
    "act",
    [
        lambda keys: Envelope.seal(keys, PLACE, Plaintext(b"x")),
        lambda keys: Envelope.open(keys, PLACE, Envelope.seal(KEYS, PLACE, Plaintext(b"x"))),
    ],
    ids=["seal", "open"],
)
@pytest.mark.parametrize("stranger", [("ptn_1", "ten_2"), ("ptn_2", "ten_1")])
def test_keys_of_another_tenant_are_refused_before_use(act, stranger):
    with pytest.raises(ValueError, match="another tenant"):
        act(TenantKeys(*stranger, KEYS.by_version))


def test_a_tenant_without_keys_can_not_be():
    with pytest.raises(ValueError, match="at least one key"):
        TenantKeys("ptn_1", "ten_1", {})


def test_sealing_and_opening_go_on_while_the_key_service_is_away(store, kms):
    envelope = Envelope(KeyRing(store, kms, seconds_to_keep=60, most_tenants=9))
    keys = envelope.keys_for("ptn_1", "ten_1")
    kms.broken = True
    assert envelope.open(keys, PLACE, envelope.seal(keys, PLACE, Plaintext(b"x"))) == Plaintext(b"x")
