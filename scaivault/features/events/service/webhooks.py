"""Administering webhooks. A change, its audit row and the end of what is remembered of listeners are one commit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from scaivault.crypto.keys import TenantKeys
from scaivault.features.events.errors import (
    InvalidWebhook,
    RevisionConflict,
    TooManyWebhooks,
    WebhookNotFound,
)
from scaivault.features.events.model.webhooks import MOST_WEBHOOKS, Delivery, Draft, Webhook
from scaivault.features.events.service.addresses import Addresses, host_of
from scaivault.features.events.service.hooks import Hooks, NewSecret, Replacement
from scaivault.features.events.service.sent import Fared, entry_of_redelivery, fared, send_again
from scaivault.features.events.store import deliveries as queue
from scaivault.features.events.store import lanes
from scaivault.features.events.store import webhooks as store
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry, Extra
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.ports import Clock, Guard, Journal, Mentions
from scaivault.storage import epochs
from scaivault.storage.database import Database, Session


@dataclass(frozen=True, slots=True)
class Detail:
    """A webhook and how it has fared lately."""

    webhook: Webhook
    fared: Fared


class WebhookService:
    """Webhooks of the caller's tenant, for its administrators.

    `settle` returns when every process has heard of a change that was committed before: whatever is asked of the vault
    after the answer is told to whom the answer says.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        guard: Guard,
        clock: Clock,
        hooks: Hooks,
        addresses: Addresses,
        mentions: Mentions[Session],
        settle: Callable[[], None],
    ) -> None:
        self._database = database
        self._journal = journal
        self._guard = guard
        self._clock = clock
        self._hooks = hooks
        self._addresses = addresses
        self._mentions = mentions
        self._settle = settle

    def create(self, caller: Caller, draft: Draft, secret: Plaintext) -> Webhook:
        """A new webhook, told of everything from now on that it listens for. InvalidWebhook, TooManyWebhooks."""
        self._require_administration(caller)
        webhook = _drafted(draft, caller, self._clock.now())
        self._addresses.check(webhook.url)
        _check_filters(webhook)

        def add(keys: TenantKeys) -> Webhook:
            with self._journal.operation(Action.WEBHOOK_CREATE, caller) as tx:
                store.claim_listeners(tx, caller.tenant_id)  # else two could both be the last that fits
                if store.count_webhooks(tx, caller.tenant_id) >= MOST_WEBHOOKS:
                    raise TooManyWebhooks
                self._hooks.add(tx, keys, webhook, secret)
                self._journal.record(tx, _entry(Action.WEBHOOK_CREATE, caller, webhook))
                # Last, because all tenants' changes queue here until they are committed.
                epochs.move(tx, caller.tenant_id)
            return webhook

        created = self._hooks.with_keys(caller, add)
        self._settle()
        return created

    def list(self, caller: Caller, after: str | None, limit: int) -> list[Webhook]:
        """The tenant's webhooks, newest first."""
        self._require_administration(caller)
        with self._database.session() as session:
            return store.list_webhooks(session, caller.tenant_id, after, limit, self._clock.now())

    def show(self, caller: Caller, webhook_id: str) -> Detail:
        """One of them, and how it has fared lately; WebhookNotFound."""
        self._require_administration(caller)
        now = self._clock.now()
        with self._database.session() as session:
            webhook = self._find(session, caller, webhook_id, now)
            return Detail(webhook, fared(session, caller.tenant_id, webhook_id, now))

    def change(
        self, caller: Caller, webhook_id: str, draft: Draft, secret: NewSecret | None, *, expected: int | None
    ) -> Webhook:
        """What the draft names, and the secret if a new one is given. WebhookNotFound, InvalidWebhook.

        RevisionConflict unless it is in the `expected` revision still, if one is given.
        To enable it, again or anew, forgets its failures and lets what has waited in its queue go.
        """
        self._require_administration(caller)
        if draft.url is not None:
            self._addresses.check(draft.url)
        if secret is None:
            return self._change(caller, webhook_id, draft, expected, None)
        return self._hooks.with_keys(
            caller, lambda keys: self._change(caller, webhook_id, draft, expected, Replacement(keys, secret))
        )

    def delete(self, caller: Caller, webhook_id: str, *, expected: int | None) -> None:
        """Tell it nothing any more, not even what has waited. WebhookNotFound, RevisionConflict.

        Whatever names it goes without: nobody who must stop a webhook has to look for that first.
        """
        self._require_administration(caller)
        with self._journal.operation(Action.WEBHOOK_DELETE, caller) as tx:
            self._claim(tx, caller, webhook_id)
            webhook = self._find(tx, caller, webhook_id, self._clock.now())
            _check_revision(webhook, expected)
            store.remove_webhook(tx, caller.tenant_id, webhook_id)
            named_by = self._mentions.drop_webhook(tx, caller, webhook_id)
            self._journal.record(tx, _entry(Action.WEBHOOK_DELETE, caller, webhook, named_by=list(named_by)))
            epochs.move(tx, caller.tenant_id)

    def deliveries(
        self, caller: Caller, webhook_id: str, status: str | None, after: str | None, limit: int
    ) -> Sequence[Delivery]:
        """What was sent to it or will be, newest first. WebhookNotFound."""
        self._require_administration(caller)
        _refuse_subscriptions(webhook_id)
        with self._database.session() as session:
            found = queue.list_deliveries(session, caller.tenant_id, webhook_id, status, after, limit)
            if not found:
                self._find(session, caller, webhook_id, self._clock.now())
        return found

    def redeliver(self, caller: Caller, webhook_id: str, delivery_id: str) -> Delivery:
        """The same event once more, as a delivery of its own. WebhookNotFound, DeliveryNotFound."""
        self._require_administration(caller)
        with self._journal.operation(Action.WEBHOOK_REDELIVER, caller) as tx:
            self._claim(tx, caller, webhook_id)
            fresh = send_again(tx, caller.tenant_id, webhook_id, delivery_id, self._clock.now())
            self._journal.record(tx, entry_of_redelivery(caller, webhook_id, delivery_id, fresh))
        return fresh

    def _change(
        self, caller: Caller, webhook_id: str, draft: Draft, expected: int | None, replacement: Replacement | None
    ) -> Webhook:
        now = self._clock.now()
        with self._journal.operation(Action.WEBHOOK_UPDATE, caller) as tx:
            self._claim(tx, caller, webhook_id)
            before = self._find(tx, caller, webhook_id, now)
            _check_revision(before, expected)
            self._hooks.change(tx, caller.tenant_id, webhook_id, draft, now)
            if replacement is not None:
                self._hooks.replace_secret(tx, webhook_id, replacement, now)
            changed = self._find(tx, caller, webhook_id, now)
            if draft.events is not None or draft.filters_are_given:
                _check_filters(changed)
            fields = draft.named() + (["secret"] if replacement is not None else [])
            previous_host = host_of(before.url)
            entry = _entry(Action.WEBHOOK_UPDATE, caller, changed, fields=fields, previous_host=previous_host)
            self._journal.record(tx, entry)
            epochs.move(tx, caller.tenant_id)
        self._settle()
        return changed

    def _claim(self, tx: Session, caller: Caller, webhook_id: str) -> None:
        """Its lane first, as everybody does who touches both: else two could wait for each other."""
        _refuse_subscriptions(webhook_id)
        if lanes.claim_lane(tx, caller.tenant_id, webhook_id) is None:
            raise WebhookNotFound

    def _find(self, session: Session, caller: Caller, webhook_id: str, now: datetime) -> Webhook:
        webhook = store.find_webhook(session, caller.tenant_id, webhook_id, now)
        if webhook is None:
            raise WebhookNotFound
        return webhook

    def _require_administration(self, caller: Caller) -> None:
        self._guard.require_scope(caller, Scope.ADMIN)
        self._guard.require_tenant_admin(caller)


def _check_filters(webhook: Webhook) -> None:
    if (why := webhook.interest.why_deaf) is not None:
        raise InvalidWebhook(f"This webhook would never be told anything: {why}.", fields={"filters": why})


def _check_revision(webhook: Webhook, expected: int | None) -> None:
    if expected not in (None, webhook.revision):
        raise RevisionConflict(current_revision=webhook.revision)


def _refuse_subscriptions(webhook_id: str) -> None:
    """A subscription's webhook is its owner's, and administered there."""
    if webhook_id.startswith("sub_"):
        raise WebhookNotFound


def _entry(action: Action, caller: Caller, webhook: Webhook, **more: Extra) -> Entry:
    """It tells where events go from now on, and which."""
    return Entry.of(
        action,
        caller,
        None,
        success=True,
        webhook_id=webhook.id,
        name=webhook.name,
        host=host_of(webhook.url),
        events=list(webhook.events),
        path_prefix=webhook.path_prefix or None,
        secret_type=webhook.secret_type,
        tags=list(webhook.tags),
        enabled=webhook.is_enabled,
        **more,
    )


def _drafted(draft: Draft, caller: Caller, now: datetime) -> Webhook:
    return Webhook(
        id=new_id("wh"),
        name=draft.name or "",
        url=draft.url or "",
        events=list(draft.events or ()),
        path_prefix=draft.path_prefix or "",
        secret_type=draft.secret_type,
        tags=list(draft.tags or ()),
        is_enabled=draft.is_enabled is not False,
        created_by=caller.identity_id,
        created_at=now,
        updated_at=now,
    )
