"""What was sent to an address, a webhook's or a subscription's: how it fared, and the same once more."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from scaivault.features.events.errors import DeliveryNotFound
from scaivault.features.events.model.webhooks import Delivery, Statistics
from scaivault.features.events.store import deliveries as queue
from scaivault.features.events.store import lanes
from scaivault.features.events.store import statistics as store
from scaivault.kernel.caller import Caller
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry
from scaivault.storage.database import Session

STATISTICS_WINDOW = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Fared:
    """How an address has fared lately."""

    statistics: Statistics
    last_delivery: Delivery | None


def fared(session: Session, tenant_id: str, webhook_id: str, now: datetime) -> Fared:
    statistics = store.find_statistics(session, tenant_id, webhook_id, now - STATISTICS_WINDOW)
    return Fared(statistics, queue.find_last_attempted(session, tenant_id, webhook_id))


def send_again(tx: Session, tenant_id: str, webhook_id: str, delivery_id: str, now: datetime) -> Delivery:
    """The event of a delivery as a delivery of its own, in a lane that the transaction holds. DeliveryNotFound."""
    fresh_id = new_id("del")
    if not queue.add_redelivery(tx, tenant_id, webhook_id, delivery_id, fresh_id, now):
        raise DeliveryNotFound
    lanes.change_due(tx, [tenant_id], [webhook_id], now)
    fresh = queue.find_delivery(tx, tenant_id, webhook_id, fresh_id)
    if fresh is None:
        raise DeliveryNotFound
    return fresh


def entry_of_redelivery(caller: Caller, webhook_id: str, delivery_id: str, fresh: Delivery) -> Entry:
    return Entry.of(
        Action.WEBHOOK_REDELIVER, caller, webhook_id=webhook_id, delivery_id=fresh.id, redelivery_of=delivery_id
    )
