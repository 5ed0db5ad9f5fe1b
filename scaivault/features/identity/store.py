"""SQL of partners, tenants, identities, tokens and trusts."""

import json
from dataclasses import dataclass
from datetime import datetime

from scaivault.features.identity.model import (
    Home,
    Identity,
    TenantRow,
    TokenRow,
    TokenSummary,
    Trust,
    identity_type_of,
)
from scaivault.storage.database import Session

TRUST_NAME_TAKEN = "trusts_name_key"


@dataclass(frozen=True, slots=True)
class _Count:
    count: int


@dataclass(frozen=True, slots=True)
class _Revocation:
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Id:
    id: str


@dataclass(frozen=True, slots=True)
class TrustCounts:
    """How many trusts there are, and how many key sets those of one issuer have, but for one of them."""

    trusts: int
    other_key_sets: int


@dataclass(frozen=True, slots=True)
class _Groups:
    groups: list[str]


def find_token(session: Session, digest: bytes) -> TokenRow | None:
    """The token of this digest. The one look-up without a tenant in its predicate: it is how the tenant is learnt."""
    return session.one(
        TokenRow,
        """
        SELECT tokens.id, tokens.tenant_id, tenants.partner_id, tokens.identity_id, identities.identity_type,
               identities.display_name, tokens.scopes, identities.groups, identities.roles, tokens.digest,
               tokens.created_at, tokens.expires_at, tokens.revoked_at,
               (tenants.status, partners.status, identities.status) <> ('ACTIVE', 'ACTIVE', 'ACTIVE') AS is_suspended,
               tenants.authority_epoch AS epoch
          FROM tokens
          JOIN identities ON identities.tenant_id = tokens.tenant_id AND identities.id = tokens.identity_id
          JOIN tenants ON tenants.id = tokens.tenant_id
          JOIN partners ON partners.id = tenants.partner_id
         WHERE tokens.digest = %(digest)s
        """,
        digest=digest,
    )


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


def add_token(tx: Session, tenant_id: str, token: TokenSummary, digest: bytes, parent_id: str | None = None) -> None:
    """Add a token; `parent_id` is the token it was made with and ends with."""
    tx.run(
        """
        INSERT INTO tokens (id, tenant_id, identity_id, name, scopes, digest, created_at, expires_at, parent_id)
        VALUES (%(id)s, %(tenant_id)s, %(identity_id)s, %(name)s, %(scopes)s, %(digest)s, %(created_at)s,
                %(expires_at)s, %(parent_id)s)
        """,
        parent_id=parent_id,
        id=token.id,
        tenant_id=tenant_id,
        identity_id=token.identity_id,
        name=token.name,
        scopes=token.scopes,
        digest=digest,
        created_at=token.created_at,
        expires_at=token.expires_at,
    )


def list_tokens(
    session: Session, tenant_id: str, identity_id: str | None, after: str | None, limit: int
) -> list[TokenSummary]:
    """Tokens by age, newest first; of one identity, or of the tenant."""
    return session.many(
        TokenSummary,
        """
        SELECT id, name, identity_id, scopes, created_at, expires_at, revoked_at
          FROM tokens
         WHERE tenant_id = %(tenant_id)s
           AND (%(identity_id)s::text IS NULL OR identity_id = %(identity_id)s)
           AND (%(after)s::text IS NULL OR id < %(after)s)
         ORDER BY id DESC
         LIMIT %(limit)s
        """,
        tenant_id=tenant_id,
        identity_id=identity_id,
        after=after,
        limit=limit,
    )


def count_live_tokens(session: Session, tenant_id: str, identity_id: str, now: datetime) -> int:
    """How many an identity has. Those it was given by trusts are counted by trust."""
    row = session.one(
        _Count,
        """
        SELECT count(*) AS count
          FROM tokens
         WHERE tenant_id = %(tenant_id)s AND identity_id = %(identity_id)s
           AND revoked_at IS NULL AND expires_at > %(now)s
           AND (parent_id IS NULL OR NOT starts_with(parent_id, 'trs_'))
        """,
        tenant_id=tenant_id,
        identity_id=identity_id,
        now=now,
    )
    return row.count if row else 0


def change_token_revoked(tx: Session, tenant_id: str, identity_id: str | None, token_id: str, now: datetime) -> int:
    """Revoke a live token, of one identity or of the tenant; how many there were."""
    return tx.run(
        """
        UPDATE tokens
           SET revoked_at = %(now)s
         WHERE tenant_id = %(tenant_id)s AND id = %(token_id)s AND revoked_at IS NULL
           AND (%(identity_id)s::text IS NULL OR identity_id = %(identity_id)s)
        """,
        tenant_id=tenant_id,
        identity_id=identity_id,
        token_id=token_id,
        now=now,
    )


def change_offspring_revoked(tx: Session, tenant_id: str, token_id: str, now: datetime) -> int:
    """Revoke what was made with a token, and with that, and so on; how many there were.

    One that is being made with one of these meanwhile is missed, and found by asking again: its maker is locked while
    it is made (`is_revoked`), so it is there once that maker has been revoked, and none comes after that.
    """
    return tx.run(
        """
        WITH RECURSIVE ended AS (
            SELECT %(token_id)s::text AS id
             UNION
            SELECT tokens.id
              FROM tokens
              JOIN ended ON tokens.parent_id = ended.id
             WHERE tokens.tenant_id = %(tenant_id)s
        )
        UPDATE tokens
           SET revoked_at = %(now)s
         WHERE tenant_id = %(tenant_id)s AND id IN (SELECT id FROM ended) AND revoked_at IS NULL
        """,
        tenant_id=tenant_id,
        token_id=token_id,
        now=now,
    )


def is_revoked(tx: Session, tenant_id: str, token_id: str) -> bool:
    """Whether it is a token that was revoked; one that was not stays as it is until the transaction's end."""
    row = tx.one(
        _Revocation,
        """
        SELECT revoked_at
          FROM tokens
         WHERE tenant_id = %(tenant_id)s AND id = %(token_id)s
           FOR SHARE
        """,
        tenant_id=tenant_id,
        token_id=token_id,
    )
    return row is not None and row.revoked_at is not None


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


def add_trust(tx: Session, tenant_id: str, trust: Trust) -> None:
    tx.run(
        """
        INSERT INTO trusts (tenant_id, id, name, issuer, jwks_url, audience, claims, identity_id, scopes,
                            lifetime_seconds, created_by, created_at)
        VALUES (%(tenant_id)s, %(id)s, %(name)s, %(issuer)s, %(jwks_url)s, %(audience)s, %(claims)s::jsonb,
                %(identity_id)s, %(scopes)s, %(lifetime_seconds)s, %(created_by)s, %(created_at)s)
        """,
        tenant_id=tenant_id,
        id=trust.id,
        name=trust.name,
        issuer=trust.issuer,
        jwks_url=trust.jwks_url,
        audience=trust.audience,
        claims=json.dumps(dict(trust.claims)),
        identity_id=trust.identity_id,
        scopes=trust.scopes,
        lifetime_seconds=trust.lifetime_seconds,
        created_by=trust.created_by,
        created_at=trust.created_at,
    )


def count_trusts(session: Session, tenant_id: str, issuer: str, jwks_url: str | None) -> TrustCounts:
    """The tenant's trusts, and the key sets of its trusts in this issuer besides this one."""
    row = session.one(
        TrustCounts,
        """
        SELECT count(*) AS trusts,
               count(DISTINCT coalesce(jwks_url, ''))
               FILTER (WHERE issuer = %(issuer)s AND jwks_url IS DISTINCT FROM %(jwks_url)s) AS other_key_sets
          FROM trusts
         WHERE tenant_id = %(tenant_id)s
        """,
        tenant_id=tenant_id,
        issuer=issuer,
        jwks_url=jwks_url,
    )
    return row or TrustCounts(0, 0)


def list_trusts(session: Session, tenant_id: str, after: str | None, limit: int) -> list[Trust]:
    """Trusts by age, newest first."""
    return session.many(
        Trust,
        """
        SELECT id, name, issuer, jwks_url, audience, claims, identity_id, scopes, lifetime_seconds, created_by,
               created_at
          FROM trusts
         WHERE tenant_id = %(tenant_id)s AND (%(after)s::text IS NULL OR id < %(after)s)
         ORDER BY id DESC
         LIMIT %(limit)s
        """,
        tenant_id=tenant_id,
        after=after,
        limit=limit,
    )


def list_trusts_in(session: Session, tenant_id: str, issuer: str) -> list[Trust]:
    """The tenant's trusts in one issuer, oldest first."""
    return session.many(
        Trust,
        """
        SELECT id, name, issuer, jwks_url, audience, claims, identity_id, scopes, lifetime_seconds, created_by,
               created_at
          FROM trusts
         WHERE tenant_id = %(tenant_id)s AND issuer = %(issuer)s
         ORDER BY id
        """,
        tenant_id=tenant_id,
        issuer=issuer,
    )


def find_trust(session: Session, tenant_id: str, trust_id: str) -> Trust | None:
    return session.one(
        Trust,
        """
        SELECT id, name, issuer, jwks_url, audience, claims, identity_id, scopes, lifetime_seconds, created_by,
               created_at
          FROM trusts
         WHERE tenant_id = %(tenant_id)s AND id = %(trust_id)s
        """,
        tenant_id=tenant_id,
        trust_id=trust_id,
    )


def is_trusted(tx: Session, tenant_id: str, trust_id: str) -> bool:
    """Whether the trust is there; if so it stays until the transaction's end."""
    row = tx.one(
        _Id,
        "SELECT id FROM trusts WHERE tenant_id = %(tenant_id)s AND id = %(trust_id)s FOR SHARE",
        tenant_id=tenant_id,
        trust_id=trust_id,
    )
    return row is not None


def remove_trust(tx: Session, tenant_id: str, trust_id: str) -> int:
    return tx.run(
        "DELETE FROM trusts WHERE tenant_id = %(tenant_id)s AND id = %(trust_id)s",
        tenant_id=tenant_id,
        trust_id=trust_id,
    )


def count_live_exchanged(session: Session, tenant_id: str, trust_id: str, now: datetime) -> int:
    """How many tokens in force a trust has given."""
    row = session.one(
        _Count,
        """
        SELECT count(*) AS count
          FROM tokens
         WHERE tenant_id = %(tenant_id)s AND parent_id = %(trust_id)s AND revoked_at IS NULL AND expires_at > %(now)s
        """,
        tenant_id=tenant_id,
        trust_id=trust_id,
        now=now,
    )
    return row.count if row else 0


def remove_exchanged_before(tx: Session, tenant_id: str, trust_id: str, instant: datetime, limit: int) -> int:
    """Forget tokens of a trust that ended before; how many there were. Those that another exchange forgets are its."""
    return tx.run(
        """
        DELETE FROM tokens
         WHERE tenant_id = %(tenant_id)s
           AND id IN (SELECT id
                        FROM tokens
                       WHERE tenant_id = %(tenant_id)s AND parent_id = %(trust_id)s AND expires_at < %(instant)s
                       LIMIT %(limit)s
                         FOR UPDATE SKIP LOCKED)
        """,
        tenant_id=tenant_id,
        trust_id=trust_id,
        instant=instant,
        limit=limit,
    )
