"""Recording rules: how series are put together, once, for alerts and panels alike.

`without` and not `by`: labels that only the deployment knows of (namespace, cluster) stay, and two installations under
one Prometheus are never added up.
"""

from collections.abc import Iterator

from scaivault.observability.catalogue.series import Scope
from tools.monitoring.rules.model import Record
from tools.monitoring.series import EXISTING

WITHOUT = "without (instance, pod)"
SHORT, LONG = ("5m", "30m", "1h"), ("6h", "3d")
BY_CATEGORY, ALL = "path_category:scaivault", "scaivault:scaivault"

# What the vault answers for: neither who asks for addresses that there are none of, nor probes.
COUNTED = 'job="scaivault",path_category!~"system|unmatched"'
FOLDED = "without (instance, pod, method, status)"
SECRETS = 'job="scaivault",path_category="secrets"'
FOLDED_TIMES = "without (instance, pod, method, path_category)"

PER_IDENTITY = "scaivault_rate_limit_bucket_fill"


def cluster() -> tuple[Record, ...]:
    """Facts about the deployment. Whoever told one before may still be remembered: it is never added to the present."""
    names = sorted(series.name for series in EXISTING if series.scope is Scope.CLUSTER)
    return (
        *(Record(f"cluster:{name}:max", f"max {WITHOUT} ({name})") for name in names if name != PER_IDENTITY),
        # An identity that is nearly empty is what there is to see; the many identities are not kept.
        Record(f"category:{PER_IDENTITY}:min", f"min without (instance, pod, identity) ({PER_IDENTITY})"),
    )


def requests() -> tuple[Record, ...]:
    return (
        *(record for window in SHORT for record in (*_counted(window), *_ratios(window))),
        *(record for window in LONG for record in (*_averaged(window), *_ratios(window))),
    )


def _counted(window: str) -> tuple[Record, ...]:
    """Requests a second, those that failed, those for secrets, and those of them that were slow."""
    timed = "scaivault_request_duration_seconds"
    quick = f'sum {FOLDED_TIMES[:-1]}, le) (rate({timed}_bucket{{{SECRETS},le="<request_seconds>"}}[{window}]))'
    by_category = f"{BY_CATEGORY}_requests:rate{window}"
    failed = f'sum {FOLDED} (rate(scaivault_requests_total{{{COUNTED},status=~"5.."}}[{window}]))'
    return (
        Record(by_category, f"sum {FOLDED} (rate(scaivault_requests_total{{{COUNTED}}}[{window}]))"),
        # No error yet is no series yet, and yet no errors.
        Record(f"{BY_CATEGORY}_request_errors:rate{window}", f"{failed} or 0 * {by_category}"),
        Record(f"{ALL}_requests:rate{window}", f"sum without (path_category) ({by_category})"),
        Record(
            f"{ALL}_request_errors:rate{window}",
            f"sum without (path_category) ({BY_CATEGORY}_request_errors:rate{window})",
        ),
        Record(
            f"{ALL}_secret_requests:rate{window}", f"sum {FOLDED_TIMES} (rate({timed}_count{{{SECRETS}}}[{window}]))"
        ),
        Record(f"{ALL}_slow_requests:rate{window}", f"{ALL}_secret_requests:rate{window} - {quick}"),
    )


def _averaged(window: str) -> Iterator[Record]:
    """The same over a long time: counters of days are too many samples to be read every few seconds."""
    for record in _counted(SHORT[0]):
        yield Record(record.name.removesuffix(SHORT[0]) + window, f"avg_over_time({record.name}[{window}])")
    # How many there really were: the average of a young Prometheus's few minutes says nothing of the whole time.
    for part in ("request_errors", "slow_requests"):
        happened = f"sum_over_time({ALL}_{part}:rate{SHORT[0]}[{window}:1m]) * 60"
        yield Record(f"{ALL}_{part}:increase{window}", happened)


def _ratios(window: str) -> Iterator[Record]:
    for level, part, whole in (
        (BY_CATEGORY, "request_errors", "requests"),
        (ALL, "request_errors", "requests"),
        (ALL, "slow_requests", "secret_requests"),
    ):
        ratio = f"{level}_{part}:rate{window} / ({level}_{whole}:rate{window} > 0)"
        yield Record(f"{level}_{part}:ratio_rate{window}", ratio)


def dependencies() -> tuple[Record, ...]:
    """Shares of calls that were slow, over 5 minutes, where there were enough of them to speak of a share."""
    return (
        _slow_share("scaivault_db_latency_seconds", "database_seconds"),
        _slow_share("scaivault_redis_latency_seconds", "redis_seconds"),
        _slow_share("scaivault_kms_latency_seconds", "kms_seconds", "fewest_kms_calls"),
    )


def access() -> tuple[Record, ...]:
    return (_slow_share("scaivault_audit_append_seconds", "audit_seconds"),)


def _slow_share(histogram: str, bound: str, fewest: str = "fewest_calls") -> Record:
    count = f"sum {WITHOUT} (increase({histogram}_count[5m]))"
    quick = f'sum without (instance, pod, le) (increase({histogram}_bucket{{le="<{bound}>"}}[5m]))'
    name = histogram.removesuffix("_seconds").removesuffix("_latency")
    return Record(f"job:{name}_slow:ratio_increase5m", f"1 - {quick} / ({count} >= <{fewest}>)")


def background() -> tuple[Record, ...]:
    # Prometheus knows the label `job` as its own, and what the vault calls so as `exported_job`.
    duty = "scaivault_worker_last_success_timestamp_seconds"
    attempts = "scaivault_webhook_attempts_total"
    return (
        Record(
            "duty:scaivault_worker_silent_seconds:min",
            # A duty that never succeeded has no timestamp, and its batches are counted from 0.
            f"time() - (max {WITHOUT} ({duty})"
            f" or 0 * count without (instance, pod, status) (scaivault_worker_jobs_total))",
        ),
        Record(
            "webhook:scaivault_webhook_attempts:increase1h",
            f"sum without (instance, pod, status) (increase({attempts}[1h]))",
        ),
        Record(
            "webhook:scaivault_webhook_attempts_failed:ratio_increase1h",
            f'(sum without (instance, pod, status) (increase({attempts}{{status="failed"}}[1h]))'
            f" or 0 * webhook:scaivault_webhook_attempts:increase1h)"
            f" / (webhook:scaivault_webhook_attempts:increase1h > 0)",
        ),
    )


CLUSTER = "cluster"
# Of each module of alerts, what only they and panels read; and what all may.
BY_MODULE = {
    CLUSTER: cluster(),
    "budgets": requests(),
    "dependencies": dependencies(),
    "background": background(),
    "access": access(),
}
RECORDS = tuple(record for records in BY_MODULE.values() for record in records)
