"""What webhooks sign with, at rest."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from scaivault.crypto.data_keys import WrappedKey
from scaivault.storage.database import Session

# A secret's data key is under a version of the tenant's key that is there (migration 0012).
KEY_CONSTRAINT: Final = "webhook_secrets_key_fkey"


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret that a webhook signs with, at rest."""

    webhook_id: str
    version: int
    wrapped_key: bytes = field(repr=False)
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Number:
    number: int


def add_secret(tx: Session, tenant_id: str, secret: SealedSecret) -> None:
    tx.run(
        """
        INSERT INTO webhook_secrets (tenant_id, webhook_id, version, sealed, wrapped_key)
        VALUES (%(tenant_id)s, %(webhook_id)s, %(version)s, %(sealed)s, %(wrapped_key)s)
        """,
        tenant_id=tenant_id,
        webhook_id=secret.webhook_id,
        version=secret.version,
        sealed=secret.sealed,
        wrapped_key=secret.wrapped_key,
    )


def find_newest_secret(session: Session, tenant_id: str, webhook_id: str) -> int:
    """The version that signs; 0 if there is none."""
    row = session.one(
        _Number,
        """
        SELECT coalesce(max(version), 0) AS number
          FROM webhook_secrets
         WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
    )
    return row.number if row else 0


def list_secrets(session: Session, tenant_id: str, webhook_id: str, now: datetime) -> list[SealedSecret]:
    """The secrets in force, newest first: the one that signs, and the one before it until it expires."""
    return session.many(
        SealedSecret,
        """
        SELECT webhook_id, version, wrapped_key, sealed
          FROM webhook_secrets
         WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s
           AND (expires_at IS NULL OR expires_at > %(now)s)
         ORDER BY version DESC
         LIMIT 2
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        now=now,
    )


def change_secret_expiry(tx: Session, tenant_id: str, webhook_id: str, version: int, expires_at: datetime) -> None:
    tx.run(
        """
        UPDATE webhook_secrets
           SET expires_at = %(expires_at)s
         WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s AND version = %(version)s
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        version=version,
        expires_at=expires_at,
    )


def remove_secrets_before(tx: Session, tenant_id: str, webhook_id: str, version: int) -> None:
    """Drop all versions that are older: nothing is ever signed with more than two."""
    tx.run(
        """
        DELETE FROM webhook_secrets
         WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s AND version < %(version)s
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        version=version,
    )


def remove_expired_secrets(session: Session, now: datetime) -> int:
    """Drop what no webhook of any tenant signs with any more."""
    return session.run("DELETE FROM webhook_secrets WHERE expires_at <= %(now)s", now=now)


def count_secrets_before(session: Session, tenant_id: str, key_version: int) -> int:
    """How many are under older versions of the tenant's key than this."""
    row = session.one(
        _Number,
        """
        SELECT count(*) AS number
          FROM webhook_secrets
         WHERE tenant_id = %(tenant_id)s AND key_version < %(key_version)s
        """,
        tenant_id=tenant_id,
        key_version=key_version,
    )
    return row.number if row else 0


def claim_secrets_before(
    tx: Session, tenant_id: str, key_version: int, after: tuple[str, int], limit: int
) -> list[WrappedKey]:
    """Secrets under older keys beyond a webhook and version, in order and locked; without those that others hold."""
    return tx.many(
        WrappedKey,
        """
        SELECT webhook_id AS owner, version, wrapped_key
          FROM webhook_secrets
         WHERE tenant_id = %(tenant_id)s AND key_version < %(key_version)s
           AND (webhook_id, version) > (%(webhook_id)s, %(version)s)
         ORDER BY webhook_id, version
         LIMIT %(limit)s
           FOR NO KEY UPDATE SKIP LOCKED
        """,
        tenant_id=tenant_id,
        key_version=key_version,
        webhook_id=after[0],
        version=after[1],
        limit=limit,
    )


def change_wrapped_keys(tx: Session, tenant_id: str, changed: Sequence[WrappedKey]) -> None:
    """Put these data keys in the place of those there: of secrets that this transaction has claimed."""
    tx.run(
        """
        UPDATE webhook_secrets
           SET wrapped_key = changed.wrapped_key
          FROM unnest(%(webhook_ids)s::text[], %(versions)s::integer[], %(wrapped_keys)s::bytea[])
                   AS changed (webhook_id, version, wrapped_key)
         WHERE webhook_secrets.tenant_id = %(tenant_id)s
           AND webhook_secrets.webhook_id = changed.webhook_id
           AND webhook_secrets.version = changed.version
        """,
        tenant_id=tenant_id,
        webhook_ids=[each.owner for each in changed],
        versions=[each.version for each in changed],
        wrapped_keys=[each.wrapped_key for each in changed],
    )
