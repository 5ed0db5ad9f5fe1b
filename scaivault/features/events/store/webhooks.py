"""Webhooks, and what they sign with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from scaivault.features.events.model.webhooks import Draft, Statistics, Webhook
from scaivault.storage.database import Session

# A secret's data key is under a version of the tenant's key that is there (migration 0012).
KEY_CONSTRAINT: Final = "webhook_secrets_key_fkey"


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret that a webhook signs with, at rest."""

    webhook_id: str
    version: int
    wrapped_key: bytes = field(repr=False)
    sealed: bytes = field(repr=False, default=b"")


@dataclass(frozen=True, slots=True)
class _Number:
    number: int


def add_webhook(tx: Session, tenant_id: str, webhook: Webhook, *, is_of_subscription: bool = False) -> None:
    tx.run(
        """
        INSERT INTO webhooks (tenant_id, id, name, url, events, path_prefix, secret_type, tags, is_enabled, created_by,
                              created_at, updated_at, is_of_subscription)
        VALUES (%(tenant_id)s, %(id)s, %(name)s, %(url)s, %(events)s, %(path_prefix)s, %(secret_type)s, %(tags)s,
                %(is_enabled)s, %(created_by)s, %(created_at)s, %(updated_at)s, %(is_of_subscription)s)
        """,
        tenant_id=tenant_id,
        id=webhook.id,
        name=webhook.name,
        url=webhook.url,
        events=list(webhook.events),
        path_prefix=webhook.path_prefix,
        secret_type=webhook.secret_type,
        tags=list(webhook.tags),
        is_enabled=webhook.is_enabled,
        created_by=webhook.created_by,
        created_at=webhook.created_at,
        updated_at=webhook.updated_at,
        is_of_subscription=is_of_subscription,
    )


def count_webhooks(session: Session, tenant_id: str) -> int:
    row = session.one(
        _Number,
        "SELECT count(*) AS number FROM webhooks WHERE tenant_id = %(tenant_id)s AND NOT is_of_subscription",
        tenant_id=tenant_id,
    )
    return row.number if row else 0


def find_webhook(session: Session, tenant_id: str, webhook_id: str, now: datetime) -> Webhook | None:
    return session.one(
        Webhook,
        """
        SELECT webhooks.id, name, url, events, path_prefix, secret_type, tags, is_enabled, created_by, created_at,
               updated_at, consecutive_failures,
               (SELECT max(expires_at) FROM webhook_secrets AS secrets
                 WHERE secrets.tenant_id = webhooks.tenant_id AND secrets.webhook_id = webhooks.id
                   AND expires_at > %(now)s) AS previous_secret_expires_at
          FROM webhooks
          JOIN webhook_lanes AS lanes ON lanes.tenant_id = webhooks.tenant_id AND lanes.webhook_id = webhooks.id
         WHERE webhooks.tenant_id = %(tenant_id)s AND webhooks.id = %(webhook_id)s AND NOT is_of_subscription
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        now=now,
    )


def list_webhooks(session: Session, tenant_id: str, after: str | None, limit: int, now: datetime) -> list[Webhook]:
    """Webhooks by age, newest first."""
    return session.many(
        Webhook,
        """
        SELECT webhooks.id, name, url, events, path_prefix, secret_type, tags, is_enabled, created_by, created_at,
               updated_at, consecutive_failures,
               (SELECT max(expires_at) FROM webhook_secrets AS secrets
                 WHERE secrets.tenant_id = webhooks.tenant_id AND secrets.webhook_id = webhooks.id
                   AND expires_at > %(now)s) AS previous_secret_expires_at
          FROM webhooks
          JOIN webhook_lanes AS lanes ON lanes.tenant_id = webhooks.tenant_id AND lanes.webhook_id = webhooks.id
         WHERE webhooks.tenant_id = %(tenant_id)s AND NOT is_of_subscription
           AND (%(after)s::text IS NULL OR webhooks.id < %(after)s)
         ORDER BY webhooks.id DESC
         LIMIT %(limit)s
        """,
        tenant_id=tenant_id,
        after=after,
        limit=limit,
        now=now,
    )


def change_webhook(tx: Session, tenant_id: str, webhook_id: str, draft: Draft, now: datetime) -> None:
    """Change what the draft names. Filters change together: what is not given of them does not filter any more."""
    tx.run(
        """
        UPDATE webhooks
           SET name = coalesce(%(name)s, name),
               url = coalesce(%(url)s, url),
               events = coalesce(%(events)s::text[], events),
               path_prefix = CASE WHEN %(filters)s THEN coalesce(%(path_prefix)s, '') ELSE path_prefix END,
               secret_type = CASE WHEN %(filters)s THEN %(secret_type)s ELSE secret_type END,
               tags = CASE WHEN %(filters)s THEN coalesce(%(tags)s::text[], '{}') ELSE tags END,
               is_enabled = coalesce(%(is_enabled)s, is_enabled),
               updated_at = %(now)s
         WHERE tenant_id = %(tenant_id)s AND id = %(webhook_id)s
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        name=draft.name,
        url=draft.url,
        events=None if draft.events is None else list(draft.events),
        filters=draft.filters_are_given,
        path_prefix=draft.path_prefix,
        secret_type=draft.secret_type,
        tags=None if draft.tags is None else list(draft.tags),
        is_enabled=draft.is_enabled,
        now=now,
    )


def change_disabled(tx: Session, tenant_id: str, webhook_id: str, now: datetime) -> bool:
    """Whether it was enabled until now."""
    return bool(
        tx.run(
            """
            UPDATE webhooks
               SET is_enabled = false, updated_at = %(now)s
             WHERE tenant_id = %(tenant_id)s AND id = %(webhook_id)s AND is_enabled
            """,
            tenant_id=tenant_id,
            webhook_id=webhook_id,
            now=now,
        )
    )


def remove_webhook(tx: Session, tenant_id: str, webhook_id: str) -> None:
    """The webhook with its secrets, its queue and its log."""
    tx.run(
        "DELETE FROM webhooks WHERE tenant_id = %(tenant_id)s AND id = %(webhook_id)s",
        tenant_id=tenant_id,
        webhook_id=webhook_id,
    )


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
) -> list[SealedSecret]:
    """Secrets under older keys beyond a webhook and version, in order and locked; without those that others hold."""
    return tx.many(
        SealedSecret,
        """
        SELECT webhook_id, version, wrapped_key
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


def change_wrapped_keys(tx: Session, tenant_id: str, changed: Sequence[SealedSecret]) -> None:
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
        webhook_ids=[each.webhook_id for each in changed],
        versions=[each.version for each in changed],
        wrapped_keys=[each.wrapped_key for each in changed],
    )


def find_statistics(session: Session, tenant_id: str, webhook_id: str, since: datetime) -> Statistics:
    """The sum of the hours since then."""
    row = session.one(
        Statistics,
        """
        SELECT coalesce(sum(succeeded), 0)::bigint AS succeeded, coalesce(sum(failed), 0)::bigint AS failed,
               coalesce(sum(milliseconds), 0) AS milliseconds
          FROM webhook_hours
         WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s AND hour > %(since)s
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        since=since,
    )
    return row or Statistics(0, 0, 0.0)


def remove_hours_before(session: Session, instant: datetime) -> int:
    """Forget all tenants' statistics of hours that nobody asks for any more."""
    return session.run("DELETE FROM webhook_hours WHERE hour < %(instant)s", instant=instant)
