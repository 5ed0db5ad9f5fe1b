"""What the vault stands on: PostgreSQL, Redis, the key service."""

from tools.monitoring.rules.model import Alert, Panel, Seen, silent

_DEPENDENCIES = "scaivault-dependencies"
_API = 'job="scaivault",instance="vault-0:9464"'
LOCAL = f'scaivault_rate_limit_local_total{{{_API},category="read"}}'
REACHED = f'scaivault_dependency_ready{{{_API},dependency="redis"}}'
AVAILABLE, SIZE, MOST, WAITING = (
    f"scaivault_db_pool_{name}{{{_API}}}" for name in ("available", "size", "max", "waiting")
)
KMS_CALLS, KMS_ERRORS = (
    f'scaivault_kms_latency_seconds_count{{{_API},operation="decrypt"}}',
    f'scaivault_kms_errors_total{{{_API},operation="decrypt"}}',
)
USABLE = 'scaivault_kms_key_usable{job="scaivault-exporter",instance="exporter-0:9465"}'
USABLE_TOO = 'scaivault_kms_key_usable{job="scaivault-exporter",instance="exporter-1:9465"}'


def calls(name: str, bound: str, quick: str, every: str, more: str = "") -> dict[str, str]:
    """A histogram in two series: the calls that were no slower than `bound`, and all."""
    labels = f"{_API}{more}"
    return {f'{name}_bucket{{{labels},le="{bound}"}}': quick, f"{name}_count{{{labels}}}": every}


def pool(available: str, size: str, *, waiting: str, most: str = "10x84") -> dict[str, str]:
    """The four series of a pool, or of a pod's."""
    return {AVAILABLE: available, SIZE: size, MOST: most, WAITING: waiting}


def _slow(histogram: str, bound: str, more: str = "") -> tuple[Seen, ...]:
    return (
        Seen("a tenth is slow", calls(histogram, bound, "0+90x120", "0+100x120", more), "20m"),
        silent("one of a hundred is", calls(histogram, bound, "0+99x120", "0+100x120", more), "20m"),
        silent(
            "it was for a minute", calls(histogram, bound, "0+100x10 1000+50x4 1200+100x100", "0+100x120", more), "20m"
        ),
        silent("there are too few to tell", calls(histogram, bound, "0x120", "0x20 3x100", more), "20m"),
    )


ALERTS = (
    Alert(
        "ScaiVaultDatabaseSlow",
        "ticket",
        "job:scaivault_db_slow:ratio_increase5m > <slow_share>",
        "10m",
        "PostgreSQL is slow for {{ $labels.job }}",
        "{{ $value | humanizePercentage }} of the statements of {{ $labels.job }} took longer than <database_seconds> s. Every "
        "request waits for at least one. Look for locks, long transactions, a full disk or a busy neighbour of PostgreSQL's.",
        Panel(_DEPENDENCIES, "PostgreSQL latency"),
        _slow("scaivault_db_latency_seconds", "0.1"),
    ),
    Alert(
        "ScaiVaultDatabasePoolExhausted",
        "ticket",
        "min_over_time(scaivault_db_pool_waiting[5m]) > 0 and scaivault_db_pool_size > 0\n"
        "or max_over_time(scaivault_db_pool_available[5m]) == 0 and scaivault_db_pool_size >= scaivault_db_pool_max",
        "5m",
        "All connections of {{ $labels.instance }} to PostgreSQL are in use",
        "For 10 minutes requests of {{ $labels.instance }} waited for a connection to PostgreSQL, or not one was free of all that "
        "there may be. They fail with 503 when they wait too long. Either PostgreSQL is slow, or DATABASE_POOL_SIZE is too "
        "small for the load.",
        Panel(_DEPENDENCIES, "PostgreSQL pool"),
        (
            Seen("all are lent", pool("4x4 0x80", "10x84", waiting="0x84"), "15m"),
            Seen("one process of two has none to lend", pool("3x84", "13x84", most="20x84", waiting="0x4 1x80"), "15m"),
            silent("all that are open are lent, and more may be", pool("0x84", "2x84", waiting="0x84"), "15m"),
            silent(
                "one comes back now and then",
                pool("0x9 1 0x9 1 0x9 1 0x9 1 0x9 1 0x9 1", "10x60", waiting="1x9 0 1x9 0 1x9 0 1x9 0 1x9 0 1x9 0"),
                "15m",
            ),
            silent("there are none, PostgreSQL is away", pool("0x80", "0x80", waiting="2x80"), "15m"),
        ),
    ),
    Alert(
        "ScaiVaultRedisSlow",
        "ticket",
        "job:scaivault_redis_slow:ratio_increase5m > <slow_share>",
        "10m",
        "Redis is slow for {{ $labels.job }}",
        "{{ $value | humanizePercentage }} of the calls of {{ $labels.job }} to Redis took longer than <redis_seconds> s. From "
        "0.05 s on requests go on without it, each process by its own limits.",
        Panel(_DEPENDENCIES, "Redis latency"),
        _slow("scaivault_redis_latency_seconds", "0.025"),
    ),
    Alert(
        "ScaiVaultRedisUnavailable",
        "ticket",
        'min without (instance, pod, dependency) (scaivault_dependency_ready{dependency="redis"}) == 0\n'
        "or sum without (instance, pod, category) (rate(scaivault_rate_limit_local_total[5m]))"
        " > <limited_locally_per_second>",
        "5m",
        "Redis does not answer {{ $labels.job }}",
        "For 5 minutes a process of {{ $labels.job }} was not ready for want of Redis, or limited requests by its own buckets. "
        "Requests that come are served; limits hold for each process alone, so that together they let through more. While "
        "readiness fails, load balancers that go by it send nobody.",
        Panel("scaivault-overview", "Up and ready"),
        (
            Seen("Redis is stopped, and nobody is sent any more", {REACHED: "1x9 0x70", LOCAL: "0x9 40x70"}, "8m"),
            Seen("Redis is stopped, and requests go on", {REACHED: "1x9 0x70", LOCAL: "0x10 0+20x60"}, "12m"),
            Seen("it answers probes and is too slow for requests", {REACHED: "1x80", LOCAL: "0x10 0+20x60"}, "12m"),
            silent("it restarts", {REACHED: "1x9 0x4 1x100", LOCAL: "0x10 0+20x4 80x100"}, "12m"),
            silent("it never was away", {REACHED: "1x80", LOCAL: "0x80"}, "12m"),
        ),
    ),
    Alert(
        "ScaiVaultKmsSlow",
        "ticket",
        "job:scaivault_kms_slow:ratio_increase5m > <slow_share>",
        "10m",
        "The key service is slow to {{ $labels.operation }}",
        "{{ $value | humanizePercentage }} of the calls to {{ $labels.operation }} took longer than <kms_seconds> s. Only "
        "requests that need a key which is not in memory wait for it; readiness fails from 1 s on.",
        Panel(_DEPENDENCIES, "Key service latency"),
        _slow("scaivault_kms_latency_seconds", "0.5", ',operation="decrypt"'),
    ),
    Alert(
        "ScaiVaultKmsErrors",
        "ticket",
        "sum without (instance, pod) (rate(scaivault_kms_errors_total[5m]))\n"
        "/ (sum without (instance, pod) (rate(scaivault_kms_latency_seconds_count[5m])) > 0) > <kms_error_share>\n"
        "and sum without (instance, pod) (increase(scaivault_kms_errors_total[5m])) >= <fewest_kms_errors>",
        "5m",
        "The key service fails to {{ $labels.operation }}",
        "{{ $value | humanizePercentage }} of the calls to {{ $labels.operation }} failed. Keys that are in memory go on for "
        "KEY_CACHE_SECONDS (10 minutes) after they were last unwrapped; after that reads of their tenants fail.",
        Panel(_DEPENDENCIES, "Key service errors"),
        (
            Seen(
                "half of them fail",
                {KMS_CALLS: "0+10x60", KMS_ERRORS: "0+5x60"},
                "12m",
                labels={"operation": "decrypt"},
            ),
            silent("one in a hundred does", {KMS_CALLS: "0+100x60", KMS_ERRORS: "0+1x60"}, "12m"),
            silent("one did, of three", {KMS_CALLS: "0x20 3x40", KMS_ERRORS: "0x20 1x40"}, "12m"),
            silent("nobody calls", {KMS_CALLS: "0x60", KMS_ERRORS: "0x60"}, "12m"),
        ),
    ),
    Alert(
        "ScaiVaultKmsKeyUnusable",
        "page",
        "cluster:scaivault_kms_key_usable:max == 0",
        "2m",
        "The root key can not be used",
        "The key service says that the root key is disabled, to be deleted or not reachable. What is unwrapped stays readable "
        "for KEY_CACHE_SECONDS (10 minutes); then nothing can be read or written. A key that is to be deleted must be kept: "
        "without it no secret can ever be read again.",
        Panel(_DEPENDENCIES, "Root key"),
        (
            Seen("it is disabled", {USABLE: "1x4 0x20"}, "4m"),
            silent("it can be used", {USABLE: "1x24"}, "4m"),
            silent("another exporter takes over", {USABLE: "1x4 stale", USABLE_TOO: "_x5 1x20"}, "4m"),
            silent("one look failed", {USABLE: "1x4 0x3 1x20"}, "4m"),
        ),
    ),
)
