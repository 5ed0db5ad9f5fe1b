"""A circuit breaker: who is away is left alone for a while, then asked once."""

import threading
from collections.abc import Callable
from enum import StrEnum


class Circuit(StrEnum):
    """Whether calls pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Lets calls pass until `most_failures` in a row fail, then none for `open_seconds`, then a single probe.

    A call takes a ticket with `enter` and must hand it back with `settle`. Tickets carry the era in which they were
    given, and every change of state begins a new one: what was under way when the circuit opened says nothing about
    whether to close it again, however it ends.
    """

    def __init__(self, *, most_failures: int, open_seconds: float, monotonic: Callable[[], float]) -> None:
        self._most_failures = most_failures
        self._open_seconds = open_seconds
        self._monotonic = monotonic
        # Guards a few plain values and is never held during a call.
        self._lock = threading.Lock()
        self._circuit = Circuit.CLOSED
        self._era = 0
        self._failures = 0
        self._open_until = 0.0

    @property
    def circuit(self) -> Circuit:
        """The state as of the last `enter` or `settle`."""
        return self._circuit

    def enter(self) -> int | None:
        """A ticket, or None: do not call."""
        with self._lock:
            if self._circuit is Circuit.OPEN and self._monotonic() >= self._open_until:
                # This caller is the probe; whoever comes before it settles finds the circuit half open.
                self._turn(Circuit.HALF_OPEN)
                return self._era
            return self._era if self._circuit is Circuit.CLOSED else None

    def settle(self, ticket: int, *, well: bool) -> None:
        """How the call ended."""
        with self._lock:
            if ticket != self._era:
                return
            if well:
                self._failures = 0
                if self._circuit is Circuit.HALF_OPEN:
                    self._turn(Circuit.CLOSED)
                return
            self._failures += 1
            if self._circuit is Circuit.HALF_OPEN or self._failures >= self._most_failures:
                self._open_until = self._monotonic() + self._open_seconds
                self._turn(Circuit.OPEN)

    def _turn(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._era += 1
        self._failures = 0
