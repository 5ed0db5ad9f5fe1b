"""What subscriptions were told and have not heard yet, each in its own numbers without a gap."""

from collections.abc import Sequence
from dataclasses import dataclass

from scaivault.features.events.model.subscriptions import Buffer, Waiting
from scaivault.storage.database import Session


@dataclass(frozen=True, slots=True)
class Told:
    """An event for a subscription; one that is told later comes later in the sequence."""

    tenant_id: str
    subscription_id: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Awaited:
    """What somebody who waits knows: whether it is still so is worth asking."""

    tenant_id: str
    subscription_id: str
    last_position: int
    epoch: int


@dataclass(frozen=True, slots=True)
class _Ordinal:
    ordinal: int


@dataclass(frozen=True, slots=True)
class _Position:
    position: int


@dataclass(frozen=True, slots=True)
class _Row:
    last_position: int
    missing: int
    told_missing: int
    missing_beyond: int
    epoch: int
    position: int | None
    event_id: str
    event_type: str
    path: str
    body: str

    def buffer(self) -> Buffer:
        return Buffer(self.last_position, self.missing, self.told_missing, self.missing_beyond, self.epoch)


def add_buffer(tx: Session, tenant_id: str, subscription_id: str) -> None:
    tx.run(
        "INSERT INTO subscription_buffers (tenant_id, subscription_id) VALUES (%(tenant_id)s, %(subscription_id)s)",
        tenant_id=tenant_id,
        subscription_id=subscription_id,
    )


def claim_buffers(tx: Session, tenant_ids: Sequence[str], subscription_ids: Sequence[str]) -> None:
    """Hold these buffers, in an order in which two that do so can not wait for each other."""
    tx.run(
        """
        SELECT FROM subscription_buffers AS buffers
          JOIN unnest(%(tenant_ids)s::text[], %(subscription_ids)s::text[]) AS wanted (tenant_id, subscription_id)
            ON buffers.tenant_id = wanted.tenant_id AND buffers.subscription_id = wanted.subscription_id
         ORDER BY buffers.tenant_id, buffers.subscription_id
           FOR UPDATE OF buffers
        """,
        tenant_ids=list(tenant_ids),
        subscription_ids=list(subscription_ids),
    )


def add_buffered(tx: Session, told: Sequence[Told]) -> None:
    """Number these and put them in, in their order; what is for a buffer that is not there any more is left out."""
    tx.run(
        """
        WITH told AS (
            SELECT tenant_id, subscription_id, event_id,
                   row_number() OVER (PARTITION BY tenant_id, subscription_id ORDER BY ordinal) AS number
              FROM unnest(%(tenant_ids)s::text[], %(subscription_ids)s::text[], %(event_ids)s::text[])
                       WITH ORDINALITY AS told (tenant_id, subscription_id, event_id, ordinal)
        ), moved AS (
            UPDATE subscription_buffers AS buffers
               SET last_position = last_position + counted.number
              FROM (SELECT tenant_id, subscription_id, count(*) AS number
                      FROM told GROUP BY tenant_id, subscription_id) AS counted
             WHERE buffers.tenant_id = counted.tenant_id AND buffers.subscription_id = counted.subscription_id
            RETURNING buffers.tenant_id, buffers.subscription_id, last_position - counted.number AS before
        )
        INSERT INTO buffered_events (tenant_id, subscription_id, position, event_id)
        SELECT told.tenant_id, told.subscription_id, moved.before + told.number, told.event_id
          FROM told
          JOIN moved ON moved.tenant_id = told.tenant_id AND moved.subscription_id = told.subscription_id
        """,
        tenant_ids=[each.tenant_id for each in told],
        subscription_ids=[each.subscription_id for each in told],
        event_ids=[each.event_id for each in told],
    )


def remove_beyond_size(tx: Session, tenant_ids: Sequence[str], subscription_ids: Sequence[str]) -> None:
    """Drop from these buffers what is older than the newest that they have room for."""
    tx.run(
        """
        DELETE FROM buffered_events
         USING unnest(%(tenant_ids)s::text[], %(subscription_ids)s::text[]) AS full_ones (tenant_id, subscription_id)
          JOIN subscriptions
            ON subscriptions.tenant_id = full_ones.tenant_id AND subscriptions.id = full_ones.subscription_id
          JOIN subscription_buffers AS buffers
            ON buffers.tenant_id = full_ones.tenant_id AND buffers.subscription_id = full_ones.subscription_id
         WHERE buffered_events.tenant_id = full_ones.tenant_id
           AND buffered_events.subscription_id = full_ones.subscription_id
           AND position <= last_position - buffer_size
        """,
        tenant_ids=list(tenant_ids),
        subscription_ids=list(subscription_ids),
    )


def find_position(session: Session, tenant_id: str, subscription_id: str, event_id: str) -> int | None:
    """Where an event stands in a buffer; None if it does not."""
    row = session.one(
        _Position,
        """
        SELECT position
          FROM buffered_events
         WHERE tenant_id = %(tenant_id)s AND event_id = %(event_id)s AND subscription_id = %(subscription_id)s
        """,
        tenant_id=tenant_id,
        subscription_id=subscription_id,
        event_id=event_id,
    )
    return row.position if row else None


def find_buffer(
    session: Session, tenant_id: str, subscription_id: str, after: int, limit: int, *, with_heard: bool
) -> tuple[Buffer, list[Waiting]] | None:
    """A buffer and what it has beyond a position, as of one and the same moment; None if there is no buffer."""
    rows = session.many(
        _Row,
        """
        SELECT last_position,
               last_position - heard - (
                   SELECT count(*)
                     FROM buffered_events AS unheard
                    WHERE unheard.tenant_id = buffers.tenant_id AND unheard.subscription_id = buffers.subscription_id
                      AND NOT is_heard) AS missing,
               told_missing,
               greatest(last_position - %(after)s, 0) - (
                   SELECT count(*)
                     FROM buffered_events AS beyond
                    WHERE beyond.tenant_id = buffers.tenant_id AND beyond.subscription_id = buffers.subscription_id
                      AND position > %(after)s) AS missing_beyond,
               tenants.authority_epoch AS epoch,
               page.position, page.event_id, page.event_type, page.path, page.body
          FROM subscription_buffers AS buffers
          JOIN tenants ON tenants.id = buffers.tenant_id
          LEFT JOIN LATERAL (
               SELECT position, event_id, event_type, path, body
                 FROM buffered_events
                 JOIN events ON events.tenant_id = buffered_events.tenant_id AND events.id = event_id
                WHERE buffered_events.tenant_id = buffers.tenant_id
                  AND buffered_events.subscription_id = buffers.subscription_id
                  AND position > %(after)s AND (%(with_heard)s OR NOT is_heard)
                ORDER BY position
                LIMIT %(limit)s) AS page ON true
         WHERE buffers.tenant_id = %(tenant_id)s AND buffers.subscription_id = %(subscription_id)s
         ORDER BY page.position
        """,
        tenant_id=tenant_id,
        subscription_id=subscription_id,
        after=after,
        limit=limit,
        with_heard=with_heard,
    )
    if not rows:
        return None
    waiting = [
        Waiting(row.position, row.event_id, row.event_type, row.path, row.body)
        for row in rows
        if row.position is not None
    ]
    return rows[0].buffer(), waiting


def change_heard(tx: Session, tenant_id: str, subscription_id: str, event_ids: Sequence[str]) -> int:
    """Take these as heard, of a buffer that this transaction holds; how many of them were not until now."""
    heard = tx.run(
        """
        UPDATE buffered_events
           SET is_heard = true
         WHERE tenant_id = %(tenant_id)s AND subscription_id = %(subscription_id)s
           AND event_id = ANY(%(event_ids)s) AND NOT is_heard
        """,
        tenant_id=tenant_id,
        subscription_id=subscription_id,
        event_ids=list(event_ids),
    )
    add_heard(tx, tenant_id, subscription_id, heard)
    return heard


def add_heard(tx: Session, tenant_id: str, subscription_id: str, number: int) -> None:
    tx.run(
        """
        UPDATE subscription_buffers
           SET heard = heard + %(number)s
         WHERE tenant_id = %(tenant_id)s AND subscription_id = %(subscription_id)s
        """,
        tenant_id=tenant_id,
        subscription_id=subscription_id,
        number=number,
    )


def change_told_missing(tx: Session, tenant_id: str, subscription_id: str, missing: int) -> int:
    """Take it as known that so much is missing, or as much as is; 1 if that was news."""
    return tx.run(
        """
        UPDATE subscription_buffers AS buffers
           SET told_missing = least(%(missing)s, counted.missing)
          FROM (SELECT last_position - heard - (
                           SELECT count(*)
                             FROM buffered_events AS unheard
                            WHERE unheard.tenant_id = %(tenant_id)s
                              AND unheard.subscription_id = %(subscription_id)s AND NOT is_heard) AS missing
                  FROM subscription_buffers
                 WHERE tenant_id = %(tenant_id)s AND subscription_id = %(subscription_id)s) AS counted
         WHERE buffers.tenant_id = %(tenant_id)s AND buffers.subscription_id = %(subscription_id)s
           AND told_missing < least(%(missing)s, counted.missing)
        """,
        tenant_id=tenant_id,
        subscription_id=subscription_id,
        missing=missing,
    )


def list_stirred(session: Session, awaited: Sequence[Awaited]) -> list[int]:
    """Which of these, by their number in the list, should look again: told something, gone, or of other authority."""
    rows = session.many(
        _Ordinal,
        """
        SELECT ordinal::integer
          FROM unnest(%(tenant_ids)s::text[], %(subscription_ids)s::text[], %(positions)s::bigint[],
                      %(epochs)s::bigint[])
                   WITH ORDINALITY AS awaited (tenant_id, subscription_id, last_position, epoch, ordinal)
          LEFT JOIN subscription_buffers AS buffers
            ON buffers.tenant_id = awaited.tenant_id AND buffers.subscription_id = awaited.subscription_id
          LEFT JOIN tenants ON tenants.id = awaited.tenant_id
         WHERE buffers.last_position IS DISTINCT FROM awaited.last_position
            OR authority_epoch IS DISTINCT FROM awaited.epoch
        """,
        tenant_ids=[each.tenant_id for each in awaited],
        subscription_ids=[each.subscription_id for each in awaited],
        positions=[each.last_position for each in awaited],
        epochs=[each.epoch for each in awaited],
    )
    return [row.ordinal - 1 for row in rows]
