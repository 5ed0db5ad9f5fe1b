"""Many secrets, and the tags that find them."""

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString

from scaivault.features.secrets.model import Filters, Range, Secret
from scaivault.features.secrets.store.secrets import COLUMNS
from scaivault.storage.database import Session


def add_tags(tx: Session, tenant_id: str, path: str, tags: Sequence[str]) -> None:
    tx.run(
        """
        INSERT INTO secret_tags (tenant_id, tag, path)
        SELECT %(tenant_id)s, tag, %(path)s FROM unnest(%(tags)s::text[]) AS tag
        """,
        tenant_id=tenant_id,
        path=path,
        tags=list(tags),
    )


def remove_tags(tx: Session, tenant_id: str, path: str) -> None:
    tx.run(
        "DELETE FROM secret_tags WHERE tenant_id = %(tenant_id)s AND path = %(path)s", tenant_id=tenant_id, path=path
    )


def list_secrets(
    session: Session, tenant_id: str, filters: Filters, ranges: Sequence[Range], after: str, now: datetime, limit: int
) -> list[Secret]:
    """Up to `limit` secrets by path, in any of the ranges and beyond `after`."""
    return session.many(
        Secret,
        _list_query(filters),
        tenant_id=tenant_id,
        lows=[bounds.low for bounds in ranges],
        highs=[bounds.high for bounds in ranges],
        after=after,
        now=now,
        limit=limit,
        secret_type=filters.secret_type,
        owner=filters.owner,
        tag=filters.tag,
        expires_before=filters.expires_before,
    )


def _list_query(filters: Filters) -> LiteralString:
    """Only the predicates that are asked for, so that the planner sees each of them and picks its index.

    The range is compared as rows: of `path >= low AND path < high` with bounds that it can not see the planner believes
    that one row in 200 passes, and rather than walk in order it sorts a million of which it expects thirty.
    """
    predicates: LiteralString = (
        "AND (recoverable_until IS NULL OR recoverable_until > %(now)s)"
        if filters.include_deleted
        else "AND deleted_at IS NULL"
    )
    if filters.secret_type is not None:
        predicates += " AND secret_type = %(secret_type)s"
    if filters.owner is not None:
        predicates += " AND metadata ? 'owner' AND metadata ->> 'owner' = %(owner)s"
    if filters.expires_before is not None:
        predicates += " AND expires_at <= %(expires_before)s"
    if filters.tag is not None:
        predicates += """ AND EXISTS (SELECT FROM secret_tags
                                       WHERE secret_tags.tenant_id = secrets.tenant_id
                                         AND secret_tags.path = secrets.path AND tag = %(tag)s)"""
    return f"""
        SELECT found.*
          FROM unnest(%(lows)s::text[], %(highs)s::text[]) AS bounds (low, high)
         CROSS JOIN LATERAL (
               SELECT {COLUMNS}
                 FROM secrets
                WHERE tenant_id = %(tenant_id)s AND path > %(after)s
                      AND (tenant_id, path) >= (%(tenant_id)s, bounds.low)
                      AND (tenant_id, path) < (%(tenant_id)s, bounds.high)
                      {predicates}
                ORDER BY path
                LIMIT %(limit)s) AS found
         ORDER BY found.path
         LIMIT %(limit)s
        """
