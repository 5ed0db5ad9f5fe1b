"""What the vault stands on: PostgreSQL, Redis, the key service. Who is slow, who is away, how full it is."""

from tools.monitoring.dashboards import variables
from tools.monitoring.dashboards.panel import Color, Dashboard, Kind, Panel, Query, Row, Text
from tools.monitoring.dashboards.promql import fact, quantile, quantiles, rate, share
from tools.monitoring.thresholds import PRODUCTION as LINES

DB, REDIS, KMS = (f"scaivault_{name}_latency_seconds" for name in ("db", "redis", "kms"))
TIMES = {"P50": Color.GREEN, "P95": Color.BLUE, "P99": Color.ORANGE}

POSTGRES = (
    Panel(
        1,
        "PostgreSQL latency",
        Kind.LINES,
        "s",
        shows="Time from sending a statement until its rows were read, probes included, of all processes.",
        normal="P50 of a millisecond or two, P99 below 50 ms.",
        act="Look at PostgreSQL: locks, I/O, a missing vacuum. Every request waits for it; the runbook has queries.",
        queries=quantiles(DB),
        steps=((LINES.database_seconds, Color.RED),),
        shades=TIMES,
        alerts=("ScaiVaultDatabaseSlow",),
    ),
    Panel(
        2,
        "PostgreSQL pool",
        Kind.LINES,
        "short",
        shows="Connections in the pools of live processes: in use, open, how many there may be, and who waits for one.",
        normal="Nobody waits. What is open follows what is in use, up to the most: processes times DATABASE_POOL_SIZE.",
        act="Some wait for minutes: if latency is up heal that; else add processes (scaling.md).",
        queries=(
            Query(
                "sum by (job) (scaivault_db_pool_size) - sum by (job) (scaivault_db_pool_available)", "{{job}} in use"
            ),
            Query("sum by (job) (scaivault_db_pool_size)", "{{job}} open"),
            Query("sum by (job) (scaivault_db_pool_max)", "{{job}} most"),
            Query("sum by (job) (scaivault_db_pool_waiting)", "{{job}} waiting"),
        ),
        shades={"in use$": Color.GREEN, "open$": Color.BLUE, "most$": Color.ORANGE, "waiting$": Color.RED},
        alerts=("ScaiVaultDatabasePoolExhausted",),
    ),
    Panel(
        3,
        "PostgreSQL calls",
        Kind.LINES,
        "ops",
        shows="Statements a second, by job.",
        normal="About one or two a request, and a few of upkeep.",
        act="Many times the requests: a cache does not hold (Cache hits), or a worker catches up (Background work).",
        queries=(Query(rate(f"{DB}_count", "job"), "{{job}}"),),
    ),
)
CACHE = (
    Panel(
        4,
        "Redis latency",
        Kind.LINES,
        "s",
        shows="Time of a call to Redis, probes included, of all processes.",
        normal="P99 below 5 ms.",
        act="Look at Redis: memory, slow log, network. Limits wait for it briefly, then go on without it.",
        queries=quantiles(REDIS),
        steps=((LINES.redis_seconds, Color.RED),),
        shades=TIMES,
        alerts=("ScaiVaultRedisSlow",),
    ),
    Panel(
        5,
        "Limited without Redis",
        Kind.LINES,
        "reqps",
        shows="Requests limited by a process's own buckets, because Redis did not answer.",
        normal="Zero.",
        act="Bring Redis back. Requests are served meanwhile, and each process limits on its own.",
        queries=(Query(rate("scaivault_rate_limit_local_total"), "limited locally"),),
        steps=((0.01, Color.RED),),
        alerts=("ScaiVaultRedisUnavailable",),
    ),
    Panel(
        6,
        "Redis calls",
        Kind.LINES,
        "ops",
        shows="Calls to Redis a second, by job.",
        normal="About one a request.",
        act="Zero under traffic: Redis is away, see Limited without Redis.",
        queries=(Query(rate(f"{REDIS}_count", "job"), "{{job}}"),),
    ),
)
KEYS = (
    Panel(
        7,
        "Root key",
        Kind.STATES,
        "none",
        shows="Whether the key service says that the root key may be used.",
        normal="Usable throughout.",
        act="At once: see the runbook. What processes have unwrapped opens for KEY_CACHE_SECONDS, then nothing does.",
        queries=(Query(fact("scaivault_kms_key_usable"), "root key"),),
        width=6,
        texts=(Text(1, "usable", Color.GREEN), Text(0, "NOT USABLE", Color.RED)),
        alerts=("ScaiVaultKmsKeyUnusable",),
        most=1,
    ),
    Panel(
        8,
        "Key service latency",
        Kind.LINES,
        "s",
        shows="The time that 99 % of the calls to the key service took at most, by operation, failures included.",
        normal="A file: below a millisecond. AWS KMS: below 50 ms. An HSM: what its maker says.",
        act="First reads of each tenant wait for it, and readiness. Ask the provider's status page; see the runbook.",
        queries=(Query(quantile(0.99, KMS, "operation"), "{{operation}}"),),
        width=6,
        steps=((LINES.kms_seconds, Color.RED),),
        alerts=("ScaiVaultKmsSlow",),
    ),
    Panel(
        9,
        "Key service errors",
        Kind.LINES,
        "ops",
        shows="Calls a second that the key service did not do, by operation.",
        normal="Zero.",
        act="Credentials, network, quota or the key itself: the log says which (`logger` is the key service's).",
        queries=(Query(rate("scaivault_kms_errors_total", "operation"), "{{operation}}"),),
        width=6,
        steps=((0.001, Color.RED),),
        alerts=("ScaiVaultKmsErrors",),
    ),
    Panel(
        10,
        "Key service calls",
        Kind.LINES,
        "ops",
        shows="Calls to the key service a second, by operation.",
        normal="A probe every few seconds a process, and one call for each tenant and KEY_CACHE_SECONDS.",
        act="Far more: the key cache does not hold (Cache hits, tenant_key). It costs money and latency.",
        queries=(Query(rate(f"{KMS}_count", "operation"), "{{operation}}"),),
        width=6,
    ),
    Panel(
        11,
        "Root key in force since",
        Kind.STAT,
        "dateTimeAsIso",
        shows="When everything had come under the present root key.",
        normal="Younger than your rule for key rotation.",
        act="Renew it: docs/operations/key-rotation.md.",
        queries=(Query(f"{fact('scaivault_kms_key_last_rotation_timestamp_seconds')} * 1000", "since"),),
        width=6,
        height=6,
        base=Color.BLUE,
        texts=(Text(0, "the first", Color.BLUE),),
    ),
    Panel(
        12,
        "Cache hits",
        Kind.LINES,
        "percentunit",
        shows="The share of look-ups that a process's own caches answered, by cache.",
        normal="Above 90 % under steady traffic; low after a restart, and for rare callers.",
        act="Low for long: authority that changes all the time (policies, tokens), or more tenants than fit.",
        queries=(
            Query(
                share(
                    rate('scaivault_cache_requests_total{result=~"hit|shared"}', "cache"),
                    rate("scaivault_cache_requests_total", "cache"),
                ),
                "{{cache}}",
            ),
        ),
        width=18,
        height=6,
        most=1,
        while_empty="no traffic",
    ),
)

DEPENDENCIES = Dashboard(
    "scaivault-dependencies",
    "ScaiVault / Dependencies",
    "Which of PostgreSQL, Redis and the key service is slow, away or full.",
    (Row(100, "PostgreSQL"), *POSTGRES, Row(101, "Redis"), *CACHE, Row(102, "Keys"), *KEYS),
    variables.EVERYWHERE,
)
