"""A webhook's queue as a whole: due when, and whose for the moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from scaivault.features.events.store.authority import IS_TOLD
from scaivault.storage.database import Session


@dataclass(frozen=True, slots=True)
class Lane:
    """A queue that a worker has to itself for a while."""

    partner_id: str
    tenant_id: str
    webhook_id: str
    url: str
    last_attempt_failed: bool


@dataclass(frozen=True, slots=True)
class NoRoom:
    """What is not to be begun: lanes of these tenants, lanes of those (or of anybody) whose last attempt failed."""

    of_tenants: Sequence[str] = ()
    for_failing_of: Sequence[str] = ()
    for_any_failing: bool = False


@dataclass(frozen=True, slots=True)
class _Failures:
    consecutive_failures: int


@dataclass(frozen=True, slots=True)
class _Due:
    due_at: datetime | None


def add_lane(tx: Session, tenant_id: str, webhook_id: str) -> None:
    tx.run(
        "INSERT INTO webhook_lanes (tenant_id, webhook_id) VALUES (%(tenant_id)s, %(webhook_id)s)",
        tenant_id=tenant_id,
        webhook_id=webhook_id,
    )


def claim_lane(tx: Session, tenant_id: str, webhook_id: str) -> int | None:
    """Hold the lane until this transaction ends; its failures in a row, or None if there is no such webhook."""
    row = tx.one(
        _Failures,
        """
        SELECT consecutive_failures
          FROM webhook_lanes
         WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s
           FOR UPDATE
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
    )
    return row.consecutive_failures if row else None


def claim_lanes(tx: Session, tenant_ids: Sequence[str], webhook_ids: Sequence[str]) -> None:
    """Hold these lanes, in an order in which two that do so can not wait for each other."""
    tx.run(
        """
        SELECT FROM webhook_lanes AS lanes
          JOIN unnest(%(tenant_ids)s::text[], %(webhook_ids)s::text[]) AS wanted (tenant_id, webhook_id)
            ON lanes.tenant_id = wanted.tenant_id AND lanes.webhook_id = wanted.webhook_id
         ORDER BY lanes.tenant_id, lanes.webhook_id
           FOR UPDATE OF lanes
        """,
        tenant_ids=list(tenant_ids),
        webhook_ids=list(webhook_ids),
    )


def change_due(tx: Session, tenant_ids: Sequence[str], webhook_ids: Sequence[str], now: datetime) -> None:
    """Something is due in these lanes."""
    tx.run(
        """
        UPDATE webhook_lanes AS lanes
           SET due_at = least(due_at, %(now)s)
          FROM unnest(%(tenant_ids)s::text[], %(webhook_ids)s::text[]) AS due (tenant_id, webhook_id)
         WHERE lanes.tenant_id = due.tenant_id AND lanes.webhook_id = due.webhook_id
        """,
        tenant_ids=list(tenant_ids),
        webhook_ids=list(webhook_ids),
        now=now,
    )


def claim_due_lane(tx: Session, lease: str, now: datetime, until: datetime, no_room: NoRoom) -> Lane | None:
    """Lease the lane that has been due for longest, of a webhook that is told and for which there is room.

    Whatever another worker is looking at, or has a lease of that still runs, is not waited for.
    """
    return tx.one(
        Lane,
        f"""
        UPDATE webhook_lanes AS lanes
           SET lease = %(lease)s, leased_until = %(until)s
          FROM (SELECT lanes.tenant_id, lanes.webhook_id, webhooks.url, tenants.partner_id
                  FROM webhook_lanes AS lanes
                  JOIN webhooks ON webhooks.tenant_id = lanes.tenant_id AND webhooks.id = lanes.webhook_id
                  JOIN tenants ON tenants.id = lanes.tenant_id
                 WHERE due_at <= %(now)s AND (leased_until IS NULL OR leased_until <= %(now)s)
                   AND {IS_TOLD} AND lanes.tenant_id <> ALL(%(of_tenants)s::text[])
                   AND NOT (last_attempt_failed
                            AND (%(for_any_failing)s OR lanes.tenant_id = ANY(%(for_failing_of)s::text[])))
                 ORDER BY due_at
                 LIMIT 1
                   FOR UPDATE OF lanes SKIP LOCKED) AS due
         WHERE lanes.tenant_id = due.tenant_id AND lanes.webhook_id = due.webhook_id
        RETURNING due.partner_id, due.tenant_id, due.webhook_id, due.url, last_attempt_failed
        """,
        lease=lease,
        now=now,
        until=until,
        of_tenants=list(no_room.of_tenants),
        for_failing_of=list(no_room.for_failing_of),
        for_any_failing=no_room.for_any_failing,
    )


def change_lease(tx: Session, tenant_id: str, lane: Lane, lease: str, until: datetime) -> Lane | None:
    """Keep a lane for longer, and see where it leads by now.

    None if it is another worker's meanwhile, or its webhook is gone, or told nothing any more.
    """
    return tx.one(
        Lane,
        f"""
        UPDATE webhook_lanes AS lanes
           SET leased_until = %(until)s
          FROM webhooks
         WHERE lanes.tenant_id = %(tenant_id)s AND lanes.webhook_id = %(webhook_id)s AND lease = %(lease)s
           AND webhooks.tenant_id = lanes.tenant_id AND webhooks.id = lanes.webhook_id AND {IS_TOLD}
        RETURNING %(partner_id)s AS partner_id, lanes.tenant_id, lanes.webhook_id, url, last_attempt_failed
        """,
        tenant_id=tenant_id,
        webhook_id=lane.webhook_id,
        partner_id=lane.partner_id,
        lease=lease,
        until=until,
    )


def change_attempted(
    tx: Session, tenant_id: str, webhook_id: str, consecutive_failures: int, delivery_id: str, *, has_failed: bool
) -> None:
    """How the last attempt went, at which delivery, and how many in a row were given up by now."""
    tx.run(
        """
        UPDATE webhook_lanes
           SET consecutive_failures = %(consecutive_failures)s, last_attempt_failed = %(has_failed)s,
               last_delivery_id = %(delivery_id)s
         WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        consecutive_failures=consecutive_failures,
        has_failed=has_failed,
        delivery_id=delivery_id,
    )


def change_unfailed(tx: Session, tenant_id: str, webhook_id: str) -> None:
    """Nothing was attempted at the address that it has by now."""
    tx.run(
        """
        UPDATE webhook_lanes
           SET last_attempt_failed = false
         WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
    )


def change_forgiven(tx: Session, tenant_id: str, webhook_id: str) -> None:
    """It counts as one that has never failed."""
    tx.run(
        """
        UPDATE webhook_lanes
           SET consecutive_failures = 0, last_attempt_failed = false
         WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
    )


def find_next_attempt(tx: Session, tenant_id: str, webhook_id: str) -> datetime | None:
    """When something in the lane is due next."""
    row = tx.one(
        _Due,
        """
        SELECT min(next_attempt_at) AS due_at
          FROM webhook_deliveries
         WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s AND next_attempt_at IS NOT NULL
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
    )
    return row.due_at if row else None


def change_released(tx: Session, tenant_id: str, webhook_id: str, lease: str | None, due_at: datetime | None) -> None:
    """Give a lane back that is under this lease (or under none), due next at `due_at`."""
    tx.run(
        """
        UPDATE webhook_lanes
           SET lease = NULL, leased_until = NULL, due_at = %(due_at)s
         WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s
           AND lease IS NOT DISTINCT FROM %(lease)s::text
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        lease=lease,
        due_at=due_at,
    )
