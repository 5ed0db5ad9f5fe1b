"""Deliveries: on their way, and as a log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from scaivault.features.events.model.webhooks import ORDERED_ATTEMPTS, Delivery, DueDelivery, Outcome, Step
from scaivault.storage.database import Session


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """An event that is to go to a webhook. `may_go` unless it waits behind another one of the same batch.

    Its key of order is in the column `path`, and is one for most events (migration 0019).
    """

    tenant_id: str
    webhook_id: str
    id: str
    event_id: str
    sequence: int
    order_key: str | None
    may_go: bool


def add_deliveries(tx: Session, deliveries: Sequence[NewDelivery], now: datetime) -> None:
    """Add these, of webhooks whose lanes the transaction holds. Each waits behind what has its key already."""
    tx.run(
        """
        INSERT INTO webhook_deliveries (tenant_id, webhook_id, id, event_id, sequence, path, status, next_attempt_at,
                                        created_at)
        SELECT fresh.tenant_id, fresh.webhook_id, fresh.id, fresh.event_id, fresh.sequence, fresh.path, 'pending',
               CASE WHEN fresh.may_go AND NOT EXISTS (
                   SELECT FROM webhook_deliveries AS earlier
                    WHERE earlier.tenant_id = fresh.tenant_id AND earlier.webhook_id = fresh.webhook_id
                      AND earlier.path = fresh.path AND earlier.status = 'pending'
                      AND earlier.attempts < %(ordered_attempts)s) THEN %(now)s::timestamptz END,
               %(now)s
          FROM unnest(%(tenant_ids)s::text[], %(webhook_ids)s::text[], %(ids)s::text[], %(event_ids)s::text[],
                      %(sequences)s::bigint[], %(paths)s::text[], %(may_go)s::boolean[])
                   AS fresh (tenant_id, webhook_id, id, event_id, sequence, path, may_go)
        """,
        tenant_ids=[each.tenant_id for each in deliveries],
        webhook_ids=[each.webhook_id for each in deliveries],
        ids=[each.id for each in deliveries],
        event_ids=[each.event_id for each in deliveries],
        sequences=[each.sequence for each in deliveries],
        paths=[each.order_key for each in deliveries],
        may_go=[each.may_go for each in deliveries],
        ordered_attempts=ORDERED_ATTEMPTS,
        now=now,
    )


def list_due(session: Session, tenant_id: str, webhook_id: str, now: datetime, limit: int) -> list[DueDelivery]:
    """What of a webhook's queue is to be attempted now, what has waited longest first."""
    return session.many(
        DueDelivery,
        """
        SELECT deliveries.id, deliveries.event_id, events.event_type, events.request_id, events.path,
               deliveries.path AS order_key, deliveries.attempts, events.body, events.trace_id
          FROM webhook_deliveries AS deliveries
          JOIN events ON events.tenant_id = deliveries.tenant_id AND events.id = deliveries.event_id
         WHERE deliveries.tenant_id = %(tenant_id)s AND deliveries.webhook_id = %(webhook_id)s
           AND deliveries.next_attempt_at <= %(now)s
         ORDER BY deliveries.next_attempt_at, deliveries.sequence
         LIMIT %(limit)s
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        now=now,
        limit=limit,
    )


def change_attempted(
    tx: Session, tenant_id: str, webhook_id: str, delivery: DueDelivery, outcome: Outcome, step: Step, now: datetime
) -> bool:
    """Note an attempt; False if another worker has noted one since this delivery was read."""
    return bool(
        tx.run(
            """
            UPDATE webhook_deliveries
               SET status = %(status)s, attempts = %(attempts)s, next_attempt_at = %(next_attempt_at)s,
                   attempted_at = %(now)s, response_code = %(response_code)s, duration_ms = %(duration_ms)s,
                   error = %(error)s
             WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s AND id = %(id)s
               AND status = 'pending' AND attempts = %(attempts_before)s
            """,
            tenant_id=tenant_id,
            webhook_id=webhook_id,
            id=delivery.id,
            attempts_before=delivery.attempts,
            status=step.status.value,
            attempts=step.attempts,
            next_attempt_at=step.next_attempt_at,
            now=now,
            response_code=outcome.response_code,
            duration_ms=outcome.duration_ms,
            error=None if outcome.trouble is None else outcome.trouble.value,
        )
    )


def change_followers(tx: Session, tenant_id: str, webhook_id: str, order_keys: Sequence[str], now: datetime) -> None:
    """Of each of these keys let the first delivery go that waits behind another one."""
    tx.run(
        """
        UPDATE webhook_deliveries AS deliveries
           SET next_attempt_at = %(now)s
          FROM unnest(%(order_keys)s::text[]) AS freed (path)
         CROSS JOIN LATERAL (
               SELECT id
                 FROM webhook_deliveries AS waiting
                WHERE waiting.tenant_id = %(tenant_id)s AND waiting.webhook_id = %(webhook_id)s
                  AND waiting.path = freed.path AND waiting.status = 'pending' AND waiting.next_attempt_at IS NULL
                ORDER BY sequence
                LIMIT 1) AS first
         WHERE deliveries.tenant_id = %(tenant_id)s AND deliveries.webhook_id = %(webhook_id)s
           AND deliveries.id = first.id
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        order_keys=list(order_keys),
        now=now,
    )


def change_left_behind(tx: Session, tenant_id: str, webhook_id: str, now: datetime) -> int:
    """Let the first of each key go, where all that is left waits: what they waited for was forgotten for its age."""
    return tx.run(
        """
        UPDATE webhook_deliveries AS deliveries
           SET next_attempt_at = %(now)s
          FROM (SELECT DISTINCT ON (path) id
                  FROM webhook_deliveries AS waiting
                 WHERE waiting.tenant_id = %(tenant_id)s AND waiting.webhook_id = %(webhook_id)s
                   AND status = 'pending' AND path IS NOT NULL AND next_attempt_at IS NULL
                 ORDER BY path, sequence) AS first
         WHERE deliveries.tenant_id = %(tenant_id)s AND deliveries.webhook_id = %(webhook_id)s
           AND deliveries.id = first.id
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        now=now,
    )


def list_deliveries(
    session: Session, tenant_id: str, webhook_id: str, status: str | None, after: str | None, limit: int
) -> list[Delivery]:
    """A webhook's deliveries, newest first."""
    return session.many(
        Delivery,
        """
        SELECT deliveries.id, event_id, event_type, created_at, status, attempts, attempted_at, next_attempt_at,
               response_code, duration_ms, error
          FROM webhook_deliveries AS deliveries
          JOIN events ON events.tenant_id = deliveries.tenant_id AND events.id = deliveries.event_id
         WHERE deliveries.tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s
           AND (%(status)s::text IS NULL OR status = %(status)s)
           AND (%(after)s::text IS NULL OR deliveries.id < %(after)s)
         ORDER BY deliveries.id DESC
         LIMIT %(limit)s
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        status=status,
        after=after,
        limit=limit,
    )


def find_delivery(session: Session, tenant_id: str, webhook_id: str, delivery_id: str) -> Delivery | None:
    return session.one(
        Delivery,
        """
        SELECT deliveries.id, event_id, event_type, created_at, status, attempts, attempted_at, next_attempt_at,
               response_code, duration_ms, error
          FROM webhook_deliveries AS deliveries
          JOIN events ON events.tenant_id = deliveries.tenant_id AND events.id = deliveries.event_id
         WHERE deliveries.tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s
           AND deliveries.id = %(delivery_id)s
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        delivery_id=delivery_id,
    )


def find_last_attempted(session: Session, tenant_id: str, webhook_id: str) -> Delivery | None:
    """The delivery that was attempted last, a test's aside; None also if that is forgotten."""
    return session.one(
        Delivery,
        """
        SELECT deliveries.id, event_id, event_type, created_at, status, attempts, attempted_at, next_attempt_at,
               response_code, duration_ms, error
          FROM webhook_lanes AS lanes
          JOIN webhook_deliveries AS deliveries
            ON deliveries.tenant_id = lanes.tenant_id AND deliveries.webhook_id = lanes.webhook_id
               AND deliveries.id = last_delivery_id
          JOIN events ON events.tenant_id = deliveries.tenant_id AND events.id = deliveries.event_id
         WHERE lanes.tenant_id = %(tenant_id)s AND lanes.webhook_id = %(webhook_id)s
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
    )


def add_redelivery(
    tx: Session, tenant_id: str, webhook_id: str, delivery_id: str, fresh_id: str, now: datetime
) -> bool:
    """The event of a delivery once more, now, and outside of its path's order. False if there is no such delivery."""
    return bool(
        tx.run(
            """
            INSERT INTO webhook_deliveries (tenant_id, webhook_id, id, event_id, sequence, path, status,
                                            next_attempt_at, created_at)
            SELECT tenant_id, webhook_id, %(fresh_id)s, event_id, sequence, NULL, 'pending', %(now)s, %(now)s
              FROM webhook_deliveries
             WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s AND id = %(delivery_id)s
            """,
            tenant_id=tenant_id,
            webhook_id=webhook_id,
            delivery_id=delivery_id,
            fresh_id=fresh_id,
            now=now,
        )
    )


def add_finished(
    tx: Session, tenant_id: str, webhook_id: str, delivery: DueDelivery, outcome: Outcome, now: datetime
) -> None:
    """A delivery that was attempted before it was written down, once: a test's."""
    tx.run(
        """
        INSERT INTO webhook_deliveries (tenant_id, webhook_id, id, event_id, sequence, path, status, attempts,
                                        created_at, attempted_at, response_code, duration_ms, error)
        SELECT tenant_id, %(webhook_id)s, %(id)s, events.id, sequence, NULL, %(status)s, 1, %(now)s, %(now)s,
               %(response_code)s, %(duration_ms)s, %(error)s
          FROM events
         WHERE tenant_id = %(tenant_id)s AND events.id = %(event_id)s
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        id=delivery.id,
        event_id=delivery.event_id,
        status="success" if outcome.is_success else "failed",
        now=now,
        response_code=outcome.response_code,
        duration_ms=outcome.duration_ms,
        error=None if outcome.trouble is None else outcome.trouble.value,
    )
