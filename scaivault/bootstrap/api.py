"""The API's switchboard: settings in, services out. Every part is made here and handed what it needs."""

import time
from collections.abc import Callable, Sequence
from functools import cache, partial

from scaivault.bootstrap.base import VERSION, Base, base_of, listeners_of, root_key_service
from scaivault.bootstrap.services import Services
from scaivault.bootstrap.system import system_of, watch_of
from scaivault.bootstrap.tables import (
    directory_table,
    events_tables,
    generators_table,
    identity_table,
    secrets_tables,
    waiting_room,
)
from scaivault.bootstrap.tracing import tracing_of
from scaivault.crypto.jwt.verification import Audience
from scaivault.edge.limits import Limits
from scaivault.edge.openapi import document
from scaivault.edge.origin import Origins
from scaivault.edge.routes import Routes, operations
from scaivault.features.audit import routes as audit_routes
from scaivault.features.audit.service import AuditJournal, AuditService
from scaivault.features.directory import jobs as directory_jobs
from scaivault.features.directory.service.reconciliation import SyncRunner
from scaivault.features.directory.service.source import ScaiKeyDirectory
from scaivault.features.directory.service.syncs import SyncService
from scaivault.features.identity.service.authenticator import Authenticator
from scaivault.features.identity.service.installer import Installer
from scaivault.features.identity.service.issuer_keys import IssuerKeys, KeySource
from scaivault.features.identity.service.personal_tokens import PersonalTokens
from scaivault.features.identity.service.tenancy import Tenancy
from scaivault.features.identity.service.tokens import TokenService
from scaivault.features.identity.service.web_tokens import WebTokens
from scaivault.features.policies import routes as policy_routes
from scaivault.features.policies.service.policies import PolicyService
from scaivault.features.secrets import jobs as secret_jobs
from scaivault.features.secrets.service.access import AccessNotes
from scaivault.kernel.caller import Caller
from scaivault.kernel.clock import SystemClock
from scaivault.kernel.errors import VaultError
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.limits import RateCategory
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.ports import Buckets, Clock, KeyService
from scaivault.kernel.redacted import Redacted
from scaivault.observability.listener import InternalListener
from scaivault.outbound.http import DocumentFetcher
from scaivault.ratelimit.buckets import RedisBuckets
from scaivault.ratelimit.local import LocalBuckets
from scaivault.ratelimit.surviving import SurvivingBuckets
from scaivault.settings import Settings
from scaivault.storage.redis import RedisCalls
from scaivault.workers.periodic import Job, Periodic

ACCESS_NOTES_SECONDS = 20.0
METRICS_SECONDS = 5.0
SYNC_SECONDS = 1.0
SYNC_SCHEDULE_SECONDS = 15.0
REDIS_MENDING_SECONDS = 0.5
SECOND_LOOKS_PER_MINUTE = 1_200


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    kms: KeyService | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    buckets: Buckets | None = None,
) -> Services:
    """Everything, wired. A test passes its own clocks, KMS or buckets; the issuer's keys grow old by `monotonic`."""
    tracing = tracing_of(settings)
    base = base_of(settings, clock or SystemClock(), kms or root_key_service(settings), listeners_of(tracing))
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
    upkeep, syncing = _upkeep(base, notes), Periodic(_sync_jobs(settings, syncs, runner), base.job_failed)
    system, room = system_of(settings, base, [upkeep, syncing]), waiting_room(base)
    tables: list[Routes] = [
        *secrets_tables(base, notes),
        policy_routes.routes(policies, base.cursors),
        generators_table(base),
        identity_table(settings, base, tokens, monotonic),
        directory_table(settings, base, tenancy, syncs),
        audit_routes.routes(audit, base.cursors),
        *events_tables(settings, base, room),
    ]
    tables.append(system.routes(cache(lambda: document(tables, VERSION))))
    base.instruments.meet_operations(operations(tables))

    return Services(
        tables=tables,
        authenticator=authenticator,
        limits=limits,
        on_refusal=partial(_journal_refusal, base.journal),
        origins=Origins(settings.trusted_proxies),
        instruments=base.instruments,
        log=base.log,
        installer=Installer(base.database, base.journal, base.hasher, base.clock),
        policies=policies,
        rotation=base.rotation,
        database=base.database,
        aside=base.aside,
        system=system,
        upkeep=upkeep,
        watch=watch_of(base, system),
        syncing=syncing,
        redis=redis,
        room=room,
        mending=Periodic([Job("redis", REDIS_MENDING_SECONDS, redis.mend, is_owed_at_end=False)], base.job_failed),
        internal=InternalListener(
            (settings.ops_bind_address.host, settings.ops_bind_address.port),
            system.internal(),
            told=partial(base.log, "error", "page_failed"),
        ),
        on_state=base.instruments.set_state,
        tracing=tracing,
    )


def _upkeep(base: Base, notes: AccessNotes) -> Periodic:
    return Periodic(
        [
            Job("access_notes", ACCESS_NOTES_SECONDS, partial(secret_jobs.flush_access_notes, notes)),
            Job("metrics", METRICS_SECONDS, partial(_settle_metrics, base)),
        ],
        base.job_failed,
    )


def _authenticator(settings: Settings, base: Base, tenancy: Tenancy, monotonic: Callable[[], float]) -> Authenticator:
    on_cache, on_tenant = partial(base.instruments.cache_request, "token"), base.instruments.meet_tenant
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
            on_tenant,
        )
    personal_tokens = PersonalTokens(base.database, base.epochs, base.hasher, on_cache, on_tenant)
    return Authenticator(base.journal, base.clock, tenancy, personal_tokens, web_tokens)


def _buckets(settings: Settings, base: Base, redis: RedisCalls) -> Buckets:
    limits = {RateCategory[name]: limit for name, limit in settings.rate_limits.items()}
    return SurvivingBuckets(RedisBuckets(redis, limits), LocalBuckets(limits), base.instruments.rate_limited_locally)


def _limits(base: Base, authenticator: Authenticator, buckets: Buckets) -> Limits:
    second_looks = LocalBuckets({RateCategory.FAILED_AUTH: SECOND_LOOKS_PER_MINUTE})
    return Limits(buckets, second_looks, authenticator, base.clock, base.instruments.rate_limit_hit)


def _journal_refusal(
    journal: AuditJournal, caller: Caller, route: str, path: SecretPath | None, refusal: VaultError
) -> None:
    entry = Entry.of(Action.REQUEST_REFUSED, caller, path, success=False, route=route, reason=refusal.code)
    journal.record_alone(entry)


def _settle_metrics(base: Base) -> None:
    """A folder that is full costs no request, and is told once."""
    if (failure := base.instruments.settle()) is not None:
        base.log("warn", "metrics_kept_in_memory", failure)


def _sync_runner(settings: Settings, base: Base) -> SyncRunner | None:
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
