"""Who read most, told by the trail without walking it: each entry is looked at once, soon after it was written."""

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client.core import Metric

from scaivault.observability.catalogue.features import TOP_READERS
from scaivault.observability.catalogue.vocabulary import MOST_READERS
from scaivault.observability.exposition import gauge
from scaivault.storage.database import Session

WINDOW = timedelta(hours=1)
# Longer than any statement may take, hence than an entry of an instant can take to be there to be seen.
SETTLED = timedelta(seconds=15)
STEP = timedelta(minutes=1)
BUDGET_SECONDS = 2.0
MOST_OF_A_STEP = 10_000


class StillReading(Exception):
    """The last hour is not read to its end; the next look goes on from here."""


@dataclass(frozen=True, slots=True)
class _Now:
    now: datetime


@dataclass(frozen=True, slots=True)
class _Reads:
    tenant_id: str
    identity_id: str
    reads: int


@dataclass(frozen=True, slots=True)
class _Span:
    until: datetime
    reads: Counter[str]


class TopReaders:
    """Sums of the last hour's reads, kept in memory in spans of at most a minute. For one thread.

    A look costs by the tenants there are and by the entries since the last one, and not by the trail behind them: each
    tenant's are found by the index that serves its audit queries, so that writers pay for no index of the exporter's.
    The first look reads an hour, minute by minute, and over several looks if that takes long.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._spans: deque[_Span] = deque()
        self._sum: Counter[str] = Counter()

    def look(self, session: Session) -> list[Metric]:
        """The readers that read most, or StillReading."""
        found = session.one(_Now, "SELECT now() AS now")
        if found is None:
            raise RuntimeError("there is always a now")
        horizon = found.now - SETTLED
        self._forget(horizon - WINDOW)
        self._read_up_to(session, horizon)
        most = sorted(self._sum.items(), key=lambda item: (-item[1], item[0]))[:MOST_READERS]
        return [gauge(TOP_READERS, [((identity,), float(reads)) for identity, reads in most])]

    def _read_up_to(self, session: Session, horizon: datetime) -> None:
        end = self._monotonic() + BUDGET_SECONDS
        after = max(self._spans[-1].until, horizon - WINDOW) if self._spans else horizon - WINDOW
        while after < horizon:
            if self._monotonic() > end:
                raise StillReading
            until = min(after + STEP, horizon)
            reads = Counter(
                {f"{each.tenant_id}/{each.identity_id}": each.reads for each in _reads(session, after, until)}
            )
            self._spans.append(_Span(until, reads))
            self._sum.update(reads)
            after = until

    def _forget(self, before: datetime) -> None:
        while self._spans and self._spans[0].until <= before:
            self._sum -= self._spans.popleft().reads  # which also drops those that have none left


def _reads(session: Session, after: datetime, until: datetime) -> list[_Reads]:
    """Reads by identity in a span, each under the identity's own tenant, wherever it read."""
    return session.many(
        _Reads,
        """
        SELECT coalesce(home_tenant_id, tenants.id) AS tenant_id, identity_id, sum(reads)::bigint AS reads
          FROM tenants
         CROSS JOIN LATERAL (
               SELECT identity_id, extra_data ->> 'home_tenant_id' AS home_tenant_id, count(*) AS reads
                 FROM audit_log
                WHERE audit_log.tenant_id = tenants.id AND action = 'read' AND success
                  AND occurred_at > %(after)s AND occurred_at <= %(until)s
                GROUP BY 1, 2) AS reading
         GROUP BY 1, 2
         ORDER BY 3 DESC
         LIMIT %(most)s
        """,
        after=after,
        until=until,
        most=MOST_OF_A_STEP,
    )
