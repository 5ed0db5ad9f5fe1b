"""Collections in pieces. A cursor is a position, signed, and good for the query that it was given for only."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from scaivault.edge.messages import Page
from scaivault.kernel.errors import InvalidCursor

Position = tuple[str, ...]
Item = TypeVar("Item")


class Signer(Protocol):
    def sign(self, payload: bytes, bound_to: bytes) -> str:
        """An opaque text that only `open` with the same `bound_to` accepts."""

    def open(self, text: str, bound_to: bytes) -> bytes:
        """The payload, or InvalidCursor."""


@dataclass(frozen=True, slots=True)
class Piece(Generic[Item]):
    """Some of a collection, and what to ask for the rest with; None if that was all."""

    items: Sequence[Item]
    cursor: str | None

    @property
    def has_more(self) -> bool:
        return self.cursor is not None


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

    def piece(
        self,
        asked: Page,
        bound_to: tuple[str, ...],
        found: Callable[[str | None, int], Sequence[Item]],
        key: Callable[[Item], str],
    ) -> Piece[Item]:
        """A piece of what is listed in the order of `key`: `found` has so many after one, and is asked for one more."""
        position = self.open(asked.cursor, bound_to)
        items = found(None if position is None else position[0], asked.limit + 1)
        shown = items[: asked.limit]
        return Piece(shown, self.seal((key(shown[-1]),), bound_to) if len(items) > asked.limit else None)


def _bytes(parts: tuple[str, ...]) -> bytes:
    # Escaped, a long name in another script would outgrow what a cursor may be.
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=False).encode()
