"""The switchboard: settings in, services out. Every part is made here and handed what it needs."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property, partial
from importlib.metadata import version as installed_version
from typing import TypeVar

from scaivault.crypto.cursors import CursorSigner
from scaivault.crypto.envelope import Envelope
from scaivault.crypto.jwt.verification import Audience
from scaivault.crypto.keyring import KeyRing
from scaivault.crypto.kms.local import LocalKeys
from scaivault.crypto.kms.resilient import ResilientKeys
from scaivault.crypto.kms.succession import Succession
from scaivault.crypto.kms.timed import TimedKeys
from scaivault.crypto.probe import KeyProbe
from scaivault.crypto.rotation import KeyRotation
from scaivault.crypto.store import RotatingKeys
from scaivault.crypto.tokens import TokenHasher
from scaivault.edge.context import Log
from scaivault.edge.dispatch import Authenticate, OnRefusal
from scaivault.edge.health import Check, Readiness
from scaivault.edge.internal import InternalListener
from scaivault.edge.openapi import document
from scaivault.edge.origin import Origins
from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Routes
from scaivault.edge.system import Build, SystemPages
from scaivault.features.audit import jobs as audit_jobs
from scaivault.features.audit import routes as audit_routes
from scaivault.features.audit.service import AuditJournal, AuditService
from scaivault.features.directory import jobs as directory_jobs
from scaivault.features.directory import routes as directory_routes
from scaivault.features.directory.service.browsing import BrowseService
from scaivault.features.directory.service.events import EventService, EventSignature
from scaivault.features.directory.service.reconciliation import SyncRunner
from scaivault.features.directory.service.roles import RoleService
from scaivault.features.directory.service.source import ScaiKeyDirectory
from scaivault.features.directory.service.syncs import SyncService
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
from scaivault.kernel.clock import SystemClock
from scaivault.kernel.errors import VaultError
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.ports import Clock, Guard, KeyService
from scaivault.kernel.redacted import Redacted
from scaivault.observability import logs
from scaivault.observability.instruments import Instruments
from scaivault.outbound.egress import Egress
from scaivault.outbound.http import DocumentFetcher
from scaivault.outbound.posts import Poster
from scaivault.settings import RootKey, Settings
from scaivault.storage.database import Database
from scaivault.storage.epochs import Epochs, await_heard
from scaivault.storage.probe import DatabaseProbe
from scaivault.storage.redis import RedisProbe
from scaivault.workers.duties import Crew, Duty
from scaivault.workers.heartbeat import Heartbeat
from scaivault.workers.periodic import Job, Periodic

Given = TypeVar("Given")
VERSION = installed_version("scaivault")
REVISION = "unknown"
MOST_TENANT_KEYS = 10_000
ACCESS_NOTES_SECONDS = 20.0
AUDIT_MONTHS_SECONDS = 3_600.0
POOL_GAUGES_SECONDS = 5.0
SYNC_SECONDS = 1.0
SYNC_SCHEDULE_SECONDS = 15.0
READINESS_SECONDS = 1.0
KMS_DEADLINE_SECONDS = 5.0
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
    authenticate: Authenticate
    on_refusal: OnRefusal
    origins: Origins
    instruments: Instruments
    log: Log
    installer: Installer
    policies: PolicyService
    rotation: KeyRotation
    database: Database
    system: SystemPages
    upkeep: Periodic
    watch: Periodic
    syncing: Periodic
    internal: InternalListener

    def open(self) -> None:
        """Connect: enough for a command that does one thing and ends."""
        self.database.open()

    def close(self) -> None:
        self.system.close()
        self.database.close()

    def start(self) -> None:
        """Connect, and begin what a serving process does beside requests."""
        self.open()
        self.upkeep.open()
        self.watch.open()
        self.syncing.open()
        self.internal.open()

    def stop(self) -> None:
        self.internal.close()
        self.syncing.close()
        self.watch.close()
        self.upkeep.close()
        self.close()


@dataclass(frozen=True)
class _Base:
    """What every feature stands on."""

    instruments: Instruments
    log: Log
    clock: Clock
    database: Database
    epochs: Epochs
    kms: KeyService
    ring: KeyRing
    rotation: KeyRotation
    journal: AuditJournal
    outbox: EventOutbox
    guard: PolicyGuard
    webhook_secrets: WebhookSecrets

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
) -> Services:
    """Everything, wired. A test passes its own clocks or KMS; `monotonic` is by what the issuer's keys grow old."""
    base = _base(settings, clock or SystemClock(), kms or _kms(settings))
    tenancy = Tenancy(base.database)
    authenticator = _authenticator(settings, base, tenancy, monotonic)
    tokens = TokenService(base.database, base.journal, base.guard, authenticator, base.hasher, base.clock)
    policies = PolicyService(base.database, base.journal, base.outbox, base.guard, base.clock, tokens.groups_of)
    audit = AuditService(base.database, base.guard, base.clock)
    notes = AccessNotes(base.database)
    runner = _sync_runner(settings, base)
    syncs = SyncService(base.database, base.journal, base.guard, tenancy, base.clock, is_configured=runner is not None)
    system = _system(settings, base)
    tables: list[Routes] = [
        _secrets(base, base.guard, notes),
        secret_routes.shared(_secrets(base, SharedGuard(base.guard), notes)),
        policy_routes.routes(policies, base.cursors),
        _identity(settings, base, tokens, monotonic),
        _directory(settings, base, tenancy, syncs),
        audit_routes.routes(audit, base.cursors),
        _webhooks(settings, base),
    ]
    tables.append(system.routes(cache(lambda: document(tables, VERSION))))

    def failed(job: str, failure: Exception) -> None:
        base.log("warn", "upkeep_failed", failure, job=job)

    upkeep = Periodic(
        [
            Job("access_notes", ACCESS_NOTES_SECONDS, partial(secret_jobs.flush_access_notes, notes)),
            Job("pool_gauges", POOL_GAUGES_SECONDS, partial(_gauge_pool, base)),
            Job("audit_months", AUDIT_MONTHS_SECONDS, partial(audit_jobs.make_months, audit)),
        ],
        failed,
    )
    return Services(
        tables=tables,
        authenticate=authenticator.authenticate,
        on_refusal=partial(_journal_refusal, base.journal),
        origins=Origins(settings.trusted_proxies),
        instruments=base.instruments,
        log=base.log,
        installer=Installer(base.database, base.hasher, base.clock),
        policies=policies,
        rotation=base.rotation,
        database=base.database,
        system=system,
        upkeep=upkeep,
        watch=Periodic([Job("readiness", READINESS_SECONDS, system.look)], failed),
        syncing=Periodic(_sync_jobs(settings, syncs, runner), failed),
        internal=InternalListener((settings.ops_bind_address.host, settings.ops_bind_address.port), system.internal()),
    )


def _base(settings: Settings, clock: Clock, kms: KeyService) -> _Base:
    instruments = Instruments(version=VERSION, revision=REVISION)
    database = Database(settings.database_url.get_secret_value(), settings.database_pool_size, instruments.observe_db)
    epochs = Epochs(database)
    roots = Succession(_timed(kms, instruments), _previous_kms(settings, instruments))
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
        instruments=instruments,
        log=logs.logger("scaivault.request"),
        clock=clock,
        database=database,
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


def _authenticator(settings: Settings, base: _Base, tenancy: Tenancy, monotonic: Callable[[], float]) -> Authenticator:
    on_cache = partial(base.instruments.cache_request, "token")
    web_tokens = None
    if settings.scaikey_url is not None:
        fetcher = DocumentFetcher(plain_http_is_allowed=settings.development)
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


def _identity(settings: Settings, base: _Base, tokens: TokenService, monotonic: Callable[[], float]) -> Routes:
    trusts = TrustService(
        base.database, base.journal, base.guard, base.clock, plain_http_is_allowed=settings.development
    )
    issuers = TrustedIssuers(
        DocumentFetcher(
            plain_http_is_allowed=settings.development,
            egress=_egress(settings),
        ),
        monotonic,
        partial(base.log, "warn", "trusted_keys_not_fetched"),
    )
    exchange = ExchangeService(base.database, base.journal, issuers, base.hasher, base.clock)
    return identity_routes.routes(tokens, trusts, exchange, base.cursors)


def _journal_refusal(
    journal: AuditJournal, caller: Caller, route: str, path: SecretPath | None, refusal: VaultError
) -> None:
    entry = Entry.of(Action.REQUEST_REFUSED, caller, path, success=False, route=route, reason=refusal.code)
    journal.record_alone(entry)


def _gauge_pool(base: _Base) -> None:
    base.instruments.set_pool(base.database.size, base.database.available)


def _kms(settings: Settings) -> KeyService:
    return _key_service(settings.root_key, development=settings.development)


def _key_service(root: RootKey, *, development: bool) -> KeyService:
    match root.provider:
        case "local":
            return LocalKeys(_given(root.local_key_file), development=development)
        case "aws":
            return _aws(root)
        case "pkcs11":
            return _pkcs11(root)


def _aws(root: RootKey) -> KeyService:
    from scaivault.crypto.kms import aws  # noqa: PLC0415 - boto3 costs a worker 20 MB

    keys = aws.AwsKeys(_given(root.key_id), signing_key_arn=root.signing_key_id, endpoint_url=root.endpoint_url)
    return ResilientKeys(keys, attempt_seconds=aws.ATTEMPT_SECONDS, deadline_seconds=KMS_DEADLINE_SECONDS)


def _pkcs11(root: RootKey) -> KeyService:
    from scaivault.crypto.kms import pkcs11  # noqa: PLC0415 - native code, loaded only where there is a token

    keys = pkcs11.Pkcs11Keys(
        _given(root.pkcs11_library),
        _given(root.pkcs11_token_label),
        _given(root.pkcs11_pin_file),
        _given(root.pkcs11_key_label),
    )
    return ResilientKeys(keys, attempt_seconds=pkcs11.ATTEMPT_SECONDS, deadline_seconds=KMS_DEADLINE_SECONDS)


def _given(setting: Given | None) -> Given:
    """What Settings demands of the provider that is set."""
    if setting is None:
        raise ValueError("settings let a KMS_PROVIDER pass without what it needs")
    return setting


def _previous_kms(settings: Settings, instruments: Instruments) -> KeyService | None:
    """The service of the root key that is being replaced, while there is one."""
    if settings.previous_root_key is None:
        return None
    return _timed(_key_service(settings.previous_root_key, development=settings.development), instruments)


def _timed(kms: KeyService, instruments: Instruments) -> KeyService:
    return TimedKeys(kms, instruments.observe_kms, instruments.kms_failed)


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
    fetcher = DocumentFetcher(plain_http_is_allowed=settings.development)
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
    internal: InternalListener
    crew: Crew
    courier: Courier
    heartbeat: Heartbeat
    log: Log
    instruments: Instruments

    def start(self) -> None:
        self.database.open()
        self.internal.open()
        self.crew.open()

    def stop(self, within_seconds: float) -> bool:
        """Finish what is under way and give back what was claimed; False if that took longer."""
        has_ended = self.crew.close(within_seconds)
        self.courier.close()
        with suppress(VaultError):  # a database that is away will miss this worker by itself
            self.heartbeat.stop()
        self.internal.close()
        self.system.close()
        self.database.close()
        return has_ended


def build_worker(settings: Settings, worker_id: str, *, clock: Clock | None = None) -> WorkerServices:
    """A worker, wired; `worker_id` is like no other's."""
    base = _base(settings, clock or SystemClock(), _kms(settings))
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
    system = _system(settings, base)
    address = settings.worker_ops_bind_address
    return WorkerServices(
        database=base.database,
        system=system,
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


def _system(settings: Settings, base: _Base) -> SystemPages:
    instruments = base.instruments
    database = DatabaseProbe(settings.database_url.get_secret_value(), instruments.observe_db)
    redis = RedisProbe(settings.redis_url.get_secret_value(), instruments.observe_redis)
    keys = KeyProbe(base.kms, Envelope(base.ring))

    def facts() -> dict[str, dict[str, object]]:
        return {
            "database": {"pool_size": base.database.size, "pool_available": base.database.available},
            "redis": {"memory_used_mb": redis.memory_used_mb()},
            "encryption": {
                "key_status": keys.state.value,
                "key_id": base.kms.key_id,
                "last_rotation": base.rotation.last_finished(),
            },
        }

    def metrics(accept: str) -> tuple[bytes, str]:
        _gauge_pool(base)
        return instruments.render(accept)

    return SystemPages(
        Readiness(
            {
                "database": Check(database.check, deadline_seconds=0.5),
                "redis": Check(redis.check, deadline_seconds=0.5),
                "encryption": Check(keys.check, deadline_seconds=1.0),
            },
            on_close=(database.close, redis.close),
        ),
        facts,
        metrics,
        base.guard,
        base.clock,
        Build(VERSION, REVISION),
        metrics_are_open=settings.metrics_auth == "none",
    )
