"""SQL of tokens."""

from dataclasses import dataclass
from datetime import datetime

from scaivault.features.identity.model import (
    TokenRow,
    TokenSummary,
)
from scaivault.storage.database import Session


@dataclass(frozen=True, slots=True)
class _Count:
    count: int


@dataclass(frozen=True, slots=True)
class _Revocation:
    revoked_at: datetime | None


def find_token(session: Session, digest: bytes) -> TokenRow | None:
    """The token of this digest. The one look-up without a tenant in its predicate: it is how the tenant is learnt.

    One that a user made ends with him, and when its name is no more his, or has become another's.
    """
    return session.one(
        TokenRow,
        """
        SELECT tokens.id, tokens.tenant_id, tenants.partner_id, tokens.identity_id, identities.identity_type,
               identities.display_name, tokens.scopes, identities.groups, identities.roles, tokens.digest,
               tokens.created_at, tokens.expires_at, tokens.revoked_at,
               (tenants.status, partners.status, identities.status, coalesce(users.status, untold.status, 'ACTIVE'))
               <> ('ACTIVE', 'ACTIVE', 'ACTIVE', 'ACTIVE')
               OR coalesce(identities.id <> 'user:' || users.email, false)
               OR coalesce(tokens.user_id <> identities.user_id, false) AS is_suspended,
               tenants.authority_epoch AS epoch, coalesce(tokens.user_id, identities.user_id) AS user_id
          FROM tokens
          JOIN identities ON identities.tenant_id = tokens.tenant_id AND identities.id = tokens.identity_id
          JOIN tenants ON tenants.id = tokens.tenant_id
          JOIN partners ON partners.id = tenants.partner_id
          LEFT JOIN users ON users.tenant_id = tokens.tenant_id
                         AND users.id = coalesce(tokens.user_id, identities.user_id)
          LEFT JOIN untold_users AS untold ON untold.tenant_id = tokens.tenant_id AND untold.id = tokens.user_id
         WHERE tokens.digest = %(digest)s
        """,
        digest=digest,
    )


def add_token(
    tx: Session,
    tenant_id: str,
    token: TokenSummary,
    digest: bytes,
    parent_id: str | None = None,
    user_id: str | None = None,
) -> None:
    """Add a token; `parent_id` is the token it was made with and ends with, `user_id` who made it for himself."""
    tx.run(
        """
        INSERT INTO tokens (id, tenant_id, identity_id, name, scopes, digest, created_at, expires_at, parent_id,
                            user_id)
        VALUES (%(id)s, %(tenant_id)s, %(identity_id)s, %(name)s, %(scopes)s, %(digest)s, %(created_at)s,
                %(expires_at)s, %(parent_id)s, %(user_id)s)
        """,
        parent_id=parent_id,
        user_id=user_id,
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
