"""SQL of partners, tenants and the identities in them."""

from dataclasses import dataclass

from scaivault.features.identity.model import (
    Claimant,
    Home,
    Identity,
    TenantRow,
    UserHome,
    identity_type_of,
)
from scaivault.storage.database import Session


@dataclass(frozen=True, slots=True)
class _Count:
    count: int


@dataclass(frozen=True, slots=True)
class _Groups:
    groups: list[str]


def find_home(session: Session, tenant_id: str, identity_id: str) -> Home | None:
    """The tenant, and its identity of that id if it has one. A shared space is nobody's home."""
    return session.one(
        Home,
        """
        SELECT tenants.partner_id, identities.display_name, identities.groups, identities.roles,
               (tenants.status, partners.status, coalesce(identities.status, 'ACTIVE'))
               <> ('ACTIVE', 'ACTIVE', 'ACTIVE') AS is_suspended,
               tenants.authority_epoch AS epoch
          FROM tenants
          JOIN partners ON partners.id = tenants.partner_id
          LEFT JOIN identities ON identities.tenant_id = tenants.id AND identities.id = %(identity_id)s
         WHERE tenants.id = %(tenant_id)s AND NOT tenants.is_shared_space
        """,
        tenant_id=tenant_id,
        identity_id=identity_id,
    )


def find_home_of_user(session: Session, tenant_id: str, who: Claimant) -> UserHome | None:
    """The tenant, and its user of that id or, if the directory knows none, its identity of that name."""
    return session.one(
        UserHome,
        """
        SELECT tenants.partner_id, identities.display_name, identities.groups, identities.roles,
               (tenants.status, partners.status, coalesce(known.status, untold.status, 'ACTIVE'),
                coalesce(identities.status, 'ACTIVE')) <> ('ACTIVE', 'ACTIVE', 'ACTIVE', 'ACTIVE') AS is_suspended,
               tenants.authority_epoch AS epoch, known.email, known.told_roles IS NOT NULL AS has_told_roles,
               EXISTS (SELECT 1
                         FROM users AS others
                        WHERE others.tenant_id = tenants.id AND others.email = ANY(%(emails)s)
                          AND others.id <> %(user_id)s AND others.status <> 'DELETED') AS is_anothers
          FROM tenants
          JOIN partners ON partners.id = tenants.partner_id
          LEFT JOIN users AS known ON known.tenant_id = tenants.id AND known.id = %(user_id)s
          LEFT JOIN untold_users AS untold ON untold.tenant_id = tenants.id AND untold.id = %(user_id)s
          LEFT JOIN identities ON identities.tenant_id = tenants.id
                              AND identities.id = coalesce('user:' || known.email, %(identity_id)s)
         WHERE tenants.id = %(tenant_id)s AND NOT tenants.is_shared_space
        """,
        tenant_id=tenant_id,
        user_id=who.user_id,
        identity_id=who.identity_id,
        emails=who.emails,
    )


def find_groups(session: Session, tenant_id: str, identity_id: str) -> frozenset[str]:
    row = session.one(
        _Groups,
        "SELECT groups FROM identities WHERE tenant_id = %(tenant_id)s AND id = %(identity_id)s",
        tenant_id=tenant_id,
        identity_id=identity_id,
    )
    return frozenset(row.groups) if row else frozenset()


def add_identity(tx: Session, tenant_id: str, identity: Identity) -> None:
    """Add the identity, or bring its name, groups and roles up to date."""
    tx.run(
        """
        INSERT INTO identities (tenant_id, id, identity_type, display_name, groups, roles)
        VALUES (%(tenant_id)s, %(id)s, %(identity_type)s, %(display_name)s, %(groups)s, %(roles)s)
            ON CONFLICT ON CONSTRAINT identities_pkey
            DO UPDATE SET display_name = excluded.display_name, groups = excluded.groups, roles = excluded.roles
        """,
        tenant_id=tenant_id,
        id=identity.id,
        identity_type=identity_type_of(identity.id).value,
        display_name=identity.display_name,
        groups=sorted(identity.groups),
        roles=sorted(identity.roles),
    )


def add_roles(tx: Session, tenant_id: str, identity: Identity) -> None:
    """Add the identity or, to the one of that id, its roles."""
    tx.run(
        """
        INSERT INTO identities (tenant_id, id, identity_type, display_name, groups, roles)
        VALUES (%(tenant_id)s, %(id)s, %(identity_type)s, %(display_name)s, '{}', %(roles)s)
            ON CONFLICT ON CONSTRAINT identities_pkey
            DO UPDATE SET roles = ARRAY(SELECT unnest(identities.roles) UNION SELECT unnest(excluded.roles) ORDER BY 1)
        """,
        tenant_id=tenant_id,
        id=identity.id,
        identity_type=identity_type_of(identity.id).value,
        display_name=identity.display_name,
        roles=sorted(identity.roles),
    )


def add_missing_identity(tx: Session, tenant_id: str, identity: Identity) -> None:
    """Add the identity, or leave the one of that id as it is."""
    tx.run(
        """
        INSERT INTO identities (tenant_id, id, identity_type, display_name, groups, roles)
        VALUES (%(tenant_id)s, %(id)s, %(identity_type)s, %(display_name)s, %(groups)s, %(roles)s)
            ON CONFLICT ON CONSTRAINT identities_pkey DO NOTHING
        """,
        tenant_id=tenant_id,
        id=identity.id,
        identity_type=identity_type_of(identity.id).value,
        display_name=identity.display_name,
        groups=sorted(identity.groups),
        roles=sorted(identity.roles),
    )


def claim_installation(tx: Session) -> None:
    """Wait for any other installer: the first one in decides."""
    tx.run("LOCK TABLE partners IN SHARE ROW EXCLUSIVE MODE")


def find_tenant(session: Session, tenant_id: str) -> TenantRow | None:
    """The tenant of this id, or the shared space of this partner."""
    return session.one(
        TenantRow,
        """
        SELECT tenants.id, tenants.partner_id, tenants.status <> 'ACTIVE' OR partners.status <> 'ACTIVE' AS is_suspended
          FROM tenants
          JOIN partners ON partners.id = tenants.partner_id
         WHERE tenants.id = %(tenant_id)s
        """,
        tenant_id=tenant_id,
    )


def count_tenants(session: Session) -> int:
    row = session.one(_Count, "SELECT count(*) AS count FROM tenants WHERE NOT is_shared_space")
    return row.count if row else 0


def add_partner(tx: Session, partner_id: str, name: str) -> None:
    tx.run("INSERT INTO partners (id, name) VALUES (%(id)s, %(name)s)", id=partner_id, name=name)


def add_shared_space(tx: Session, partner_id: str) -> None:
    """Where the partner's tenants share secrets: rows, keys and a trail of its own, under the partner's id."""
    tx.run(
        """
        INSERT INTO tenants (id, partner_id, name, is_shared_space)
        VALUES (%(partner_id)s, %(partner_id)s, 'shared', true)
        """,
        partner_id=partner_id,
    )


def add_tenant(tx: Session, tenant_id: str, partner_id: str, name: str) -> None:
    tx.run(
        "INSERT INTO tenants (id, partner_id, name) VALUES (%(id)s, %(partner_id)s, %(name)s)",
        id=tenant_id,
        partner_id=partner_id,
        name=name,
    )
