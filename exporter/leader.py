"""Which exporter speaks for the deployment: the one whose session holds the lock, and only while it can prove it.

Time, in seconds since a proof was asked for:

    0    `hold` is sent; the server's count of this session's silence begins when it has answered, so not before
    3    LEASE: without a later proof the leader withdraws everything, asked or not, answered or not
    4    SILENCE: the server ends the session, and somebody else may take the lock

So two never lead at once, whatever is frozen, cut or slow: a leader that was suspended finds its lease over by the
clock when it goes on, before it has asked anybody anything. A connection that is cut is noticed when it is cut.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from exporter.clock import boottime
from scaivault.kernel.errors import Unavailable

LOCK = (0x5CA1, 1)
BEAT_SECONDS = 0.5
LEASE_SECONDS = 3.0
SILENCE_SECONDS = 4.0


class Lock(Protocol):
    """storage.SessionLock."""

    def hold(self) -> bool: ...

    def is_cut_within(self, seconds: float) -> bool: ...

    def let_go(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Held:
    term: int
    until: float


class Leadership:
    """Takes the lock when it is free and proves it twice a second, on a thread of its own."""

    def __init__(self, lock: Lock, on_change: Callable[[bool], None], clock: Callable[[], float] = boottime) -> None:
        self._lock = lock
        self._on_change = on_change
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="leader", daemon=True)
        self._held = _Held(0, float("-inf"))

    def open(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Let go at once, so that the next one need not wait."""
        self._stopping.set()
        self._thread.join(timeout=1)

    def term(self) -> int | None:
        """The number of the present term, None while somebody else leads or nobody can say who does."""
        held = self._held
        return held.term if self._clock() < held.until else None

    def is_stuck(self) -> bool:
        return not self._stopping.is_set() and not self._thread.is_alive()

    def beat(self) -> None:
        """Take the lock or prove it, once."""
        asked_at, before = self._clock(), self._held
        leads = asked_at < before.until
        try:
            holds = self._lock.hold()
        except Unavailable:
            holds = False
        if not holds:
            self._resign()
        elif leads:
            self._held = _Held(before.term, asked_at + LEASE_SECONDS)
        else:
            self._held = _Held(before.term + 1, asked_at + LEASE_SECONDS)
            self._on_change(True)

    def _resign(self) -> None:
        before, self._held = self._held, _Held(self._held.term, float("-inf"))
        if before.until > float("-inf"):
            self._on_change(False)

    def _work(self) -> None:
        while not self._stopping.is_set():
            self.beat()
            if self._lock.is_cut_within(BEAT_SECONDS):
                self._resign()
                self._lock.let_go()
        self._resign()
        self._lock.let_go()
