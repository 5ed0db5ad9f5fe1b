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
from scaivault.kernel.caller import Principal
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.ids import new_id
from scaivault.kernel.ports import Clock, Ears, Reach
from scaivault.storage.database import Database, Session

BATCH = 500
# Of deliveries and buffered events in one transaction: a tenant in which hundreds listen for everything must not make
# one that runs into the statements' time limit, again and again, before all others.
MOST_ROWS = 5_000
_Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Listener:
    """Who is told what; `reach` is where the owner of a buffer might look, and None for a webhook."""

    id: str
    interest: Interest
    reach: Reach | None

    def hears(self, event: Undispatched) -> bool:
        tags = frozenset(event.tags)
        is_named = self.id in event.also_to
        if not self.interest.covers(event.event_type, event.path, event.secret_type, tags, is_named=is_named):
            return False
        return self.reach is None or (event.path is not None and self.reach.covers(event.path))


_Heard = tuple[Undispatched, Sequence[_Listener]]


class _Everywhere:
    """A Reach without an end."""

    prefixes = ("",)

    def covers(self, path: str) -> bool:  # noqa: ARG002 - the port's
        return True


class Dispatcher:
    """Gives each event to the queue of every webhook that listens for it, in the order in which they were committed,
    and into the buffer of every subscription that is asked for.

    One transaction for a batch, and one dispatcher at a time in the whole installation: two could overtake each other
    on one path. `on_queued` is told when there is something to deliver.
    """

    def __init__(
        self,
        database: Database,
        ears: Ears,
        clock: Clock,
        on_queued: Callable[[], None],
        *,
        most_rows: int = MOST_ROWS,
    ) -> None:
        self._database = database
        self._ears = ears
        self._clock = clock
        self._on_queued = on_queued
        self._most_rows = most_rows

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
            heard = _heard(events, listeners, self._most_rows)
            deliveries = list(_planned(heard))
            self._queue(tx, deliveries)
            _fill(tx, list(_told(heard)))
            store.change_dispatched(tx, [event.tenant_id for event, _ in heard], [event.id for event, _ in heard])
        if deliveries:
            self._on_queued()
        return len(heard)

    def _reach(self, owner: Principal) -> Reach:
        """Where he could hear; everywhere, if nobody can tell: one tenant's policies must not hold up all others.

        What he is shown is decided when he asks.
        """
        try:
            return self._ears.might_hear(owner)
        except Unavailable:
            return _Everywhere()

    def _listeners(self, listening: Sequence[Listening]) -> Mapping[str, Sequence[_Listener]]:
        now = self._clock.now()
        by_tenant: dict[str, list[_Listener]] = defaultdict(list)
        for each in listening:
            owner = each.owner(now)
            reach = None if owner is None else self._reach(owner)
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


def _heard(
    events: Sequence[Undispatched], listeners: Mapping[str, Sequence[_Listener]], most_rows: int
) -> list[_Heard]:
    """The first of them and who hears them, as many as come to so many rows; one at least."""
    heard: list[_Heard] = []
    rows = 0
    for event in events:
        hearers = [each for each in listeners.get(event.tenant_id, ()) if each.hears(event)]
        rows += len(hearers)
        if heard and rows > most_rows:
            break
        heard.append((event, hearers))
    return heard


def _planned(heard: Sequence[_Heard]) -> Iterator[NewDelivery]:
    taken: set[tuple[str, str, str]] = set()
    for event, hearers in heard:
        for listener in hearers:
            if listener.reach is not None:
                continue
            place = (event.tenant_id, listener.id, event.order_key or "")
            may_go = event.order_key is None or place not in taken
            taken.add(place)
            yield NewDelivery(
                event.tenant_id, listener.id, new_id("del"), event.id, event.sequence, event.order_key, may_go=may_go
            )


def _told(heard: Sequence[_Heard]) -> Iterator[Told]:
    for event, hearers in heard:
        yield from (Told(event.tenant_id, each.id, event.id) for each in hearers if each.reach is not None)
