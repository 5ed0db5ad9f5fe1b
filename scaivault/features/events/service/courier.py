"""Working off the webhooks' queues: many at once, each by one worker at a time, and none at the cost of another."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from scaivault.features.events.model.webhooks import DueDelivery, Outcome
from scaivault.features.events.service.ledger import Attempt, Ledger
from scaivault.features.events.service.postman import Postman
from scaivault.features.events.service.secrets import SigningSecrets, WebhookSecrets
from scaivault.features.events.store import deliveries as queue
from scaivault.features.events.store import lanes
from scaivault.features.events.store.lanes import Lane, NoRoom
from scaivault.kernel.ids import new_id
from scaivault.kernel.ports import Clock
from scaivault.storage.database import Database, Session

MOST_LANES = 32
MOST_LANES_OF_A_TENANT = 8
# Of those, lanes whose last attempt failed: a receiver that hangs has its place for 10 s at a time, and whoever answers
# must find one beside it.
MOST_FAILING_LANES = 16
MOST_FAILING_LANES_OF_A_TENANT = 4
MOST_AT_ONCE = 8
ROUND = 32
# No attempt is begun later in a round, so that one takes at most this and an attempt's 10 s, well within a lease.
ROUND_SECONDS = 1.0
LEASE = timedelta(seconds=20)
TENURE_SECONDS = 5.0
PAUSE_AFTER_FAILURE = timedelta(seconds=5)


class OnRun(Protocol):
    def __call__(self, failure: Exception | None) -> None:
        """Hear of a lane that was worked on, and of what kept it from being so."""


class OnRound(Protocol):
    def __call__(self, lane: Lane) -> None:
        """Hear of a lane to which attempts are about to be made."""


class OnAttempt(Protocol):
    def __call__(self, lane: Lane, delivery: DueDelivery, outcome: Outcome) -> None:
        """Hear of an attempt that was made, before it is written down."""


@dataclass(frozen=True, slots=True)
class Hearers:
    """Who is told of what."""

    on_round: OnRound
    on_attempt: OnAttempt
    on_run: OnRun
    on_free: Callable[[], None]


class Courier:
    """Claims lanes that are due and runs each in a thread of its own, to the end of its tenure or of its queue.

    A lane is one worker's for the length of a lease that it renews. A worker that is killed leaves it to the next one
    when the lease ends; what it had sent and not written down is then sent again: at least once.
    """

    def __init__(
        self,
        database: Database,
        secrets: WebhookSecrets,
        postman: Postman,
        ledger: Ledger,
        clock: Clock,
        hearers: Hearers,
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._postman = postman
        self._ledger = ledger
        self._clock = clock
        self._hearers = hearers
        self._turn = threading.Lock()
        self._running: Counter[str] = Counter()
        self._failing: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._runners = ThreadPoolExecutor(MOST_LANES, thread_name_prefix="lane")

    def run(self) -> int:
        """Begin with a lane that is due, if there is room for one; how many were begun."""
        with self._turn:
            no_room = self._no_room()
            if self._running.total() >= MOST_LANES or self._stopping.is_set():
                return 0
        lease, now = new_id("lease"), self._clock.now()
        with self._database.session() as session:
            lane = lanes.claim_due_lane(session, lease, now, now + LEASE, no_room)
        if lane is None:
            return 0
        with self._turn:
            self._running[lane.tenant_id] += 1
            self._failing[lane.tenant_id] += lane.last_attempt_failed
        self._runners.submit(self._run_lane, lane, lease)
        return 1

    def close(self) -> None:
        """Finish the rounds under way, give the lanes back, and begin nothing any more."""
        self._stopping.set()
        self._runners.shutdown(wait=True)

    def _run_lane(self, lane: Lane, lease: str) -> None:
        failure: Exception | None = None
        try:
            self._work(lane, lease)
        except Exception as stopped:  # noqa: BLE001 - whatever it is, this lane waits and the others go on
            failure = stopped
        try:
            self._release(lane, lease, None if failure is None else self._clock.now() + PAUSE_AFTER_FAILURE)
        except Exception as stopped:  # noqa: BLE001 - as above; the lease ends by itself
            failure = stopped
        with self._turn:
            self._running[lane.tenant_id] -= 1
            self._failing[lane.tenant_id] -= lane.last_attempt_failed
            self._running += Counter()  # drops what has come to nothing
            self._failing += Counter()
        self._hearers.on_run(failure)
        self._hearers.on_free()

    def _no_room(self) -> NoRoom:
        return NoRoom(
            [tenant_id for tenant_id, running in self._running.items() if running >= MOST_LANES_OF_A_TENANT],
            [tenant_id for tenant_id, failing in self._failing.items() if failing >= MOST_FAILING_LANES_OF_A_TENANT],
            for_any_failing=self._failing.total() >= MOST_FAILING_LANES,
        )

    def _work(self, lane: Lane, lease: str) -> None:
        end = time.monotonic() + TENURE_SECONDS
        with ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="send") as senders:
            while not self._stopping.is_set() and time.monotonic() < end:
                due = self._next_round(lane, lease)
                if due is None:
                    return
                kept, batch, secrets = due
                self._hearers.on_round(kept)
                attempts = self._send(senders, kept, secrets, batch)
                self._ledger.note(kept, attempts)

    def _next_round(self, lane: Lane, lease: str) -> tuple[Lane, Sequence[DueDelivery], SigningSecrets] | None:
        """What is due, where to and signed with what; None if nothing is, or the lane is not ours any more."""
        now = self._clock.now()
        with self._database.session() as session:
            kept = lanes.change_lease(session, lane.tenant_id, lane, lease, now + LEASE)
            batch = queue.list_due(session, lane.tenant_id, lane.webhook_id, now, ROUND) if kept is not None else []
        if kept is None or not batch:
            return None
        return kept, batch, self._secrets.open(kept.partner_id, kept.tenant_id, kept.webhook_id, now)

    def _send(
        self, senders: ThreadPoolExecutor, lane: Lane, secrets: SigningSecrets, batch: Sequence[DueDelivery]
    ) -> list[Attempt]:
        """Attempts at these, as many as are begun in a round's time."""
        last_start = time.monotonic() + ROUND_SECONDS

        def attempt(delivery: DueDelivery) -> Attempt | None:
            if time.monotonic() > last_start:
                return None
            outcome = self._postman.attempt(lane.url, secrets, delivery)
            self._hearers.on_attempt(lane, delivery, outcome)
            return Attempt(delivery, outcome, time.monotonic())

        return [made for made in senders.map(attempt, batch) if made is not None]

    def _release(self, lane: Lane, lease: str, not_before: datetime | None) -> None:
        with self._database.transaction() as tx:
            if lanes.claim_lane(tx, lane.tenant_id, lane.webhook_id) is not None:
                due_at = self._next_due(tx, lane)
                if due_at is not None and not_before is not None:
                    due_at = max(due_at, not_before)
                lanes.change_released(tx, lane.tenant_id, lane.webhook_id, lease, due_at)

    def _next_due(self, tx: Session, lane: Lane) -> datetime | None:
        due_at = lanes.find_next_attempt(tx, lane.tenant_id, lane.webhook_id)
        if due_at is None and queue.change_left_behind(tx, lane.tenant_id, lane.webhook_id, self._clock.now()):
            return self._clock.now()
        return due_at
