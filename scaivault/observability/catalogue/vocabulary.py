"""The closed lists that labels are taken from, and the bounds of those that are not closed."""

from scaivault.kernel.journal import Action
from scaivault.kernel.limits import RateCategory

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
FAULTS = ("500", "503")
SECRET_TYPES = ("kv", "json", "certificate", "ssh_key", "api_key")
KMS_OPERATIONS = ("encrypt", "decrypt", "sign")
ACTIONS = tuple(action.value for action in Action)
TRUTHS = ("true", "false")
CACHES = ("token", "policy", "tenant_key")
CACHE_RESULTS = ("hit", "miss", "shared")
LEVELS = ("debug", "info", "warn", "error")
RATE_CATEGORIES = tuple(category.value for category in RateCategory)
OUTCOMES = ("success", "failed")
JOBS = (
    "audit_months",
    "event_dispatch",
    "event_retention",
    "heartbeat",
    "rotation",
    "rotation_costly",
    "rotation_history",
    "rotation_upkeep",
    "secret_expiry",
    "webhook_delivery",
)
DEPENDENCIES = ("database", "redis", "encryption")
WITHIN_DAYS = ("1", "7", "14", "30", "60", "90")
PROCESSES = (API, WORKER, EXPORTER) = ("api", "worker", "exporter")
WORKER_STATES = (STARTING, SERVING, DRAINING) = ("starting", "serving", "draining")
ATTENDANCE = ("live", "missing")
COLLECTORS = ("secrets", "readers", "limits", "kms", "webhooks", "rotation", "workers")

# How many of a kind the exporter shows: the first of them in an order that the series' help names.
MOST_BUCKETS = 20
MOST_READERS = 20
MOST_CERTIFICATES = 50
