"""The table `rotation_history`: a line for each rotation, and for each that is waited for or has failed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from scaivault.features.rotation.model import Item, Status
from scaivault.kernel.renewal import Trigger
from scaivault.storage.database import Session

COLUMNS: Final = """
    id, policy_id, path, status, triggered_by, identity_id, attempts, reason, due_at, started_at, ended_at, old_version,
    new_version, grace_period_ends
"""


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    policy_id: str | None
    path: str
    status: str
    triggered_by: str
    identity_id: str
    attempts: int
    reason: str | None
    due_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    old_version: int | None
    new_version: int | None
    grace_period_ends: datetime | None

    def item(self) -> Item:
        return Item(
            id=self.id,
            policy_id=self.policy_id,
            path=self.path,
            status=Status(self.status),
            triggered_by=Trigger(self.triggered_by),
            identity_id=self.identity_id,
            attempts=self.attempts,
            reason=self.reason,
            due_at=self.due_at,
            started_at=self.started_at,
            ended_at=self.ended_at,
            old_version=self.old_version,
            new_version=self.new_version,
            grace_period_ends=self.grace_period_ends,
        )


def add_item(tx: Session, tenant_id: str, item: Item) -> None:
    tx.run(
        """
        INSERT INTO rotation_history
               (tenant_id, id, policy_id, path, status, triggered_by, identity_id, attempts, reason, due_at, started_at,
                ended_at, old_version, new_version, grace_period_ends)
        VALUES (%(tenant_id)s, %(id)s, %(policy_id)s, %(path)s, %(status)s, %(triggered_by)s, %(identity_id)s,
                %(attempts)s, %(reason)s, %(due_at)s, %(started_at)s, %(ended_at)s, %(old_version)s, %(new_version)s,
                %(grace_period_ends)s)
        """,
        tenant_id=tenant_id,
        id=item.id,
        policy_id=item.policy_id,
        path=item.path,
        status=item.status.value,
        triggered_by=item.triggered_by.value,
        identity_id=item.identity_id,
        attempts=item.attempts,
        reason=item.reason,
        due_at=item.due_at,
        started_at=item.started_at,
        ended_at=item.ended_at,
        old_version=item.old_version,
        new_version=item.new_version,
        grace_period_ends=item.grace_period_ends,
    )


def change_done(tx: Session, tenant_id: str, history_id: str, item: Item) -> bool:
    """What was waited for has happened; False if this line is not about something that is waited for."""
    return bool(
        tx.run(
            """
            UPDATE rotation_history
               SET status = 'success', triggered_by = %(triggered_by)s, identity_id = %(identity_id)s,
                   ended_at = %(ended_at)s, old_version = %(old_version)s, new_version = %(new_version)s,
                   grace_period_ends = %(grace_period_ends)s, attempts = 1, reason = NULL
             WHERE tenant_id = %(tenant_id)s AND id = %(history_id)s AND status = 'pending'
            """,
            tenant_id=tenant_id,
            history_id=history_id,
            triggered_by=item.triggered_by.value,
            identity_id=item.identity_id,
            ended_at=item.ended_at,
            old_version=item.old_version,
            new_version=item.new_version,
            grace_period_ends=item.grace_period_ends,
        )
    )


def remove_pending(tx: Session, tenant_id: str, history_id: str) -> None:
    """Nobody waits for what this line is about any more."""
    tx.run(
        "DELETE FROM rotation_history WHERE tenant_id = %(tenant_id)s AND id = %(history_id)s AND status = 'pending'",
        tenant_id=tenant_id,
        history_id=history_id,
    )


def remove_awaited(tx: Session, tenant_id: str, paths: Sequence[str]) -> None:
    """Nobody waits for these secrets any more: they are not due now."""
    tx.run(
        """
        DELETE FROM rotation_history
         USING secret_rotations AS under
         WHERE under.tenant_id = %(tenant_id)s AND under.path = ANY(%(paths)s)
           AND rotation_history.tenant_id = under.tenant_id AND rotation_history.id = under.history_id
           AND rotation_history.status = 'pending'
        """,
        tenant_id=tenant_id,
        paths=list(paths),
    )


def change_failed_again(tx: Session, tenant_id: str, history_id: str, reason: str, now: datetime) -> bool:
    """Another attempt at the same rotation, or the first at one that somebody was to write; False if it is over."""
    return bool(
        tx.run(
            """
            UPDATE rotation_history
               SET status = 'failed', attempts = attempts + 1, reason = %(reason)s, ended_at = %(now)s
             WHERE tenant_id = %(tenant_id)s AND id = %(history_id)s AND status IN ('pending', 'failed')
            """,
            tenant_id=tenant_id,
            history_id=history_id,
            reason=reason,
            now=now,
        )
    )


def list_items(
    session: Session, tenant_id: str, policy_id: str, status: str | None, before: str | None, limit: int
) -> list[Item]:
    """A policy's history, newest first, from the line before `before`."""
    rows = session.many(
        _Row,
        f"""
        SELECT {COLUMNS}
          FROM rotation_history
         WHERE tenant_id = %(tenant_id)s AND policy_id = %(policy_id)s
           AND (%(status)s::text IS NULL OR status = %(status)s)
           AND (%(before)s::text IS NULL OR id < %(before)s)
         ORDER BY id DESC
         LIMIT %(limit)s
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
        status=status,
        before=before,
        limit=limit,
    )
    return [row.item() for row in rows]


def list_latest(session: Session, tenant_id: str, paths: Sequence[str]) -> list[Item]:
    """The newest line about each of these secrets."""
    rows = session.many(
        _Row,
        f"""
        SELECT latest.*
          FROM unnest(%(paths)s::text[]) AS wanted (path)
         CROSS JOIN LATERAL (
               SELECT {COLUMNS}
                 FROM rotation_history
                WHERE tenant_id = %(tenant_id)s AND path = wanted.path
                ORDER BY id DESC
                LIMIT 1) AS latest
        """,
        tenant_id=tenant_id,
        paths=list(paths),
    )
    return [row.item() for row in rows]


def remove_items_before(session: Session, instant: datetime, limit: int) -> int:
    """Forget what began before this, a little at a time; of what is still waited for nothing is forgotten."""
    return session.run(
        """
        DELETE FROM rotation_history
         WHERE (tenant_id, id) IN (SELECT tenant_id, id
                                     FROM rotation_history
                                    WHERE started_at < %(instant)s AND status <> 'pending'
                                    ORDER BY started_at
                                    LIMIT %(limit)s)
        """,
        instant=instant,
        limit=limit,
    )
