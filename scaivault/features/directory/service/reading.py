"""One pass over the directory, bounded in pages and time, whose every page is a sign of life."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta

from scaivault.features.directory.errors import SyncFailed, SyncLost
from scaivault.features.directory.model import Sync, SyncFault
from scaivault.features.directory.service.source import PAGE_SIZE, Page
from scaivault.features.directory.store import syncs as store
from scaivault.kernel.ports import Clock
from scaivault.storage.database import Database

LEASE = timedelta(seconds=60)
MOST_SECONDS = 3_600.0
MOST_PAGES = 1_000
"""Of one listing: a hundred thousand users of a tenant, or members of a group."""


class Reading:
    """The pages of one sync's claim."""

    def __init__(self, database: Database, clock: Clock, sync: Sync) -> None:
        self._database = database
        self._clock = clock
        self._sync = sync
        self._ends_at = time.monotonic() + MOST_SECONDS

    def pages(self, ask: Callable[[int], Page]) -> Iterator[list[Mapping[str, object]]]:
        """Every page of a listing, which is complete when this ends; SyncFailed, SyncLost."""
        read, total = 0, None
        for number in range(1, MOST_PAGES + 1):
            self.live()
            page = ask(number)
            if total not in {None, page.total}:
                # Somebody came or went between two pages: whoever stands on neither would be taken for deleted.
                raise SyncFailed(SyncFault.CHANGED_MEANWHILE)
            total = page.total
            if len(page.items) != min(PAGE_SIZE, total - read):
                raise SyncFailed(SyncFault.MALFORMED)
            read += len(page.items)
            yield page.items
            if read == total:
                return
        raise SyncFailed(SyncFault.TOO_LARGE)

    def live(self) -> datetime:
        """The present instant, until which this claim was held: SyncLost if another process has it, SyncFailed."""
        if time.monotonic() > self._ends_at:
            raise SyncFailed(SyncFault.TOO_SLOW)
        now = self._clock.now()
        with self._database.session() as session:
            if not store.change_lease(session, self._sync.id, self._sync.attempts, now + LEASE):
                raise SyncLost
        return now
