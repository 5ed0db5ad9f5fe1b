"""Which workers there are, for whoever asks how the vault feels."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from scaivault.kernel.ports import Clock
from scaivault.storage.database import Database, Session

FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Seen:
    """The worker that was seen last, and how many were within a time."""

    last_seen_at: datetime | None
    workers: int


class Heartbeat:
    """A row of this worker's own, which says when it was last well."""

    def __init__(self, database: Database, clock: Clock, worker_id: str) -> None:
        self._database = database
        self._clock = clock
        self._worker_id = worker_id

    def beat(self) -> int:
        """Say so, and forget who has not for a day. 0: there is never more of it to do."""
        now = self._clock.now()
        with self._database.transaction() as tx:
            change_seen(tx, self._worker_id, now)
            remove_seen_before(tx, now - FORGOTTEN_AFTER)
        return 0

    def stop(self) -> None:
        """This worker has ended as it should: nobody is to miss it."""
        with self._database.session() as session:
            remove_worker(session, self._worker_id)


def change_seen(tx: Session, worker_id: str, now: datetime) -> None:
    tx.run(
        """
        INSERT INTO workers (id, started_at, seen_at)
        VALUES (%(id)s, %(now)s, %(now)s)
            ON CONFLICT ON CONSTRAINT workers_pkey DO UPDATE SET seen_at = excluded.seen_at
        """,
        id=worker_id,
        now=now,
    )


def remove_seen_before(tx: Session, instant: datetime) -> None:
    tx.run("DELETE FROM workers WHERE seen_at < %(instant)s", instant=instant)


def remove_worker(session: Session, worker_id: str) -> None:
    session.run("DELETE FROM workers WHERE id = %(id)s", id=worker_id)


def find_seen(session: Session, since: datetime) -> Seen:
    """When a worker was last seen, and how many were since then."""
    row = session.one(
        Seen,
        """
        SELECT max(seen_at) AS last_seen_at, count(*) FILTER (WHERE seen_at > %(since)s) AS workers FROM workers
        """,
        since=since,
    )
    return row or Seen(None, 0)
