"""SQL of what the identity provider tells: newer tellings win, in whatever order they come."""

from dataclasses import dataclass
from datetime import datetime

from scaivault.features.directory.model import Status
from scaivault.storage.database import Session


@dataclass(frozen=True, slots=True)
class _UserId:
    user_id: str


@dataclass(frozen=True, slots=True)
class _GroupId:
    group_id: str


@dataclass(frozen=True, slots=True)
class _Place:
    partner_id: str


def add_event(tx: Session, event_id: str, now: datetime) -> bool:
    """False if it has been taken before."""
    return bool(
        tx.run(
            """
            INSERT INTO directory_events (event_id, received_at) VALUES (%(event_id)s, %(now)s)
                ON CONFLICT ON CONSTRAINT directory_events_pkey DO NOTHING
            """,
            event_id=event_id,
            now=now,
        )
    )


def remove_events_before(tx: Session, instant: datetime) -> None:
    tx.run("DELETE FROM directory_events WHERE received_at < %(instant)s", instant=instant)


def find_partner_of(session: Session, tenant_id: str) -> str | None:
    """The partner of a tenant that is known."""
    row = session.one(
        _Place,
        "SELECT partner_id FROM tenants WHERE id = %(tenant_id)s AND NOT is_shared_space",
        tenant_id=tenant_id,
    )
    return row.partner_id if row else None


def change_partner(
    tx: Session,
    partner_id: str,
    name: str | None,
    slug: str | None,
    region: str | None,
    status: Status | None,
    at: datetime,
    now: datetime,
) -> bool:
    """Add the partner or bring it up to date, what is None staying as it is; False if something newer is known."""
    return bool(
        tx.run(
            """
            INSERT INTO partners (id, name, slug, region, status, changed_at, last_synced_at)
            VALUES (%(id)s, coalesce(%(name)s, %(id)s), %(slug)s, %(region)s, coalesce(%(status)s, 'ACTIVE'), %(at)s,
                    %(now)s)
                ON CONFLICT ON CONSTRAINT partners_pkey
                DO UPDATE SET name = coalesce(%(name)s, partners.name), slug = coalesce(%(slug)s, partners.slug),
                              region = coalesce(%(region)s, partners.region),
                              status = coalesce(%(status)s, partners.status), changed_at = %(at)s,
                              last_synced_at = %(now)s
                 WHERE partners.changed_at <= %(at)s
            """,
            id=partner_id,
            name=name,
            slug=slug,
            region=region,
            status=status,
            at=at,
            now=now,
        )
    )


def add_partner(tx: Session, partner_id: str) -> None:
    """A partner of whom no more is known than that it is there, unless more is known."""
    tx.run(
        """
        INSERT INTO partners (id, name) VALUES (%(partner_id)s, %(partner_id)s)
            ON CONFLICT ON CONSTRAINT partners_pkey DO NOTHING
        """,
        partner_id=partner_id,
    )


def add_shared_space(tx: Session, partner_id: str) -> None:
    """The space that a partner's tenants share, unless it is there."""
    tx.run(
        """
        INSERT INTO tenants (id, partner_id, name, is_shared_space)
        VALUES (%(partner_id)s, %(partner_id)s, 'shared', true)
            ON CONFLICT ON CONSTRAINT tenants_pkey DO NOTHING
        """,
        partner_id=partner_id,
    )


def change_tenant(
    tx: Session,
    tenant_id: str,
    partner_id: str,
    name: str | None,
    slug: str | None,
    status: Status | None,
    at: datetime,
    now: datetime,
) -> bool:
    """Add the tenant or bring it up to date; False if something newer is known, or it is another partner's."""
    return bool(
        tx.run(
            """
            INSERT INTO tenants (id, partner_id, name, slug, status, changed_at, last_synced_at)
            VALUES (%(id)s, %(partner_id)s, coalesce(%(name)s, %(id)s), %(slug)s, coalesce(%(status)s, 'ACTIVE'),
                    %(at)s, %(now)s)
                ON CONFLICT ON CONSTRAINT tenants_pkey
                DO UPDATE SET name = coalesce(%(name)s, tenants.name), slug = coalesce(%(slug)s, tenants.slug),
                              status = coalesce(%(status)s, tenants.status), changed_at = %(at)s,
                              last_synced_at = %(now)s
                 WHERE tenants.changed_at <= %(at)s AND tenants.partner_id = %(partner_id)s
            """,
            id=tenant_id,
            partner_id=partner_id,
            name=name,
            slug=slug,
            status=status,
            at=at,
            now=now,
        )
    )


def change_user(
    tx: Session,
    tenant_id: str,
    user_id: str,
    email: str | None,
    display_name: str | None,
    status: Status | None,
    mfa_enabled: bool | None,
    roles: list[str] | None,
    at: datetime,
    now: datetime,
) -> bool:
    """Add the user or bring it up to date, what is None staying as it is; False if something newer is known.

    A user whose email was never told can not be added: False too. One who is added has the roles and groups that the
    identity of his name had, and the status that was told of him last. Roles told before are told no more without
    these; those given here stay.
    """
    return bool(
        tx.run(
            """
            INSERT INTO users (tenant_id, id, email, display_name, status, mfa_enabled, roles, given_roles,
                               given_groups, told_roles, changed_at, last_synced_at)
            SELECT %(tenant_id)s, %(id)s, coalesce(%(email)s, known.email),
                   coalesce(%(display_name)s, known.display_name, %(email)s),
                   CASE WHEN untold.changed_at > %(at)s THEN untold.status
                        ELSE coalesce(%(status)s, known.status, untold.status, 'ACTIVE') END,
                   coalesce(%(mfa_enabled)s, known.mfa_enabled, false),
                   CASE WHEN %(roles)s::text[] IS NULL OR %(roles)s::text[] = known.told_roles
                        THEN coalesce(known.roles, named.roles, '{}')
                        ELSE ARRAY(SELECT DISTINCT unnest(coalesce(known.given_roles, named.roles, '{}')
                                                          || %(roles)s::text[]) ORDER BY 1) END,
                   coalesce(known.given_roles, named.roles, '{}'), coalesce(known.given_groups, named.groups, '{}'),
                   coalesce(%(roles)s::text[], known.told_roles), greatest(%(at)s, untold.changed_at), %(now)s
              FROM (SELECT 1) AS always
              LEFT JOIN users AS known ON known.tenant_id = %(tenant_id)s AND known.id = %(id)s
              LEFT JOIN untold_users AS untold ON untold.tenant_id = %(tenant_id)s AND untold.id = %(id)s
                                              AND known.id IS NULL
              LEFT JOIN identities AS named ON named.tenant_id = %(tenant_id)s AND named.id = 'user:' || %(email)s
                                           AND named.user_id IS NULL AND known.id IS NULL
             WHERE coalesce(%(email)s, known.email) IS NOT NULL
                ON CONFLICT ON CONSTRAINT users_pkey
                DO UPDATE SET email = excluded.email, display_name = excluded.display_name, status = excluded.status,
                              mfa_enabled = excluded.mfa_enabled, roles = excluded.roles,
                              told_roles = excluded.told_roles, changed_at = excluded.changed_at,
                              last_synced_at = excluded.last_synced_at
                 WHERE users.changed_at <= excluded.changed_at
            """,
            tenant_id=tenant_id,
            id=user_id,
            email=email,
            display_name=display_name,
            status=status,
            mfa_enabled=mfa_enabled,
            roles=roles,
            at=at,
            now=now,
        )
    )


def change_untold_user(tx: Session, tenant_id: str, user_id: str, status: Status, at: datetime) -> bool:
    """Remember the status of somebody of whom nothing else was told; False if something newer is known."""
    return bool(
        tx.run(
            """
            INSERT INTO untold_users (tenant_id, id, status, changed_at)
            VALUES (%(tenant_id)s, %(id)s, %(status)s, %(at)s)
                ON CONFLICT ON CONSTRAINT untold_users_pkey
                DO UPDATE SET status = excluded.status, changed_at = excluded.changed_at
                 WHERE untold_users.changed_at <= excluded.changed_at
            """,
            tenant_id=tenant_id,
            id=user_id,
            status=status,
            at=at,
        )
    )


def change_group(
    tx: Session, tenant_id: str, group_id: str, name: str | None, status: Status | None, at: datetime, now: datetime
) -> bool:
    """Add the group or bring it up to date; False if something newer is known, or a new one has no name."""
    return bool(
        tx.run(
            """
            INSERT INTO groups (tenant_id, id, name, status, changed_at, last_synced_at)
            SELECT %(tenant_id)s, %(id)s, coalesce(%(name)s, known.name), coalesce(%(status)s, known.status, 'ACTIVE'),
                   %(at)s, %(now)s
              FROM (SELECT 1) AS always
              LEFT JOIN groups AS known ON known.tenant_id = %(tenant_id)s AND known.id = %(id)s
             WHERE coalesce(%(name)s, known.name) IS NOT NULL
                ON CONFLICT ON CONSTRAINT groups_pkey
                DO UPDATE SET name = excluded.name, status = excluded.status, changed_at = excluded.changed_at,
                              last_synced_at = excluded.last_synced_at
                 WHERE groups.changed_at <= excluded.changed_at
            """,
            tenant_id=tenant_id,
            id=group_id,
            name=name,
            status=status,
            at=at,
            now=now,
        )
    )


def is_user_known(session: Session, tenant_id: str, user_id: str) -> bool:
    """Whether the user was ever told of, deleted ones included."""
    return (
        session.one(
            _UserId,
            "SELECT id AS user_id FROM users WHERE tenant_id = %(tenant_id)s AND id = %(user_id)s",
            tenant_id=tenant_id,
            user_id=user_id,
        )
        is not None
    )


def is_group_known(session: Session, tenant_id: str, group_id: str) -> bool:
    """Whether the group was ever told of, deleted ones included."""
    return (
        session.one(
            _GroupId,
            "SELECT id AS group_id FROM groups WHERE tenant_id = %(tenant_id)s AND id = %(group_id)s",
            tenant_id=tenant_id,
            group_id=group_id,
        )
        is not None
    )


def change_member(
    tx: Session, tenant_id: str, group_id: str, user_id: str, kind: str, at: datetime, *, is_member: bool
) -> bool:
    """Put the user into the group or take it out; False if something newer is known or one of the two is unknown."""
    return bool(
        tx.run(
            """
            INSERT INTO group_members (tenant_id, group_id, user_id, membership_type, is_member, added_at, changed_at)
            SELECT groups.tenant_id, groups.id, users.id, %(kind)s, %(is_member)s, %(at)s, %(at)s
              FROM groups
              JOIN users ON users.tenant_id = groups.tenant_id
             WHERE groups.tenant_id = %(tenant_id)s AND groups.id = %(group_id)s AND users.id = %(user_id)s
                ON CONFLICT ON CONSTRAINT group_members_pkey
                DO UPDATE SET membership_type = excluded.membership_type, is_member = excluded.is_member,
                              added_at = CASE WHEN group_members.is_member THEN group_members.added_at
                                              ELSE excluded.added_at END,
                              changed_at = excluded.changed_at
                 WHERE group_members.changed_at <= excluded.changed_at
            """,
            tenant_id=tenant_id,
            group_id=group_id,
            user_id=user_id,
            kind=kind,
            is_member=is_member,
            at=at,
        )
    )
