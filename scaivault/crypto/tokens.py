"""Personal access tokens: 256 random bits, of which the vault keeps a keyed hash."""

import hmac
import secrets

from scaivault.crypto.keys import Key, derive

TOKEN_PREFIX = "skt_"  # noqa: S105 - the documented beginning of every token


def new_token() -> str:
    """`skt_` and 43 url-safe characters, which carry 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


class TokenHasher:
    """HMAC-SHA256 of tokens: whoever copies the table can neither use nor test a token without the key.

    No salt and no slow hash: they protect guessable passwords, and 256 random bits can not be guessed. Being a
    function of token and key alone, the digest can be looked up by an index; the index's comparisons are not constant
    in time, but what they tell is about a digest, which without the key nobody can steer towards a stored one.
    """

    def __init__(self, key: Key) -> None:
        # A key of its own, so that the same system key given to a CursorSigner or to what comes later is no conflict.
        self._key = derive(key, "scaivault token digest v1")

    def digest(self, token: str) -> bytes:
        """32 bytes, the same for the same token under the same key, for ever."""
        # surrogatepass: any text a header can become has a digest, and no exception ever carries the token.
        return hmac.digest(self._key.reveal(), token.encode("utf-8", "surrogatepass"), "sha256")
