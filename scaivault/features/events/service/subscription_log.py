"""How subscriptions that are delivered have fared: what a webhook's log tells, for their owners too."""

from collections.abc import Sequence
from dataclasses import dataclass

from scaivault.features.events.errors import SubscriptionNotFound
from scaivault.features.events.model.subscriptions import Subscription
from scaivault.features.events.model.webhooks import Delivery
from scaivault.features.events.service.sent import Fared, entry_of_redelivery, fared, send_again
from scaivault.features.events.store import deliveries as queue
from scaivault.features.events.store import lanes
from scaivault.features.events.store import subscriptions as store
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.errors import InvalidRequest
from scaivault.kernel.journal import Action
from scaivault.kernel.ports import Clock, Guard, Journal
from scaivault.storage.database import Database, Session


@dataclass(frozen=True, slots=True)
class Detail:
    """A subscription, and how it has fared lately where it is delivered."""

    subscription: Subscription
    fared: Fared | None


class SubscriptionLog:
    """Of the caller's own subscriptions, or of all of the tenant's for who administers it."""

    def __init__(self, database: Database, journal: Journal[Session], guard: Guard, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._guard = guard
        self._clock = clock

    def show(self, caller: Caller, subscription_id: str) -> Detail:
        """One of those. SubscriptionNotFound."""
        self._guard.require_scope(caller, Scope.SUBSCRIPTIONS_READ)
        with self._database.session() as session:
            found = self._find(session, caller, subscription_id)
            if found.is_polled:
                return Detail(found, None)
            return Detail(found, fared(session, caller.tenant_id, subscription_id, self._clock.now()))

    def deliveries(
        self, caller: Caller, subscription_id: str, status: str | None, after: str | None, limit: int
    ) -> Sequence[Delivery]:
        """What was sent or will be, newest first. SubscriptionNotFound; InvalidRequest of one that is polled."""
        self._guard.require_scope(caller, Scope.SUBSCRIPTIONS_READ)
        with self._database.session() as session:
            _refuse_polled(self._find(session, caller, subscription_id))
            return queue.list_deliveries(session, caller.tenant_id, subscription_id, status, after, limit)

    def redeliver(self, caller: Caller, subscription_id: str, delivery_id: str) -> Delivery:
        """The same event once more; for administrators, as all that leaves by itself.

        SubscriptionNotFound, DeliveryNotFound; InvalidRequest of one that is polled.
        """
        self._guard.require_scope(caller, Scope.SUBSCRIPTIONS_WRITE)
        self._guard.require_tenant_admin(caller)
        with self._journal.operation(Action.WEBHOOK_REDELIVER, caller) as tx:
            lanes.claim_lane(tx, caller.tenant_id, subscription_id)
            _refuse_polled(self._find(tx, caller, subscription_id))
            fresh = send_again(tx, caller.tenant_id, subscription_id, delivery_id, self._clock.now())
            self._journal.record(tx, entry_of_redelivery(caller, subscription_id, delivery_id, fresh))
        return fresh

    def _find(self, session: Session, caller: Caller, subscription_id: str) -> Subscription:
        whose, now = whose_subscriptions(caller), self._clock.now()
        found = store.find_subscription(session, caller.tenant_id, subscription_id, whose, now)
        if found is None:
            raise SubscriptionNotFound
        return found


def whose_subscriptions(caller: Caller) -> str | None:
    """Whose there are for the caller; None for everybody's, "" for nobody's."""
    if caller.principal.is_tenant_admin:
        return None
    return caller.identity_id if caller.principal.home is None else ""


def _refuse_polled(found: Subscription) -> None:
    if found.is_polled:
        raise InvalidRequest("A subscription that is polled has no deliveries.")
