"""Keeping events for those who listen, and nothing for nobody."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from scaivault.features.events.model.webhooks import Interest, StoredEvent
from scaivault.features.events.store import outbox as store
from scaivault.kernel.events import Event
from scaivault.kernel.ids import new_id
from scaivault.kernel.ports import Clock
from scaivault.storage.database import Database, Session
from scaivault.storage.epochs import Epochs

MOST_TENANTS = 10_000


_Interests = Sequence[tuple[str, Interest]]
"""Who listens, by id, and for what."""


@dataclass(frozen=True, slots=True)
class _Known:
    epoch: int
    interests: _Interests


class EventOutbox:
    """Implements kernel.ports.Outbox.

    Who listens is kept in memory under the tenant's authority epoch, which every change of a webhook or a subscription
    moves: a new listener is heard of everywhere within a second, and until there is one an event costs a look into a
    dict.
    """

    def __init__(self, database: Database, epochs: Epochs, clock: Clock) -> None:
        self._database = database
        self._epochs = epochs
        self._clock = clock
        self._turn = threading.Lock()
        self._by_tenant: dict[str, _Known] = {}

    def is_wanted(self, event: Event) -> bool:
        """Whether anybody listens for this very event. Not for within a transaction."""
        tenant_id = event.caller.tenant_id
        epoch = self._epochs.of(tenant_id)
        interests = self._kept(tenant_id, epoch)
        if interests is None:
            with self._database.session() as session:
                interests = self._load(session, tenant_id, epoch)
        return _covers(interests, event)

    def catch_up(self) -> None:
        """Hear of who listens by now. Not for within a transaction."""
        self._epochs.of("")  # whoever is asked about, all that have moved are told

    def publish(self, tx: Session, event: Event) -> None:
        """Add the event to the caller's transaction, if anybody listens for it."""
        tenant_id = event.caller.tenant_id
        epoch = self._epochs.last_known(tenant_id)
        interests = self._kept(tenant_id, epoch)
        if interests is None:
            # On the caller's own connection: to wait for a second one could be to wait for oneself.
            interests = self._load(tx, tenant_id, epoch)
        if _covers(interests, event):
            store.add_event(tx, tenant_id, StoredEvent.of(new_id("evt"), event, self._clock.now()))

    def _kept(self, tenant_id: str, epoch: int) -> _Interests | None:
        known = self._by_tenant.get(tenant_id)
        return known.interests if known is not None and known.epoch == epoch else None

    def _load(self, session: Session, tenant_id: str, epoch: int) -> _Interests:
        """Filed under an epoch that was taken before: what is loaded is as new as it says, or newer."""
        listening = store.list_listening(session, [tenant_id])
        interests = [(each.id, each.interest) for each in listening]
        with self._turn:
            if len(self._by_tenant) >= MOST_TENANTS:
                self._by_tenant.clear()
            self._by_tenant[tenant_id] = _Known(epoch, interests)
        return interests


def _covers(interests: _Interests, event: Event) -> bool:
    return any(
        interest.covers(event.kind.value, event.path, event.secret_type, event.tags, is_named=who in event.also_to)
        for who, interest in interests
    )
