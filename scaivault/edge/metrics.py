"""What the exporter has left for `/v1/metrics`: facts about the deployment, or nothing; never an error or a wait."""

import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from prometheus_client.core import Metric

from scaivault.kernel.errors import Unavailable
from scaivault.observability.catalogue.vocabulary import OVERFLOW
from scaivault.observability.published import KEY, MOST_BYTES, Part, Unsound, decode, still_good

CACHE_SECONDS = 1.0
# A sample that tells of one tenant: by its name, or by the identity of one of its own.
_OF_A_TENANT = re.compile(rb'^scaivault_[a-z_]+\{(?:[^}]*,)?(?:tenant="([^"]*)"|identity="([^"/]*)/)')


def as_seen_by(page: bytes, tenant_id: str) -> bytes:
    """The page without the samples that tell of other tenants."""
    own = (tenant_id.encode(), OVERFLOW.encode())
    return b"".join(line for line in page.splitlines(keepends=True) if _tenant_of(line) in (None, *own))


def _tenant_of(line: bytes) -> bytes | None:
    match = _OF_A_TENANT.match(line)
    return None if match is None else match[1] or match[2]


class Board(Protocol):
    """storage.Blackboard, as it is read."""

    def read(self, key: str, most_bytes: int) -> bytes | None: ...

    def close(self) -> None: ...


class ClusterSeries:
    """Asks the board at most once a second, on a thread of its own, and waits for it no longer than the deadline.

    A board that hangs keeps the thread; it is not asked again until it has come back. What was found is told until it
    is too old, by the wall clock that it was dated with.
    """

    def __init__(
        self,
        board: Board,
        deadline_seconds: float,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._deadline_seconds = deadline_seconds
        self._wall = wall
        self._monotonic = monotonic
        self._turn = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="cluster-series")
        self._asking: Future[Sequence[Part] | None] | None = None
        self._asked_at = float("-inf")
        self._parts: Sequence[Part] = ()

    def families(self) -> list[Metric]:
        """What may be told now."""
        with self._turn:
            if self._monotonic() - self._asked_at >= CACHE_SECONDS:
                self._ask()
            return still_good(self._parts, self._wall())

    def last_seen(self) -> datetime | None:
        """When the exporter last saw what may be told now; None if there is nothing."""
        self.families()
        now = self._wall()
        seen = [part.taken_at for part in self._parts if part.taken_at <= now <= part.good_until]
        return datetime.fromtimestamp(max(seen), UTC) if seen else None

    def close(self) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)
        self._board.close()

    def _ask(self) -> None:
        if self._asking is None:
            self._asking = self._worker.submit(self._read)
        with suppress(TooSlow):
            found = self._asking.result(timeout=self._deadline_seconds)
            self._asking = None
            self._parts = self._parts if found is None else found
        # After the wait: else a board that hangs would be waited for at every scrape.
        self._asked_at = self._monotonic()

    def _read(self) -> Sequence[Part] | None:
        """What is on the board, which is nothing if it is not sound; None if the board can not be read."""
        try:
            found = self._board.read(KEY, MOST_BYTES)
            return () if found is None else decode(found)
        except Unsound:
            return ()
        except Unavailable:
            return None
