"""Requests, their limits, and the processes that serve them."""

from scaivault.observability.catalogue.series import Kind, Maker, Scope, Series
from scaivault.observability.catalogue.vocabulary import (
    LEVELS,
    METHODS,
    MOST_BUCKETS,
    PATH_CATEGORIES,
    PROCESSES,
    RATE_CATEGORIES,
    STATUSES,
    WORKER_STATES,
)

REQUESTS = Series(
    "scaivault_requests_total",
    Kind.COUNTER,
    "Requests answered. Those with 500 and 503 are told from the start, of each method and category that is served.",
    {"method": METHODS, "path_category": PATH_CATEGORIES, "status": STATUSES},
    starts_at_zero=False,
)
REQUEST_SECONDS = Series(
    "scaivault_request_duration_seconds",
    Kind.HISTOGRAM,
    "Time from a request's arrival in the application until its answer was ready, without what it waited for an event.",
    {"method": METHODS, "path_category": PATH_CATEGORIES},
    "seconds",
    starts_at_zero=False,
)
ACTIVE_REQUESTS = Series(
    "scaivault_active_requests",
    Kind.GAUGE,
    "Requests being worked on now. Those that wait for an event are not: see scaivault_waiting_requests.",
    {"path_category": PATH_CATEGORIES},
)
WAITING_REQUESTS = Series(
    "scaivault_waiting_requests", Kind.GAUGE, "Requests that wait for an event, on threads that they have lent."
)
RATE_LIMIT_HITS = Series(
    "scaivault_rate_limit_hits_total",
    Kind.COUNTER,
    "Requests refused with 429.",
    {"category": RATE_CATEGORIES},
)
RATE_LIMIT_LOCAL = Series(
    "scaivault_rate_limit_local_total",
    Kind.COUNTER,
    "Requests limited by a process's own buckets, because Redis did not answer.",
    {"category": RATE_CATEGORIES},
)
RATE_LIMIT_BUCKET_FILL = Series(
    "scaivault_rate_limit_bucket_fill",
    Kind.GAUGE,
    f"Share of an identity's bucket that is left, 0 to 1: the {MOST_BUCKETS} emptiest buckets of each category; "
    "the fullest of the rest is __other__.",
    {"category": RATE_CATEGORIES, "identity": MOST_BUCKETS},
    scope=Scope.CLUSTER,
    made_by=(Maker.EXPORTER,),
    starts_at_zero=False,
)
LOG_MESSAGES = Series("scaivault_log_messages_total", Kind.COUNTER, "Log lines written.", {"level": LEVELS})
READY = Series(
    "scaivault_ready",
    Kind.GAUGE,
    "1 if every live process of the pod can serve, as its readiness says: 0 while one of them starts, misses something "
    "that it depends on, or ends.",
    made_by=(Maker.API, Maker.WORKER),
    is_least=True,
)
WORKERS = Series(
    "scaivault_workers",
    Kind.GAUGE,
    "Live processes of the API, by what they do.",
    {"state": WORKER_STATES},
)
RESIDENT_MEMORY = Series(
    "scaivault_process_resident_memory_bytes",
    Kind.GAUGE,
    "Resident memory of the live processes of a kind.",
    {"process": PROCESSES},
    "bytes",
    made_by=(Maker.API, Maker.WORKER, Maker.EXPORTER),
    starts_at_zero=False,
)
BUILD_INFO = Series(
    "scaivault_build_info",
    Kind.GAUGE,
    "1; its labels say what is running.",
    {"version": 1, "revision": 1, "python": 1},
    made_by=(Maker.API, Maker.WORKER, Maker.EXPORTER),
    starts_at_zero=False,
)

SERIES = (
    REQUESTS,
    REQUEST_SECONDS,
    ACTIVE_REQUESTS,
    WAITING_REQUESTS,
    RATE_LIMIT_HITS,
    RATE_LIMIT_LOCAL,
    RATE_LIMIT_BUCKET_FILL,
    LOG_MESSAGES,
    READY,
    WORKERS,
    RESIDENT_MEMORY,
    BUILD_INFO,
)
