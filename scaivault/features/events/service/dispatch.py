"""From the outbox into the queues of those who listen."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from scaivault.features.events.model import Interest
from scaivault.features.events.store import deliveries as queue
from scaivault.features.events.store import lanes
from scaivault.features.events.store import outbox as store
from scaivault.features.events.store.deliveries import NewDelivery
from scaivault.features.events.store.outbox import Listening, Undispatched
from scaivault.kernel.ids import new_id
from scaivault.kernel.ports import Clock
from scaivault.storage.database import Database

BATCH = 500


class Dispatcher:
    """Gives each event to the queue of every webhook that listens for it, in the order in which they were committed.

    One transaction for a batch, and one dispatcher at a time in the whole installation: two could overtake each other
    on one path. `on_queued` is told when there is something to deliver.
    """

    def __init__(self, database: Database, clock: Clock, on_queued: Callable[[], None]) -> None:
        self._database = database
        self._clock = clock
        self._on_queued = on_queued

    def run(self) -> int:
        """Dispatch a batch; how many events it had. 0 also if another one dispatches just now."""
        with self._database.transaction() as tx:
            if not store.claim_dispatch(tx):
                return 0
            events = store.list_undispatched(tx, BATCH)
            if not events:
                return 0
            listening = store.list_listening(tx, sorted({event.tenant_id for event in events}))
            planned = list(_planned(events, listening))
            if planned:
                now = self._clock.now()
                places = sorted({(each.tenant_id, each.webhook_id) for each in planned})
                tenant_ids, webhook_ids = [place[0] for place in places], [place[1] for place in places]
                lanes.claim_lanes(tx, tenant_ids, webhook_ids)
                queue.add_deliveries(tx, planned, now)
                lanes.change_due(tx, tenant_ids, webhook_ids, now)
            store.change_dispatched(tx, [event.tenant_id for event in events], [event.id for event in events])
        if planned:
            self._on_queued()
        return len(events)


def _planned(events: Sequence[Undispatched], listening: Sequence[Listening]) -> Iterator[NewDelivery]:
    by_tenant: Mapping[str, list[tuple[str, Interest]]] = defaultdict(list)
    for each in listening:
        interest = Interest(each.events, each.path_prefix, each.secret_type, each.tags)
        by_tenant[each.tenant_id].append((each.webhook_id, interest))
    taken: set[tuple[str, str, str]] = set()
    for event in events:
        tags = frozenset(event.tags)
        for webhook_id, interest in by_tenant[event.tenant_id]:
            if not interest.covers(event.event_type, event.path, event.secret_type, tags):
                continue
            place = (event.tenant_id, webhook_id, event.path or "")
            may_go = event.path is None or place not in taken
            taken.add(place)
            yield NewDelivery(
                event.tenant_id, webhook_id, new_id("del"), event.id, event.sequence, event.path, may_go=may_go
            )
