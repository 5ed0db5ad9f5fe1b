"""A root key in a PKCS#11 token: an HSM, or a network service that looks like one.

A wrapped key has the form of aead.py, `BY_ROOT_KEY` under version 1, with header and context as additional data; only
the AES-256-GCM itself happens in the token, whose key never leaves it.

The IV is ours: 96 random bits from the operating system. CKM_AES_GCM (PKCS#11 2.40) takes it from the caller, and the
message calls of 3.0, in which a token makes it itself, are offered by few tokens and by no kept Python library. Unique
is enough for GCM, secret it need not be. The key wraps one key per partner and purpose, which is little, and a canary
per worker and five seconds (probe.py), which is what counts: a hundred workers take nearly seven years to 2^32 IVs,
where two would coincide with probability 2^-33 (aead.py has the limit and its source). Use the token's key for nothing
else: nobody could count then.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

import pkcs11
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, TokenFlag
from pkcs11.mechanisms import MGF, GCMParams
from pkcs11.types import DecryptMixin, EncryptMixin, SignMixin

from scaivault.crypto import aead
from scaivault.crypto.aead import Kind
from scaivault.crypto.errors import KeyServiceAway, TamperedCiphertext
from scaivault.crypto.keys import KEY_BYTES, Key
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.ports import KeyState
from scaivault.kernel.redacted import Redacted

Outcome = TypeVar("Outcome")
SIGNING_SUFFIX = "-sign"
ATTEMPT_SECONDS = 2.0
_ROOT_VERSION = 1
_HEADER = aead.wrapped_header(Kind.BY_ROOT_KEY, _ROOT_VERSION)
_MOST_PIN_BYTES = 256
_SALT_BYTES = 32

# The token, the session or what it had found is gone: to be opened again, once.
_LOST: Final = (
    pkcs11.DeviceError,
    pkcs11.DeviceRemoved,
    pkcs11.KeyHandleInvalid,
    pkcs11.NoSuchKey,
    pkcs11.NoSuchToken,
    pkcs11.ObjectHandleInvalid,
    pkcs11.SessionClosed,
    pkcs11.SessionHandleInvalid,
    pkcs11.TokenNotPresent,
    pkcs11.UserNotLoggedIn,
)
_PIN_REFUSED: Final = (
    pkcs11.PinExpired,
    pkcs11.PinIncorrect,
    pkcs11.PinInvalid,
    pkcs11.PinLenRange,
    pkcs11.PinLocked,
    pkcs11.UserPinNotInitialized,
)


@dataclass(frozen=True, slots=True)
class _Open:
    """A session that is logged in, and the root key as it sees it."""

    session: pkcs11.Session
    root: pkcs11.SecretKey

    def seal(self, key: Key, nonce: bytes, context: bytes) -> bytes:
        if not isinstance(self.root, EncryptMixin):
            raise Unavailable("The token does not let its root key encrypt.")
        parameters = _gcm(nonce, context)
        return _whole(self.root.encrypt(key.reveal(), mechanism=Mechanism.AES_GCM, mechanism_param=parameters))

    def open(self, sealed: bytes, nonce: bytes, context: bytes) -> bytes:
        if not isinstance(self.root, DecryptMixin):
            raise Unavailable("The token does not let its root key decrypt.")
        parameters = _gcm(nonce, context)
        return _whole(self.root.decrypt(sealed, mechanism=Mechanism.AES_GCM, mechanism_param=parameters))


class Pkcs11Keys:
    """kernel.ports.KeyService over one session with a token, opened on first use and again when it is lost.

    First use is after the fork: Cryptoki forbids a child to use what its parent initialised. One session does one
    thing at a time, and operations are rare, the key ring sees to that; so they queue, each for `ATTEMPT_SECONDS` at
    most. A call into the library has no time limit but the library's own.

    A refused PIN is not offered again by this process until it is restarted: most tokens lock after a few.
    """

    def __init__(self, library: Path, token_label: str, pin_file: Path, key_label: str) -> None:
        self._library = library
        self._token_label = token_label
        self._pin_file = pin_file
        self._key_label = key_label
        self._turn = threading.Lock()
        self._open: _Open | None = None
        self._pin_was_refused = False

    @property
    def key_id(self) -> str:
        """The root key's URI by RFC 7512."""
        return f"pkcs11:token={quote(self._token_label, safe='')};object={quote(self._key_label, safe='')}"

    def encrypt(self, plaintext: bytes, context: bytes) -> bytes:
        """Wrap 32 bytes; they open only with the same `context`."""
        key = Key(plaintext)
        nonce = os.urandom(aead.NONCE_BYTES)
        sealed = self._do(lambda token: token.seal(key, nonce, context))
        if len(sealed) != KEY_BYTES + aead.TAG_BYTES:
            raise Unavailable("The token does not seal as AES-GCM does.")
        return _HEADER + nonce + sealed

    def decrypt(self, sealed: bytes, context: bytes) -> bytes:
        """Undo `encrypt`, or TamperedCiphertext."""
        if len(sealed) != aead.WRAPPED_BYTES or not sealed.startswith(_HEADER):
            raise TamperedCiphertext
        nonce, body = sealed[len(_HEADER) :][: aead.NONCE_BYTES], sealed[len(_HEADER) + aead.NONCE_BYTES :]
        opened = self._do(lambda token: _open_or_judge(token, body, nonce, context))
        if len(opened) != KEY_BYTES:
            raise TamperedCiphertext
        return opened

    def sign(self, message: bytes) -> bytes:
        """ECDSA (DER) or RSA-PSS, both with SHA-256, by the private key whose label ends in SIGNING_SUFFIX."""
        digest = hashlib.sha256(message).digest()
        return self._do(lambda token: _sign(token.session, self._key_label + SIGNING_SUFFIX, digest))

    def state(self) -> KeyState:
        """ACTIVE if the token has the key and lets it both encrypt and decrypt; DISABLED if it has but does not."""
        try:
            return self._do(lambda token: _state(token.root))
        except Unavailable:
            return KeyState.UNAVAILABLE

    def _do(self, act: Callable[[_Open], Outcome]) -> Outcome:
        with self._queued(), _in_our_words():
            if self._open is not None:
                try:
                    return act(self._open)
                except _LOST:
                    self._open = None
            self._open = self._log_in()
            try:
                return act(self._open)
            except _LOST:
                self._open = None
                raise

    @contextmanager
    def _queued(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=ATTEMPT_SECONDS):
            raise KeyServiceAway
        try:
            yield
        finally:
            self._turn.release()

    def _log_in(self) -> _Open:
        if self._pin_was_refused:
            raise _pin_refused()
        pin = _read_pin(self._pin_file)
        library = pkcs11.lib(str(self._library))
        # Afresh: a library sees tokens that have come and connections that were cut only after C_Finalize, which is
        # safe here, for `_turn` keeps every other thread out of it.
        library.reinitialize()
        token = library.get_token(token_label=self._token_label)
        _spare_the_last_try(token.flags)
        try:
            session = token.open(user_pin=pin.reveal().decode())
        except _PIN_REFUSED:
            self._pin_was_refused = True
            raise _pin_refused() from None
        return _Open(session, _find_root(session, self._key_label))


def _find_root(session: pkcs11.Session, label: str) -> pkcs11.SecretKey:
    found = _find(session, ObjectClass.SECRET_KEY, label)
    if (
        not isinstance(found, pkcs11.SecretKey)
        or found.key_type is not KeyType.AES
        or found.key_length != KEY_BYTES * 8
    ):
        raise Unavailable("The root key in the token is not an AES key of 256 bits.")
    if not found[Attribute.SENSITIVE]:
        raise Unavailable("The root key in the token can be read out of it (CKA_SENSITIVE is false).")
    return found


def _find(session: pkcs11.Session, kind: ObjectClass, label: str) -> pkcs11.Object:
    # All of them, and not the library's get_key: at a second one it would leave the token's search open behind it.
    found = list(session.get_objects({Attribute.CLASS: kind, Attribute.LABEL: label}))
    if not found:
        raise pkcs11.NoSuchKey
    if len(found) > 1:
        raise Unavailable("The token has several keys of this label; it must be this key's alone.")
    return found[0]


def _state(root: pkcs11.SecretKey) -> KeyState:
    return KeyState.ACTIVE if root[Attribute.ENCRYPT] and root[Attribute.DECRYPT] else KeyState.DISABLED


def _open_or_judge(token: _Open, body: bytes, nonce: bytes, context: bytes) -> bytes:
    """Open it, or find out whose fault it is that it does not open.

    Tokens have no common word for a tag that does not fit: CKR_ENCRYPTED_DATA_INVALID, CKR_AEAD_DECRYPT_FAILED, and
    SoftHSM's CKR_GENERAL_ERROR, which also means that the token is broken. So it has to prove itself: if it opens what
    it seals now, and then still does not open this, then this is what is wrong. Nothing is gained by forcing proofs:
    each takes somebody who can write to the key tables, and one random IV.
    """
    try:
        return token.open(body, nonce, context)
    except (pkcs11.EncryptedDataInvalid, pkcs11.EncryptedDataLenRange):
        raise TamperedCiphertext from None
    except _LOST:
        raise
    except pkcs11.PKCS11Error:
        canary, fresh = Key.fresh(), os.urandom(aead.NONCE_BYTES)
        if Key(token.open(token.seal(canary, fresh, b"canary"), fresh, b"canary")) != canary:
            raise KeyServiceAway from None
    try:
        return token.open(body, nonce, context)
    except _LOST:
        raise
    except pkcs11.PKCS11Error:
        raise TamperedCiphertext from None


def _sign(session: pkcs11.Session, label: str, digest: bytes) -> bytes:
    key = _find(session, ObjectClass.PRIVATE_KEY, label)
    if not isinstance(key, SignMixin):
        raise Unavailable("The token does not let its signing key sign.")
    if key.key_type is KeyType.EC:
        # Plain ECDSA over our digest, which every token has, gives r and s side by side.
        signature = bytes(key.sign(digest, mechanism=Mechanism.ECDSA))
        half = len(signature) // 2
        return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
    if key.key_type is KeyType.RSA:
        parameters = (Mechanism.SHA256, MGF.SHA256, _SALT_BYTES)
        return bytes(key.sign(digest, mechanism=Mechanism.RSA_PKCS_PSS, mechanism_param=parameters))
    raise Unavailable("The signing key in the token is neither of an elliptic curve nor of RSA.")


def _whole(answer: bytes | Iterator[bytes]) -> bytes:
    """The library answers in the form of the question: bytes for bytes."""
    return answer if isinstance(answer, bytes) else b"".join(answer)


def _gcm(nonce: bytes, context: bytes) -> GCMParams:
    return GCMParams(nonce, aad=_HEADER + context, tag_bits=aead.TAG_BYTES * 8)


def _read_pin(path: Path) -> Redacted:
    try:
        with path.open("rb") as file:
            pin = Redacted(file.read(_MOST_PIN_BYTES).rstrip(b"\r\n"))
        pin.reveal().decode()
    except (OSError, UnicodeDecodeError):
        raise Unavailable("The token's PIN can not be read.") from None
    if not pin.reveal():
        raise Unavailable("The token's PIN file is empty.")
    return pin


def _spare_the_last_try(flags: TokenFlag) -> None:
    """Each worker may be wrong once; the one that would lock the token does not try."""
    if flags & (TokenFlag.USER_PIN_FINAL_TRY | TokenFlag.USER_PIN_LOCKED):
        raise Unavailable("The token is locked, or one wrong PIN away from it: log in with its own tool first.")


def _pin_refused() -> Unavailable:
    return Unavailable("The token refuses the PIN; it is not asked again before a restart, lest it lock itself.")


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except pkcs11.NoSuchKey:
        raise Unavailable("The token has no key of the label that is asked for.") from None
    except _LOST:
        raise KeyServiceAway from None
    except pkcs11.PKCS11Error as error:
        # The class alone: some of the library's messages quote paths and labels.
        raise Unavailable(f"The token refuses: {type(error).__name__}.") from None
