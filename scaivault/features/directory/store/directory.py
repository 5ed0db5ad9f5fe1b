"""SQL of the directory."""

from dataclasses import dataclass
from datetime import datetime

from scaivault.features.directory.model import Group, Member, Partner, Piece, Resolved, Status, Tenant, User
from scaivault.storage.database import Session


@dataclass(frozen=True, slots=True)
class _Count:
    count: int


@dataclass(frozen=True, slots=True)
class _UserId:
    user_id: str


@dataclass(frozen=True, slots=True)
class _GroupId:
    group_id: str


@dataclass(frozen=True, slots=True)
class _Place:
    partner_id: str


def list_partners(session: Session, partner_id: str | None, status: str | None, piece: Piece) -> list[Partner]:
    """One partner or, of None, all of them, by id."""
    return session.many(
        Partner,
        """
        SELECT id, name, slug, region, status, last_synced_at
          FROM partners
         WHERE (%(partner_id)s::text IS NULL OR id = %(partner_id)s)
           AND (%(status)s::text IS NULL OR status = %(status)s)
         ORDER BY id
         LIMIT %(size)s OFFSET %(offset)s
        """,
        partner_id=partner_id,
        status=status,
        size=piece.size,
        offset=piece.offset,
    )


def count_partners(session: Session, partner_id: str | None, status: str | None) -> int:
    row = session.one(
        _Count,
        """
        SELECT count(*) AS count
          FROM partners
         WHERE (%(partner_id)s::text IS NULL OR id = %(partner_id)s)
           AND (%(status)s::text IS NULL OR status = %(status)s)
        """,
        partner_id=partner_id,
        status=status,
    )
    return row.count if row else 0


def list_tenants(
    session: Session, only: str | None, partner_id: str | None, status: str | None, piece: Piece
) -> list[Tenant]:
    """The tenant `only`, those of one partner or, of None and None, all of them, by id."""
    return session.many(
        Tenant,
        """
        SELECT id, partner_id, name, slug, status, last_synced_at
          FROM tenants
         WHERE NOT is_shared_space
           AND (%(only)s::text IS NULL OR id = %(only)s)
           AND (%(partner_id)s::text IS NULL OR partner_id = %(partner_id)s)
           AND (%(status)s::text IS NULL OR status = %(status)s)
         ORDER BY id
         LIMIT %(size)s OFFSET %(offset)s
        """,
        only=only,
        partner_id=partner_id,
        status=status,
        size=piece.size,
        offset=piece.offset,
    )


def count_tenants(session: Session, only: str | None, partner_id: str | None, status: str | None) -> int:
    row = session.one(
        _Count,
        """
        SELECT count(*) AS count
          FROM tenants
         WHERE NOT is_shared_space
           AND (%(only)s::text IS NULL OR id = %(only)s)
           AND (%(partner_id)s::text IS NULL OR partner_id = %(partner_id)s)
           AND (%(status)s::text IS NULL OR status = %(status)s)
        """,
        only=only,
        partner_id=partner_id,
        status=status,
    )
    return row.count if row else 0


def list_users(session: Session, tenant_id: str, status: str | None, part: str | None, piece: Piece) -> list[User]:
    """Users by email; with `part`, those whose email or name contains it, in any case."""
    return session.many(
        User,
        """
        SELECT users.id, users.tenant_id, users.email, users.display_name, users.status, users.mfa_enabled, users.roles,
               users.last_synced_at,
               ARRAY(SELECT 'group:' || groups.name
                       FROM group_members AS members
                       JOIN groups ON groups.tenant_id = members.tenant_id AND groups.id = members.group_id
                      WHERE members.tenant_id = users.tenant_id AND members.user_id = users.id
                        AND members.is_member AND groups.status = 'ACTIVE'
                      ORDER BY 1) AS groups
          FROM users
         WHERE users.tenant_id = %(tenant_id)s
           AND (%(status)s::text IS NULL OR users.status = %(status)s)
           AND (%(part)s::text IS NULL OR strpos(lower(users.email || ' ' || users.display_name), lower(%(part)s)) > 0)
         ORDER BY users.email, users.id
         LIMIT %(size)s OFFSET %(offset)s
        """,
        tenant_id=tenant_id,
        status=status,
        part=part,
        size=piece.size,
        offset=piece.offset,
    )


def count_users(session: Session, tenant_id: str, status: str | None, part: str | None) -> int:
    row = session.one(
        _Count,
        """
        SELECT count(*) AS count
          FROM users
         WHERE tenant_id = %(tenant_id)s
           AND (%(status)s::text IS NULL OR status = %(status)s)
           AND (%(part)s::text IS NULL OR strpos(lower(email || ' ' || display_name), lower(%(part)s)) > 0)
        """,
        tenant_id=tenant_id,
        status=status,
        part=part,
    )
    return row.count if row else 0


def list_groups(session: Session, tenant_id: str, status: str | None, piece: Piece) -> list[Group]:
    """Groups by name."""
    return session.many(
        Group,
        """
        SELECT id, tenant_id, name, status, last_synced_at,
               (SELECT count(*)
                  FROM group_members AS members
                 WHERE members.tenant_id = groups.tenant_id AND members.group_id = groups.id
                   AND members.is_member) AS member_count
          FROM groups
         WHERE tenant_id = %(tenant_id)s
           AND (%(status)s::text IS NULL OR status = %(status)s)
         ORDER BY name, id
         LIMIT %(size)s OFFSET %(offset)s
        """,
        tenant_id=tenant_id,
        status=status,
        size=piece.size,
        offset=piece.offset,
    )


def count_groups(session: Session, tenant_id: str, status: str | None) -> int:
    row = session.one(
        _Count,
        """
        SELECT count(*) AS count
          FROM groups
         WHERE tenant_id = %(tenant_id)s
           AND (%(status)s::text IS NULL OR status = %(status)s)
        """,
        tenant_id=tenant_id,
        status=status,
    )
    return row.count if row else 0


def list_members(session: Session, tenant_id: str, group_id: str, piece: Piece) -> list[Member]:
    """Members by email."""
    return session.many(
        Member,
        """
        SELECT members.user_id, users.email, members.membership_type, members.added_at
          FROM group_members AS members
          JOIN users ON users.tenant_id = members.tenant_id AND users.id = members.user_id
         WHERE members.tenant_id = %(tenant_id)s AND members.group_id = %(group_id)s
           AND members.is_member AND users.status <> 'DELETED'
         ORDER BY users.email, users.id
         LIMIT %(size)s OFFSET %(offset)s
        """,
        tenant_id=tenant_id,
        group_id=group_id,
        size=piece.size,
        offset=piece.offset,
    )


def count_members(session: Session, tenant_id: str, group_id: str) -> int | None:
    """None if there is no such group."""
    row = session.one(
        _Count,
        """
        SELECT (SELECT count(*)
                  FROM group_members AS members
                  JOIN users ON users.tenant_id = members.tenant_id AND users.id = members.user_id
                 WHERE members.tenant_id = groups.tenant_id AND members.group_id = groups.id
                   AND members.is_member AND users.status <> 'DELETED') AS count
          FROM groups
         WHERE tenant_id = %(tenant_id)s AND id = %(group_id)s AND status = 'ACTIVE'
        """,
        tenant_id=tenant_id,
        group_id=group_id,
    )
    return row.count if row else None


def find_identity(session: Session, tenant_id: str, identity_type: str, identity_id: str) -> Resolved | None:
    """A user or service account by the name that policies bind, a user also by its id in the directory."""
    return session.one(
        Resolved,
        """
        SELECT identity_type, id AS identity_id, display_name, status, user_id, groups, roles
          FROM identities
         WHERE tenant_id = %(tenant_id)s AND identity_type = %(identity_type)s
           AND (id = %(identity_id)s OR user_id = %(identity_id)s)
         ORDER BY status
         LIMIT 1
        """,
        tenant_id=tenant_id,
        identity_type=identity_type,
        identity_id=identity_id,
    )


def find_group(session: Session, tenant_id: str, name: str) -> Resolved | None:
    """A group that is told of, or that some identity is in."""
    return session.one(
        Resolved,
        """
        SELECT 'group' AS identity_type, 'group:' || %(name)s AS identity_id, %(name)s AS display_name,
               'ACTIVE' AS status, NULL::text AS user_id, '{}'::text[] AS groups, '{}'::text[] AS roles
         WHERE EXISTS (SELECT 1 FROM groups
                        WHERE tenant_id = %(tenant_id)s AND name = %(name)s AND status = 'ACTIVE')
            OR EXISTS (SELECT 1 FROM identities
                        WHERE tenant_id = %(tenant_id)s AND 'group:' || %(name)s = ANY(groups) AND status = 'ACTIVE')
        """,
        tenant_id=tenant_id,
        name=name,
    )


def find_user(session: Session, tenant_id: str, user_id: str) -> User | None:
    return session.one(
        User,
        """
        SELECT users.id, users.tenant_id, users.email, users.display_name, users.status, users.mfa_enabled, users.roles,
               users.last_synced_at, '{}'::text[] AS groups
          FROM users
         WHERE users.tenant_id = %(tenant_id)s AND users.id = %(user_id)s AND users.status <> 'DELETED'
        """,
        tenant_id=tenant_id,
        user_id=user_id,
    )


def claim_user(tx: Session, tenant_id: str, user_id: str) -> User | None:
    """The user, locked until the transaction's end."""
    return tx.one(
        User,
        """
        SELECT users.id, users.tenant_id, users.email, users.display_name, users.status, users.mfa_enabled, users.roles,
               users.last_synced_at, '{}'::text[] AS groups
          FROM users
         WHERE users.tenant_id = %(tenant_id)s AND users.id = %(user_id)s AND users.status <> 'DELETED'
           FOR UPDATE
        """,
        tenant_id=tenant_id,
        user_id=user_id,
    )


def change_roles(tx: Session, tenant_id: str, user_id: str, roles: list[str]) -> None:
    tx.run(
        "UPDATE users SET roles = %(roles)s WHERE tenant_id = %(tenant_id)s AND id = %(user_id)s",
        tenant_id=tenant_id,
        user_id=user_id,
        roles=roles,
    )


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

    A user whose email was never told can not be added: False too.
    """
    return bool(
        tx.run(
            """
            INSERT INTO users (tenant_id, id, email, display_name, status, mfa_enabled, roles, changed_at,
                               last_synced_at)
            SELECT %(tenant_id)s, %(id)s, coalesce(%(email)s, known.email),
                   coalesce(%(display_name)s, known.display_name, %(email)s),
                   coalesce(%(status)s, known.status, 'ACTIVE'), coalesce(%(mfa_enabled)s, known.mfa_enabled, false),
                   coalesce(%(roles)s, known.roles, '{}'), %(at)s, %(now)s
              FROM (SELECT 1) AS always
              LEFT JOIN users AS known ON known.tenant_id = %(tenant_id)s AND known.id = %(id)s
             WHERE coalesce(%(email)s, known.email) IS NOT NULL
                ON CONFLICT ON CONSTRAINT users_pkey
                DO UPDATE SET email = excluded.email, display_name = excluded.display_name, status = excluded.status,
                              mfa_enabled = excluded.mfa_enabled, roles = excluded.roles,
                              changed_at = excluded.changed_at, last_synced_at = excluded.last_synced_at
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


def change_identities_of_user(tx: Session, tenant_id: str, user_id: str) -> int:
    """Bring the user's identity in line with the user; 0 if its name is another live user's.

    One that was made before the directory told of its user becomes that user's.
    """
    return tx.run(
        """
        INSERT INTO identities (tenant_id, id, identity_type, display_name, groups, roles, user_id, status)
        SELECT users.tenant_id, 'user:' || users.email, 'user', users.display_name,
               ARRAY(SELECT 'group:' || groups.name
                       FROM group_members AS members
                       JOIN groups ON groups.tenant_id = members.tenant_id AND groups.id = members.group_id
                      WHERE members.tenant_id = users.tenant_id AND members.user_id = users.id
                        AND members.is_member AND groups.status = 'ACTIVE'
                      ORDER BY 1),
               users.roles, users.id, users.status
          FROM users
         WHERE users.tenant_id = %(tenant_id)s AND users.id = %(user_id)s
            ON CONFLICT ON CONSTRAINT identities_pkey
            DO UPDATE SET display_name = excluded.display_name, groups = excluded.groups, roles = excluded.roles,
                          user_id = excluded.user_id, status = excluded.status
             WHERE identities.user_id IS NULL OR identities.user_id = excluded.user_id OR identities.status = 'DELETED'
        """,
        tenant_id=tenant_id,
        user_id=user_id,
    )


def change_former_identities(tx: Session, tenant_id: str, user_id: str) -> None:
    """End the names that the user had before its email changed: nobody is let in by them."""
    tx.run(
        """
        UPDATE identities
           SET status = 'DELETED'
          FROM users
         WHERE identities.tenant_id = %(tenant_id)s AND identities.user_id = %(user_id)s
           AND users.tenant_id = identities.tenant_id AND users.id = identities.user_id
           AND identities.id <> 'user:' || users.email
        """,
        tenant_id=tenant_id,
        user_id=user_id,
    )


def list_member_ids(tx: Session, tenant_id: str, group_id: str) -> list[str]:
    """Everybody who is in the group."""
    rows = tx.many(
        _UserId,
        """
        SELECT user_id
          FROM group_members
         WHERE tenant_id = %(tenant_id)s AND group_id = %(group_id)s AND is_member
        """,
        tenant_id=tenant_id,
        group_id=group_id,
    )
    return [row.user_id for row in rows]


@dataclass(frozen=True, slots=True)
class _TenantId:
    id: str


def list_tenant_ids(tx: Session, partner_id: str) -> list[str]:
    """The partner's tenants and its shared space."""
    rows = tx.many(
        _TenantId, "SELECT id FROM tenants WHERE partner_id = %(partner_id)s ORDER BY id", partner_id=partner_id
    )
    return [row.id for row in rows]
