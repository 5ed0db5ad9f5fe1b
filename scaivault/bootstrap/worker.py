"""The worker's switchboard: its duties, and the order in which they begin and end."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from scaivault.bootstrap.base import Base, base_of, postman_of, renewal_of, root_key_service
from scaivault.bootstrap.system import system_of, watch_of
from scaivault.bootstrap.tracing import tracing_of
from scaivault.bootstrap.work_traces import WorkTraces
from scaivault.edge.context import Log
from scaivault.edge.system import SystemPages
from scaivault.features.audit import jobs as audit_jobs
from scaivault.features.events import jobs as event_jobs
from scaivault.features.events.model.webhooks import DeliveryStatus, DueDelivery, Outcome
from scaivault.features.events.service.courier import Courier, Hearers
from scaivault.features.events.service.dispatch import Dispatcher
from scaivault.features.events.service.ledger import Ledger
from scaivault.features.events.service.retention import Retention
from scaivault.features.events.store.lanes import Lane
from scaivault.features.generators.service.generation import GenerationService
from scaivault.features.rotation import jobs as rotation_jobs
from scaivault.features.rotation.service.scheduler import RotationScheduler
from scaivault.features.rotation.service.upkeep import Upkeep
from scaivault.features.secrets import jobs as secret_jobs
from scaivault.features.secrets.service.expiry import ExpiryWatch
from scaivault.kernel.calls import Listeners, unseen
from scaivault.kernel.clock import SystemClock
from scaivault.kernel.errors import VaultError
from scaivault.kernel.ports import Clock
from scaivault.observability.catalogue.vocabulary import WORKER
from scaivault.observability.instruments import Instruments
from scaivault.observability.listener import InternalListener
from scaivault.settings import Settings
from scaivault.storage.database import Database
from scaivault.workers.duties import Crew, Duty
from scaivault.workers.heartbeat import Heartbeat
from scaivault.workers.periodic import Periodic

if TYPE_CHECKING:
    from scaivault.observability.traces.tracing import Tracing

# How long a worker rests when there was nothing to do. Two short statements a rest, by indexes on what is due, are a
# thousandth of a core. From a commit to the delivery it is at most the first: who dispatches wakes who delivers.
DISPATCH_SECONDS = 0.6
DELIVERY_SECONDS = 1.0
ROTATION_SECONDS = 2.0
COSTLY_SECONDS = 1.0  # of a look into memory
ROTATION_UPKEEP_SECONDS = 15.0
EXPIRY_SECONDS = 15.0
RETENTION_SECONDS = 60.0
AUDIT_MONTHS_SECONDS = 60.0
HEARTBEAT_SECONDS = 5.0


@dataclass(frozen=True)
class WorkerServices:
    """A worker's parts. Nothing is connected before `start`."""

    database: Database
    system: SystemPages
    watch: Periodic
    internal: InternalListener
    crew: Crew
    courier: Courier
    heartbeat: Heartbeat
    log: Log
    instruments: Instruments
    tracing: "Tracing | None"

    def start(self) -> None:
        """OSError, and nothing is begun, if another process has the address for probes and metrics."""
        self.internal.open()
        if self.tracing is not None:
            self.tracing.open()
        self.database.open()
        self.system.look()
        self.watch.open()
        self.crew.open()

    def stop(self, within_seconds: float) -> bool:
        """Finish what is under way and give back what was claimed; False if that took longer."""
        self.system.drain()
        has_ended = self.crew.close(within_seconds)
        self.courier.close()
        with suppress(VaultError):  # a database that is away will miss this worker by itself
            self.heartbeat.stop()
        self.watch.close()
        self.internal.close()
        self.system.close()
        self.database.close()
        if self.tracing is not None:
            self.tracing.close()
        return has_ended


def build_worker(settings: Settings, worker_id: str, *, clock: Clock | None = None) -> WorkerServices:
    """A worker, wired; `worker_id` is like no other's."""
    tracing = tracing_of(settings)
    base = base_of(settings, clock or SystemClock(), root_key_service(settings), Listeners(), WORKER)
    base.instruments.make_worker_series()
    traces = WorkTraces(unseen if tracing is None else tracing.work)
    told = _Told(base, traces)
    bells: list[Crew] = []

    def wake() -> None:
        for crew in bells:
            crew.wake("webhook_delivery")

    courier = _courier(settings, base, told, wake)
    heartbeat = Heartbeat(base.database, base.clock, worker_id)
    dispatcher = Dispatcher(base.database, base.guard, base.clock, wake)
    expiry = ExpiryWatch(base.database, base.outbox, base.clock)
    retention = Retention(base.database, base.clock)
    rotation = Upkeep(base.database, base.clock)
    scheduler = scheduler_of(base, traces)
    duties = (
        Duty("heartbeat", HEARTBEAT_SECONDS, heartbeat.beat),
        Duty("event_dispatch", DISPATCH_SECONDS, partial(event_jobs.dispatch, dispatcher)),
        Duty("webhook_delivery", DELIVERY_SECONDS, partial(event_jobs.deliver, courier)),
        Duty("secret_expiry", EXPIRY_SECONDS, partial(secret_jobs.tell_of_ends, expiry)),
        Duty("rotation", ROTATION_SECONDS, partial(rotation_jobs.rotate, scheduler)),
        Duty("rotation_costly", COSTLY_SECONDS, partial(rotation_jobs.rotate_costly, scheduler)),
        Duty("rotation_upkeep", ROTATION_UPKEEP_SECONDS, partial(rotation_jobs.settle, rotation)),
        Duty("rotation_history", RETENTION_SECONDS, partial(rotation_jobs.forget, rotation)),
        Duty("event_retention", RETENTION_SECONDS, partial(event_jobs.forget, retention)),
        Duty("audit_months", AUDIT_MONTHS_SECONDS, partial(audit_jobs.make_months, base.database, base.clock)),
    )
    crew = Crew([traces.over(duty) for duty in duties], told)
    bells.append(crew)
    system = system_of(settings, base, [])
    address = settings.worker_ops_bind_address
    return WorkerServices(
        database=base.database,
        system=system,
        watch=watch_of(base, system),
        internal=InternalListener((address.host, address.port), system.internal(), is_shared=False),
        crew=crew,
        courier=courier,
        heartbeat=heartbeat,
        log=base.log,
        instruments=base.instruments,
        tracing=tracing,
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """Hears of a worker's duties, for the metrics, the log and the traces."""

    base: Base
    traces: WorkTraces

    def did(self, duty: str, how_much: int) -> None:
        self.base.instruments.job_done(duty, how_much, self.base.clock.now().timestamp())

    def failed(self, duty: str, failure: Exception) -> None:
        self.base.instruments.job_failed(duty)
        self.base.log("warn", "duty_failed", failure, job=duty)

    def begun(self, lane: Lane) -> None:
        self.base.instruments.meet_webhook(lane.webhook_id)

    def attempted(self, lane: Lane, delivery: DueDelivery, outcome: Outcome) -> None:
        """No address: it may have a token in it."""
        status = DeliveryStatus.SUCCESS if outcome.is_success else DeliveryStatus.FAILED
        self.base.instruments.webhook_attempted(lane.webhook_id, status.value, outcome.duration_ms / 1_000)
        self.traces.attempted(lane, delivery, outcome)
        if not outcome.is_success:
            self.base.log(
                "warn",
                "webhook_attempt_failed",
                tenant_id=lane.tenant_id,
                webhook_id=lane.webhook_id,
                trouble=outcome.fault,
                status=outcome.response_code,
                attempt=delivery.attempts + 1,
            )


def scheduler_of(base: Base, traces: WorkTraces | None = None) -> RotationScheduler:
    """What renews secrets that are due."""
    return RotationScheduler(
        base.database,
        base.journal,
        base.outbox,
        base.clock,
        renewal_of(base),
        GenerationService(base.database, base.clock),
        base.instruments.secret_rotation,
        (traces or WorkTraces(unseen)).renewed,
    )


def _courier(settings: Settings, base: Base, told: _Told, on_free: Callable[[], None]) -> Courier:
    def ran(failure: Exception | None) -> None:
        if failure is not None:
            told.failed("webhook_delivery", failure)

    ledger = Ledger(base.database, base.journal, base.outbox, base.clock, base.instruments.webhook_delivered)
    return Courier(
        base.database,
        base.webhook_secrets,
        postman_of(settings, base),
        ledger,
        base.clock,
        Hearers(told.begun, told.attempted, ran, on_free),
    )
