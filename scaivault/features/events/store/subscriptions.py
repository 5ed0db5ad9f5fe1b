"""Subscriptions. Where one has an address, that is a webhook of the same id."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from scaivault.features.events.model.subscriptions import Subscription, Wish
from scaivault.features.events.store.authority import IS_SUSPENDED
from scaivault.storage.database import Session

# A subscription, with what its webhook is like where it is delivered.
_SELECT: Final[LiteralString] = f"""
        SELECT subscriptions.id, subscriptions.name, owner_id, paths, subscriptions.events, subscriptions.path_prefix,
               subscriptions.secret_type, subscriptions.tags, delivery_type, buffer_size, subscriptions.created_at,
               subscriptions.updated_at, url, coalesce(is_enabled, true) AS is_enabled,
               coalesce(last_attempt_failed, false) AS last_attempt_failed, subscriptions.revision,
               {IS_SUSPENDED} AS is_suspended,
               (SELECT max(expires_at) FROM webhook_secrets AS secrets
                 WHERE secrets.tenant_id = subscriptions.tenant_id AND secrets.webhook_id = subscriptions.id
                   AND expires_at > %(now)s) AS previous_secret_expires_at
          FROM subscriptions
          LEFT JOIN webhooks ON webhooks.tenant_id = subscriptions.tenant_id AND webhooks.id = subscriptions.id
          LEFT JOIN webhook_lanes AS lanes ON lanes.tenant_id = webhooks.tenant_id AND lanes.webhook_id = webhooks.id
"""


@dataclass(frozen=True, slots=True)
class _Counts:
    tenants: int
    owners: int


@dataclass(frozen=True, slots=True)
class _Kind:
    delivery_type: str


def add_subscription(
    tx: Session, tenant_id: str, subscription: Subscription, owner_type: str, owner_groups: Sequence[str]
) -> None:
    tx.run(
        """
        INSERT INTO subscriptions (tenant_id, id, name, owner_id, owner_type, owner_groups, paths, events, path_prefix,
                                   secret_type, tags, delivery_type, buffer_size, created_at, updated_at)
        VALUES (%(tenant_id)s, %(id)s, %(name)s, %(owner_id)s, %(owner_type)s, %(owner_groups)s, %(paths)s, %(events)s,
                %(path_prefix)s, %(secret_type)s, %(tags)s, %(delivery_type)s, %(buffer_size)s, %(created_at)s,
                %(updated_at)s)
        """,
        tenant_id=tenant_id,
        id=subscription.id,
        name=subscription.name,
        owner_id=subscription.owner_id,
        owner_type=owner_type,
        owner_groups=list(owner_groups),
        paths=list(subscription.paths),
        events=list(subscription.events),
        path_prefix=subscription.path_prefix,
        secret_type=subscription.secret_type,
        tags=list(subscription.tags),
        delivery_type=subscription.delivery_type,
        buffer_size=subscription.buffer_size,
        created_at=subscription.created_at,
        updated_at=subscription.updated_at,
    )


def count_subscriptions(session: Session, tenant_id: str, owner_id: str) -> tuple[int, int]:
    """The tenant's, and of those the owner's."""
    row = session.one(
        _Counts,
        """
        SELECT count(*) AS tenants, count(*) FILTER (WHERE owner_id = %(owner_id)s) AS owners
          FROM subscriptions
         WHERE tenant_id = %(tenant_id)s
        """,
        tenant_id=tenant_id,
        owner_id=owner_id,
    )
    return (row.tenants, row.owners) if row else (0, 0)


def find_subscription(
    session: Session, tenant_id: str, subscription_id: str, owner_id: str | None, now: datetime
) -> Subscription | None:
    """The subscription, of this owner if one is given."""
    return session.one(
        Subscription,
        f"""
        {_SELECT}
         WHERE subscriptions.tenant_id = %(tenant_id)s AND subscriptions.id = %(subscription_id)s
           AND (%(owner_id)s::text IS NULL OR owner_id = %(owner_id)s)
        """,
        tenant_id=tenant_id,
        subscription_id=subscription_id,
        owner_id=owner_id,
        now=now,
    )


def list_subscriptions(
    session: Session, tenant_id: str, owner_id: str | None, after: str | None, limit: int, now: datetime
) -> list[Subscription]:
    """By age, newest first; an owner's if one is given."""
    return session.many(
        Subscription,
        f"""
        {_SELECT}
         WHERE subscriptions.tenant_id = %(tenant_id)s
           AND (%(owner_id)s::text IS NULL OR owner_id = %(owner_id)s)
           AND (%(after)s::text IS NULL OR subscriptions.id < %(after)s)
         ORDER BY subscriptions.id DESC
         LIMIT %(limit)s
        """,
        tenant_id=tenant_id,
        owner_id=owner_id,
        after=after,
        limit=limit,
        now=now,
    )


def claim_subscription(tx: Session, tenant_id: str, subscription_id: str, owner_id: str | None) -> str | None:
    """Hold it until this transaction ends; how it is delivered, or None if there is none (of this owner)."""
    row = tx.one(
        _Kind,
        """
        SELECT delivery_type
          FROM subscriptions
         WHERE tenant_id = %(tenant_id)s AND id = %(subscription_id)s
           AND (%(owner_id)s::text IS NULL OR owner_id = %(owner_id)s)
           FOR UPDATE
        """,
        tenant_id=tenant_id,
        subscription_id=subscription_id,
        owner_id=owner_id,
    )
    return row.delivery_type if row else None


def change_subscription(tx: Session, tenant_id: str, subscription_id: str, wish: Wish, now: datetime) -> None:
    """The next revision, with what is wished. Filters change together: what is not given of them is gone."""
    tx.run(
        """
        UPDATE subscriptions
           SET name = coalesce(%(name)s, name),
               paths = coalesce(%(paths)s::text[], paths),
               events = coalesce(%(events)s::text[], events),
               path_prefix = CASE WHEN %(filters)s THEN coalesce(%(path_prefix)s, '') ELSE path_prefix END,
               secret_type = CASE WHEN %(filters)s THEN %(secret_type)s ELSE secret_type END,
               tags = CASE WHEN %(filters)s THEN coalesce(%(tags)s::text[], '{}') ELSE tags END,
               buffer_size = coalesce(%(buffer_size)s, buffer_size),
               revision = revision + 1,
               updated_at = %(now)s
         WHERE tenant_id = %(tenant_id)s AND id = %(subscription_id)s
        """,
        tenant_id=tenant_id,
        subscription_id=subscription_id,
        name=wish.name,
        paths=None if wish.paths is None else list(wish.paths),
        events=None if wish.events is None else list(wish.events),
        filters=wish.filters_are_given,
        path_prefix=wish.path_prefix,
        secret_type=wish.secret_type,
        tags=None if wish.tags is None else list(wish.tags),
        buffer_size=wish.buffer_size,
        now=now,
    )


def change_owner_groups(tx: Session, tenant_id: str, subscription_id: str, groups: Sequence[str]) -> None:
    """Note in which groups the owner is by now; nothing is written where that is known."""
    tx.run(
        """
        UPDATE subscriptions
           SET owner_groups = %(groups)s
         WHERE tenant_id = %(tenant_id)s AND id = %(subscription_id)s AND owner_groups <> %(groups)s::text[]
        """,
        tenant_id=tenant_id,
        subscription_id=subscription_id,
        groups=list(groups),
    )


def remove_subscription(tx: Session, tenant_id: str, subscription_id: str) -> None:
    """With its buffer; its webhook, where it has one, is another row."""
    tx.run(
        "DELETE FROM subscriptions WHERE tenant_id = %(tenant_id)s AND id = %(subscription_id)s",
        tenant_id=tenant_id,
        subscription_id=subscription_id,
    )
