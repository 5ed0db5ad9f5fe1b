"""Collections in pieces. A cursor is a position, signed, and good for the query that it was given for only."""

import json
from collections.abc import Callable
from typing import Protocol

from scaivault.kernel.errors import InvalidCursor

Position = tuple[str, ...]


class Signer(Protocol):
    def sign(self, payload: bytes, bound_to: bytes) -> str:
        """An opaque text that only `open` with the same `bound_to` accepts."""

    def open(self, text: str, bound_to: bytes) -> bytes:
        """The payload, or InvalidCursor."""


class Cursors:
    """Positions in, opaque texts out, and back."""

    def __init__(self, signer: Callable[[], Signer]) -> None:
        self._signer = signer  # asked for at each use: its key may need a KMS that is not there at start

    def seal(self, position: Position, bound_to: tuple[str, ...]) -> str:
        return self._signer().sign(_bytes(position), _bytes(bound_to))

    def open(self, cursor: str | None, bound_to: tuple[str, ...]) -> Position | None:
        """The position to go on from, None at the beginning; InvalidCursor if it is not from this very query."""
        if cursor is None:
            return None
        position = json.loads(self._signer().open(cursor, _bytes(bound_to)))
        if not isinstance(position, list):
            raise InvalidCursor
        return tuple(str(part) for part in position)


def _bytes(parts: tuple[str, ...]) -> bytes:
    # Escaped, a long name in another script would outgrow what a cursor may be.
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=False).encode()
