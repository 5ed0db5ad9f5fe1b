"""What the vault stands on: PostgreSQL, Redis, the key service, its own caches."""

from scaivault.observability.catalogue.series import Kind, Maker, Scope, Series
from scaivault.observability.catalogue.vocabulary import CACHE_RESULTS, CACHES, DEPENDENCIES, KMS_OPERATIONS

_EVERY_PROCESS = (Maker.API, Maker.WORKER, Maker.EXPORTER)
_API_AND_WORKER = (Maker.API, Maker.WORKER)

DEPENDENCY_READY = Series(
    "scaivault_dependency_ready",
    Kind.GAUGE,
    "1 if every live process of the pod finds this dependency well, as its readiness says. Encryption is the key "
    "service with its root key.",
    {"dependency": DEPENDENCIES},
    made_by=_API_AND_WORKER,
    is_least=True,
)
DB_SECONDS = Series(
    "scaivault_db_latency_seconds",
    Kind.HISTOGRAM,
    "Time from sending a statement to PostgreSQL until its rows were read, probes included.",
    unit="seconds",
    made_by=_EVERY_PROCESS,
)
REDIS_SECONDS = Series(
    "scaivault_redis_latency_seconds",
    Kind.HISTOGRAM,
    "Time of a call to Redis, probes included.",
    unit="seconds",
    made_by=_EVERY_PROCESS,
)
KMS_SECONDS = Series(
    "scaivault_kms_latency_seconds",
    Kind.HISTOGRAM,
    "Time of a call to the key service, probes and failures included.",
    {"operation": KMS_OPERATIONS},
    "seconds",
    made_by=_API_AND_WORKER,
)
KMS_ERRORS = Series(
    "scaivault_kms_errors_total",
    Kind.COUNTER,
    "Calls that the key service did not do.",
    {"operation": KMS_OPERATIONS},
    made_by=_API_AND_WORKER,
)
KMS_KEY_USABLE = Series(
    "scaivault_kms_key_usable",
    Kind.GAUGE,
    "1 if the key service says that the root key may be used, 0 if it is disabled, to be deleted or not reachable.",
    scope=Scope.CLUSTER,
    made_by=(Maker.EXPORTER,),
)
KMS_KEY_LAST_ROTATION = Series(
    "scaivault_kms_key_last_rotation_timestamp_seconds",
    Kind.GAUGE,
    "When everything had come under the present root key, 0 if there has been no other.",
    unit="seconds",
    scope=Scope.CLUSTER,
    made_by=(Maker.EXPORTER,),
)
DB_POOL_SIZE = Series(
    "scaivault_db_pool_size",
    Kind.GAUGE,
    "Connections to PostgreSQL that are open in the pools of live processes. Pools grow and shrink with what is asked.",
    made_by=_API_AND_WORKER,
)
DB_POOL_MAX = Series(
    "scaivault_db_pool_max",
    Kind.GAUGE,
    "What the pools of live processes may grow to: DATABASE_POOL_SIZE of each.",
    made_by=_API_AND_WORKER,
)
DB_POOL_AVAILABLE = Series(
    "scaivault_db_pool_available",
    Kind.GAUGE,
    "Pooled connections to PostgreSQL not in use.",
    made_by=_API_AND_WORKER,
)
DB_POOL_WAITING = Series(
    "scaivault_db_pool_waiting",
    Kind.GAUGE,
    "Requests and duties that wait for a connection, because all of their process's are in use.",
    made_by=_API_AND_WORKER,
)
CACHE_REQUESTS = Series(
    "scaivault_cache_requests_total",
    Kind.COUNTER,
    "Look-ups in a process's caches; 'shared' waited for a load that another thread had begun.",
    {"cache": CACHES, "result": CACHE_RESULTS},
    made_by=_API_AND_WORKER,
)

SERIES = (
    DEPENDENCY_READY,
    DB_SECONDS,
    REDIS_SECONDS,
    KMS_SECONDS,
    KMS_ERRORS,
    KMS_KEY_USABLE,
    KMS_KEY_LAST_ROTATION,
    DB_POOL_SIZE,
    DB_POOL_MAX,
    DB_POOL_AVAILABLE,
    DB_POOL_WAITING,
    CACHE_REQUESTS,
)
