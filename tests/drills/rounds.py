"""Which faults are injected, in which company, and who must be told of what."""

from tests.drills.drill import Injection, Round
from tests.drills.faults import cache, clients, database, kms, processes, rotation, webhooks

NOBODY_READY = ("ScaiVaultNotReady", "ScaiVaultInstanceNotReady")
SLOW = ("ScaiVaultLatencyBudgetBurnFast", "ScaiVaultLatencyBudgetBurnSlow")
ERRORS = (
    "ScaiVaultErrorBudgetBurnFast",
    "ScaiVaultErrorBudgetBurnMedium",
    "ScaiVaultErrorBudgetBurnSlow",
    "ScaiVaultCategoryFailing",
)
STALLED = ("ScaiVaultWorkerStalled",)

ROUNDS = (
    Round(
        "what does not disturb each other",
        (
            Injection(
                "`workers` is locked: no heartbeat", database.locked_workers, STALLED, {"exported_job": "heartbeat"}
            ),
            Injection(
                "a duty hangs while its worker's heart beats",
                database.hanging_retention,
                STALLED,
                {"exported_job": "event_retention"},
            ),
            Injection("a receiver answers 500 to most", webhooks.refusing, ("ScaiVaultWebhookSuccessLow",)),
            Injection("a receiver never answers", webhooks.silent, ("ScaiVaultWebhookQueueGrowing",)),
            Injection("what values are made by is off", rotation.failing, ("ScaiVaultRotationFailing",)),
            Injection("a transaction holds what is due", rotation.stuck, ("ScaiVaultRotationQueueStuck",)),
            Injection("nobody writes what is due", rotation.neglected, ("ScaiVaultRotationOverdue",)),
            Injection("a client ignores 429", clients.too_often, ("ScaiVaultRateLimitingSustained",)),
            Injection("a reader tries what it may not", clients.denied, ("ScaiVaultPolicyViolationSpike",)),
            Injection("505 tenants on one process", clients.of_too_many_tenants, ("ScaiVaultLabelsDropped",)),
            Injection("the exporter's role loses a grant", database.closed_to_exporter, ("ScaiVaultExporterStale",)),
            Injection("KMS answers 0.6 s late", kms.slow, ("ScaiVaultKmsSlow",)),
            Injection("Redis answers 0.03 s late", cache.slow, ("ScaiVaultRedisSlow",)),
        ),
        {
            "ScaiVaultDatabaseSlow": "the worker waits for its lock",
            "ScaiVaultWorkerMissing": "no heartbeat is written",
            "ScaiVaultRedisUnavailable": "0.05 s are soon over",
            **dict.fromkeys(NOBODY_READY, "of the key service readiness expects an answer within 1 s"),
        },
    ),
    Round(
        "PostgreSQL slow",
        (Injection("PostgreSQL answers 0.15 s late", database.slow, ("ScaiVaultDatabaseSlow", *SLOW)),),
        {"ScaiVaultAuditAppendSlow": "every statement is slow"},
    ),
    Round(
        "the trail slow, one worker of two away",
        (
            Injection("one of two workers is killed", processes.one_of_two_workers_killed, ("ScaiVaultWorkerMissing",)),
            Injection("appending to the trail takes 0.15 s", database.slow_audit, ("ScaiVaultAuditAppendSlow",)),
        ),
        dict.fromkeys([*SLOW, "ScaiVaultDatabaseSlow"], "requests wait for the trail")
        | {"ScaiVaultWebhookQueueGrowing": "what it had in hand waits until its lease ends"},
    ),
    Round(
        "PostgreSQL away",
        (Injection("PostgreSQL is stopped", database.stopped, (*NOBODY_READY, *ERRORS)),),
        {
            "ScaiVaultExporterStale": "it sees nothing",
            "ScaiVaultWorkerMissing": "no heartbeat is written",
            "ScaiVaultDatabaseSlow": "refused connections are tried again",
            "ScaiVaultWebhookQueueGrowing": "nothing can be delivered meanwhile",
            **dict.fromkeys(SLOW, "requests wait for connections"),
        },
    ),
    Round(
        "Redis away, root key disabled",
        (
            Injection("Redis stands still", cache.frozen, ("ScaiVaultRedisUnavailable",)),
            Injection("the root key is disabled", kms.disabled, ("ScaiVaultKmsKeyUnusable",)),
        ),
        dict.fromkeys(NOBODY_READY, "both fail readiness")
        | {
            "ScaiVaultKmsErrors": "its calls are refused",
            "ScaiVaultRedisSlow": "calls end by time-outs",
            "ScaiVaultExporterStale": "it sees no buckets",
        },
    ),
    Round(
        "connections used up, key service overloaded",
        (
            Injection("`secrets` is locked: connections wait", database.locked, ("ScaiVaultDatabasePoolExhausted",)),
            Injection("KMS throttles", kms.throttled, ("ScaiVaultKmsErrors",)),
        ),
        {
            "ScaiVaultDatabaseSlow": "statements wait for the lock",
            **dict.fromkeys([*SLOW, *ERRORS], "requests wait, and then fail"),
            **dict.fromkeys(NOBODY_READY, "a key that can not be used fails readiness"),
        },
    ),
    Round(
        "the API away",
        (
            Injection(
                "every process of the API is killed", processes.api_killed, ("ScaiVaultDown", "ScaiVaultInstanceDown")
            ),
        ),
    ),
    Round(
        "worker and exporter away, metrics without room",
        (
            Injection("the API has no room for metrics", processes.api_without_room, ("ScaiVaultMetricsMissing",)),
            Injection("the worker is killed", processes.worker_killed, ("ScaiVaultWorkerDown",)),
            Injection("the exporter is killed", processes.exporter_killed, ("ScaiVaultExporterDown",)),
        ),
        {
            "ScaiVaultDown": "it takes some seconds to start",
            "ScaiVaultInstanceDown": "so does it, and two are away",
            "ScaiVaultWebhookQueueGrowing": "nobody delivers meanwhile",
            "ScaiVaultWorkerMissing": "the only one is away",
        },
    ),
)
