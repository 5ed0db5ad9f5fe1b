"""Administering subscriptions: by their owners, and by whoever administers the tenant."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from scaivault.crypto.keys import TenantKeys
from scaivault.features.events.errors import RevisionConflict, SubscriptionNotFound, TooManySubscriptions
from scaivault.features.events.model.subscriptions import (
    DEFAULT_BUFFER,
    MOST_OF_AN_OWNER,
    MOST_SUBSCRIPTIONS,
    DeliveryType,
    Subscription,
    Wish,
)
from scaivault.features.events.model.webhooks import Draft, Webhook
from scaivault.features.events.service.addresses import Addresses, host_of
from scaivault.features.events.service.hooks import Hooks, NewSecret, Replacement
from scaivault.features.events.service.subscription_log import whose_subscriptions
from scaivault.features.events.store import buffers, lanes, webhooks
from scaivault.features.events.store import subscriptions as store
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.errors import AccessDenied, Forbidden, InvalidRequest, ValidationFailed
from scaivault.kernel.events import WITHOUT_PATH
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.ports import Clock, Guard, Journal
from scaivault.storage import epochs
from scaivault.storage.database import Database, Session

# What the webhook of a subscription listens for by itself: nothing that there is.
NO_EVENT: Final = "subscription"
ROLE_OUTLASTS: Final = (
    "What is delivered goes on without your token, and so takes an administrator by a role that the directory tells or "
    "the vault has given. A webhook takes any administrator."
)


class SubscriptionService:
    """What an identity listens for in its own tenant. `settle` as for webhooks."""

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        guard: Guard,
        clock: Clock,
        hooks: Hooks,
        addresses: Addresses,
        settle: Callable[[], None],
    ) -> None:
        self._database = database
        self._journal = journal
        self._guard = guard
        self._clock = clock
        self._hooks = hooks
        self._addresses = addresses
        self._settle = settle

    def create(self, caller: Caller, wish: Wish, secret: Plaintext | None) -> Subscription:
        """A new subscription of the caller's, told from now on. InvalidWebhook, TooManySubscriptions.

        AccessDenied for one that is delivered, of whom only his token calls an administrator.
        """
        self._guard.require_scope(caller, Scope.SUBSCRIPTIONS_WRITE)
        self._require_home(caller)
        self._check(caller, wish, is_webhook=secret is not None)
        fresh = _wished(wish, caller, self._clock.now())
        try:
            if secret is None:
                self._add(caller, fresh, None, None)
            else:
                self._hooks.with_keys(caller, lambda keys: self._add(caller, fresh, secret, keys))
        except AccessDenied as refusal:
            self._record_refusal(caller, refusal)
            raise
        self._settle()
        return fresh

    def list(self, caller: Caller, after: str | None, limit: int) -> list[Subscription]:
        """The caller's own, or all of the tenant's for who administers it; newest first."""
        self._guard.require_scope(caller, Scope.SUBSCRIPTIONS_READ)
        with self._database.session() as session:
            whose = whose_subscriptions(caller)
            return store.list_subscriptions(session, caller.tenant_id, whose, after, limit, self._clock.now())

    def change(
        self, caller: Caller, subscription_id: str, wish: Wish, secret: NewSecret | None, *, expected: int | None
    ) -> Subscription:
        """What is wished. SubscriptionNotFound, InvalidWebhook; InvalidRequest for what its delivery has not.

        RevisionConflict unless it is in the `expected` revision still, if one is given.
        """
        self._guard.require_scope(caller, Scope.SUBSCRIPTIONS_WRITE)
        before = self._find_alone(caller, subscription_id)
        _refuse_other_kind(before, wish, secret)
        self._check(caller, wish, is_webhook=not before.is_polled)
        if secret is None:
            changed = self._change(caller, subscription_id, wish, expected, None)
        else:
            changed = self._hooks.with_keys(
                caller, lambda keys: self._change(caller, subscription_id, wish, expected, Replacement(keys, secret))
            )
        self._settle()
        return changed

    def delete(self, caller: Caller, subscription_id: str, *, expected: int | None) -> None:
        """Tell it nothing any more, not even what has waited. SubscriptionNotFound, RevisionConflict."""
        self._guard.require_scope(caller, Scope.SUBSCRIPTIONS_WRITE)
        with self._journal.operation(Action.SUBSCRIPTION_DELETE, caller) as tx:
            self._claim(tx, caller, subscription_id, expected)
            store.remove_subscription(tx, caller.tenant_id, subscription_id)
            webhooks.remove_webhook(tx, caller.tenant_id, subscription_id)
            self._journal.record(tx, Entry.of(Action.SUBSCRIPTION_DELETE, caller, subscription_id=subscription_id))
            epochs.move(tx, caller.tenant_id)

    def _check(self, caller: Caller, wish: Wish, *, is_webhook: bool) -> None:
        """What leaves the house by itself, with no request to judge, is its administrators' to send."""
        if silent := sorted(WITHOUT_PATH.intersection(wish.events or ())):
            raise ValidationFailed(fields={"events": f"about no path, and so never told here: {', '.join(silent)}"})
        if wish.asks_for_the_trail:
            self._guard.require_scope(caller, Scope.AUDIT_READ)
        if is_webhook:
            self._guard.require_tenant_admin(caller)
        if wish.url is not None:
            self._addresses.check(wish.url)

    def _require_home(self, caller: Caller) -> None:
        if caller.principal.home is None:
            return
        refusal = Forbidden("Subscribe in your own tenant: a name belongs to its tenant.")
        self._record_refusal(caller, refusal)
        raise refusal

    def _record_refusal(self, caller: Caller, refusal: Forbidden) -> None:
        self._journal.record_alone(
            Entry.of(
                Action.POLICY_VIOLATION, caller, success=False, attempted="subscription_create", reason=refusal.code
            )
        )

    def _add(self, caller: Caller, fresh: Subscription, secret: Plaintext | None, keys: TenantKeys | None) -> None:
        principal = caller.principal
        with self._journal.operation(Action.SUBSCRIPTION_CREATE, caller) as tx:
            webhooks.claim_listeners(tx, caller.tenant_id)  # else two could both be the last that fits
            of_tenant, of_owner = store.count_subscriptions(tx, caller.tenant_id, caller.identity_id)
            if of_tenant >= MOST_SUBSCRIPTIONS or of_owner >= MOST_OF_AN_OWNER:
                raise TooManySubscriptions(of_tenant=MOST_SUBSCRIPTIONS, of_owner=MOST_OF_AN_OWNER)
            if secret is not None and keys is not None:
                self._hooks.add(tx, keys, _webhook_of(fresh), secret, is_of_subscription=True)
            store.add_subscription(tx, caller.tenant_id, fresh, principal.identity_type.value, sorted(principal.groups))
            if fresh.is_polled:
                buffers.add_buffer(tx, caller.tenant_id, fresh.id)
            elif self._find(tx, caller, fresh.id, fresh.created_at).is_suspended:
                raise AccessDenied(ROLE_OUTLASTS)
            self._journal.record(
                tx,
                Entry.of(
                    Action.SUBSCRIPTION_CREATE,
                    caller,
                    subscription_id=fresh.id,
                    delivery=fresh.delivery_type,
                    host=None if fresh.url is None else host_of(fresh.url),
                    paths=list(fresh.paths),
                    events=list(fresh.events),
                ),
            )
            # Last, because all tenants' changes queue here until they are committed.
            epochs.move(tx, caller.tenant_id)

    def _change(
        self, caller: Caller, subscription_id: str, wish: Wish, expected: int | None, replacement: Replacement | None
    ) -> Subscription:
        now, tenant_id = self._clock.now(), caller.tenant_id
        with self._journal.operation(Action.SUBSCRIPTION_UPDATE, caller) as tx:
            before = self._claim(tx, caller, subscription_id, expected)
            store.change_subscription(tx, tenant_id, before.id, wish, now)
            if wish.changes_webhook:
                self._hooks.change(tx, tenant_id, before.id, Draft(url=wish.url, is_enabled=wish.is_enabled), now)
            if replacement is not None:
                self._hooks.replace_secret(tx, before.id, replacement, now)
            if wish.buffer_size is not None:
                buffers.claim_buffers(tx, [tenant_id], [before.id])
                buffers.remove_beyond_size(tx, [tenant_id], [before.id])
            changed = self._find(tx, caller, before.id, now)
            fields = wish.named() + (["secret"] if replacement is not None else [])
            self._journal.record(
                tx,
                Entry.of(
                    Action.SUBSCRIPTION_UPDATE,
                    caller,
                    subscription_id=before.id,
                    fields=fields,
                    previous_host=None if before.url is None else host_of(before.url),
                    host=None if changed.url is None else host_of(changed.url),
                ),
            )
            epochs.move(tx, tenant_id)
        return changed

    def _claim(self, tx: Session, caller: Caller, subscription_id: str, expected: int | None) -> Subscription:
        """The lane first, as everybody does who touches both."""
        lanes.claim_lane(tx, caller.tenant_id, subscription_id)
        if store.claim_subscription(tx, caller.tenant_id, subscription_id, whose_subscriptions(caller)) is None:
            raise SubscriptionNotFound
        held = self._find(tx, caller, subscription_id, self._clock.now())
        if expected not in (None, held.revision):
            raise RevisionConflict(current_revision=held.revision)
        return held

    def _find_alone(self, caller: Caller, subscription_id: str) -> Subscription:
        with self._database.session() as session:
            return self._find(session, caller, subscription_id, self._clock.now())

    def _find(self, session: Session, caller: Caller, subscription_id: str, now: datetime) -> Subscription:
        found = store.find_subscription(session, caller.tenant_id, subscription_id, whose_subscriptions(caller), now)
        if found is None:
            raise SubscriptionNotFound
        return found


def _refuse_other_kind(before: Subscription, wish: Wish, secret: NewSecret | None) -> None:
    if wish.delivery_type is not None and wish.delivery_type != before.delivery_type:
        raise InvalidRequest("A subscription keeps its kind of delivery; make another one.")
    if before.is_polled and (wish.changes_webhook or secret is not None):
        raise InvalidRequest("A subscription that is polled has no url, no secret and is never disabled.")
    if not before.is_polled and wish.buffer_size is not None:
        raise InvalidRequest("A subscription that is delivered has no buffer.")


def _wished(wish: Wish, caller: Caller, now: datetime) -> Subscription:
    is_polled = wish.delivery_type is DeliveryType.POLLING
    return Subscription(
        id=new_id("sub"),
        name=wish.name or "",
        owner_id=caller.identity_id,
        paths=list(wish.paths or ()),
        events=list(wish.events or ()),
        path_prefix=wish.path_prefix or "",
        secret_type=wish.secret_type,
        tags=list(wish.tags or ()),
        delivery_type=(wish.delivery_type or DeliveryType.POLLING).value,
        buffer_size=(wish.buffer_size or DEFAULT_BUFFER) if is_polled else 0,
        created_at=now,
        updated_at=now,
        url=None if is_polled else wish.url,
        is_enabled=wish.is_enabled is not False,
    )


def _webhook_of(fresh: Subscription) -> Webhook:
    return Webhook(
        id=fresh.id,
        name=fresh.name,
        url=fresh.url or "",
        events=[NO_EVENT],
        path_prefix="",
        secret_type=None,
        tags=[],
        is_enabled=fresh.is_enabled,
        created_by=fresh.owner_id,
        created_at=fresh.created_at,
        updated_at=fresh.updated_at,
    )
