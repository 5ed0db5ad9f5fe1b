"""The leader leaves what it knows in Redis, for `/v1/metrics` of the API."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from exporter.snapshot import Watch
from scaivault.observability.published import KEY, MOST_BYTES, Part, encode


class Board(Protocol):
    """storage.Blackboard, as it is written."""

    def write(self, key: str, content: bytes, seconds: float) -> None: ...


class TooLarge(Exception):
    """More than a reader would read."""


class Publisher:
    """Writes whenever there is something new, on a thread of its own: a Redis that hangs delays no collector.

    Each part says by the wall clock until when it may be told, so that one which a frozen leader writes when it wakes
    is known to be old. All of it goes with the freshest part.
    """

    def __init__(
        self,
        board: Board,
        watches: Sequence[Watch],
        term: Callable[[], int | None],
        on_failure: Callable[[str, Exception | None], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._board = board
        self._watches = watches
        self._term = term
        self._on_failure = on_failure
        self._wall = wall
        self._due = threading.Event()

    def open(self) -> None:
        threading.Thread(target=self._work, name="publisher", daemon=True).start()

    def wake(self) -> None:
        """There is something new."""
        self._due.set()

    def publish(self) -> None:
        """What may be told now, if this is the leader. Unavailable, or TooLarge."""
        term = self._term()
        told = [(watch, watch.fresh(term)) for watch in self._watches]
        parts = [
            Part(seen.taken_at_wall + watch.good_for_seconds, seen.families, seen.taken_at_wall)
            for watch, seen in told
            if seen
        ]
        if not parts:
            return
        content = encode(parts)
        if len(content) > MOST_BYTES:
            raise TooLarge
        if self._term() == term:
            self._board.write(KEY, content, max(1.0, max(part.good_until for part in parts) - self._wall()))

    def _work(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            try:
                self.publish()
            except Exception as failure:  # noqa: BLE001 - whatever it was, the next snapshot is to be published too
                self._on_failure("publication", failure)
