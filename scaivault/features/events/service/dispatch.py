"""From the outbox into the queues of those who listen."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scaivault.features.events.model.webhooks import Interest
from scaivault.features.events.store import buffers, lanes
from scaivault.features.events.store import deliveries as queue
from scaivault.features.events.store import outbox as store
from scaivault.features.events.store.buffers import Told
from scaivault.features.events.store.deliveries import NewDelivery
from scaivault.features.events.store.outbox import Listening, Undispatched
from scaivault.kernel.ids import new_id
from scaivault.kernel.ports import Clock, Ears, Reach
from scaivault.storage.database import Database, Session

BATCH = 500
_Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Listener:
    """Who is told what; `reach` is where the owner of a buffer might look, and None for a webhook."""

    id: str
    interest: Interest
    reach: Reach | None

    def hears(self, event: Undispatched) -> bool:
        tags = frozenset(event.tags)
        if not self.interest.covers(event.event_type, event.path, event.secret_type, tags):
            return False
        return self.reach is None or (event.path is not None and self.reach.covers(event.path))


class Dispatcher:
    """Gives each event to the queue of every webhook that listens for it, in the order in which they were committed,
    and into the buffer of every subscription that is asked for.

    One transaction for a batch, and one dispatcher at a time in the whole installation: two could overtake each other
    on one path. `on_queued` is told when there is something to deliver.
    """

    def __init__(self, database: Database, ears: Ears, clock: Clock, on_queued: Callable[[], None]) -> None:
        self._database = database
        self._ears = ears
        self._clock = clock
        self._on_queued = on_queued

    def run(self) -> int:
        """Dispatch a batch; how many events it had. 0 also if another one dispatches just now."""
        with self._database.session() as session:
            seen = store.list_undispatched(session, BATCH)
            if not seen:
                return 0
            listening = store.list_listening(session, sorted({event.tenant_id for event in seen}))
        # Policies are loaded on connections of their own, which is not for within a transaction. Whoever began to
        # listen since has no answer yet that says so.
        listeners = self._listeners(listening)
        with self._database.transaction() as tx:
            if not store.claim_dispatch(tx):
                return 0
            ours = {event.id for event in seen}
            events = [event for event in store.list_undispatched(tx, BATCH) if event.id in ours]
            deliveries, told = list(_planned(events, listeners)), list(_told(events, listeners))
            self._queue(tx, deliveries)
            _fill(tx, told)
            store.change_dispatched(tx, [event.tenant_id for event in events], [event.id for event in events])
        if deliveries:
            self._on_queued()
        return len(events)

    def _listeners(self, listening: Sequence[Listening]) -> Mapping[str, Sequence[_Listener]]:
        now = self._clock.now()
        by_tenant: dict[str, list[_Listener]] = defaultdict(list)
        for each in listening:
            owner = each.owner(now)
            reach = None if owner is None else self._ears.might_hear(owner)
            by_tenant[each.tenant_id].append(_Listener(each.id, each.interest, reach))
        return by_tenant

    def _queue(self, tx: Session, planned: Sequence[NewDelivery]) -> None:
        if not planned:
            return
        now = self._clock.now()
        tenant_ids, webhook_ids = _columns({(each.tenant_id, each.webhook_id) for each in planned})
        lanes.claim_lanes(tx, tenant_ids, webhook_ids)
        queue.add_deliveries(tx, planned, now)
        lanes.change_due(tx, tenant_ids, webhook_ids, now)


def _fill(tx: Session, told: Sequence[Told]) -> None:
    if not told:
        return
    tenant_ids, subscription_ids = _columns({(each.tenant_id, each.subscription_id) for each in told})
    buffers.claim_buffers(tx, tenant_ids, subscription_ids)
    buffers.add_buffered(tx, told)
    buffers.remove_beyond_size(tx, tenant_ids, subscription_ids)


def _columns(places: set[_Place]) -> tuple[list[str], list[str]]:
    ordered = sorted(places)
    return [place[0] for place in ordered], [place[1] for place in ordered]


def _planned(events: Sequence[Undispatched], listeners: Mapping[str, Sequence[_Listener]]) -> Iterator[NewDelivery]:
    taken: set[tuple[str, str, str]] = set()
    for event in events:
        for listener in listeners.get(event.tenant_id, ()):
            if listener.reach is not None or not listener.hears(event):
                continue
            place = (event.tenant_id, listener.id, event.order_key or "")
            may_go = event.order_key is None or place not in taken
            taken.add(place)
            yield NewDelivery(
                event.tenant_id, listener.id, new_id("del"), event.id, event.sequence, event.order_key, may_go=may_go
            )


def _told(events: Sequence[Undispatched], listeners: Mapping[str, Sequence[_Listener]]) -> Iterator[Told]:
    for event in events:
        for listener in listeners.get(event.tenant_id, ()):
            if listener.reach is not None and listener.hears(event):
                yield Told(event.tenant_id, listener.id, event.id)
