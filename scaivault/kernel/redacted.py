"""Bytes that do not show themselves."""

import hmac
from typing import NoReturn, SupportsIndex

REDACTED = "[redacted]"


class Redacted:
    """Secret bytes: shown as '[redacted]', never pickled, copied, hashed or encoded; `reveal` is the one way out."""

    __slots__ = ("_hidden",)

    def __init__(self, hidden: bytes, /) -> None:
        self._hidden = bytes(hidden)

    def reveal(self) -> bytes:
        """The secret itself. Whoever calls this answers for where it goes."""
        return self._hidden

    def __eq__(self, other: object) -> bool:
        # compare_digest takes the same time wherever the first difference is; the length it may show is no secret.
        if not isinstance(other, type(self)):
            return NotImplemented
        return hmac.compare_digest(self._hidden, other._hidden)

    # A hash would be a function of the secret, kept by every set and dict it passes through.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return REDACTED

    def __str__(self) -> str:
        return REDACTED

    def __format__(self, _spec: str) -> str:
        return REDACTED

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        # Also what copy and deepcopy ask, and with them dataclasses.asdict.
        raise TypeError("secret bytes are not serialised")
