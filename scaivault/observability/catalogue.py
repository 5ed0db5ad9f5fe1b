"""Every series, as data. Instruments are made from this table; docs, rules, panels and tests are checked against it.

A label's bound is the closed list of its values, or the most values one process will keep apart; whatever is beyond it
is counted as OVERFLOW. No secret, token, path of a secret or client address is ever a label.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scaivault.kernel.journal import Action

OVERFLOW = "__other__"
OTHER_METHOD = "OTHER"
CAP = 500

# An SLO's threshold is always one of these, so that meeting it can be counted and not only guessed.
BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", OTHER_METHOD)
PATH_CATEGORIES = (
    "secrets",
    "batch",
    "policies",
    "rotation",
    "pki",
    "acme",
    "dynamic",
    "webhooks",
    "subscriptions",
    "audit",
    "federation",
    "identity",
    "auth",
    "system",
    "unmatched",
)
STATUSES = tuple(str(status) for status in range(100, 600))
SECRET_TYPES = ("kv", "json", "certificate", "ssh_key", "api_key")
KMS_OPERATIONS = ("encrypt", "decrypt", "sign")
ACTIONS = tuple(action.value for action in Action)
TRUTHS = ("true", "false")
CACHES = ("token", "policy", "tenant_key")
CACHE_RESULTS = ("hit", "miss", "shared")
LEVELS = ("debug", "info", "warn", "error")


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Scope(StrEnum):
    """POD is measured in a process: sum it. CLUSTER is a fact about the deployment, published once: take the max."""

    POD = "pod"
    CLUSTER = "cluster"


Bound = tuple[str, ...] | int


@dataclass(frozen=True, slots=True)
class Series:
    """One series family: what it counts, by which labels, and how many of each there can be."""

    name: str
    kind: Kind
    help: str
    labels: Mapping[str, Bound] = field(default_factory=dict)
    unit: str = ""
    scope: Scope = Scope.POD
    since: str = "0.1.0"
    starts_at_zero: bool = True
    """Whether every combination of closed labels exists from the start; only where there are few."""


REQUESTS = Series(
    "scaivault_requests_total",
    Kind.COUNTER,
    "Requests answered.",
    {"method": METHODS, "path_category": PATH_CATEGORIES, "status": STATUSES},
    starts_at_zero=False,
)
REQUEST_SECONDS = Series(
    "scaivault_request_duration_seconds",
    Kind.HISTOGRAM,
    "Time from a request's arrival in the application until its answer was ready.",
    {"method": METHODS, "path_category": PATH_CATEGORIES},
    "seconds",
    starts_at_zero=False,
)
ACTIVE_REQUESTS = Series(
    "scaivault_active_requests", Kind.GAUGE, "Requests being worked on now.", {"path_category": PATH_CATEGORIES}
)
SECRET_READS = Series(
    "scaivault_secret_reads_total",
    Kind.COUNTER,
    "Secret values handed out.",
    {"tenant": CAP, "secret_type": SECRET_TYPES},
)
SECRET_WRITES = Series("scaivault_secret_writes_total", Kind.COUNTER, "Secret versions written.", {"tenant": CAP})
DB_SECONDS = Series(
    "scaivault_db_latency_seconds",
    Kind.HISTOGRAM,
    "Time from sending a statement to PostgreSQL until its rows were read, probes included.",
    unit="seconds",
)
REDIS_SECONDS = Series(
    "scaivault_redis_latency_seconds",
    Kind.HISTOGRAM,
    "Time of a call to Redis, probes included.",
    unit="seconds",
)
KMS_SECONDS = Series(
    "scaivault_kms_latency_seconds",
    Kind.HISTOGRAM,
    "Time of a call to the key service, probes and failures included.",
    {"operation": KMS_OPERATIONS},
    "seconds",
)
KMS_ERRORS = Series(
    "scaivault_kms_errors_total",
    Kind.COUNTER,
    "Calls that the key service did not do.",
    {"operation": KMS_OPERATIONS},
)
DB_POOL_SIZE = Series("scaivault_db_pool_size", Kind.GAUGE, "Connections to PostgreSQL in the pools of live workers.")
DB_POOL_AVAILABLE = Series("scaivault_db_pool_available", Kind.GAUGE, "Pooled connections to PostgreSQL not in use.")
AUDIT_ENTRIES = Series(
    "scaivault_audit_entries_total",
    Kind.COUNTER,
    "Audit entries written. One that is rolled back with its operation has been counted.",
    {"action": ACTIONS, "success": TRUTHS},
)
AUDIT_APPEND_SECONDS = Series(
    "scaivault_audit_append_seconds",
    Kind.HISTOGRAM,
    "Time of the statement that writes an audit entry; for reads it is the look-up as well, and the commit.",
    unit="seconds",
)
POLICY_VIOLATIONS = Series(
    "scaivault_policy_violations_total", Kind.COUNTER, "Requests refused by scope or policy.", {"tenant": CAP}
)
CACHE_REQUESTS = Series(
    "scaivault_cache_requests_total",
    Kind.COUNTER,
    "Look-ups in a process's caches; 'shared' waited for a load that another thread had begun.",
    {"cache": CACHES, "result": CACHE_RESULTS},
)
LOG_MESSAGES = Series("scaivault_log_messages_total", Kind.COUNTER, "Log lines written.", {"level": LEVELS})
BUILD_INFO = Series(
    "scaivault_build_info",
    Kind.GAUGE,
    "1; its labels say what is running.",
    {"version": 1, "revision": 1, "python": 1},
    starts_at_zero=False,
)

_SERIES = (
    REQUESTS,
    REQUEST_SECONDS,
    ACTIVE_REQUESTS,
    SECRET_READS,
    SECRET_WRITES,
    DB_SECONDS,
    REDIS_SECONDS,
    KMS_SECONDS,
    KMS_ERRORS,
    DB_POOL_SIZE,
    DB_POOL_AVAILABLE,
    AUDIT_ENTRIES,
    AUDIT_APPEND_SECONDS,
    POLICY_VIOLATIONS,
    CACHE_REQUESTS,
    LOG_MESSAGES,
    BUILD_INFO,
)

LABELS_DROPPED = Series(
    "scaivault_metric_labels_dropped_total",
    Kind.COUNTER,
    f"Updates counted as {OVERFLOW}, because a label's value was unknown or beyond its cap.",
    {"series": tuple(series.name for series in _SERIES if series.labels)},
)

CATALOGUE = (*_SERIES, LABELS_DROPPED)
