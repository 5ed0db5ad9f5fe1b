"""Webhooks."""

from dataclasses import dataclass
from datetime import datetime

from scaivault.features.events.model.webhooks import Draft, Webhook
from scaivault.storage.database import Session


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


def claim_listeners(tx: Session, tenant_id: str) -> None:
    """Be the only one that adds to the tenant's webhooks and subscriptions until this transaction ends."""
    tx.run("SELECT pg_advisory_xact_lock(hashtext('listeners'), hashtext(%(tenant_id)s))", tenant_id=tenant_id)


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
               updated_at, consecutive_failures, last_attempt_failed, revision,
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
               updated_at, consecutive_failures, last_attempt_failed, revision,
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
    """The next revision, with what the draft names. Filters change together: what is not given of them is gone."""
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
               revision = revision + 1,
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
               SET is_enabled = false, revision = revision + 1, updated_at = %(now)s
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
