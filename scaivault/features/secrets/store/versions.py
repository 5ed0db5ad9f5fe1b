"""The versions of a secret."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, LiteralString

from scaivault.crypto.data_keys import WrappedKey
from scaivault.features.secrets.model import SealedVersion, Version
from scaivault.storage.database import Session

# Run by Journal.find, which adds the audit row to the same statement: a row comes back only if the value may be shown.
FIND_READABLE_VERSION: Final[LiteralString] = """
    SELECT secrets.path, secrets.secret_type, secrets.metadata, secrets.created_at, secrets.updated_at,
           secrets.expires_at, secrets.last_accessed_at, versions.version,
           versions.created_at AS version_created_at, versions.sealed, versions.wrapped_key,
           secrets.rotation_policy_id, secrets.secret_policy_id
      FROM secrets
      JOIN secret_versions AS versions
        ON versions.tenant_id = secrets.tenant_id
       AND versions.path = secrets.path
       AND versions.version = coalesce(%(version)s::integer, secrets.current_version)
     WHERE secrets.tenant_id = %(tenant_id)s
       AND secrets.path = %(path)s
       AND secrets.deleted_at IS NULL
       AND (secrets.expires_at IS NULL OR secrets.expires_at > %(now)s)
       AND versions.destroyed_at IS NULL
       AND (versions.readable_until IS NULL OR versions.readable_until > %(now)s)
"""


# A version's data key is under a version of the tenant's key that is there (migration 0003).
KEY_CONSTRAINT: Final = "secret_versions_key_fkey"


@dataclass(frozen=True, slots=True)
class _Number:
    number: int


@dataclass(frozen=True, slots=True)
class PresentVersion:
    """A secret's current version as the database keeps it: nothing, if it was destroyed."""

    path: str
    secret_created_at: datetime
    version: int
    sealed: bytes | None = field(repr=False)
    wrapped_key: bytes | None = field(repr=False)


def add_version(tx: Session, tenant_id: str, path: str, version: Version, sealed: bytes, wrapped_key: bytes) -> None:
    tx.run(
        """
        INSERT INTO secret_versions (tenant_id, path, version, sealed, wrapped_key, created_at, created_by)
        VALUES (%(tenant_id)s, %(path)s, %(version)s, %(sealed)s, %(wrapped_key)s, %(created_at)s, %(created_by)s)
        """,
        tenant_id=tenant_id,
        path=path,
        version=version.version,
        sealed=sealed,
        wrapped_key=wrapped_key,
        created_at=version.created_at,
        created_by=version.created_by,
    )


def find_version(session: Session, tenant_id: str, path: str, version: int, now: datetime) -> SealedVersion | None:
    """A version that can still be read, whatever state its secret is in."""
    return session.one(
        SealedVersion,
        """
        SELECT secrets.path, secrets.secret_type, secrets.metadata, secrets.created_at, secrets.updated_at,
               secrets.expires_at, secrets.last_accessed_at, versions.version,
               versions.created_at AS version_created_at, versions.sealed, versions.wrapped_key,
               secrets.rotation_policy_id, secrets.secret_policy_id
          FROM secrets
          JOIN secret_versions AS versions ON versions.tenant_id = secrets.tenant_id AND versions.path = secrets.path
         WHERE secrets.tenant_id = %(tenant_id)s AND secrets.path = %(path)s
           AND versions.version = %(version)s AND versions.destroyed_at IS NULL
           AND (versions.readable_until IS NULL OR versions.readable_until > %(now)s)
        """,
        tenant_id=tenant_id,
        path=path,
        version=version,
        now=now,
    )


def list_present_versions(session: Session, tenant_id: str, paths: Sequence[str]) -> list[PresentVersion]:
    """What these secrets hold now, whatever state they are in; of those that there are."""
    return session.many(
        PresentVersion,
        """
        SELECT secrets.path, secrets.created_at AS secret_created_at, secrets.current_version AS version,
               versions.sealed, versions.wrapped_key
          FROM secrets
          LEFT JOIN secret_versions AS versions
            ON versions.tenant_id = secrets.tenant_id AND versions.path = secrets.path
           AND versions.version = secrets.current_version
         WHERE secrets.tenant_id = %(tenant_id)s AND secrets.path = ANY(%(paths)s)
        """,
        tenant_id=tenant_id,
        paths=list(paths),
    )


def list_versions(session: Session, tenant_id: str, path: str) -> list[Version]:
    """All kept versions, newest first: `max_versions`, and those in a grace period; at most MOST_VERSIONS."""
    return session.many(
        Version,
        """
        SELECT version, created_at, created_by, destroyed_at, readable_until
          FROM secret_versions
         WHERE tenant_id = %(tenant_id)s AND path = %(path)s
         ORDER BY version DESC
        """,
        tenant_id=tenant_id,
        path=path,
    )


def remove_versions_before(tx: Session, tenant_id: str, path: str, kept: int, spared: int, now: datetime) -> None:
    """Drop the versions before `kept`; those in a grace period only before `spared`."""
    tx.run(
        """
        DELETE FROM secret_versions
         WHERE tenant_id = %(tenant_id)s AND path = %(path)s AND version < %(kept)s
           AND (version < %(spared)s OR readable_until IS NULL OR readable_until <= %(now)s)
        """,
        tenant_id=tenant_id,
        path=path,
        kept=kept,
        spared=spared,
        now=now,
    )


def change_versions_destroyed(
    tx: Session, tenant_id: str, path: str, versions: Sequence[int], now: datetime
) -> list[int]:
    """Erase content and data keys of these versions; which of them still had any."""
    rows = tx.many(
        _Number,
        """
        UPDATE secret_versions
           SET sealed = NULL, wrapped_key = NULL, destroyed_at = %(now)s
         WHERE tenant_id = %(tenant_id)s AND path = %(path)s AND version = ANY(%(versions)s)
           AND destroyed_at IS NULL
        RETURNING version AS number
        """,
        tenant_id=tenant_id,
        path=path,
        versions=list(versions),
        now=now,
    )
    return [row.number for row in rows]


def count_versions_before(session: Session, tenant_id: str, key_version: int) -> int:
    """How many data keys are under older versions of the tenant's key than this."""
    row = session.one(
        _Number,
        """
        SELECT count(*) AS number
          FROM secret_versions
         WHERE tenant_id = %(tenant_id)s AND key_version < %(key_version)s
        """,
        tenant_id=tenant_id,
        key_version=key_version,
    )
    return row.number if row else 0


def claim_versions_before(
    tx: Session, tenant_id: str, key_version: int, after: tuple[str, int], limit: int
) -> list[WrappedKey]:
    """Versions under older keys beyond a path and version, in order and locked; without those that others hold.

    Nothing is waited for, so this takes part in no deadlock, and no writer waits for long.
    """
    return tx.many(
        WrappedKey,
        """
        SELECT path AS owner, version, wrapped_key
          FROM secret_versions
         WHERE tenant_id = %(tenant_id)s AND key_version < %(key_version)s
           AND (path, version) > (%(path)s, %(version)s)
         ORDER BY path, version
         LIMIT %(limit)s
           FOR NO KEY UPDATE SKIP LOCKED
        """,
        tenant_id=tenant_id,
        key_version=key_version,
        path=after[0],
        version=after[1],
        limit=limit,
    )


def change_wrapped_keys(tx: Session, tenant_id: str, changed: Sequence[WrappedKey]) -> None:
    """Put these data keys in the place of those there: of versions that this transaction has claimed."""
    tx.run(
        """
        UPDATE secret_versions
           SET wrapped_key = changed.wrapped_key
          FROM unnest(%(paths)s::text[], %(versions)s::integer[], %(wrapped_keys)s::bytea[])
                   AS changed (path, version, wrapped_key)
         WHERE secret_versions.tenant_id = %(tenant_id)s
           AND secret_versions.path = changed.path
           AND secret_versions.version = changed.version
        """,
        tenant_id=tenant_id,
        paths=[each.owner for each in changed],
        versions=[each.version for each in changed],
        wrapped_keys=[each.wrapped_key for each in changed],
    )
