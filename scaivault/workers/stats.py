"""Which workers there are, and how many are missed, by their heartbeats."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import Metric

from scaivault.observability.catalogue.features import BACKGROUND_WORKERS
from scaivault.observability.exposition import gauge
from scaivault.storage.database import Session

# Of a day: what a worker says that is started and killed every half a minute.
MOST_READ = 3_000


@dataclass(frozen=True, slots=True)
class Record:
    """A worker that was seen, and did not say that it ends."""

    started_at: datetime
    seen_at: datetime
    is_live: bool


def collect(session: Session, expected: int) -> list[Metric]:
    """Workers as metric families. `expected` is how many there are to be, 0 if nobody has said so."""
    records = find_records(session)
    live = sum(record.is_live for record in records)
    missing = max(0, expected - live) if expected else count_missed(records)
    return [gauge(BACKGROUND_WORKERS, [(("live",), float(live)), (("missing",), float(missing))])]


def find_records(session: Session) -> list[Record]:
    """All of the last day. One that is silent for six heartbeats is gone."""
    return session.many(
        Record,
        """
        SELECT started_at, seen_at, seen_at > now() - interval '30 seconds' AS is_live
          FROM workers
         ORDER BY seen_at DESC
         LIMIT %(most)s
        """,
        most=MOST_READ,
    )


def count_missed(records: Iterable[Record]) -> int:
    """How many went without a word and nobody came for: who starts takes the place of one who was gone."""
    coming = [(record.started_at, False) for record in records]
    going = [(record.seen_at, True) for record in records if not record.is_live]
    missed = 0
    for _, goes in sorted(coming + going):
        missed = missed + 1 if goes else max(0, missed - 1)
    return missed
