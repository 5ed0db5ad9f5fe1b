"""PKCS#11: the form of what it wraps, and tokens that are lost, locked or not as they must be."""

import pkcs11
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from pkcs11 import TokenFlag

from scaivault.crypto import aead
from scaivault.crypto.aead import Kind
from scaivault.crypto.errors import KeyServiceAway, TamperedCiphertext
from scaivault.crypto.keys import Key
from scaivault.crypto.kms.pkcs11 import Pkcs11Keys, _spare_the_last_try
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.ports import KeyState
from tests.kms import hsm

KEY = bytes(range(32))


def keys_of(token, label=hsm.ROOT_LABEL, library=hsm.LIBRARY):
    return Pkcs11Keys(library, token.label, token.pin_file, label)


@pytest.fixture
def keys(hsm_token):
    return keys_of(hsm_token)


def refusal(act):
    with pytest.raises(Unavailable) as caught:
        act()
    assert hsm.PIN not in str(caught.value)
    return caught.value


def test_a_wrapped_key_has_the_house_s_form(keys):
    sealed = keys.encrypt(KEY, b"here")
    assert len(sealed) == aead.WRAPPED_BYTES
    assert aead.wrapping_version(Kind.BY_ROOT_KEY, sealed) == 1


def test_it_is_the_aes_gcm_of_everybody_else(hsm_tokens, tmp_path):
    token = hsm.make_token(hsm_tokens, tmp_path)
    token.add_root(sensitive=True, extractable=False)
    session = token.session()
    attributes = {
        pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
        pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.AES,
        pkcs11.Attribute.LABEL: "known root",
        pkcs11.Attribute.VALUE: KEY[::-1],
        pkcs11.Attribute.TOKEN: True,
        pkcs11.Attribute.SENSITIVE: True,
        pkcs11.Attribute.ENCRYPT: True,
        pkcs11.Attribute.DECRYPT: True,
    }
    session.create_object(attributes)
    sealed = keys_of(token, "known root").encrypt(KEY, b"here")
    assert aead.unwrap(Kind.BY_ROOT_KEY, Key(KEY[::-1]), 1, sealed, b"here").reveal() == KEY


def test_nothing_is_opened_before_the_first_use(tmp_path):
    nowhere = Pkcs11Keys(tmp_path / "none.so", "a token", tmp_path / "pin", "a key/1")
    assert nowhere.key_id == "pkcs11:token=a%20token;object=a%20key%2F1"


def test_a_lost_session_is_opened_again_unnoticed(keys):
    sealed = keys.encrypt(KEY, b"here")
    pkcs11.lib(str(hsm.LIBRARY)).reinitialize()
    assert keys.decrypt(sealed, b"here") == KEY


def test_a_token_that_is_gone_is_away_and_comes_back(hsm_token, keys):
    sealed = keys.encrypt(KEY, b"here")
    hsm_token.pull()
    for _ in range(2):
        assert isinstance(refusal(lambda: keys.decrypt(sealed, b"here")), KeyServiceAway)
    assert keys.state() is KeyState.UNAVAILABLE
    hsm_token.plug()
    assert keys.decrypt(sealed, b"here") == KEY


def test_a_refused_pin_is_not_offered_again_until_restart(hsm_token, keys):
    hsm_token.pin_file.write_text("wrong-pin")
    assert "restart" in refusal(lambda: keys.encrypt(KEY, b"")).message
    # The right one now, which it must not try: it would have worked.
    hsm_token.pin_file.write_text(hsm.PIN)
    assert "restart" in refusal(lambda: keys.encrypt(KEY, b"")).message
    assert keys.state() is KeyState.UNAVAILABLE
    assert keys_of(hsm_token).state() is KeyState.ACTIVE


@pytest.mark.parametrize("flag", [TokenFlag.USER_PIN_FINAL_TRY, TokenFlag.USER_PIN_LOCKED])
def test_the_last_try_is_left_to_a_person(flag):
    assert "locked" in refusal(lambda: _spare_the_last_try(flag | TokenFlag.USER_PIN_COUNT_LOW)).message
    _spare_the_last_try(TokenFlag.USER_PIN_COUNT_LOW | TokenFlag.LOGIN_REQUIRED)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", None])
def test_a_pin_that_can_not_be_read_is_unavailable_and_costs_no_try(hsm_token, keys, content):
    hsm_token.pin_file.unlink()
    if content is not None:
        hsm_token.pin_file.write_bytes(content)
    assert "PIN" in refusal(lambda: keys.encrypt(KEY, b"")).message
    hsm_token.pin_file.write_text(hsm.PIN)
    assert keys.state() is KeyState.ACTIVE


def test_a_library_that_is_none_is_unavailable(hsm_token, tmp_path):
    for library in (tmp_path / "none.so", hsm_token.pin_file):
        told = refusal(lambda: keys_of(hsm_token, library=library).encrypt(KEY, b""))  # noqa: B023 - called at once
        assert not isinstance(told, KeyServiceAway)


def test_an_unknown_key_is_unavailable_and_not_worth_asking_again(hsm_token):
    told = refusal(lambda: keys_of(hsm_token, "no such key").encrypt(KEY, b""))
    assert not isinstance(told, KeyServiceAway)
    assert "label" in told.message


@pytest.mark.parametrize(
    ("bits", "template", "word"),
    [(128, {}, "256"), (256, {"sensitive": False}, "CKA_SENSITIVE")],
    ids=["short", "readable"],
)
def test_a_weak_root_key_is_refused(hsm_token, bits, template, word):
    hsm_token.add_root("weak", bits, **template)
    assert word in refusal(lambda: keys_of(hsm_token, "weak").encrypt(KEY, b"")).message


def test_two_keys_of_one_label_are_refused(hsm_token, keys):
    hsm_token.add_root()
    assert "several" in refusal(lambda: keys.encrypt(KEY, b"")).message


def test_a_key_that_may_not_be_used_is_disabled(hsm_token, keys):
    sealed = keys.encrypt(KEY, b"here")
    for label, template in (("no sealing", {"encrypt": False}), ("no opening", {"decrypt": False})):
        hsm_token.add_root(label, **template)
        assert keys_of(hsm_token, label).state() is KeyState.DISABLED
    assert "encrypt" in refusal(lambda: keys_of(hsm_token, "no sealing").encrypt(KEY, b"")).message
    assert "decrypt" in refusal(lambda: keys_of(hsm_token, "no opening").decrypt(sealed, b"")).message


def test_a_tampered_key_does_not_disturb_the_session(keys):
    sealed = keys.encrypt(KEY, b"here")
    for _ in range(3):
        with pytest.raises(TamperedCiphertext):
            keys.decrypt(sealed[:-1] + bytes([sealed[-1] ^ 1]), b"here")
        assert keys.decrypt(sealed, b"here") == KEY


def test_without_a_signing_key_it_can_not_sign(keys):
    assert "label" in refusal(lambda: keys.sign(b"message")).message


def test_an_elliptic_curve_key_signs(hsm_token, keys):
    point = hsm_token.add_signing_key()[2:]  # without the DER octet string around it
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    public.verify(keys.sign(b"message"), b"message", ec.ECDSA(SHA256()))


def test_an_rsa_key_signs(hsm_token, keys):
    modulus, exponent = hsm_token.add_signing_key(kind="RSA")
    public = rsa.RSAPublicNumbers(int.from_bytes(exponent), int.from_bytes(modulus)).public_key()
    public.verify(keys.sign(b"message"), b"message", padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
