"""SQL of looking around in the directory."""

from dataclasses import dataclass

from scaivault.features.directory.model import Group, Member, Partner, Piece, Resolved, Tenant, User
from scaivault.features.directory.store.identities import GROUPS_OF_USER
from scaivault.storage.database import Session


@dataclass(frozen=True, slots=True)
class _Count:
    count: int


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
        f"""
        SELECT users.id, users.tenant_id, users.email, users.display_name, users.status, users.mfa_enabled, users.roles,
               users.last_synced_at,
               {GROUPS_OF_USER} AS groups
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
