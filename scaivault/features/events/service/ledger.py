"""What came of attempts, written down: the delivery, its followers, statistics, the trail, the end of patience."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Final
from uuid import uuid4

from scaivault.features.events.model.webhooks import (
    FAILURES_THAT_DISABLE,
    DeliveryStatus,
    DueDelivery,
    Outcome,
    Step,
    step_after,
)
from scaivault.features.events.service.addresses import host_of
from scaivault.features.events.store import deliveries as queue
from scaivault.features.events.store import lanes, statistics
from scaivault.features.events.store import webhooks as store
from scaivault.features.events.store.lanes import Lane
from scaivault.kernel.caller import Caller, Origin, Principal
from scaivault.kernel.events import Event, EventType, Fact
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.ports import Clock, Journal, Outbox
from scaivault.storage import epochs
from scaivault.storage.database import Database, Session

IDENTITY: Final = "system:webhooks"

OnDelivered = Callable[[str, str], None]
"""Hears of each delivery that ended: its webhook, and `success` or `failed`."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A delivery that was tried, and how that went; `ended` orders the attempts of one round."""

    delivery: DueDelivery
    outcome: Outcome
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class _Noted:
    attempt: Attempt
    step: Step


class Ledger:
    """One transaction for the attempts of a round."""

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        outbox: Outbox[Session],
        clock: Clock,
        on_delivered: OnDelivered,
    ) -> None:
        self._database = database
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._on_delivered = on_delivered

    def note(self, lane: Lane, attempts: Sequence[Attempt]) -> None:
        """Write them down. An attempt that another worker has overtaken is not: that one's word holds."""
        now, in_order = self._clock.now(), sorted(attempts, key=lambda attempt: attempt.ended)
        self._outbox.catch_up()
        with self._database.transaction() as tx:
            failures = lanes.claim_lane(tx, lane.tenant_id, lane.webhook_id)
            if failures is None:
                return  # deleted meanwhile, and its deliveries with it
            noted = [each for attempt in in_order if (each := self._note_one(tx, lane, attempt, now)) is not None]
            freed = sorted({each.attempt.delivery.order_key or "" for each in noted if each.step.frees_its_key} - {""})
            if freed:
                queue.change_followers(tx, lane.tenant_id, lane.webhook_id, freed, now)
            _add_statistics(tx, lane, noted, now)
            self._count_failures(tx, lane, noted, failures, now)
        for each in noted:
            if each.step.status is not DeliveryStatus.PENDING:
                self._on_delivered(lane.webhook_id, each.step.status.value)

    def _note_one(self, tx: Session, lane: Lane, attempt: Attempt, now: datetime) -> _Noted | None:
        delivery, outcome = attempt.delivery, attempt.outcome
        step = step_after(outcome, delivery.attempts, now)
        if not queue.change_attempted(tx, lane.tenant_id, lane.webhook_id, delivery, outcome, step, now):
            return None
        if step.status is not DeliveryStatus.PENDING:
            self._journal.record(tx, _entry(lane, delivery, outcome, step, now))
        return _Noted(attempt, step)

    def _count_failures(self, tx: Session, lane: Lane, noted: Sequence[_Noted], before: int, now: datetime) -> None:
        failures = before
        for each in noted:
            if each.step.status is DeliveryStatus.SUCCESS:
                failures = 0
            elif each.step.status is DeliveryStatus.FAILED:
                failures += 1
        if noted:
            last = noted[-1].attempt
            has_failed, delivery_id = not last.outcome.is_success, last.delivery.id
            lanes.change_attempted(tx, lane.tenant_id, lane.webhook_id, failures, delivery_id, has_failed=has_failed)
        if failures >= FAILURES_THAT_DISABLE and store.change_disabled(tx, lane.tenant_id, lane.webhook_id, now):
            caller = worker_of(lane, now)
            data: dict[str, Fact] = {"webhook_id": lane.webhook_id, "consecutive_failures": failures}
            self._outbox.publish(
                tx, Event(EventType.WEBHOOK_DISABLED, caller, None, data, resource=f"webhook:{lane.webhook_id}")
            )
            entry = Entry.of(
                Action.WEBHOOK_UPDATE,
                caller,
                webhook_id=lane.webhook_id,
                host=host_of(lane.url),
                disabled_after=failures,
            )
            self._journal.record(tx, entry)
            epochs.move(tx, lane.tenant_id)


def _add_statistics(tx: Session, lane: Lane, noted: Sequence[_Noted], now: datetime) -> None:
    outcomes = [each.attempt.outcome for each in noted]
    if outcomes:
        succeeded = sum(outcome.is_success for outcome in outcomes)
        hour = now.replace(minute=0, second=0, microsecond=0)
        milliseconds = sum(outcome.duration_ms for outcome in outcomes)
        statistics.add_to_hour(
            tx, lane.tenant_id, lane.webhook_id, hour, succeeded, len(outcomes) - succeeded, milliseconds
        )


def _entry(lane: Lane, delivery: DueDelivery, outcome: Outcome, step: Step, now: datetime) -> Entry:
    """Under the request that caused the event, so that the trail of that one has its deliveries too."""
    caller = worker_of(lane, now, delivery.request_id, time.perf_counter() - outcome.duration_ms / 1_000)
    return Entry.of(
        Action.WEBHOOK_DELIVERY,
        caller,
        None if delivery.path is None else SecretPath(delivery.path),
        success=outcome.is_success,
        webhook_id=lane.webhook_id,
        host=host_of(lane.url),
        delivery_id=delivery.id,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        attempts=step.attempts,
        response_code=outcome.response_code,
        error=None if outcome.trouble is None else outcome.trouble.value,
    )


def worker_of(lane: Lane, now: datetime, request_id: str | None = None, started: float | None = None) -> Caller:
    """Who delivers, for the trail to name."""
    principal = Principal.of_system(IDENTITY, "Webhooks", lane.partner_id, lane.tenant_id, now)
    here = ip_address("127.0.0.1")
    began = time.perf_counter() if started is None else started
    return Caller(principal, Origin(here, "scaivault worker", request_id or new_id("req"), uuid4().hex, began))
