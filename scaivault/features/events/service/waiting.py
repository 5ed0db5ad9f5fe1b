"""Where requests wait for events: each on a thread that it has lent to others, with one look-out for all of them."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from scaivault.features.events.errors import TooManyWait
from scaivault.features.events.store.buffers import Awaited
from scaivault.kernel.errors import VaultError

MOST_WAITING: Final = 256
MOST_OF_A_TENANT: Final = 128
LOOK_SECONDS: Final = 0.4
RETRY_SECONDS: Final = 5

_Key = tuple[str, str]


class Seat:
    """One request's place while it waits. It is over when the house closes, or another request has taken its turn."""

    def __init__(self, key: _Key, lend: Callable[[], AbstractContextManager[None]]) -> None:
        self.key = key
        self.awaited: Awaited | None = None
        self.is_over = False
        self._lend = lend
        self._stirred = threading.Event()

    def wait(self, awaited: Awaited, until: float) -> None:
        """Return when there may be more than `awaited`, when it is over, or at `until` of the monotonic clock."""
        self.awaited = awaited
        with self._lend():
            self._stirred.wait(max(0.0, until - time.monotonic()))
        self.awaited = None
        if not self.is_over:
            self._stirred.clear()

    def stir(self, *, is_over: bool = False) -> None:
        self.is_over = self.is_over or is_over
        self._stirred.set()


class WaitingRoom:
    """A process's. `look` is asked which of those who wait should look again: every 0.4 s, in one question, and not at
    all where nobody waits.

    `lend` is the server's: within it the thread counts for nothing, and another one may serve in its place.
    """

    def __init__(self, look: Callable[[Sequence[Awaited]], Sequence[int]], on_waiting: Callable[[int], None]) -> None:
        self.lend: Callable[[], AbstractContextManager[None]] = nullcontext
        self._look = look
        self._on_waiting = on_waiting
        self._turn = threading.Condition()
        self._closing = threading.Event()
        self._seats: dict[_Key, Seat] = {}
        self._of_tenants: Counter[str] = Counter()
        self._lookout: threading.Thread | None = None

    @contextmanager
    def seat(self, tenant_id: str, subscription_id: str) -> Iterator[Seat]:
        """A place for who waits for a subscription; who waited for it before goes. TooManyWait if there is none."""
        seat = Seat((tenant_id, subscription_id), self.lend)
        self._admit(seat)
        try:
            yield seat
        finally:
            self._dismiss(seat)

    def close(self) -> None:
        """Nobody waits any more, and nobody who comes is kept."""
        with self._turn:
            self._closing.set()
            for seat in self._seats.values():
                seat.stir(is_over=True)
            self._turn.notify_all()
            lookout = self._lookout
        if lookout is not None:
            lookout.join(timeout=1.0)

    def _admit(self, seat: Seat) -> None:
        tenant_id = seat.key[0]
        with self._turn:
            if self._closing.is_set():
                seat.stir(is_over=True)
                return
            before = self._seats.pop(seat.key, None)
            if before is not None:
                before.stir(is_over=True)
                self._of_tenants[tenant_id] -= 1
            if len(self._seats) >= MOST_WAITING or self._of_tenants[tenant_id] >= MOST_OF_A_TENANT:
                raise TooManyWait(retry_after_seconds=RETRY_SECONDS)
            self._seats[seat.key] = seat
            self._of_tenants[tenant_id] += 1
            self._on_waiting(len(self._seats))
            if self._lookout is None:
                self._lookout = threading.Thread(target=self._look_out, name="waiting-room", daemon=True)
                self._lookout.start()
            self._turn.notify_all()

    def _dismiss(self, seat: Seat) -> None:
        with self._turn:
            if self._seats.get(seat.key) is seat:
                del self._seats[seat.key]
                self._of_tenants[seat.key[0]] -= 1
                self._of_tenants += Counter()  # drops what has come to nothing
            self._on_waiting(len(self._seats))

    def _look_out(self) -> None:
        while not self._closing.is_set():
            with self._turn:
                self._turn.wait_for(lambda: self._seats or self._closing.is_set())
            self._closing.wait(LOOK_SECONDS)
            self._look_once()

    def _look_once(self) -> None:
        with self._turn:
            known = [(seat, awaited) for seat in self._seats.values() if (awaited := seat.awaited) is not None]
        if not known:
            return
        try:
            stirred = self._look([awaited for _, awaited in known])
        except VaultError:
            return  # they wait on: the next look may succeed, and at the end of their time they are told
        for number in stirred:
            known[number][0].stir()
