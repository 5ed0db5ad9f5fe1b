"""What moves the series. Made once in a process and after the fork: nothing is ever counted in gunicorn's master."""

import itertools
import platform
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    exposition,
    values,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from scaivault.observability.catalogue import LABELS_DROPPED, dependencies, features, requests
from scaivault.observability.catalogue.series import Bound, Series
from scaivault.observability.catalogue.vocabulary import BUCKETS_SECONDS, CAP, OTHER_METHOD, OVERFLOW

Instrument = TypeVar("Instrument", Counter, Gauge, Histogram)


class _Family(Generic[Instrument]):
    """The children of one series. One that is known costs a dict look-up, where `labels()` costs a lock and more."""

    def __init__(self, series: Series, metric: Instrument, bounds: "_Bounds") -> None:
        self._series = series
        self._metric: Instrument = metric
        self._bounds = bounds
        self._children: dict[tuple[str, ...], Instrument] = {}
        if series.starts_at_zero and series.labels:
            for combination in _combinations(series):
                self.of(*combination)

    def of(self, *label_values: str) -> Instrument:
        """The child for these values, in the order of the catalogue's labels."""
        child = self._children.get(label_values)
        return self._admit(label_values) if child is None else child

    def _admit(self, label_values: tuple[str, ...]) -> Instrument:
        """Values that are refused are not remembered: whoever sends ever new ones must not fill the memory."""
        kept = self._bounds.keep(self._series, label_values)
        child = self._children.get(kept)
        if child is None:
            child = self._children[kept] = self._metric.labels(*kept) if kept else self._metric
        return child


class _Bounds:
    """Which label values may become series of their own: those in the closed lists, and the first few of the rest."""

    def __init__(self, cap: int, dropped: Callable[[str], None]) -> None:
        self._cap = cap
        self._dropped = dropped
        self._lock = threading.Lock()
        self._admitted: dict[str, set[str]] = {}

    def keep(self, series: Series, label_values: tuple[str, ...]) -> tuple[str, ...]:
        """The values as they may be used; one that is not in bounds becomes OVERFLOW, and is counted as dropped."""
        bounds = series.labels.items()
        kept = tuple(self._one(*each, value) for each, value in zip(bounds, label_values, strict=True))
        if kept != label_values and OVERFLOW in kept:
            self._dropped(series.name)
        return kept

    def _one(self, label: str, bound: Bound, value: str) -> str:
        if isinstance(bound, tuple):
            if value in bound:
                return value
            return OTHER_METHOD if OTHER_METHOD in bound else OVERFLOW
        with self._lock:
            admitted = self._admitted.setdefault(label, set())
            if value not in admitted and len(admitted) >= min(bound, self._cap):
                return OVERFLOW
            admitted.add(value)
        return value


def _combinations(series: Series) -> Iterator[tuple[str, ...]]:
    """Every combination of a series whose labels are all closed; none of any other."""
    closed = [bound for bound in series.labels.values() if isinstance(bound, tuple)]
    return itertools.product(*closed) if len(closed) == len(series.labels) else iter(())


class Instruments:
    """One small method for each seam. An update costs 1 to 3 µs."""

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        version: str = "unknown",
        revision: str = "unknown",
        cap: int = CAP,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # in the text format they are gauges nobody asked for
        self._registry = registry or CollectorRegistry()
        self._build = _BuildInfo(version, revision)
        self._registry.register(self._build)
        self._bounds = _Bounds(cap, self._drop)
        self._dropped = self._counter(LABELS_DROPPED)
        self._make_request_series()
        self._make_dependency_series()
        self._make_feature_series()

    def request_started(self, category: str) -> None:
        self._active_requests.of(category).inc()

    def request_ended(self, method: str, category: str, status: int, seconds: float) -> None:
        """Count and time a request that `request_started` has told of."""
        self._active_requests.of(category).dec()
        self._requests.of(method, category, str(status)).inc()
        self._request_seconds.of(method, category).observe(seconds)

    def secret_read(self, tenant: str, secret_type: str) -> None:
        self._secret_reads.of(tenant, secret_type).inc()

    def secret_write(self, tenant: str) -> None:
        self._secret_writes.of(tenant).inc()

    def policy_violation(self, tenant: str) -> None:
        self._policy_violations.of(tenant).inc()

    def webhook_attempted(self, seconds: float) -> None:
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

    def set_pool(self, size: int, available: int) -> None:
        """This process's share; a scrape adds up the live processes'."""
        self._db_pool_size.set(size)
        self._db_pool_available.set(available)

    def cache_request(self, cache: str, result: str) -> None:
        self._cache_requests.of(cache, result).inc()

    def log_message(self, level: str) -> None:
        self._log_messages.of(level).inc()

    def render(self, accept: str) -> tuple[bytes, str]:
        """All series and their content type: OpenMetrics 1.0 if asked for, else Prometheus text 0.0.4.

        In multiprocess mode the numbers of all processes, merged in a fresh registry: the metrics of this one must not
        be there a second time.
        """
        registry = self._registry if values.ValueClass is values.MutexValue else self._merged()
        if "application/openmetrics-text" in accept:
            text: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
            return text, openmetrics.CONTENT_TYPE_LATEST
        return exposition.generate_latest(registry), exposition.CONTENT_TYPE_PLAIN_0_0_4

    def _merged(self) -> CollectorRegistry:
        registry = CollectorRegistry()
        registry.register(self._build)
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry

    def _make_request_series(self) -> None:
        self._requests = self._counter(requests.REQUESTS)
        self._request_seconds = self._histogram(requests.REQUEST_SECONDS)
        self._active_requests = self._gauge(requests.ACTIVE_REQUESTS)
        self._log_messages = self._counter(requests.LOG_MESSAGES)

    def _make_dependency_series(self) -> None:
        self._db_seconds = self._histogram(dependencies.DB_SECONDS).of()
        self._redis_seconds = self._histogram(dependencies.REDIS_SECONDS).of()
        self._kms_seconds = self._histogram(dependencies.KMS_SECONDS)
        self._kms_errors = self._counter(dependencies.KMS_ERRORS)
        self._db_pool_size = self._gauge(dependencies.DB_POOL_SIZE).of()
        self._db_pool_available = self._gauge(dependencies.DB_POOL_AVAILABLE).of()
        self._cache_requests = self._counter(dependencies.CACHE_REQUESTS)

    def _make_feature_series(self) -> None:
        self._secret_reads = self._counter(features.SECRET_READS)
        self._secret_writes = self._counter(features.SECRET_WRITES)
        self._audit_entries = self._counter(features.AUDIT_ENTRIES)
        self._audit_append_seconds = self._histogram(features.AUDIT_APPEND_SECONDS).of()
        self._policy_violations = self._counter(features.POLICY_VIOLATIONS)

    def make_worker_series(self) -> None:
        """Those that only a worker moves, which an API process does not show."""
        self._webhook_seconds = self._histogram(features.WEBHOOK_DELIVERY_SECONDS).of()
        self._webhook_deliveries = self._counter(features.WEBHOOK_DELIVERIES)
        self._worker_jobs = self._counter(features.WORKER_JOBS)
        self._worker_last_success = self._gauge(features.WORKER_LAST_SUCCESS)

    def _counter(self, series: Series) -> _Family[Counter]:
        return _Family(
            series, Counter(series.name, series.help, tuple(series.labels), registry=self._registry), self._bounds
        )

    def _gauge(self, series: Series) -> _Family[Gauge]:
        """Added up over live processes; what a dead one last said is gone with it."""
        metric = Gauge(
            series.name, series.help, tuple(series.labels), registry=self._registry, multiprocess_mode="livesum"
        )
        return _Family(series, metric, self._bounds)

    def _histogram(self, series: Series) -> _Family[Histogram]:
        metric = Histogram(
            series.name,
            series.help,
            tuple(series.labels),
            registry=self._registry,
            buckets=BUCKETS_SECONDS,
        )
        return _Family(series, metric, self._bounds)

    def _drop(self, name: str) -> None:
        self._dropped.of(name).inc()


class _BuildInfo(Collector):
    """Collected and not set, because an Info of prometheus_client vanishes in multiprocess mode."""

    def __init__(self, version: str, revision: str) -> None:
        self._labels = (version, revision, platform.python_version())

    def collect(self) -> Iterator[Metric]:
        series = requests.BUILD_INFO
        family = GaugeMetricFamily(series.name, series.help, labels=tuple(series.labels))
        family.add_metric(self._labels, 1)
        yield family
