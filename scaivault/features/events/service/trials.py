"""Trying a webhook out: one delivery, now, while the administrator waits for what comes of it."""

import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from scaivault.features.events.errors import TestsAreBusy, WebhookNotFound
from scaivault.features.events.model.told import TEST_EVENT
from scaivault.features.events.model.webhooks import DeliveryStatus, DueDelivery, Outcome, StoredEvent
from scaivault.features.events.service.postman import Postman
from scaivault.features.events.service.secrets import WebhookSecrets
from scaivault.features.events.store import deliveries as queue
from scaivault.features.events.store import outbox
from scaivault.features.events.store import webhooks as store
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.ports import Clock, Guard, Journal
from scaivault.storage.database import Database, Session

# Of a process: an answer may take 10 s, and request threads are there for others too.
MOST_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """How a test ended."""

    delivery_id: str
    outcome: Outcome

    @property
    def status(self) -> DeliveryStatus:
        return DeliveryStatus.SUCCESS if self.outcome.is_success else DeliveryStatus.FAILED


class TrialService:
    """Sends a test event, whether the webhook is enabled or not. It is tried once, and counts for nothing."""

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        guard: Guard,
        clock: Clock,
        secrets: WebhookSecrets,
        postman: Postman,
    ) -> None:
        self._database = database
        self._journal = journal
        self._guard = guard
        self._clock = clock
        self._secrets = secrets
        self._postman = postman
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)

    def test(self, caller: Caller, webhook_id: str) -> Trial:
        """What came of it. WebhookNotFound, TestsAreBusy."""
        self._guard.require_scope(caller, Scope.ADMIN)
        self._guard.require_tenant_admin(caller)
        if not self._places.acquire(blocking=False):
            raise TestsAreBusy
        try:
            return self._test(caller, webhook_id)
        finally:
            self._places.release()

    def _test(self, caller: Caller, webhook_id: str) -> Trial:
        now = self._clock.now()
        with self._database.session() as session:
            webhook = store.find_webhook(session, caller.tenant_id, webhook_id, now)
        if webhook is None:
            self._journal.record_alone(
                Entry.of(Action.WEBHOOK_TEST, caller, success=False, reason=WebhookNotFound.code)
            )
            raise WebhookNotFound
        secrets = self._secrets.open(caller.principal.partner_id, caller.tenant_id, webhook_id, now)
        event = _test_event(caller, webhook_id, now)
        delivery = DueDelivery(new_id("del"), event.id, event.event_type, event.request_id, None, None, 0, event.body)
        outcome = self._postman.attempt(webhook.url, secrets, delivery)
        with self._journal.operation(Action.WEBHOOK_TEST, caller) as tx:
            outbox.add_event(tx, caller.tenant_id, event, is_dispatched=True)
            queue.add_finished(tx, caller.tenant_id, webhook_id, delivery, outcome, self._clock.now())
            self._journal.record(
                tx,
                Entry.of(
                    Action.WEBHOOK_TEST,
                    caller,
                    success=outcome.is_success,
                    webhook_id=webhook_id,
                    delivery_id=delivery.id,
                    response_code=outcome.response_code,
                ),
            )
        return Trial(delivery.id, outcome)


def _test_event(caller: Caller, webhook_id: str, now: datetime) -> StoredEvent:
    """In the form of all others, so that who can take this one can take any."""
    event_id, principal = new_id("evt"), caller.principal
    told = {
        "event_id": event_id,
        "event_type": TEST_EVENT,
        "timestamp": now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "tenant_id": principal.tenant_id,
        "partner_id": principal.partner_id,
        "identity_id": principal.identity_id,
        "data": {"webhook_id": webhook_id},
        "request_id": caller.origin.request_id,
    }
    body = json.dumps(told, separators=(",", ":"))
    return StoredEvent(event_id, TEST_EVENT, now, caller.origin.request_id, None, None, (), body)
