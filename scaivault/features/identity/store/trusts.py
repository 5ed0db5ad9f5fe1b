"""SQL of trusts and of the tokens that they gave."""

import json
from dataclasses import dataclass
from datetime import datetime

from scaivault.features.identity.model import (
    Trust,
)
from scaivault.storage.database import Session

TRUST_NAME_TAKEN = "trusts_name_key"


@dataclass(frozen=True, slots=True)
class _Count:
    count: int


@dataclass(frozen=True, slots=True)
class _Id:
    id: str


@dataclass(frozen=True, slots=True)
class TrustCounts:
    """How many trusts there are, and how many key sets those of one issuer have, but for one of them."""

    trusts: int
    other_key_sets: int


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
