"""Cursors that can be neither read, made nor moved to another query by who holds them."""

import base64

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from scaivault.crypto.keys import Key, derive_bytes
from scaivault.kernel.errors import InvalidCursor
from scaivault.kernel.redacted import Redacted

MOST_CHARACTERS = 2_048
_FORMAT = b"\x01"
_MAC_BYTES = 16
MOST_PAYLOAD_BYTES = MOST_CHARACTERS * 3 // 4 - _MAC_BYTES - len(_FORMAT)


class CursorSigner:
    """AES-256-SIV (RFC 5297): a 16-byte MAC over query and payload, which is also the nonce the payload is hidden with.

    Why hidden: a page that ends inside a region the caller may not list would otherwise name a path there. Why SIV:
    its nonce is a function of all it seals, so there is none to run out of or to repeat, however many cursors one
    key signs; equal cursors for equal pages tell nothing new. Why 16 bytes: a forger has one online try for each
    guess at 128 bits, and what a forged cursor yields is a different place to start in a list whose every row is
    authorised all the same.
    """

    def __init__(self, key: Key) -> None:
        self._key = Redacted(derive_bytes(key, "scaivault cursor v1", 64))

    def sign(self, payload: bytes, bound_to: bytes) -> str:
        """A url-safe text that opens only for the query `bound_to`. ValueError if it would exceed 2,048 characters."""
        if len(payload) > MOST_PAYLOAD_BYTES:
            raise ValueError(f"a cursor carries at most {MOST_PAYLOAD_BYTES} bytes")
        # The format byte leaves room for a successor, and SIV refuses to seal nothing at all.
        sealed = AESSIV(self._key.reveal()).encrypt(_FORMAT + payload, [b"query:" + bound_to])
        return _to_text(sealed)

    def open(self, text: str, bound_to: bytes) -> bytes:
        """The payload, or InvalidCursor for whatever `sign` did not give out for this query."""
        sealed = _from_text(text)
        try:
            opened = AESSIV(self._key.reveal()).decrypt(sealed, [b"query:" + bound_to])
        except InvalidTag:
            raise InvalidCursor from None
        if not opened.startswith(_FORMAT):
            raise InvalidCursor
        return opened.removeprefix(_FORMAT)


def _to_text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")


def _from_text(text: str) -> bytes:
    if len(text) > MOST_CHARACTERS:
        raise InvalidCursor
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise InvalidCursor from None
    # One spelling only: base64 tolerates stray last bits and the other alphabet, we do not.
    if _to_text(sealed) != text:
        raise InvalidCursor
    return sealed
