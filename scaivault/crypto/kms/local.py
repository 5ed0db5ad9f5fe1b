"""A root key in a file, for development and for one machine without a KMS."""

import base64
import errno
import os
import re
import stat
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scaivault.crypto import aead
from scaivault.crypto.aead import Kind
from scaivault.crypto.errors import UnsafeKeyFile
from scaivault.crypto.keys import Key, derive, derive_bytes
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.ports import KeyState
from scaivault.kernel.redacted import Redacted

_FORM = re.compile(rb"scaivault-local-key v1 (development|production) ([A-Za-z0-9+/]{43}=)\n?")
_MOST_BYTES = 256
_OWNER_ONLY = 0o600
_ROOT_VERSION = 1


class LocalKeys:
    """kernel.ports.KeyService over a key file, which is read for every operation and kept by none.

    Operations are rare, the key ring sees to that; and so removing the file is what a KMS outage looks like. A file
    that is absent is Unavailable, also at construction, which otherwise refuses an UnsafeKeyFile at once.
    """

    def __init__(self, path: Path, *, development: bool) -> None:
        self._path = path
        self._development = development
        self._key_id: str | None = None
        try:
            self._read()
        except Unavailable:
            # A vault may start before its key service does; health says what is missing.
            return

    @property
    def key_id(self) -> str:
        """'local:' and a fingerprint of the key last read; Unavailable if there has been none."""
        return self._key_id or _key_id(self._read())

    @property
    def public_key(self) -> bytes:
        """The 32 bytes that verify what `sign` signs, by Ed25519."""
        return self._signing_key().public_key().public_bytes_raw()

    def encrypt(self, plaintext: bytes, context: bytes) -> bytes:
        """Wrap 32 bytes; they open only with the same `context`."""
        # Random nonces under one root key: it wraps a key per partner and purpose, far from the 2^32 of aead.py.
        key = derive(self._read(), "scaivault local root: wrap v1")
        return aead.wrap(Kind.BY_ROOT_KEY, key, _ROOT_VERSION, Key(plaintext), context)

    def decrypt(self, sealed: bytes, context: bytes) -> bytes:
        """Undo `encrypt`, or TamperedCiphertext."""
        key = derive(self._read(), "scaivault local root: wrap v1")
        return aead.unwrap(Kind.BY_ROOT_KEY, key, _ROOT_VERSION, sealed, context).reveal()

    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature of 64 bytes; deterministic, so no bad random number can give the key away."""
        return self._signing_key().sign(message)

    def state(self) -> KeyState:
        """ACTIVE while the file can be read and used."""
        try:
            self._read()
        except (Unavailable, UnsafeKeyFile):
            return KeyState.UNAVAILABLE
        return KeyState.ACTIVE

    def _signing_key(self) -> Ed25519PrivateKey:
        seed = derive(self._read(), "scaivault local root: sign v1")
        return Ed25519PrivateKey.from_private_bytes(seed.reveal())

    def _read(self) -> Key:
        development, key = _parse(_load(self._path), self._path)
        if development and not self._development:
            raise UnsafeKeyFile(f"{self._path} is a development key; production needs one of its own.")
        self._key_id = _key_id(key)
        return key


def write_key_file(path: Path, *, development: bool) -> None:
    """Create a key file with a fresh key, whole or not at all, mode 0600. FileExistsError if there is one already."""
    # Written beside it under another name, then linked: unlike a rename, a link never replaces what is there.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".key-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_line(Key.fresh(), development=development).reveal())
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink()
    _sync_folder(path.parent)


def _line(key: Key, *, development: bool) -> Redacted:
    use = b"development" if development else b"production"
    return Redacted(b"scaivault-local-key v1 " + use + b" " + base64.b64encode(key.reveal()) + b"\n")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load(path: Path) -> Redacted:
    try:
        # O_NOFOLLOW: who may change a link would choose the root key. O_NONBLOCK: a pipe in its place does not hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafeKeyFile(f"{path} is a symbolic link; name the key file itself.") from None
        raise Unavailable("The key service does not answer: its key can not be read.") from None
    try:
        # Asked of what was opened and not of the path, which may name something else by now.
        _check_file(os.fstat(descriptor), path)
        return Redacted(os.read(descriptor, _MOST_BYTES))
    except OSError:
        raise Unavailable("The key service does not answer: its key can not be read.") from None
    finally:
        os.close(descriptor)


def _check_file(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeKeyFile(f"{path} is not a regular file.")
    if stat.S_IMODE(status.st_mode) & ~_OWNER_ONLY:
        raise UnsafeKeyFile(f"{path} must be for its owner alone: chmod 600.")
    if status.st_uid not in {0, os.geteuid()}:
        raise UnsafeKeyFile(f"{path} belongs to another user, who could replace the key.")


def _parse(line: Redacted, path: Path) -> tuple[bool, Key]:
    """Whether it is a development key, and the key."""
    # Nothing is taken out of `line` before the last refusal: a traceback with local variables shows '[redacted]'.
    if not _FORM.fullmatch(line.reveal()):
        raise UnsafeKeyFile(f"{path} is not a key file of the form 'scaivault-local-key v1 <use> <key>'.")
    use, encoded = line.reveal().split()[2:]
    return use == b"development", Key(base64.b64decode(encoded))


def _key_id(key: Key) -> str:
    # Derived with a label of its own: these 64 bits say nothing about the key or about what else is derived from it.
    return "local:" + derive_bytes(key, "scaivault local root: fingerprint v1", 8).hex()
