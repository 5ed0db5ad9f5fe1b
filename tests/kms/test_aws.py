"""AWS KMS: what is sent, whom it believes, and how each failure is told."""

import base64
import hashlib
import io
import logging
import socket
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from scaivault.crypto.errors import KeyServiceAway, TamperedCiphertext
from scaivault.crypto.kms.aws import AwsKeys
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.ports import KeyState
from scaivault.observability import logs

KEY = bytes(range(32))
ACTS = {
    "encrypt": lambda keys: keys.encrypt(KEY, b"here"),
    "decrypt": lambda keys: keys.decrypt(b"sealed", b"here"),
    "sign": lambda keys: keys.sign(b"message"),
}


@pytest.fixture
def arn(aws_kms):
    return aws_kms.add_key()


@pytest.fixture
def keys(aws_kms, arn):
    return AwsKeys(arn, signing_key_arn=aws_kms.add_signing_key(), endpoint_url=aws_kms.url)


def failure(act):
    with pytest.raises(Unavailable) as caught:
        act()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "hunter2" not in caught.value.message
    return caught.value


def test_the_context_is_sent_whole_and_printable(aws_kms, keys):
    context = bytes(range(256))
    keys.encrypt(KEY, context)
    sent = aws_kms.seen[-1][1]["EncryptionContext"]
    assert list(sent) == ["scaivault"]
    version, _, encoded = sent["scaivault"].partition(":")
    assert (version, base64.b64decode(encoded, validate=True)) == ("v1", context)
    assert sent["scaivault"].isascii()
    assert sent["scaivault"].isprintable()


def test_nothing_is_connected_before_the_first_use(aws_kms, keys):
    asked = len(aws_kms.seen)
    assert keys.key_id.startswith("arn:aws:kms:")
    assert (keys._client, len(aws_kms.seen)) == (None, asked)
    keys.encrypt(KEY, b"")
    assert len(aws_kms.seen) == asked + 1


@pytest.mark.parametrize("code", ["ThrottlingException", "KMSInternalException", "KeyUnavailableException"])
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_what_passes_may_be_asked_again_and_is_asked_once(aws_kms, keys, act, code):
    keys.encrypt(KEY, b"")
    aws_kms.seen.clear()
    aws_kms.fail(code)
    assert isinstance(failure(lambda: act(keys)), KeyServiceAway)
    assert len(aws_kms.seen) == 1


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("DisabledException", "disabled"),
        ("KMSInvalidStateException", "state"),
        ("NotFoundException", "no such key"),
        ("AccessDeniedException", "credentials"),
        ("ExpiredTokenException", "expired"),
        ("NeverHeardOfException", "does not accept"),
    ],
)
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_a_refusal_is_unavailable_in_our_words_and_not_to_be_repeated(aws_kms, keys, act, code, word):
    aws_kms.fail(code)
    told = failure(lambda: act(keys))
    assert not isinstance(told, KeyServiceAway)
    assert word in told.message


@pytest.mark.parametrize("code", ["InvalidCiphertextException", "IncorrectKeyException"])
def test_what_kms_calls_not_its_own_is_tampered(aws_kms, keys, code):
    aws_kms.fail(code)
    with pytest.raises(TamperedCiphertext):
        keys.decrypt(b"sealed", b"here")


@pytest.mark.parametrize("sealed", [b"", bytes(6_145)])
def test_what_kms_never_made_is_not_even_sent(aws_kms, keys, sealed):
    asked = len(aws_kms.seen)
    with pytest.raises(TamperedCiphertext):
        keys.decrypt(sealed, b"here")
    assert len(aws_kms.seen) == asked


def test_half_an_answer_or_one_for_another_key_is_none(aws_kms, keys, arn):
    wrapped, other = base64.b64encode(KEY).decode(), aws_kms.add_key()
    halves = [
        {},
        {"KeyId": arn},
        {"Plaintext": wrapped},
        {"KeyId": other, "Plaintext": wrapped},
        {"KeyId": arn, "Plaintext": ""},
        {"KeyId": arn, "Plaintext": None},
        {"KeyId": arn, "Plaintext": "§"},
    ]
    for half in halves:
        aws_kms.answer(**half)
        failure(lambda: keys.decrypt(b"sealed", b"here"))
    for half in ({"KeyId": arn}, {"CiphertextBlob": wrapped}, {"KeyId": other, "CiphertextBlob": wrapped}):
        aws_kms.answer(**half)
        failure(lambda: keys.encrypt(KEY, b"here"))
    aws_kms.next_answers.append((200, '{"KeyId": "' + arn))
    failure(lambda: keys.decrypt(b"sealed", b"here"))
    assert not aws_kms.next_answers


def test_a_key_of_another_length_is_not_what_was_wrapped(aws_kms, keys, arn):
    aws_kms.answer(KeyId=arn, Plaintext=base64.b64encode(KEY[:-1]).decode())
    with pytest.raises(TamperedCiphertext):
        keys.decrypt(b"sealed", b"here")


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (lambda admin, key: admin.disable_key(KeyId=key), KeyState.DISABLED),
        (lambda admin, key: admin.schedule_key_deletion(KeyId=key), KeyState.PENDING_DELETION),
    ],
    ids=["disabled", "pending deletion"],
)
def test_its_state_is_what_kms_says(aws_kms, keys, arn, change, state):
    change(aws_kms.admin, arn.rpartition("/")[2])
    assert keys.state() is state


def test_a_state_about_another_key_or_an_unknown_one_is_unavailable(aws_kms, keys, arn):
    aws_kms.answer(KeyMetadata={"Arn": "arn:aws:kms:eu-central-1:1:key/x", "KeyState": "Enabled"})
    assert keys.state() is KeyState.UNAVAILABLE
    aws_kms.answer(KeyMetadata={"Arn": arn, "KeyState": "Creating"})
    assert keys.state() is KeyState.UNAVAILABLE
    aws_kms.fail("AccessDeniedException")
    assert keys.state() is KeyState.UNAVAILABLE
    assert keys.state() is KeyState.ACTIVE


def test_nobody_at_the_endpoint(arn, aws_kms):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = AwsKeys(arn, endpoint_url=f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert isinstance(failure(lambda: nobody.encrypt(KEY, b"")), KeyServiceAway)


def test_an_endpoint_that_never_answers_is_given_up_in_time(arn, aws_kms):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        slow = AwsKeys(arn, endpoint_url=f"http://127.0.0.1:{mute.getsockname()[1]}", read_seconds=0.2)
        started = time.monotonic()
        assert isinstance(failure(lambda: slow.encrypt(KEY, b"")), KeyServiceAway)
        assert 0.2 <= time.monotonic() - started < 20


def test_without_credentials_it_is_unavailable(aws_kms, arn, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    told = failure(lambda: AwsKeys(arn, endpoint_url=aws_kms.url).encrypt(KEY, b""))
    assert "NoCredentialsError" in told.message


def test_a_stray_endpoint_in_the_environment_is_not_followed(aws_kms, arn, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws_kms.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", aws_kms.url)
    assert AwsKeys(arn)._connected().meta.endpoint_url == "https://kms.eu-central-1.amazonaws.com"


def test_without_a_signing_key_it_says_which_setting_is_missing(aws_kms, arn):
    told = failure(lambda: AwsKeys(arn, endpoint_url=aws_kms.url).sign(b"message"))
    assert "KMS_SIGNING_KEY_ID" in told.message


def test_a_signing_key_of_another_kind_is_refused(aws_kms, arn):
    keys = AwsKeys(arn, signing_key_arn=aws_kms.add_signing_key("ECC_NIST_P384"), endpoint_url=aws_kms.url)
    assert "P-256" in failure(lambda: keys.sign(b"message")).message


def test_each_kind_of_signing_key_signs_the_digest(aws_kms, arn):
    # moto hashes what it is given again, also where it is told that it is a digest.
    hashed = hashlib.sha256(b"message").digest()
    for spec in ("ECC_NIST_P256", "RSA_2048"):
        signing = aws_kms.add_signing_key(spec)
        signature = AwsKeys(arn, signing_key_arn=signing, endpoint_url=aws_kms.url).sign(b"message")
        public = load_der_public_key(aws_kms.admin.get_public_key(KeyId=signing)["PublicKey"])
        if isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, hashed, ec.ECDSA(SHA256()))
        else:
            pss = padding.PSS(padding.MGF1(SHA256()), padding.PSS.AUTO)
            public.verify(signature, hashlib.sha256(hashed).digest(), pss, utils.Prehashed(SHA256()))
        sent = next(body for operation, body in reversed(aws_kms.seen) if operation == "Sign")
        assert (sent["MessageType"], base64.b64decode(sent["Message"])) == ("DIGEST", hashed)


def test_no_key_is_logged_at_debug(keys):
    root, written = logging.getLogger(), io.StringIO()
    level, handlers = root.level, list(root.handlers)
    try:
        logs.configure("debug", "json", stream=io.StringIO())
        root.addHandler(logging.StreamHandler(written))  # which hides nothing, as ours would
        keys.decrypt(keys.encrypt(KEY, b"here"), b"here")
    finally:
        root.handlers = handlers
        root.setLevel(level)
    assert "Found credentials" in written.getvalue()  # the library speaks, and is heard
    assert base64.b64encode(KEY).decode() not in written.getvalue()
    assert str(KEY) not in written.getvalue()
