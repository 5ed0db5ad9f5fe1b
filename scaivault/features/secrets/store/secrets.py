"""One secret's own row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.types.json import Jsonb

from scaivault.features.secrets.model import Metadata, Secret
from scaivault.storage.database import Session

COLUMNS: Final = """
    path, secret_type, current_version, metadata, max_versions, expires_in_seconds, created_at, updated_at,
    expires_at, deleted_at, recoverable_until, last_accessed_at, last_accessed_by, notify_before,
    rotation_policy_id, secret_policy_id
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A secret that another transaction has locked."""

    tenant_id: str
    path: str


def find_secret(session: Session, tenant_id: str, path: str) -> Secret | None:
    return session.one(
        Secret,
        f"SELECT {COLUMNS} FROM secrets WHERE tenant_id = %(tenant_id)s AND path = %(path)s",
        tenant_id=tenant_id,
        path=path,
    )


def claim_secret(tx: Session, tenant_id: str, path: str) -> Secret | None:
    """The secret, and no other writer until this transaction ends."""
    return tx.one(
        Secret,
        f"""
        SELECT {COLUMNS}
          FROM secrets
         WHERE tenant_id = %(tenant_id)s AND path = %(path)s
           FOR NO KEY UPDATE
        """,
        tenant_id=tenant_id,
        path=path,
    )


def claim_secrets(tx: Session, tenant_id: str, paths: Sequence[str]) -> list[Secret]:
    """Those of these secrets that there are, and no other writer of them; locked in the order of their paths."""
    return tx.many(
        Secret,
        f"""
        SELECT {COLUMNS}
          FROM secrets
         WHERE tenant_id = %(tenant_id)s AND path = ANY(%(paths)s)
         ORDER BY path
           FOR NO KEY UPDATE
        """,
        tenant_id=tenant_id,
        paths=list(paths),
    )


def add_secret(tx: Session, tenant_id: str, secret: Secret) -> bool:
    """False if another writer made it first."""
    return bool(
        tx.run(
            """
            INSERT INTO secrets (tenant_id, path, secret_type, current_version, metadata, max_versions,
                                 expires_in_seconds, created_at, updated_at, expires_at, notify_before,
                                 rotation_policy_id, secret_policy_id)
            VALUES (%(tenant_id)s, %(path)s, %(secret_type)s, %(current_version)s, %(metadata)s, %(max_versions)s,
                    %(expires_in_seconds)s, %(created_at)s, %(updated_at)s, %(expires_at)s,
                    %(notify_before)s::integer[], %(rotation_policy_id)s, %(secret_policy_id)s)
                ON CONFLICT ON CONSTRAINT secrets_pkey DO NOTHING
            """,
            **_facts(tenant_id, secret),
            created_at=secret.created_at,
        )
    )


def change_secret(tx: Session, tenant_id: str, secret: Secret) -> None:
    """Bring all that a write or a metadata change may alter up to date."""
    tx.run(
        """
        UPDATE secrets
           SET secret_type = %(secret_type)s, current_version = %(current_version)s, metadata = %(metadata)s,
               max_versions = %(max_versions)s, expires_in_seconds = %(expires_in_seconds)s,
               updated_at = %(updated_at)s, expires_at = %(expires_at)s, notify_before = %(notify_before)s::integer[],
               rotation_policy_id = %(rotation_policy_id)s, secret_policy_id = %(secret_policy_id)s
         WHERE tenant_id = %(tenant_id)s AND path = %(path)s
        """,
        **_facts(tenant_id, secret),
    )


def change_deleted(
    tx: Session, tenant_id: str, path: str, deleted_at: datetime | None, recoverable_until: datetime | None
) -> None:
    """Into the trash or, with Nones, out of it."""
    tx.run(
        """
        UPDATE secrets
           SET deleted_at = %(deleted_at)s, recoverable_until = %(recoverable_until)s
         WHERE tenant_id = %(tenant_id)s AND path = %(path)s
        """,
        tenant_id=tenant_id,
        path=path,
        deleted_at=deleted_at,
        recoverable_until=recoverable_until,
    )


def remove_secret(tx: Session, tenant_id: str, path: str) -> None:
    """The secret with all its versions and tags, for good."""
    tx.run("DELETE FROM secrets WHERE tenant_id = %(tenant_id)s AND path = %(path)s", tenant_id=tenant_id, path=path)


def change_last_accessed(
    tx: Session, tenant_ids: Sequence[str], paths: Sequence[str], at: Sequence[datetime], by: Sequence[str]
) -> list[Held]:
    """Note last readers of many secrets of many tenants at once; which of them another writer holds, left as they are.

    Rows are locked in path order and never waited for, so that notes neither wait for writers nor deadlock with each
    other. An older note never overwrites a newer one.
    """
    return tx.many(
        Held,
        """
        WITH noted AS (
            SELECT * FROM unnest(%(tenant_ids)s::text[], %(paths)s::text[], %(at)s::timestamptz[], %(by)s::text[])
                       AS noted (tenant_id, path, at, by)
        ), free AS (
            SELECT secrets.tenant_id, secrets.path, noted.at, noted.by
              FROM secrets JOIN noted ON secrets.tenant_id = noted.tenant_id AND secrets.path = noted.path
             ORDER BY secrets.tenant_id, secrets.path
               FOR NO KEY UPDATE OF secrets SKIP LOCKED
        ), changed AS (
            UPDATE secrets
               SET last_accessed_at = free.at, last_accessed_by = free.by
              FROM free
             WHERE secrets.tenant_id = free.tenant_id AND secrets.path = free.path
               AND (secrets.last_accessed_at IS NULL OR secrets.last_accessed_at < free.at)
        )
        SELECT secrets.tenant_id, secrets.path
          FROM secrets JOIN noted ON secrets.tenant_id = noted.tenant_id AND secrets.path = noted.path
         WHERE NOT EXISTS (SELECT FROM free
                            WHERE free.tenant_id = secrets.tenant_id AND free.path = secrets.path)
        """,
        tenant_ids=list(tenant_ids),
        paths=list(paths),
        at=list(at),
        by=list(by),
    )


def _facts(tenant_id: str, secret: Secret) -> Mapping[str, object]:
    return {
        "tenant_id": tenant_id,
        "path": secret.path,
        "secret_type": secret.secret_type,
        "current_version": secret.current_version,
        "metadata": _json(secret.metadata),
        "max_versions": secret.max_versions,
        "expires_in_seconds": secret.expires_in_seconds,
        "updated_at": secret.updated_at,
        "expires_at": secret.expires_at,
        "rotation_policy_id": secret.rotation_policy_id,
        "secret_policy_id": secret.secret_policy_id,
        "notify_before": None if secret.notify_before is None else list(secret.notify_before),
    }


def _json(metadata: Metadata) -> Jsonb:
    return Jsonb(dict(metadata))
