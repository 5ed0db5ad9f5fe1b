"""AES-256-GCM with a versioned header in front of every sealed value.

    value        "SV" | version 1 | kind |                   nonce 12 | ciphertext | tag 16
    wrapped key  "SV" | version 1 | kind | key version u32 | nonce 12 | ciphertext 32 | tag 16

The header is authenticated together with the caller's context: `kind` keeps a wrapped key from passing for a value,
and the key version says which key to take. No key is ever tried on a guess, so that GCM's lack of key commitment
(one ciphertext that opens under two keys) gives nobody a choice.

Nonces are 96 random bits. For a value any nonce would do: its data key seals once. A wrapping key seals often: after
2^32 wraps under one version two nonces coincide with probability 2^-33 (NIST SP 800-38D, 8.3, demands at most 2^-32
and sets the same limit). One tenant writing 1,000 versions a second gets there in 50 days without a pause; rotation
of its key starts the count anew.
"""

import os
import struct
from enum import IntEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from scaivault.crypto.errors import TamperedCiphertext
from scaivault.crypto.keys import KEY_BYTES, Key
from scaivault.kernel.plaintext import Plaintext

MAGIC = b"SV"
FORMAT = 1
NONCE_BYTES = 12
TAG_BYTES = 16
_PREFIX = struct.Struct(">2sBB")
_WRAPPED_PREFIX = struct.Struct(">2sBBI")
WRAPPED_BYTES = _WRAPPED_PREFIX.size + NONCE_BYTES + KEY_BYTES + TAG_BYTES


class Kind(IntEnum):
    """What is sealed under what. Numbers are for ever."""

    VALUE = 1
    BY_TENANT_KEY = 2
    BY_PARTNER_KEY = 3
    BY_ROOT_KEY = 4


def aad(*parts: str) -> bytes:
    """One unambiguous encoding of `parts`: each is preceded by its length, so no two lists share an encoding."""
    # surrogatepass makes the encoding total and keeps it injective: a lone surrogate has bytes no other text has.
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(struct.pack(">I", len(part)) + part for part in encoded)


def seal(key: Key, plaintext: Plaintext, context: bytes) -> bytes:
    """Seal under a key that is used for this one value; it opens only with the same `context`."""
    return _seal(key, plaintext, _PREFIX.pack(MAGIC, FORMAT, Kind.VALUE), context)


def open_sealed(key: Key, sealed: bytes, context: bytes) -> Plaintext:
    """Undo `seal`, or TamperedCiphertext."""
    return _open(key, sealed, _PREFIX.pack(MAGIC, FORMAT, Kind.VALUE), context)


def wrap(kind: Kind, wrapping: Key, version: int, key: Key, context: bytes) -> bytes:
    """Seal `key` under version `version` of a wrapping key."""
    return _seal(wrapping, key, _WRAPPED_PREFIX.pack(MAGIC, FORMAT, kind, version), context)


def unwrap(kind: Kind, wrapping: Key, version: int, wrapped: bytes, context: bytes) -> Key:
    """Undo `wrap`, or TamperedCiphertext: also when the header names another version than `version`."""
    if len(wrapped) != WRAPPED_BYTES:
        raise TamperedCiphertext
    return Key(_open(wrapping, wrapped, _WRAPPED_PREFIX.pack(MAGIC, FORMAT, kind, version), context).reveal())


def wrapping_version(kind: Kind, wrapped: bytes) -> int:
    """Which version of the wrapping key `wrapped` names; believed only once `unwrap` has authenticated it."""
    if len(wrapped) != WRAPPED_BYTES:
        raise TamperedCiphertext
    magic, form, found, version = _WRAPPED_PREFIX.unpack_from(wrapped)
    if (magic, form, found) != (MAGIC, FORMAT, kind):
        raise TamperedCiphertext
    return int(version)


def wrapped_header(kind: Kind, version: int) -> bytes:
    """What stands in front of a wrapped key, for a device that does the sealing itself."""
    return _WRAPPED_PREFIX.pack(MAGIC, FORMAT, kind, version)


def _seal(key: Key, hidden: Key | Plaintext, header: bytes, context: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    # header + context is unambiguous: each kind has a header of one length, and the kind stands inside that length.
    return header + nonce + AESGCM(key.reveal()).encrypt(nonce, hidden.reveal(), header + context)


def _open(key: Key, sealed: bytes, header: bytes, context: bytes) -> Plaintext:
    # A plain comparison will do: the header is public, and only the tag, compared inside OpenSSL, proves anything.
    if not sealed.startswith(header) or len(sealed) < len(header) + NONCE_BYTES + TAG_BYTES:
        raise TamperedCiphertext
    nonce = sealed[len(header) : len(header) + NONCE_BYTES]
    ciphertext = sealed[len(header) + NONCE_BYTES :]
    try:
        return Plaintext(AESGCM(key.reveal()).decrypt(nonce, ciphertext, header + context))
    except InvalidTag:
        raise TamperedCiphertext from None
