"""Working off what is due: warnings, rotations, reminders. A worker's duty."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial
from ipaddress import ip_address
from typing import Final, Protocol
from uuid import uuid4

from scaivault.features.generators.service.generation import GenerationService
from scaivault.features.rotation.errors import NoSecretPolicy, reason_of
from scaivault.features.rotation.model import Deed, Item, Scheduled, Status, Step, after_failure, next_step
from scaivault.features.rotation.service import telling
from scaivault.features.rotation.service.costly import CostlyQueue, Weighed
from scaivault.features.rotation.store import history, queue, schedules
from scaivault.features.secrets.model import Secret
from scaivault.features.secrets.service.renewing import RenewalService
from scaivault.kernel.caller import Caller, Origin, Principal
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.events import Event
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.ports import Clock, Journal, Outbox
from scaivault.kernel.renewal import Trigger
from scaivault.storage.database import Database, Session

IDENTITY: Final = "system:rotation-scheduler"
# Of one tenant, before it is another one's turn.
BATCH: Final = 25
# Who has something due is asked for again after so long, or so many times what the answer took: a twentieth of the time
# at the most is spent with asking, however much is due.
ASK_SECONDS: Final = 0.5
ASK_SHARE: Final = 20.0


class OnRenewal(Protocol):
    def __call__(self, caller: Caller, how_many: int, reason: str | None) -> None:
        """Hear of so many secrets that were renewed at once in this name, or of one that was not, and why."""


class Turns:
    """Whose turn it is. Each tenant has a batch, then the next one: who comes new, before all others."""

    def __init__(self, ask: Callable[[], Sequence[str]], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._waiting: deque[str] = deque()
        self._ask_again_at = 0.0

    def next(self) -> str | None:
        """The tenant whose turn it is; None if nothing is due."""
        began = self._monotonic()
        if not self._waiting or began >= self._ask_again_at:
            due = self._ask()
            known = set(self._waiting)
            self._waiting.extendleft(each for each in due if each not in known)
            ended = self._monotonic()
            self._ask_again_at = ended + max(ASK_SECONDS, ASK_SHARE * (ended - began))
        return self._waiting.popleft() if self._waiting else None

    def again(self, tenant_id: str) -> None:
        """It may have more that is due."""
        self._waiting.append(tenant_id)

    def __len__(self) -> int:
        return len(self._waiting)


class RotationScheduler:
    """A look at each secret that is due for one, and nobody else's.

    What a look comes to commits with the step to the next one, so that each warning is told once and each due time has
    one rotation, whoever is killed meanwhile. A value is generated with no transaction open: its secret is taken under
    a lease before, and is due again when that ends without one.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        outbox: Outbox[Session],
        clock: Clock,
        secrets: RenewalService,
        generation: GenerationService,
        on_rotation: Callable[[str], None],
        on_renewal: OnRenewal,
    ) -> None:
        self._database = database
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._secrets = secrets
        self._generation = generation
        self._on_rotation = on_rotation
        self._on_renewal = on_renewal
        self._turns = Turns(self._due_tenants)
        self._costly = CostlyQueue()

    def run(self) -> int:
        """A batch of one tenant's; 0 if nothing was due."""
        tenant_id = self._turns.next()
        if tenant_id is None:
            return 0
        self._outbox.catch_up()
        looked_at, to_rotate = self._take(tenant_id)
        if looked_at == BATCH:
            self._turns.again(tenant_id)
        self._rotate(tenant_id, self._set_apart(tenant_id, to_rotate))
        return looked_at or len(self._turns)

    def run_costly(self) -> int:
        """One secret whose value takes long to make, for a thread that nothing else waits for; 0 if none waits."""
        secret = self._costly.take(self._clock.now())
        if secret is None:
            return 0
        self._outbox.catch_up()
        self._rotate(secret.tenant_id, [secret])
        return 1

    def _due_tenants(self) -> Sequence[str]:
        with self._database.session() as session:
            return queue.list_due_tenants(session, self._clock.now())

    def _take(self, tenant_id: str) -> tuple[int, list[Scheduled]]:
        """Do what needs nothing but a word, and take what is to be rotated under a lease."""
        now = self._clock.now()
        with self._database.transaction() as tx:
            secrets = queue.claim_due(tx, tenant_id, now, BATCH)
            steps = [(secret, next_step(secret.schedule, secret.terms, now)) for secret in secrets]
            for secret, step in steps:
                self._tell(tx, secret, step, now)
            if steps:
                schedules.change_schedules(
                    tx, tenant_id, [secret.path for secret, _ in steps], [step.after for _, step in steps]
                )
        return len(secrets), [secret for secret, step in steps if step.deed is Deed.ROTATE]

    def _set_apart(self, tenant_id: str, secrets: Sequence[Scheduled]) -> list[Scheduled]:
        """Those to be renewed at once. What is costly waits for its own thread, or comes again when that has room."""
        cost = cache(partial(self._generation.milliseconds, tenant_id))
        weighed = [
            Weighed(each, timedelta(milliseconds=cost(each.secret_policy_id) if each.secret_policy_id else 0))
            for each in secrets
        ]
        now = self._clock.now()
        left_out = dict(self._costly.put([each for each in weighed if each.is_costly], now))
        if left_out:
            with self._database.transaction() as tx:
                found = self._still_due(tx, [each for each in secrets if each.path in left_out])
                after = [replace(each.schedule, wake_at=now + left_out[each.path]) for each in found]
                schedules.change_schedules(tx, tenant_id, [each.path for each in found], after)
        return [each.secret for each in weighed if not each.is_costly]

    def _tell(self, tx: Session, secret: Scheduled, step: Step, now: datetime) -> None:
        due_at = secret.schedule.due(secret.terms, now)
        caller = _caller(secret, now)
        event: Event | None = None
        if step.deed is Deed.WARN and step.threshold is not None:
            event = telling.warned(caller, secret, due_at, step.threshold)
        elif step.deed is Deed.AWAIT:
            event = telling.due(caller, secret, due_at)
            if secret.history_id is not None:
                history.remove_pending(tx, secret.tenant_id, secret.history_id)
            self._open_history(tx, secret, Status.PENDING, None, now)
        elif step.deed is Deed.TELL_OVERDUE:
            event = telling.overdue(caller, secret, due_at)
        if event is not None:
            self._outbox.publish(tx, event)

    def _rotate(self, tenant_id: str, secrets: Sequence[Scheduled]) -> None:
        """All in one transaction; one by one if that fails, so that the one it fails for is nobody else's trouble."""
        values = self._generated(tenant_id, secrets)
        together = [secret for secret in secrets if secret.path in values]
        try:
            self._renew(together, values)
        except Unavailable:
            raise  # the database or the key service: nothing is wrong with these secrets
        except Exception:  # noqa: BLE001 - whichever secret's fault it is, and whatever it is: that is found out below
            for secret in together:
                self._rotate_alone(secret, values)

    def _rotate_alone(self, secret: Scheduled, values: Mapping[str, Plaintext]) -> None:
        try:
            self._renew([secret], values)
        except Unavailable:
            raise
        except Exception as failure:  # noqa: BLE001 - one secret's fault, whatever it is, must not hold up the others
            self._fail(secret, reason_of(failure))

    def _renew(self, secrets: Sequence[Scheduled], values: Mapping[str, Plaintext]) -> None:
        if not secrets:
            return
        taken = {secret.path: secret for secret in secrets}

        def still_due(tx: Session, found: Sequence[Secret]) -> set[str]:
            return {each.path for each in self._still_due(tx, [taken[secret.path] for secret in found])}

        caller = _caller(secrets[0], self._clock.now())
        given = {SecretPath(path): values[path] for path in taken}
        self._secrets.renew(caller, given, Trigger.SCHEDULE, still_due)
        self._on_renewal(caller, len(secrets), None)

    def _generated(self, tenant_id: str, secrets: Sequence[Scheduled]) -> Mapping[str, Plaintext]:
        """A value for each. What one can not be made for has failed, and is tried again later."""
        make = cache(partial(self._generation.maker, tenant_id))
        values: dict[str, Plaintext] = {}
        for secret in secrets:
            try:
                values[secret.path] = make(_named(secret))()
            except Unavailable:
                raise
            except Exception as failure:  # noqa: BLE001 - as above
                self._fail(secret, reason_of(failure))
        return values

    def _still_due(self, tx: Session, taken: Sequence[Scheduled]) -> list[Scheduled]:
        """Those that are as they were taken: nobody has written, renewed, paused or detached them meanwhile."""
        before = {secret.path: secret for secret in taken}
        if not before:
            return []
        now = self._clock.now()
        found = queue.claim_schedules(tx, taken[0].tenant_id, list(before))
        return [each for each in found if _is_still_due(each, before[each.path], now)]

    def _fail(self, secret: Scheduled, reason: str) -> None:
        now = self._clock.now()
        caller = _caller(secret, now)
        with self._database.transaction() as tx:
            still_due = self._still_due(tx, [secret])
            if not still_due:
                return
            [found] = still_due
            step = after_failure(found.schedule, found.terms, now)
            schedules.change_schedules(tx, secret.tenant_id, [secret.path], [step.after])
            if found.history_id is None or not history.change_failed_again(
                tx, secret.tenant_id, found.history_id, reason, now
            ):
                self._open_history(tx, found, Status.FAILED, reason, now)
            due_at = found.schedule.due(found.terms, now)
            self._outbox.publish(tx, telling.failed(caller, found, due_at, reason, step.after.wake_at))
            if step.deed is Deed.TELL_OVERDUE:
                self._outbox.publish(tx, telling.overdue(caller, found, due_at))
            entry = Entry.of(
                Action.ROTATE,
                caller,
                SecretPath(secret.path),
                success=False,
                reason=reason,
                rotation_policy_id=found.policy_id,
            )
            self._journal.record(tx, entry)
        self._on_rotation("failed")
        self._on_renewal(caller, 1, reason)

    def _open_history(self, tx: Session, secret: Scheduled, status: Status, reason: str | None, now: datetime) -> None:
        item = Item(
            id=new_id("rth"),
            policy_id=secret.policy_id,
            path=secret.path,
            status=status,
            triggered_by=Trigger.SCHEDULE,
            identity_id=IDENTITY,
            attempts=0 if status is Status.PENDING else 1,
            reason=reason,
            due_at=secret.schedule.due(secret.terms, now),
            started_at=now,
            ended_at=None if status is Status.PENDING else now,
            old_version=secret.current_version,
            new_version=None,
            grace_period_ends=None,
        )
        history.add_item(tx, secret.tenant_id, item)
        queue.change_history_ids(tx, secret.tenant_id, [secret.path], [item.id])


def _is_still_due(found: Scheduled, taken: Scheduled, now: datetime) -> bool:
    is_same = found.policy_id == taken.policy_id and found.schedule.counts_from == taken.schedule.counts_from
    return is_same and found.terms.is_active and found.terms.due(found.schedule.counts_from) <= now


def _named(secret: Scheduled) -> str:
    if secret.secret_policy_id is None:
        raise NoSecretPolicy
    return secret.secret_policy_id


def _caller(secret: Scheduled, now: datetime) -> Caller:
    principal = Principal.of_system(IDENTITY, "Rotation scheduler", secret.partner_id, secret.tenant_id, now)
    origin = Origin(ip_address("127.0.0.1"), "scaivault worker", new_id("req"), uuid4().hex, time.perf_counter())
    return Caller(principal, origin)
