"""The switchboard: settings in, services out. Every part is made here and handed what it needs."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property, partial
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING

from scaivault.crypto.cursors import CursorSigner
from scaivault.crypto.envelope import Envelope
from scaivault.crypto.jwt.verification import Audience
from scaivault.crypto.keyring import KeyRing
from scaivault.crypto.kms.providers import key_service
from scaivault.crypto.kms.succession import Succession
from scaivault.crypto.kms.timed import TimedKeys
from scaivault.crypto.probe import KeyProbe
from scaivault.crypto.rotation import KeyRotation
from scaivault.crypto.store import RotatingKeys
from scaivault.crypto.tokens import TokenHasher
from scaivault.edge.context import UNMATCHED, Log
from scaivault.edge.detail import Detail, Facts, JobTimes
from scaivault.edge.dispatch import OnRefusal
from scaivault.edge.health import Check, Readiness
from scaivault.edge.limits import Limits
from scaivault.edge.metrics import ClusterSeries
from scaivault.edge.openapi import document
from scaivault.edge.origin import Origins
from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Routes
from scaivault.edge.system import Build, SystemPages
from scaivault.features.audit import jobs as audit_jobs
from scaivault.features.audit import routes as audit_routes
from scaivault.features.audit.service import AuditJournal, AuditService, has_next_month
from scaivault.features.directory import jobs as directory_jobs
from scaivault.features.directory import routes as directory_routes
from scaivault.features.directory.service.browsing import BrowseService
from scaivault.features.directory.service.events import EventService, EventSignature
from scaivault.features.directory.service.reconciliation import SyncRunner
from scaivault.features.directory.service.roles import RoleService
from scaivault.features.directory.service.source import ScaiKeyDirectory
from scaivault.features.directory.service.syncs import SyncService, count_queued
from scaivault.features.events import jobs as event_jobs
from scaivault.features.events import routes as event_routes
from scaivault.features.events.service.addresses import Addresses
from scaivault.features.events.service.courier import Courier, Hearers
from scaivault.features.events.service.dispatch import Dispatcher
from scaivault.features.events.service.ledger import Ledger
from scaivault.features.events.service.outbox import EventOutbox
from scaivault.features.events.service.postman import Postman
from scaivault.features.events.service.retention import Retention
from scaivault.features.events.service.secrets import WebhookSecrets
from scaivault.features.events.service.trials import TrialService
from scaivault.features.events.service.webhooks import WebhookService
from scaivault.features.generators import routes as generator_routes
from scaivault.features.generators.service.policies import SecretPolicyService
from scaivault.features.identity import routes as identity_routes
from scaivault.features.identity.service.authenticator import Authenticator
from scaivault.features.identity.service.exchange import ExchangeService
from scaivault.features.identity.service.installer import Installer
from scaivault.features.identity.service.issuer_keys import IssuerKeys, KeySource
from scaivault.features.identity.service.personal_tokens import PersonalTokens
from scaivault.features.identity.service.tenancy import Tenancy
from scaivault.features.identity.service.tokens import TokenService
from scaivault.features.identity.service.trusted_issuers import TrustedIssuers
from scaivault.features.identity.service.trusts import TrustService
from scaivault.features.identity.service.web_tokens import WebTokens
from scaivault.features.policies import routes as policy_routes
from scaivault.features.policies.service.guard import PolicyGuard
from scaivault.features.policies.service.policies import PolicyService
from scaivault.features.policies.service.shared import SharedGuard
from scaivault.features.secrets import jobs as secret_jobs
from scaivault.features.secrets import routes as secret_routes
from scaivault.features.secrets.service.access import AccessNotes
from scaivault.features.secrets.service.batch import BatchService
from scaivault.features.secrets.service.data_keys import SecretDataKeys
from scaivault.features.secrets.service.expiry import ExpiryWatch
from scaivault.features.secrets.service.listing import ListService
from scaivault.features.secrets.service.secrets import SecretService
from scaivault.features.secrets.service.trash import TrashService
from scaivault.kernel.caller import Caller
from scaivault.kernel.calls import Listeners, OnCall
from scaivault.kernel.clock import SystemClock
from scaivault.kernel.errors import VaultError
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.limits import RateCategory
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.ports import Buckets, Clock, Guard, KeyService
from scaivault.kernel.redacted import Redacted
from scaivault.observability import logs
from scaivault.observability.catalogue.vocabulary import API, OTHER_METHOD, WORKER
from scaivault.observability.exposition import append
from scaivault.observability.instruments import Instruments
from scaivault.observability.listener import InternalListener
from scaivault.outbound.egress import Egress
from scaivault.outbound.http import DocumentFetcher
from scaivault.outbound.posts import Poster
from scaivault.outbound.sessions import plain_session
from scaivault.ratelimit.buckets import RedisBuckets
from scaivault.ratelimit.local import LocalBuckets
from scaivault.ratelimit.surviving import SurvivingBuckets
from scaivault.settings import Settings
from scaivault.storage.blackboard import Blackboard
from scaivault.storage.database import Database
from scaivault.storage.epochs import Epochs, await_heard
from scaivault.storage.probe import DatabaseProbe
from scaivault.storage.redis import RedisCalls, RedisProbe
from scaivault.storage.standing import standing
from scaivault.workers.duties import Crew, Duty
from scaivault.workers.heartbeat import Heartbeat
from scaivault.workers.periodic import Job, Periodic

if TYPE_CHECKING:
    from scaivault.observability.traces.tracing import Tracing

VERSION = installed_version("scaivault")
REVISION = "unknown"
MOST_TENANT_KEYS = 10_000
ACCESS_NOTES_SECONDS = 20.0
AUDIT_MONTHS_SECONDS = 3_600.0
POOL_GAUGES_SECONDS = 5.0
METRICS_SECONDS = 5.0
SYNC_SECONDS = 1.0
SYNC_SCHEDULE_SECONDS = 15.0
READINESS_SECONDS = 1.0
CLUSTER_SECONDS = 0.1
REDIS_MENDING_SECONDS = 0.5
SECOND_LOOKS_PER_MINUTE = 1_200
# How long a worker rests when there was nothing to do. Two short statements a rest, by indexes on what is due, are a
# thousandth of a core; from a commit to the delivery it is at most the sum of the first two.
DISPATCH_SECONDS = 0.4
DELIVERY_SECONDS = 0.4
EXPIRY_SECONDS = 15.0
RETENTION_SECONDS = 60.0
HEARTBEAT_SECONDS = 5.0


@dataclass(frozen=True)
class Services:
    """All that a door needs. Nothing is connected before `open`, so that nothing crosses a fork."""

    tables: Sequence[Routes]
    authenticator: Authenticator
    limits: Limits
    on_refusal: OnRefusal
    origins: Origins
    instruments: Instruments
    log: Log
    installer: Installer
    policies: PolicyService
    rotation: KeyRotation
    database: Database
    aside: Database
    system: SystemPages
    upkeep: Periodic
    watch: Periodic
    syncing: Periodic
    redis: RedisCalls
    mending: Periodic
    internal: InternalListener
    on_state: Callable[[str], None]
    tracing: "Tracing | None"

    def open(self) -> None:
        """Connect: enough for a command that does one thing and ends."""
        self.database.open()
        self.aside.open()

    def close(self) -> None:
        self.system.close()
        self.aside.close()
        self.database.close()

    def start(self) -> None:
        """Connect, and begin what a serving process does beside requests."""
        self.on_state("starting")
        if self.tracing is not None:
            self.tracing.open()
        self.open()
        self.redis.open()
        self.mending.open()
        self.upkeep.open()
        self.system.look()  # before anybody can ask: one who has seen nothing must not answer beside those who have
        self.watch.open()
        self.syncing.open()
        self.internal.open()
        self.on_state("serving")

    def leave(self, is_replaced: bool) -> None:
        """Turn probes away: those of others who serve in our place must not meet us, all others are told."""
        self.on_state("draining")
        if is_replaced:
            self.internal.close()
        else:
            self.system.drain()

    def refused(self, status: int, request_id: str) -> None:
        """Count and tell of what never became a request: it has been answered before anybody here saw it."""
        self.instruments.request_started(UNMATCHED)
        self.instruments.request_ended(OTHER_METHOD, UNMATCHED, status, 0.0)
        self.log("warn", "request_refused", request_id=request_id, path_category=UNMATCHED, status=status)

    def stop(self) -> None:
        """End; probes are answered to the last."""
        self.system.drain()
        self.syncing.close()
        self.watch.close()
        self.upkeep.close()
        self.mending.close()
        self.redis.close()
        self.close()
        self.internal.close()
        if self.tracing is not None:
            self.tracing.close()


@dataclass(frozen=True)
class _Base:
    """What every feature stands on."""

    listeners: Listeners
    instruments: Instruments
    log: Log
    clock: Clock
    database: Database
    aside: Database
    epochs: Epochs
    kms: KeyService
    ring: KeyRing
    rotation: KeyRotation
    journal: AuditJournal
    outbox: EventOutbox
    guard: PolicyGuard
    webhook_secrets: WebhookSecrets

    def job_failed(self, job: str, failure: Exception) -> None:
        self.log("warn", "upkeep_failed", failure, job=job)

    @cached_property
    def hasher(self) -> Callable[[], TokenHasher]:
        return cache(lambda: TokenHasher(self.ring.system_key("tokens")))

    @cached_property
    def cursors(self) -> Cursors:
        return Cursors(cache(lambda: CursorSigner(self.ring.system_key("cursors"))))


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    kms: KeyService | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    buckets: Buckets | None = None,
) -> Services:
    """Everything, wired. A test passes its own clocks, KMS or buckets; the issuer's keys grow old by `monotonic`."""
    tracing = _tracing(settings)
    base = _base(settings, clock or SystemClock(), kms or _kms(settings), _listeners(tracing))
    tenancy = Tenancy(base.database)
    authenticator = _authenticator(settings, base, tenancy, monotonic)
    redis = RedisCalls(
        settings.redis_url.get_secret_value(),
        settings.web_threads,
        base.instruments.observe_redis,
        base.listeners.redis,
    )
    limits = _limits(base, authenticator, buckets or _buckets(settings, base, redis))
    tokens = TokenService(base.database, base.journal, base.guard, authenticator, base.hasher, base.clock)
    policies = PolicyService(base.database, base.journal, base.outbox, base.guard, base.clock, tokens.groups_of)
    audit = AuditService(base.database, base.guard, base.clock)
    notes = AccessNotes(base.database)
    runner = _sync_runner(settings, base)
    syncs = SyncService(base.database, base.journal, base.guard, tenancy, base.clock, is_configured=runner is not None)
    upkeep, syncing = _upkeep(base, notes, audit), Periodic(_sync_jobs(settings, syncs, runner), base.job_failed)
    system = _system(settings, base, [upkeep, syncing])
    tables: list[Routes] = [
        _secrets(base, base.guard, notes),
        secret_routes.shared(_secrets(base, SharedGuard(base.guard), notes)),
        policy_routes.routes(policies, base.cursors),
        generator_routes.routes(SecretPolicyService(base.database, base.journal, base.guard, base.clock), base.cursors),
        _identity(settings, base, tokens, monotonic),
        _directory(settings, base, tenancy, syncs),
        audit_routes.routes(audit, base.cursors),
        _webhooks(settings, base),
    ]
    tables.append(system.routes(cache(lambda: document(tables, VERSION))))

    return Services(
        tables=tables,
        authenticator=authenticator,
        limits=limits,
        on_refusal=partial(_journal_refusal, base.journal),
        origins=Origins(settings.trusted_proxies),
        instruments=base.instruments,
        log=base.log,
        installer=Installer(base.database, base.hasher, base.clock),
        policies=policies,
        rotation=base.rotation,
        database=base.database,
        aside=base.aside,
        system=system,
        upkeep=upkeep,
        watch=_watch(base, system),
        syncing=syncing,
        redis=redis,
        mending=Periodic([Job("redis", REDIS_MENDING_SECONDS, redis.mend, is_owed_at_end=False)], base.job_failed),
        internal=InternalListener(
            (settings.ops_bind_address.host, settings.ops_bind_address.port),
            system.internal(),
            told=partial(base.log, "error", "page_failed"),
        ),
        on_state=base.instruments.set_state,
        tracing=tracing,
    )


def _tracing(settings: Settings) -> "Tracing | None":
    """What makes spans, where there is a collector to send them to. Nothing is loaded for it where there is none."""
    endpoint = settings.otel_exporter_otlp_endpoint
    if endpoint is None:
        return None
    from scaivault.observability.traces.sampling import Sampling  # noqa: PLC0415 - as the next
    from scaivault.observability.traces.tracing import (  # noqa: PLC0415 - the SDK costs a start 0.1 s and 8 MB
        Collector,
        Service,
        Tracing,
    )

    return Tracing(
        Service(settings.otel_service_name, VERSION),
        Collector(endpoint, settings.otlp_headers, settings.otel_exporter_otlp_certificate),
        Sampling(settings.traces_sample_ratio),
        plain_session,
        logs.logger("scaivault.traces"),
    )


def _listeners(tracing: "Tracing | None") -> Listeners:
    if tracing is None:
        return Listeners()
    return Listeners(tracing.database, tracing.redis, tracing.kms, tracing.outbound)


def _base(settings: Settings, clock: Clock, kms: KeyService, listeners: Listeners, kind: str = API) -> _Base:
    instruments = Instruments(version=VERSION, revision=REVISION, kind=kind)
    url = settings.database_url.get_secret_value()
    database = Database(url, settings.database_pool_size, instruments.observe_db, listeners.database)
    epochs = Epochs(database)
    on_kms = listeners.kms
    roots = Succession(_timed(kms, instruments, on_kms), _previous_kms(settings, instruments, on_kms))
    journal = AuditJournal(database, clock, instruments.observe_audit)
    outbox = EventOutbox(database, epochs, clock)
    keys = RotatingKeys(database, journal)
    ring = KeyRing(
        keys,
        roots.active,
        previous_kms=roots.previous,
        epoch_of=epochs.of,
        seconds_to_keep=settings.key_cache_seconds,
        most_tenants=MOST_TENANT_KEYS,
        on_cache=partial(instruments.cache_request, "tenant_key"),
    )
    webhook_secrets = WebhookSecrets(database, Envelope(ring))
    return _Base(
        listeners=listeners,
        instruments=instruments,
        log=logs.logger("scaivault.request"),
        clock=clock,
        database=database,
        # For questions about health, which must not wait for requests nor they for it.
        aside=Database(url, 1, instruments.observe_db, kept=0),
        epochs=epochs,
        kms=roots.active,
        ring=ring,
        rotation=KeyRotation(keys, ring, roots, [SecretDataKeys(database), webhook_secrets], clock),
        journal=journal,
        outbox=outbox,
        webhook_secrets=webhook_secrets,
        guard=PolicyGuard(
            database,
            journal,
            outbox,
            epochs,
            clock,
            instruments.policy_violation,
            partial(instruments.cache_request, "policy"),
        ),
    )


def _upkeep(base: _Base, notes: AccessNotes, audit: AuditService) -> Periodic:
    return Periodic(
        [
            Job("access_notes", ACCESS_NOTES_SECONDS, partial(secret_jobs.flush_access_notes, notes)),
            Job("pool_gauges", POOL_GAUGES_SECONDS, partial(_gauge_pool, base)),
            Job("metrics", METRICS_SECONDS, partial(_settle_metrics, base)),
            Job("audit_months", AUDIT_MONTHS_SECONDS, partial(audit_jobs.make_months, audit)),
        ],
        base.job_failed,
    )


def _authenticator(settings: Settings, base: _Base, tenancy: Tenancy, monotonic: Callable[[], float]) -> Authenticator:
    on_cache = partial(base.instruments.cache_request, "token")
    web_tokens = None
    if settings.scaikey_url is not None:
        fetcher = DocumentFetcher(plain_http_is_allowed=settings.development, on_call=base.listeners.outbound)
        source = KeySource(fetcher, settings.scaikey_url, settings.scaikey_jwks_url)
        web_tokens = WebTokens(
            base.database,
            base.epochs,
            IssuerKeys(source.fetch, monotonic, partial(base.log, "warn", "issuer_keys_not_fetched")),
            Audience(settings.scaikey_url, settings.scaikey_audience),
            base.clock,
            on_cache,
        )
    return Authenticator(
        base.journal, base.clock, tenancy, PersonalTokens(base.database, base.epochs, base.hasher, on_cache), web_tokens
    )


def _buckets(settings: Settings, base: _Base, redis: RedisCalls) -> Buckets:
    limits = {RateCategory[name]: limit for name, limit in settings.rate_limits.items()}
    return SurvivingBuckets(RedisBuckets(redis, limits), LocalBuckets(limits), base.instruments.rate_limited_locally)


def _limits(base: _Base, authenticator: Authenticator, buckets: Buckets) -> Limits:
    second_looks = LocalBuckets({RateCategory.FAILED_AUTH: SECOND_LOOKS_PER_MINUTE})
    return Limits(buckets, second_looks, authenticator, base.clock, base.instruments.rate_limit_hit)


def _identity(settings: Settings, base: _Base, tokens: TokenService, monotonic: Callable[[], float]) -> Routes:
    egress = _egress(settings)
    trusts = TrustService(
        base.database,
        base.journal,
        base.guard,
        base.clock,
        plain_http_is_allowed=settings.development,
        is_closed=egress.is_closed_literally,
    )
    issuers = TrustedIssuers(
        DocumentFetcher(plain_http_is_allowed=settings.development, egress=egress, on_call=base.listeners.outbound),
        monotonic,
        partial(base.log, "warn", "trusted_keys_not_fetched"),
    )
    log = partial(base.log, "warn", "exchange_refused", None)
    exchange = ExchangeService(base.database, base.journal, issuers, base.hasher, base.clock, log)
    return identity_routes.routes(tokens, trusts, exchange, base.cursors)


def _journal_refusal(
    journal: AuditJournal, caller: Caller, route: str, path: SecretPath | None, refusal: VaultError
) -> None:
    entry = Entry.of(Action.REQUEST_REFUSED, caller, path, success=False, route=route, reason=refusal.code)
    journal.record_alone(entry)


def _gauge_pool(base: _Base) -> None:
    base.instruments.set_pool(base.database.size, base.database.available)


def _settle_metrics(base: _Base) -> None:
    """A folder that is full costs no request, and is told once."""
    if (failure := base.instruments.settle()) is not None:
        base.log("warn", "metrics_kept_in_memory", failure)


def _kms(settings: Settings) -> KeyService:
    return key_service(settings.root_key, development=settings.development)


def _previous_kms(settings: Settings, instruments: Instruments, on_call: OnCall) -> KeyService | None:
    """The service of the root key that is being replaced, while there is one."""
    if settings.previous_root_key is None:
        return None
    previous = key_service(settings.previous_root_key, development=settings.development)
    return _timed(previous, instruments, on_call)


def _timed(kms: KeyService, instruments: Instruments, on_call: OnCall) -> KeyService:
    return TimedKeys(kms, instruments.observe_kms, instruments.kms_failed, on_call)


def _secrets(base: _Base, guard: Guard, notes: AccessNotes) -> Routes:
    secrets = SecretService(
        base.database,
        Envelope(base.ring),
        guard,
        base.journal,
        base.outbox,
        base.clock,
        notes,
        base.instruments.secret_read,
        base.instruments.secret_write,
    )
    trash = TrashService(guard, base.journal, base.outbox, base.clock)
    listing = ListService(base.database, guard, base.journal, base.clock)
    batch = BatchService(secrets, listing, guard)
    return secret_routes.routes(secrets, trash, listing, batch, base.cursors, base.clock)


def _sync_runner(settings: Settings, base: _Base) -> SyncRunner | None:
    """Who does syncs, where there is a directory to read."""
    url, client_id, secret = settings.scaikey_url, settings.scaikey_client_id, settings.scaikey_client_secret
    if url is None or client_id is None or secret is None:
        return None
    fetcher = DocumentFetcher(plain_http_is_allowed=settings.development, on_call=base.listeners.outbound)
    source = ScaiKeyDirectory(fetcher, url, client_id, Redacted(secret.get_secret_value().encode()))
    return SyncRunner(base.database, base.journal, base.clock, source)


def _sync_jobs(settings: Settings, syncs: SyncService, runner: SyncRunner | None) -> Sequence[Job]:
    """On a thread of their own: a sync of many takes minutes, and upkeep must not wait for it."""
    if runner is None:
        return []
    run = Job("directory_sync", SYNC_SECONDS, partial(directory_jobs.run_syncs, runner), is_owed_at_end=False)
    interval = settings.identity_sync_interval
    if interval is None:
        return [run]
    schedule = partial(directory_jobs.schedule_sync, syncs, interval)
    return [Job("directory_sync_schedule", SYNC_SCHEDULE_SECONDS, schedule, is_owed_at_end=False), run]


def _directory(settings: Settings, base: _Base, tenancy: Tenancy, syncs: SyncService) -> Routes:
    secret = settings.scaikey_webhook_secret
    return directory_routes.routes(
        BrowseService(base.database, base.guard, tenancy),
        RoleService(base.database, base.journal, base.guard),
        EventService(base.database, base.journal, base.clock),
        EventSignature(Redacted(secret.get_secret_value().encode()) if secret else None, base.clock),
        syncs,
    )


def _egress(settings: Settings) -> Egress:
    """Where addresses that tenants give may lead."""
    return Egress(settings.egress_allow, loopback_is_allowed=settings.development)


def _postman(settings: Settings, base: _Base) -> Postman:
    return Postman(Poster(_egress(settings), plain_http_is_allowed=settings.development), base.clock)


def _webhooks(settings: Settings, base: _Base) -> Routes:
    addresses = Addresses(_egress(settings), plain_http_is_allowed=settings.development)
    database, journal, guard, clock, secrets = (
        base.database,
        base.journal,
        base.guard,
        base.clock,
        base.webhook_secrets,
    )
    return event_routes.routes(
        WebhookService(database, journal, guard, clock, secrets, addresses, await_heard),
        TrialService(database, journal, guard, clock, secrets, _postman(settings, base)),
        base.cursors,
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """Hears of a worker's duties, for the metrics and the log."""

    base: _Base

    def did(self, duty: str, how_much: int) -> None:
        self.base.instruments.job_done(duty, how_much, self.base.clock.now().timestamp())

    def failed(self, duty: str, failure: Exception) -> None:
        self.base.instruments.job_failed(duty)
        self.base.log("warn", "duty_failed", failure, job=duty)


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

    def start(self) -> None:
        self.database.open()
        self.system.look()
        self.watch.open()
        self.internal.open()
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
        return has_ended


def build_worker(settings: Settings, worker_id: str, *, clock: Clock | None = None) -> WorkerServices:
    """A worker, wired; `worker_id` is like no other's."""
    base = _base(settings, clock or SystemClock(), _kms(settings), Listeners(), WORKER)
    base.instruments.make_worker_series()
    told = _Told(base)
    bells: list[Crew] = []

    def wake() -> None:
        for crew in bells:
            crew.wake("webhook_delivery")

    courier = _courier(settings, base, told, wake)
    heartbeat = Heartbeat(base.database, base.clock, worker_id)
    dispatcher = Dispatcher(base.database, base.clock, wake)
    expiry = ExpiryWatch(base.database, base.outbox, base.clock)
    retention = Retention(base.database, base.clock)
    crew = Crew(
        [
            Duty("heartbeat", HEARTBEAT_SECONDS, heartbeat.beat),
            Duty("event_dispatch", DISPATCH_SECONDS, partial(event_jobs.dispatch, dispatcher)),
            Duty("webhook_delivery", DELIVERY_SECONDS, partial(event_jobs.deliver, courier)),
            Duty("secret_expiry", EXPIRY_SECONDS, partial(secret_jobs.tell_of_ends, expiry)),
            Duty("event_retention", RETENTION_SECONDS, partial(event_jobs.forget, retention)),
        ],
        told,
    )
    bells.append(crew)
    system = _system(settings, base, [])
    address = settings.worker_ops_bind_address
    return WorkerServices(
        database=base.database,
        system=system,
        watch=_watch(base, system),
        internal=InternalListener((address.host, address.port), system.internal()),
        crew=crew,
        courier=courier,
        heartbeat=heartbeat,
        log=base.log,
        instruments=base.instruments,
    )


def _courier(settings: Settings, base: _Base, told: _Told, on_free: Callable[[], None]) -> Courier:
    def ran(failure: Exception | None) -> None:
        if failure is not None:
            told.failed("webhook_delivery", failure)

    ledger = Ledger(base.database, base.journal, base.outbox, base.clock, base.instruments.webhook_delivered)
    return Courier(
        base.database,
        base.webhook_secrets,
        _postman(settings, base),
        ledger,
        base.clock,
        Hearers(base.instruments.webhook_attempted, ran, on_free),
    )


def _system(settings: Settings, base: _Base, periodic: Sequence[Periodic]) -> SystemPages:
    instruments = base.instruments
    database = DatabaseProbe(settings.database_url.get_secret_value(), instruments.observe_db)
    redis = RedisProbe(settings.redis_url.get_secret_value(), instruments.observe_redis, base.listeners.redis)
    keys = KeyProbe(base.kms, Envelope(base.ring), base.ring.check_root)
    board = Blackboard(settings.redis_url.get_secret_value(), CLUSTER_SECONDS, instruments.observe_redis)
    cluster = ClusterSeries(board, CLUSTER_SECONDS)

    readiness = Readiness(
        {
            "database": Check(database.check, deadline_seconds=0.5),
            "redis": Check(redis.check, deadline_seconds=0.5),
            "encryption": Check(keys.check, deadline_seconds=1.0),
        },
        on_close=(database.close, redis.close, cluster.close),
    )
    facts = Facts(
        pool=lambda: (base.database.size, base.database.available),
        key_status=lambda: keys.state.value,
        append_seconds=lambda: base.journal.last_append_seconds,
        jobs=partial(_job_times, periodic),
        redis_memory_mb=redis.memory_used_mb,
        key_id=lambda: base.kms.key_id,
        last_rotation=RotatingKeys(base.aside, base.journal).last_finished,
        has_next_month=partial(has_next_month, base.aside),
        migrations=partial(standing, base.aside),
        queued_syncs=partial(count_queued, base.aside),
        workers=instruments.workers,
        exporter_last_seen=cluster.last_seen,
    )

    def metrics(accept: str, *, pod_only: bool) -> tuple[bytes, str]:
        _gauge_pool(base)
        body, content_type = instruments.render(accept)
        return body if pod_only else append(body, content_type, cluster.families()), content_type

    return SystemPages(
        readiness,
        Detail(readiness, facts, VERSION),
        metrics,
        base.guard,
        base.clock,
        Build(VERSION, REVISION),
        instruments.set_ready,
        metrics_are_open=settings.metrics_auth == "none",
    )


def _watch(base: _Base, system: SystemPages) -> Periodic:
    """What looks whether this process is ready, so that whoever asks is told at once."""
    return Periodic([Job("readiness", READINESS_SECONDS, system.look, is_owed_at_end=False)], base.job_failed)


def _job_times(periodic: Sequence[Periodic]) -> dict[str, JobTimes]:
    return {
        name: JobTimes(record.last_success, record.last_failure)
        for each in periodic
        for name, record in each.records.items()
    }
