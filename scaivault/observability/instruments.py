"""What moves the series. Made once in a process and after the fork: nothing is ever counted in gunicorn's master."""

import platform
import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from scaivault.observability import processes
from scaivault.observability.catalogue import LABELS_DROPPED, dependencies, features, requests
from scaivault.observability.catalogue.series import Series
from scaivault.observability.catalogue.vocabulary import API, CAP, FAULTS, OUTCOMES
from scaivault.observability.collector import Collector, File, files_in
from scaivault.observability.families import Bounds, Counter, Family, Gauge, Histogram
from scaivault.observability.page import OPENMETRICS, TEXT, Fact, Pages
from scaivault.observability.slots import Holder, holders
from scaivault.observability.store import Store


class Instruments:
    """One small method for each seam. An update costs a fraction of a microsecond."""

    def __init__(self, *, version: str = "unknown", revision: str = "unknown", kind: str = API, cap: int = CAP) -> None:
        self._build = ("python", platform.python_version()), ("revision", revision), ("version", version)
        self._bounds = Bounds(cap, self._drop)
        self._store = Store(kind, self._bounds.admit)
        self._folder: Path | None = None
        self._collector, self._pages, self._scrape = Collector(), Pages(), threading.Lock()
        self._dropped = self._counter(LABELS_DROPPED)
        self._waiting = 0
        self._make_request_series()
        self._make_dependency_series()
        self._make_feature_series()

    def join(self, folder: Path) -> None:
        """Keep the numbers in a slot of this folder from now on, and show those of all processes that do."""
        self._folder = folder
        self._store.join(folder)

    def settle(self) -> OSError | None:
        """To be called now and then: move what there was no room for, and say once what is in the way."""
        return self._store.settle()

    def set_state(self, state: str) -> None:
        """What this process does: one of WORKER_STATES."""
        self._store.set_state(state)

    def set_ready(self, is_ready: bool) -> None:
        """Whether this process can serve; a pod can if all of its live processes can."""
        self._ready.set(float(is_ready))

    def set_dependency_ready(self, dependency: str, is_ready: bool) -> None:
        """Whether this process finds a dependency well; a pod does if all of its live processes do."""
        self._dependency_ready.of(dependency).set(float(is_ready))

    def meet_operations(self, operations: Iterable[tuple[str, str]]) -> None:
        """Show that these methods and categories have had no faults: of a series that begins with its first event
        Prometheus sees no increase.
        """
        for method, category in operations:
            for status in FAULTS:
                self._requests.of(method, category, status)

    def meet_tenant(self, tenant: str) -> None:
        """Show that this tenant has had no refusals, before it has any."""
        self._policy_violations.of(tenant)

    def meet_webhook(self, webhook: str) -> None:
        """Show that this webhook has had no attempts, before it has any."""
        for outcome in OUTCOMES:
            self._webhook_attempts.of(webhook, outcome)
            self._webhook_deliveries.of(webhook, outcome)

    def request_started(self, category: str) -> None:
        self._active_requests.of(category).add(1)

    def request_ended(
        self, method: str, category: str, status: int, seconds: float, trace_id: str | None = None
    ) -> None:
        """Count and time a request that `request_started` has told of; `trace_id` only if its trace is recorded."""
        self._active_requests.of(category).add(-1)
        self._requests.of(method, category, str(status)).inc()
        self._request_seconds.of(method, category).observe(seconds, trace_id)

    def set_waiting(self, category: str, requests: int) -> None:
        """How many of this process's requests wait, all of a category; nobody works on them. One call at a time."""
        self._active_requests.of(category).add(self._waiting - requests)
        self._waiting = requests
        self._waiting_requests.set(requests)

    def secret_read(self, tenant: str, secret_type: str) -> None:
        self._secret_reads.of(tenant, secret_type).inc()

    def secret_write(self, tenant: str) -> None:
        self._secret_writes.of(tenant).inc()

    def secret_rotation(self, status: str) -> None:
        """Count a rotation that was done, `success`, or an attempt at one that `failed`."""
        self._secret_rotations.of(status).inc()

    def policy_violation(self, tenant: str) -> None:
        self._policy_violations.of(tenant).inc()

    def webhook_attempted(self, webhook: str, status: str, seconds: float) -> None:
        self._webhook_attempts.of(webhook, status).inc()
        self._webhook_seconds.observe(seconds)

    def webhook_delivered(self, webhook: str, status: str) -> None:
        """Count a delivery that ended."""
        self._webhook_deliveries.of(webhook, status).inc()

    def job_done(self, job: str, how_much: int, at: float) -> None:
        """A duty's batch, which was none if there was nothing to do; `at` in Unix seconds."""
        if how_much:
            self._worker_jobs.of(job, "success").inc()
        self._worker_last_success.of(job).set(at)

    def job_failed(self, job: str) -> None:
        self._worker_jobs.of(job, "failed").inc()

    def observe_audit(self, action: str, success: bool, seconds: float) -> None:
        self._audit_entries.of(action, "true" if success else "false").inc()
        self._audit_append_seconds.observe(seconds)

    def observe_db(self, seconds: float) -> None:
        self._db_seconds.observe(seconds)

    def observe_redis(self, seconds: float) -> None:
        self._redis_seconds.observe(seconds)

    def observe_kms(self, operation: str, seconds: float) -> None:
        self._kms_seconds.of(operation).observe(seconds)

    def kms_failed(self, operation: str) -> None:
        self._kms_errors.of(operation).inc()

    def rate_limit_hit(self, category: str) -> None:
        self._rate_limit_hits.of(category).inc()

    def rate_limited_locally(self, category: str) -> None:
        self._rate_limit_local.of(category).inc()

    def set_pool(self, size: int, available: int, most: int, waiting: int) -> None:
        """This process's share; a scrape adds up the live processes'."""
        self._db_pool_size.set(size)
        self._db_pool_available.set(available)
        self._db_pool_max.set(most)
        self._db_pool_waiting.set(waiting)

    def cache_request(self, cache: str, result: str) -> None:
        self._cache_requests.of(cache, result).inc()

    def log_message(self, level: str) -> None:
        self._log_messages.of(level).inc()

    def render(self, accept: str) -> tuple[bytes, str]:
        """All series and their content type: OpenMetrics 1.0 if asked for, else Prometheus text 0.0.4.

        Of all processes if this one has joined a folder: then what it could not keep there is not shown, because the
        next scrape may ask another process, and a counter must not go backwards.
        """
        is_open = "application/openmetrics-text" in accept
        with self._scrape:
            live, files = self._sources()
            merged = self._collector.collect(files, with_exemplars=is_open)
            facts = (self._build_info(), *processes.facts(live))
            if is_open:
                return self._pages.openmetrics(merged, facts).encode(), OPENMETRICS
            return self._pages.text(merged, facts).encode(), TEXT

    def workers(self) -> dict[str, int]:
        """The live processes of the API, by state."""
        live = [self._store.alone()] if self._folder is None else holders(self._folder)
        return dict(processes.states(live))

    def _sources(self) -> tuple[list[Holder], Iterable[File]]:
        if self._folder is None:
            return [self._store.alone()], self._store.files()
        live = list(holders(self._folder))
        return live, files_in(self._folder, {holder.slot for holder in live})

    def _build_info(self) -> Fact:
        return Fact(requests.BUILD_INFO.name, requests.BUILD_INFO.help, [(self._build, 1.0)])

    def _make_request_series(self) -> None:
        self._requests = self._counter(requests.REQUESTS)
        self._request_seconds = self._histogram(requests.REQUEST_SECONDS)
        self._active_requests = self._gauge(requests.ACTIVE_REQUESTS)
        self._waiting_requests = self._gauge(requests.WAITING_REQUESTS).of()
        self._rate_limit_hits = self._counter(requests.RATE_LIMIT_HITS)
        self._rate_limit_local = self._counter(requests.RATE_LIMIT_LOCAL)
        self._log_messages = self._counter(requests.LOG_MESSAGES)
        self._ready = self._gauge(requests.READY).of()

    def _make_dependency_series(self) -> None:
        self._dependency_ready = self._gauge(dependencies.DEPENDENCY_READY)
        self._db_seconds = self._histogram(dependencies.DB_SECONDS).of()
        self._redis_seconds = self._histogram(dependencies.REDIS_SECONDS).of()
        self._kms_seconds = self._histogram(dependencies.KMS_SECONDS)
        self._kms_errors = self._counter(dependencies.KMS_ERRORS)
        self._db_pool_size = self._gauge(dependencies.DB_POOL_SIZE).of()
        self._db_pool_available = self._gauge(dependencies.DB_POOL_AVAILABLE).of()
        self._db_pool_max = self._gauge(dependencies.DB_POOL_MAX).of()
        self._db_pool_waiting = self._gauge(dependencies.DB_POOL_WAITING).of()
        self._cache_requests = self._counter(dependencies.CACHE_REQUESTS)

    def _make_feature_series(self) -> None:
        self._secret_reads = self._counter(features.SECRET_READS)
        self._secret_writes = self._counter(features.SECRET_WRITES)
        self._secret_rotations = self._counter(features.SECRET_ROTATIONS)
        self._audit_entries = self._counter(features.AUDIT_ENTRIES)
        self._audit_append_seconds = self._histogram(features.AUDIT_APPEND_SECONDS).of()
        self._policy_violations = self._counter(features.POLICY_VIOLATIONS)

    def make_worker_series(self) -> None:
        """Those that only a worker moves, which an API process does not show."""
        self._webhook_seconds = self._histogram(features.WEBHOOK_DELIVERY_SECONDS).of()
        self._webhook_attempts = self._counter(features.WEBHOOK_ATTEMPTS)
        self._webhook_deliveries = self._counter(features.WEBHOOK_DELIVERIES)
        self._worker_jobs = self._counter(features.WORKER_JOBS)
        self._worker_last_success = self._gauge(features.WORKER_LAST_SUCCESS)

    def _counter(self, series: Series) -> Family[Counter]:
        return Family(series, partial(Counter, self._store, series), self._bounds)

    def _gauge(self, series: Series) -> Family[Gauge]:
        return Family(series, partial(Gauge, self._store, series), self._bounds)

    def _histogram(self, series: Series) -> Family[Histogram]:
        return Family(series, partial(Histogram, self._store, series), self._bounds)

    def _drop(self, name: str) -> None:
        self._dropped.of(name).inc()
