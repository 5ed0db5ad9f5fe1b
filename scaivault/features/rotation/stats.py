"""How far rotation is behind, at the cost of what is due and not of what there is."""

from dataclasses import dataclass

from prometheus_client.core import Metric

from scaivault.observability.catalogue.features import (
    ROTATION_OLDEST_DUE_SECONDS,
    ROTATION_QUEUE_DEPTH,
    SECRETS_ROTATION_FAILING,
    SECRETS_ROTATION_OVERDUE,
)
from scaivault.observability.exposition import gauge
from scaivault.storage.database import Session

# Beyond that "many" is all that a number could say.
MOST_COUNTED = 20_000


@dataclass(frozen=True, slots=True)
class Queue:
    """What is due and did not fail, for how many seconds the first of it has been, what is overdue, and what fails."""

    depth: int
    oldest_seconds: float
    overdue: int
    failing: int


def collect(session: Session) -> list[Metric]:
    """The state of all schedules as metric families. What is paused or in the trash is due for nothing."""
    queue = find_queue(session)
    return [
        gauge(ROTATION_QUEUE_DEPTH, [((), float(queue.depth))]),
        gauge(ROTATION_OLDEST_DUE_SECONDS, [((), queue.oldest_seconds)]),
        gauge(SECRETS_ROTATION_OVERDUE, [((), float(queue.overdue))]),
        gauge(SECRETS_ROTATION_FAILING, [((), float(queue.failing))]),
    ]


def find_queue(session: Session) -> Queue:
    """Over all tenants: each number by an index that holds nothing else.

    What failed stays due while it pauses. It is no sign that nobody works: it is counted by itself, overdue or not.
    """
    row = session.one(
        Queue,
        """
        WITH due AS (
            SELECT due_at
              FROM secret_rotations
             WHERE state = 'scheduled' AND NOT is_deleted AND due_at <= now() AND failures = 0
             ORDER BY due_at
             LIMIT %(most)s
        ), overdue AS (
            SELECT FROM secret_rotations WHERE state = 'overdue' AND NOT is_deleted LIMIT %(most)s
        ), failing AS (
            (SELECT FROM secret_rotations
              WHERE state = 'scheduled' AND NOT is_deleted AND due_at <= now() AND failures > 0
              LIMIT %(most)s)
             UNION ALL
            (SELECT FROM secret_rotations WHERE state = 'overdue' AND NOT is_deleted AND failures > 0 LIMIT %(most)s)
        )
        SELECT (SELECT count(*) FROM due) AS depth,
               coalesce(extract(epoch FROM now() - (SELECT min(due_at) FROM due)), 0)::double precision
                   AS oldest_seconds,
               (SELECT count(*) FROM overdue) AS overdue,
               (SELECT count(*) FROM failing) AS failing
        """,
        most=MOST_COUNTED,
    )
    return row or Queue(0, 0.0, 0, 0)
