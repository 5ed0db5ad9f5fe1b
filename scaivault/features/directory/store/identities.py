"""SQL of users, and of the identities that follow them."""

from dataclasses import dataclass
from typing import LiteralString

from scaivault.features.directory.model import User
from scaivault.kernel.caller import Role
from scaivault.storage.database import Session

# In the order of their names, as a policy binds them. Groups of the time before the directory told of the user stay,
# until the directory has one of that name.
GROUPS_OF_USER: LiteralString = """
               ARRAY(SELECT 'group:' || groups.name
                       FROM group_members AS members
                       JOIN groups ON groups.tenant_id = members.tenant_id AND groups.id = members.group_id
                      WHERE members.tenant_id = users.tenant_id AND members.user_id = users.id
                        AND members.is_member AND groups.status = 'ACTIVE'
                      UNION
                     SELECT given
                       FROM unnest(users.given_groups) AS given
                      WHERE NOT EXISTS (SELECT 1
                                          FROM groups
                                         WHERE groups.tenant_id = users.tenant_id AND 'group:' || groups.name = given)
                      ORDER BY 1)"""

_ONE_USER: LiteralString = """
        SELECT users.id, users.tenant_id, users.email, users.display_name, users.status, users.mfa_enabled, users.roles,
               users.last_synced_at, '{}'::text[] AS groups
          FROM users
         WHERE users.tenant_id = %(tenant_id)s AND users.id = %(user_id)s AND users.status <> 'DELETED'
"""


ADMINISTRATORS = frozenset({Role.TENANT_ADMIN, Role.PARTNER_ADMIN, Role.SUPER_ADMIN})


@dataclass(frozen=True, slots=True)
class Held:
    """The roles that somebody has, whether he may sign in or not."""

    roles: list[str]


@dataclass(frozen=True, slots=True)
class _Exists:
    is_there: bool


@dataclass(frozen=True, slots=True)
class _UserId:
    user_id: str


@dataclass(frozen=True, slots=True)
class _TenantId:
    id: str


def find_user(session: Session, tenant_id: str, user_id: str) -> User | None:
    """A user who is not deleted."""
    return session.one(User, _ONE_USER, tenant_id=tenant_id, user_id=user_id)


def claim_user(tx: Session, tenant_id: str, user_id: str) -> User | None:
    """The user, locked until the transaction's end."""
    return tx.one(User, _ONE_USER + " FOR UPDATE", tenant_id=tenant_id, user_id=user_id)


def find_held(session: Session, tenant_id: str, user_id: str, email: str | None = None) -> Held | None:
    """Which roles the user has; of one who is not known yet, those of the identity that will be his."""
    return session.one(
        Held,
        """
        SELECT roles
          FROM users
         WHERE tenant_id = %(tenant_id)s AND id = %(user_id)s
         UNION ALL
        SELECT roles
          FROM identities
         WHERE tenant_id = %(tenant_id)s AND id = 'user:' || %(email)s::text AND user_id IS NULL
           AND NOT EXISTS (SELECT 1 FROM users WHERE users.tenant_id = %(tenant_id)s AND users.id = %(user_id)s)
        """,
        tenant_id=tenant_id,
        user_id=user_id,
        email=email,
    )


def has_administrator(session: Session, tenant_id: str) -> bool:
    """Whether anybody who may sign in administers the tenant, from within it."""
    row = session.one(
        _Exists,
        """
        SELECT EXISTS (SELECT 1
                         FROM identities
                        WHERE tenant_id = %(tenant_id)s AND status = 'ACTIVE' AND roles && %(roles)s) AS is_there
        """,
        tenant_id=tenant_id,
        roles=sorted(ADMINISTRATORS),
    )
    return row is not None and row.is_there


def change_roles(tx: Session, tenant_id: str, user_id: str, roles: list[str]) -> None:
    """Give the user these roles, whatever the identity provider tells: until it tells other ones than before."""
    tx.run(
        """
        UPDATE users
           SET roles = %(roles)s, given_roles = %(roles)s
         WHERE tenant_id = %(tenant_id)s AND id = %(user_id)s
        """,
        tenant_id=tenant_id,
        user_id=user_id,
        roles=roles,
    )


def change_identities_of_user(tx: Session, tenant_id: str, user_id: str) -> int:
    """Bring the user's identity in line with the user; 0 if its name is another live user's.

    One that was made before the directory told of its user becomes that user's.
    """
    return tx.run(
        f"""
        INSERT INTO identities (tenant_id, id, identity_type, display_name, groups, roles, user_id, status)
        SELECT users.tenant_id, 'user:' || users.email, 'user', users.display_name,
               {GROUPS_OF_USER},
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


def change_tokens_renamed(tx: Session, tenant_id: str, user_id: str) -> None:
    """Tokens that the user made while nobody had told of him, under his id, go on under his name."""
    tx.run(
        """
        UPDATE tokens
           SET identity_id = 'user:' || users.email
          FROM users
         WHERE tokens.tenant_id = %(tenant_id)s AND tokens.user_id = %(user_id)s
           AND tokens.identity_id = 'user:' || tokens.user_id
           AND users.tenant_id = tokens.tenant_id AND users.id = tokens.user_id
        """,
        tenant_id=tenant_id,
        user_id=user_id,
    )


def list_member_ids(tx: Session, tenant_id: str, group_id: str) -> list[str]:
    """Everybody who is in the group, or was in one of its name before the directory told of any."""
    rows = tx.many(
        _UserId,
        """
        SELECT user_id
          FROM group_members
         WHERE tenant_id = %(tenant_id)s AND group_id = %(group_id)s AND is_member
         UNION
        SELECT users.id
          FROM groups
          JOIN users ON users.tenant_id = groups.tenant_id AND 'group:' || groups.name = ANY(users.given_groups)
         WHERE groups.tenant_id = %(tenant_id)s AND groups.id = %(group_id)s
        """,
        tenant_id=tenant_id,
        group_id=group_id,
    )
    return [row.user_id for row in rows]


def list_tenant_ids(tx: Session, partner_id: str) -> list[str]:
    """The partner's tenants and its shared space."""
    rows = tx.many(
        _TenantId, "SELECT id FROM tenants WHERE partner_id = %(partner_id)s ORDER BY id", partner_id=partner_id
    )
    return [row.id for row in rows]
