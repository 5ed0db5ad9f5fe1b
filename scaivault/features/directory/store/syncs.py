"""SQL of syncs: what waits, what is being done, what was done, and what the directory holds to compare with."""

from dataclasses import dataclass
from datetime import datetime

from scaivault.features.directory.model import Counts, Piece, Sync, SyncStatus, Territory
from scaivault.storage.database import Session


@dataclass(frozen=True, slots=True)
class _Count:
    count: int


@dataclass(frozen=True, slots=True)
class _Id:
    id: str


@dataclass(frozen=True, slots=True)
class KnownUser:
    id: str
    email: str
    display_name: str
    status: str
    mfa_enabled: bool
    told_roles: list[str] | None


@dataclass(frozen=True, slots=True)
class KnownGroup:
    id: str
    name: str
    status: str


@dataclass(frozen=True, slots=True)
class KnownMember:
    user_id: str
    membership_type: str


def add_sync(
    tx: Session, sync_id: str, territory: Territory, requested_by: str, home: str | None, now: datetime
) -> Sync | None:
    """Queue a sync; if one of the same territory waits already, that one.

    The no-change update locks the row that waits and so returns it whatever else happens meanwhile: it is either
    still queued when the lock is had, or the conflict is gone and the new row goes in.
    """
    return tx.one(
        Sync,
        """
        INSERT INTO directory_syncs (id, partner_id, only_tenant_id, requested_by, home_tenant_id, status, started_at)
        VALUES (%(id)s, %(partner_id)s, %(only)s, %(requested_by)s, %(home)s, 'queued', %(now)s)
            ON CONFLICT (coalesce(partner_id, ''), coalesce(only_tenant_id, '')) WHERE status = 'queued'
            DO UPDATE SET status = directory_syncs.status
        RETURNING id, partner_id, only_tenant_id, requested_by, status, started_at, finished_at, attempts, tenants,
                  users, groups, members, changed, deleted, refused, error_code
        """,
        id=sync_id,
        partner_id=territory.partner_id,
        only=territory.tenant_id,
        requested_by=requested_by,
        home=home,
        now=now,
    )


def claim_schedule(tx: Session) -> None:
    """Until the transaction's end nobody else decides whether a sync is due."""
    tx.run("SELECT pg_advisory_xact_lock(hashtextextended('scaivault.directory_syncs.schedule', 0))")


def add_sync_unless_since(tx: Session, sync_id: str, requested_by: str, since: datetime, now: datetime) -> bool:
    """Queue a sync of everything unless one was begun after `since`."""
    return bool(
        tx.run(
            """
            INSERT INTO directory_syncs (id, requested_by, status, started_at)
            SELECT %(id)s, %(requested_by)s, 'queued', %(now)s
             WHERE NOT EXISTS (SELECT 1
                                 FROM directory_syncs
                                WHERE partner_id IS NULL AND only_tenant_id IS NULL AND started_at > %(since)s)
                ON CONFLICT (coalesce(partner_id, ''), coalesce(only_tenant_id, '')) WHERE status = 'queued' DO NOTHING
            """,
            id=sync_id,
            requested_by=requested_by,
            since=since,
            now=now,
        )
    )


def claim_sync(tx: Session, now: datetime, leased_until: datetime) -> Sync | None:
    """The one that waits longest, or whose process was not heard of in time; ours until `leased_until`."""
    return tx.one(
        Sync,
        """
        UPDATE directory_syncs
           SET status = 'running', leased_until = %(leased_until)s, attempts = attempts + 1
         WHERE id = (SELECT id
                       FROM directory_syncs
                      WHERE status = 'queued' OR (status = 'running' AND leased_until <= %(now)s)
                      ORDER BY started_at
                      LIMIT 1
                        FOR UPDATE SKIP LOCKED)
        RETURNING id, partner_id, only_tenant_id, requested_by, status, started_at, finished_at, attempts, tenants,
                  users, groups, members, changed, deleted, refused, error_code
        """,
        now=now,
        leased_until=leased_until,
    )


def change_lease(session: Session, sync_id: str, attempts: int, leased_until: datetime) -> bool:
    """False if the sync is not this claim's any more."""
    return bool(
        session.run(
            """
            UPDATE directory_syncs
               SET leased_until = %(leased_until)s
             WHERE id = %(id)s AND attempts = %(attempts)s AND status = 'running'
            """,
            id=sync_id,
            attempts=attempts,
            leased_until=leased_until,
        )
    )


def change_finished(
    tx: Session,
    sync_id: str,
    attempts: int,
    status: SyncStatus,
    error_code: str | None,
    counts: Counts,
    now: datetime,
) -> bool:
    """False if the sync is not this claim's any more."""
    return bool(
        tx.run(
            """
            UPDATE directory_syncs
               SET status = %(status)s, error_code = %(error_code)s, finished_at = %(now)s, leased_until = NULL,
                   tenants = %(tenants)s, users = %(users)s, groups = %(groups)s, members = %(members)s,
                   changed = %(changed)s, deleted = %(deleted)s, refused = %(refused)s
             WHERE id = %(id)s AND attempts = %(attempts)s AND status = 'running'
            """,
            id=sync_id,
            attempts=attempts,
            status=status,
            error_code=error_code,
            tenants=counts.tenants,
            users=counts.users,
            groups=counts.groups,
            members=counts.members,
            changed=counts.changed,
            deleted=counts.deleted,
            refused=counts.refused,
            now=now,
        )
    )


def remove_syncs_before(tx: Session, instant: datetime) -> None:
    tx.run("DELETE FROM directory_syncs WHERE finished_at < %(instant)s", instant=instant)


def list_syncs(session: Session, territory: Territory, piece: Piece) -> list[Sync]:
    """Syncs within the territory, latest first."""
    return session.many(
        Sync,
        """
        SELECT id, partner_id, only_tenant_id, requested_by, status, started_at, finished_at, attempts, tenants, users,
               groups, members, changed, deleted, refused, error_code
          FROM directory_syncs
         WHERE (%(partner_id)s::text IS NULL OR partner_id = %(partner_id)s)
           AND (%(only)s::text IS NULL OR only_tenant_id = %(only)s)
         ORDER BY started_at DESC, id DESC
         LIMIT %(size)s OFFSET %(offset)s
        """,
        partner_id=territory.partner_id,
        only=territory.tenant_id,
        size=piece.size,
        offset=piece.offset,
    )


def count_syncs(session: Session, territory: Territory) -> int:
    row = session.one(
        _Count,
        """
        SELECT count(*) AS count
          FROM directory_syncs
         WHERE (%(partner_id)s::text IS NULL OR partner_id = %(partner_id)s)
           AND (%(only)s::text IS NULL OR only_tenant_id = %(only)s)
        """,
        partner_id=territory.partner_id,
        only=territory.tenant_id,
    )
    return row.count if row else 0


def count_queued(session: Session) -> int:
    """How many syncs wait, of whatever territory."""
    row = session.one(_Count, "SELECT count(*) AS count FROM directory_syncs WHERE status = 'queued'")
    return row.count if row else 0


def claim_users(tx: Session, tenant_id: str, user_ids: list[str]) -> list[KnownUser]:
    """Those that are known, locked until the transaction's end, in one order for everybody."""
    return tx.many(
        KnownUser,
        """
        SELECT id, email, display_name, status, mfa_enabled, told_roles
          FROM users
         WHERE tenant_id = %(tenant_id)s AND id = ANY(%(user_ids)s)
         ORDER BY id
           FOR UPDATE
        """,
        tenant_id=tenant_id,
        user_ids=user_ids,
    )


def change_users_confirmed(tx: Session, tenant_id: str, user_ids: list[str], at: datetime, now: datetime) -> None:
    """They were told of, as of `at`, just as they are known."""
    tx.run(
        """
        UPDATE users
           SET changed_at = %(at)s, last_synced_at = %(now)s
         WHERE tenant_id = %(tenant_id)s AND id = ANY(%(user_ids)s) AND changed_at <= %(at)s
        """,
        tenant_id=tenant_id,
        user_ids=user_ids,
        at=at,
        now=now,
    )


def list_active_user_ids(session: Session, tenant_id: str) -> list[str]:
    rows = session.many(
        _Id, "SELECT id FROM users WHERE tenant_id = %(tenant_id)s AND status = 'ACTIVE'", tenant_id=tenant_id
    )
    return [row.id for row in rows]


def list_user_ids_until(session: Session, tenant_id: str, at: datetime) -> list[str]:
    """Everybody but deleted ones of whom nothing newer than `at` is known."""
    rows = session.many(
        _Id,
        """
        SELECT id
          FROM users
         WHERE tenant_id = %(tenant_id)s AND status <> 'DELETED' AND changed_at <= %(at)s
         ORDER BY id
        """,
        tenant_id=tenant_id,
        at=at,
    )
    return [row.id for row in rows]


def change_users_deleted(tx: Session, tenant_id: str, user_ids: list[str], at: datetime, now: datetime) -> list[str]:
    """Which of them are deleted by this: not those of whom something newer is known by now."""
    rows = tx.many(
        _Id,
        """
        UPDATE users
           SET status = 'DELETED', changed_at = %(at)s, last_synced_at = %(now)s
         WHERE tenant_id = %(tenant_id)s AND id = ANY(%(user_ids)s) AND status <> 'DELETED' AND changed_at <= %(at)s
        RETURNING id
        """,
        tenant_id=tenant_id,
        user_ids=user_ids,
        at=at,
        now=now,
    )
    return [row.id for row in rows]


def claim_group(tx: Session, tenant_id: str, group_id: str) -> KnownGroup | None:
    """The group, locked until the transaction's end."""
    return tx.one(
        KnownGroup,
        "SELECT id, name, status FROM groups WHERE tenant_id = %(tenant_id)s AND id = %(group_id)s FOR UPDATE",
        tenant_id=tenant_id,
        group_id=group_id,
    )


def list_group_ids_until(session: Session, tenant_id: str, at: datetime) -> list[str]:
    """Every group but deleted ones of which nothing newer than `at` is known."""
    rows = session.many(
        _Id,
        """
        SELECT id
          FROM groups
         WHERE tenant_id = %(tenant_id)s AND status <> 'DELETED' AND changed_at <= %(at)s
         ORDER BY id
        """,
        tenant_id=tenant_id,
        at=at,
    )
    return [row.id for row in rows]


def list_members_known(session: Session, tenant_id: str, group_id: str) -> list[KnownMember]:
    """Everybody who is in the group, deleted users included."""
    return session.many(
        KnownMember,
        """
        SELECT user_id, membership_type
          FROM group_members
         WHERE tenant_id = %(tenant_id)s AND group_id = %(group_id)s AND is_member
         ORDER BY user_id
        """,
        tenant_id=tenant_id,
        group_id=group_id,
    )


@dataclass(frozen=True, slots=True)
class _Status:
    status: str


def claim_partner_status(tx: Session, partner_id: str) -> str | None:
    """The partner's status, which stays so until the transaction's end."""
    row = tx.one(
        _Status, "SELECT status FROM partners WHERE id = %(partner_id)s FOR NO KEY UPDATE", partner_id=partner_id
    )
    return row.status if row else None


def claim_tenant_status(tx: Session, tenant_id: str) -> str | None:
    """The tenant's status, which stays so until the transaction's end."""
    row = tx.one(_Status, "SELECT status FROM tenants WHERE id = %(tenant_id)s FOR NO KEY UPDATE", tenant_id=tenant_id)
    return row.status if row else None
