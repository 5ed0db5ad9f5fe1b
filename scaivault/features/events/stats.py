"""How far telling others is behind, at the cost of what is due and not of what there is."""

from dataclasses import dataclass

from prometheus_client.core import Metric

from scaivault.observability.catalogue.features import (
    SUBSCRIPTIONS_SUSPENDED,
    WEBHOOK_OLDEST_PENDING_SECONDS,
    WEBHOOK_QUEUE_DEPTH,
)
from scaivault.observability.exposition import gauge
from scaivault.storage.database import Session

# Of one webhook, and of events that are in no queue yet: beyond that "many" is all that a number could say.
MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits, and for how many seconds the first of it has."""

    depth: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class _Number:
    number: int


def collect(session: Session) -> list[Metric]:
    """The state of all queues as metric families. Who is disabled or suspended waits for nothing."""
    queue = find_queue(session)
    return [
        gauge(WEBHOOK_QUEUE_DEPTH, [((), float(queue.depth))]),
        gauge(WEBHOOK_OLDEST_PENDING_SECONDS, [((), queue.oldest_seconds)]),
        gauge(SUBSCRIPTIONS_SUSPENDED, [((), float(count_suspended(session)))]),
    ]


def count_suspended(session: Session) -> int:
    """Over all tenants: of subscriptions that are delivered, at the cost of those that there are."""
    row = session.one(_Number, "SELECT count(*) AS number FROM suspended_subscriptions")
    return row.number if row else 0


def find_queue(session: Session) -> Queue:
    """Over all tenants: what is due in lanes that are due, by their indexes, and events that nobody dispatched yet."""
    row = session.one(
        Queue,
        """
        WITH due AS (
            SELECT counted.depth, counted.oldest_at
              FROM webhook_lanes AS lanes
              JOIN webhooks ON webhooks.tenant_id = lanes.tenant_id AND webhooks.id = lanes.webhook_id AND is_enabled
             CROSS JOIN LATERAL (
                   SELECT count(*) AS depth, min(next_attempt_at) AS oldest_at
                     FROM (SELECT next_attempt_at
                             FROM webhook_deliveries AS deliveries
                            WHERE deliveries.tenant_id = lanes.tenant_id
                              AND deliveries.webhook_id = lanes.webhook_id AND next_attempt_at <= now()
                            ORDER BY next_attempt_at
                            LIMIT %(most)s) AS waiting) AS counted
             WHERE due_at <= now()
               AND NOT EXISTS (
                   SELECT
                     FROM suspended_subscriptions AS suspended
                    WHERE suspended.tenant_id = webhooks.tenant_id AND suspended.id = webhooks.id)
            UNION ALL
            SELECT count(*), min(occurred_at)
              FROM (SELECT occurred_at FROM events WHERE NOT is_dispatched ORDER BY sequence LIMIT %(most)s) AS fresh
        )
        SELECT coalesce(sum(depth), 0)::bigint AS depth,
               coalesce(extract(epoch FROM now() - min(oldest_at)), 0)::double precision AS oldest_seconds
          FROM due
        """,
        most=MOST_COUNTED,
    )
    return row or Queue(0, 0.0)
