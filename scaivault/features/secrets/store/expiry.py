"""Secrets whose end somebody may want to hear of. When, the database works out at each write (migration 0012)."""

from collections.abc import Sequence
from datetime import datetime

from scaivault.features.secrets.model import Notice
from scaivault.storage.database import Session


def claim_due_notices(tx: Session, now: datetime, limit: int) -> list[Notice]:
    """Those of any tenant whose next word is due, what is due for longest first, locked; without what others hold."""
    return tx.many(
        Notice,
        """
        SELECT tenants.partner_id, tenant_id, path, secret_type, current_version, metadata, expires_at, notify_before
          FROM secrets
          JOIN tenants ON tenants.id = secrets.tenant_id
         WHERE notice_due_at <= %(now)s
         ORDER BY notice_due_at
         LIMIT %(limit)s
           FOR NO KEY UPDATE OF secrets SKIP LOCKED
        """,
        now=now,
        limit=limit,
    )


def change_notices(
    tx: Session, tenant_ids: Sequence[str], paths: Sequence[str], next_at: Sequence[datetime | None]
) -> None:
    """When the next word about each of these is due, if any is."""
    tx.run(
        """
        UPDATE secrets
           SET notice_due_at = told.next_at
          FROM unnest(%(tenant_ids)s::text[], %(paths)s::text[], %(next_at)s::timestamptz[])
                   AS told (tenant_id, path, next_at)
         WHERE secrets.tenant_id = told.tenant_id AND secrets.path = told.path
        """,
        tenant_ids=list(tenant_ids),
        paths=list(paths),
        next_at=list(next_at),
    )
