"""The product: secrets, the audit trail, policies, and what later releases add."""

from scaivault.observability.catalogue.series import TO_COME, Kind, Maker, Scope, Series
from scaivault.observability.catalogue.vocabulary import (
    ACTIONS,
    ATTENDANCE,
    CAP,
    JOBS,
    MOST_CERTIFICATES,
    MOST_READERS,
    OUTCOMES,
    SECRET_TYPES,
    TRUTHS,
    WITHIN_DAYS,
)

_EXPORTER = (Maker.EXPORTER,)

SECRET_READS = Series(
    "scaivault_secret_reads_total",
    Kind.COUNTER,
    "Secret values handed out.",
    {"tenant": CAP, "secret_type": SECRET_TYPES},
)
SECRET_WRITES = Series("scaivault_secret_writes_total", Kind.COUNTER, "Secret versions written.", {"tenant": CAP})
SECRETS_TOTAL = Series(
    "scaivault_secrets_total",
    Kind.GAUGE,
    "Live secrets. A gauge in spite of its name, which is the documented one; scaivault_secrets is the same.",
    {"tenant": CAP},
    scope=Scope.CLUSTER,
    made_by=_EXPORTER,
    lint_exception="the name is the documented one",
)
SECRETS = Series(
    "scaivault_secrets",
    Kind.GAUGE,
    "Live secrets: those that are not deleted.",
    {"tenant": CAP},
    scope=Scope.CLUSTER,
    made_by=_EXPORTER,
)
TOP_READERS = Series(
    "scaivault_top_readers",
    Kind.GAUGE,
    f"Secret reads of an hour in the audit trail, of the {MOST_READERS} identities that read most, each behind the "
    "tenant it belongs to. The hour ended 15 s before the look: an entry that is written later than that is missed, "
    "and so is an identity in a minute in which 10,000 others read more.",
    {"identity": MOST_READERS},
    scope=Scope.CLUSTER,
    made_by=_EXPORTER,
    starts_at_zero=False,
)
AUDIT_ENTRIES = Series(
    "scaivault_audit_entries_total",
    Kind.COUNTER,
    "Audit entries written. One that is rolled back with its operation has been counted.",
    {"action": ACTIONS, "success": TRUTHS},
    made_by=(Maker.API, Maker.WORKER),
)
AUDIT_APPEND_SECONDS = Series(
    "scaivault_audit_append_seconds",
    Kind.HISTOGRAM,
    "Time of the statement that writes an audit entry; for reads it is the look-up as well, and the commit.",
    unit="seconds",
    made_by=(Maker.API, Maker.WORKER),
)
POLICY_VIOLATIONS = Series(
    "scaivault_policy_violations_total",
    Kind.COUNTER,
    "Requests refused by scope or policy. Told of a tenant from when a process first knows one of its tokens.",
    {"tenant": CAP},
)

WEBHOOK_DELIVERY_SECONDS = Series(
    "scaivault_webhook_delivery_duration_seconds",
    Kind.HISTOGRAM,
    "Time of an attempt at a delivery, failures included.",
    unit="seconds",
    made_by=(Maker.WORKER,),
)
WEBHOOK_ATTEMPTS = Series(
    "scaivault_webhook_attempts_total",
    Kind.COUNTER,
    "Attempts at deliveries, told from before the first one. One that failed is followed by others, until its delivery "
    "is given up.",
    {"webhook": CAP, "status": OUTCOMES},
    made_by=(Maker.WORKER,),
)
WEBHOOK_DELIVERIES = Series(
    "scaivault_webhook_deliveries_total",
    Kind.COUNTER,
    "Deliveries ended: arrived, or given up after the last attempt. Told from before a webhook's first attempt.",
    {"webhook": CAP, "status": OUTCOMES},
    made_by=(Maker.WORKER,),
)
WEBHOOK_QUEUE_DEPTH = Series(
    "scaivault_webhook_queue_depth",
    Kind.GAUGE,
    "Deliveries that are due and not done, and events that are not in a queue yet.",
    scope=Scope.CLUSTER,
    made_by=_EXPORTER,
)
WEBHOOK_OLDEST_PENDING_SECONDS = Series(
    "scaivault_webhook_oldest_pending_seconds",
    Kind.GAUGE,
    "How long the oldest due delivery has been due.",
    unit="seconds",
    scope=Scope.CLUSTER,
    made_by=_EXPORTER,
)
SUBSCRIPTIONS_SUSPENDED = Series(
    "scaivault_subscriptions_suspended",
    Kind.GAUGE,
    "Subscriptions that are delivered to a webhook, and told nothing because their owner does not administer the "
    "tenant any more.",
    scope=Scope.CLUSTER,
    made_by=_EXPORTER,
)
SECRET_ROTATIONS = Series(
    "scaivault_secret_rotations_total",
    Kind.COUNTER,
    "Rotations: done, by a schedule, a request or a write, or attempts that failed.",
    {"status": OUTCOMES},
    made_by=(Maker.WORKER, Maker.API),
)
ROTATION_QUEUE_DEPTH = Series(
    "scaivault_rotation_queue_depth",
    Kind.GAUGE,
    "Rotations that are due and not done, without those that failed and will be tried again and those that wait for "
    "somebody to write the next value; counted up to 20,000.",
    scope=Scope.CLUSTER,
    made_by=_EXPORTER,
)
ROTATION_OLDEST_DUE_SECONDS = Series(
    "scaivault_rotation_oldest_due_seconds",
    Kind.GAUGE,
    "How long the oldest due rotation that did not fail has been due.",
    unit="seconds",
    scope=Scope.CLUSTER,
    made_by=_EXPORTER,
)
SECRETS_ROTATION_OVERDUE = Series(
    "scaivault_secrets_rotation_overdue",
    Kind.GAUGE,
    "Secrets whose grace period ended without a new version.",
    scope=Scope.CLUSTER,
    made_by=_EXPORTER,
)
SECRETS_ROTATION_FAILING = Series(
    "scaivault_secrets_rotation_failing",
    Kind.GAUGE,
    "Secrets that are due, whose last attempt at a rotation failed, and that will be tried again; overdue ones too.",
    scope=Scope.CLUSTER,
    made_by=_EXPORTER,
)
BACKGROUND_WORKERS = Series(
    "scaivault_background_workers",
    Kind.GAUGE,
    "Workers by their heartbeats: live, seen within 30 s; missing, fewer than WORKERS_EXPECTED, or, where that is not "
    "set, gone within a day without ending as they should, and nobody has started in their place.",
    {"state": ATTENDANCE},
    scope=Scope.CLUSTER,
    made_by=_EXPORTER,
)
WORKER_JOBS = Series(
    "scaivault_worker_jobs_total",
    Kind.COUNTER,
    "Batches that workers did, by duty; looking and finding nothing to do is none.",
    {"job": JOBS, "status": OUTCOMES},
    made_by=(Maker.WORKER,),
)
WORKER_LAST_SUCCESS = Series(
    "scaivault_worker_last_success_timestamp_seconds",
    Kind.GAUGE,
    "When a duty last succeeded, finding nothing to do included.",
    {"job": JOBS},
    "seconds",
    made_by=(Maker.WORKER,),
    starts_at_zero=False,
)

_HERE = (
    SECRET_READS,
    SECRET_WRITES,
    SECRETS_TOTAL,
    SECRETS,
    TOP_READERS,
    AUDIT_ENTRIES,
    AUDIT_APPEND_SECONDS,
    POLICY_VIOLATIONS,
    WEBHOOK_DELIVERY_SECONDS,
    WEBHOOK_ATTEMPTS,
    WEBHOOK_DELIVERIES,
    WEBHOOK_QUEUE_DEPTH,
    SUBSCRIPTIONS_SUSPENDED,
    WEBHOOK_OLDEST_PENDING_SECONDS,
    SECRET_ROTATIONS,
    ROTATION_QUEUE_DEPTH,
    ROTATION_OLDEST_DUE_SECONDS,
    SECRETS_ROTATION_OVERDUE,
    SECRETS_ROTATION_FAILING,
    BACKGROUND_WORKERS,
    WORKER_JOBS,
    WORKER_LAST_SUCCESS,
)


def _counter(name: str, help_text: str, *makers: Maker, **labels: tuple[str, ...] | int) -> Series:
    return Series(name, Kind.COUNTER, help_text, labels, made_by=makers, since=TO_COME)


def _fact(name: str, help_text: str, unit: str = "", **labels: tuple[str, ...] | int) -> Series:
    return Series(name, Kind.GAUGE, help_text, labels, unit, Scope.CLUSTER, _EXPORTER, TO_COME, starts_at_zero=False)


# A later release makes a constant of each when it builds what it tells of, and gives it its `since`.
_TO_COME = (
    _fact("scaivault_certificates_active", "Certificates neither expired nor revoked.", ca_id=CAP),
    _fact(
        "scaivault_certificates_expiring_soon",
        "Live certificates, not superseded by a renewal, that expire within so many days; cumulative.",
        within_days=WITHIN_DAYS,
    ),
    _fact(
        "scaivault_certificate_not_after_timestamp_seconds",
        f"When a certificate expires, of the {MOST_CERTIFICATES} that expire first.",
        "seconds",
        ca_id=CAP,
        serial=MOST_CERTIFICATES,
        common_name=MOST_CERTIFICATES,
    ),
    _fact("scaivault_ca_not_after_timestamp_seconds", "When a CA's certificate expires.", "seconds", ca_id=CAP),
    _fact("scaivault_crl_next_update_timestamp_seconds", "When a CA's list must be renewed.", "seconds", ca_id=CAP),
    _counter("scaivault_acme_orders_total", "ACME orders ended.", Maker.WORKER, provider=CAP, status=OUTCOMES),
    _fact("scaivault_leases_active", "Leases that live.", engine=CAP),
    _fact("scaivault_leases_expired_unrevoked", "Leases past their end whose login still exists.", engine=CAP),
    _counter("scaivault_leases_generated_total", "Leases handed out.", Maker.API, engine=CAP, role=CAP),
    _counter(
        "scaivault_lease_revocations_total", "Leases revoked.", Maker.WORKER, Maker.API, engine=CAP, status=OUTCOMES
    ),
    _fact("scaivault_engine_health", "1 if the engine's target lets the vault log in, 0 if not.", engine=CAP),
    _counter("scaivault_anomalies_total", "Findings in the audit trail.", Maker.WORKER, kind=CAP),
    _fact("scaivault_audit_export_last_success_timestamp_seconds", "When an export last succeeded.", "seconds"),
    _fact("scaivault_audit_chain_verified_timestamp_seconds", "When the chain was last verified.", "seconds"),
    _fact("scaivault_audit_chain_ok", "1 if the audit trail's chain was whole when last verified, 0 if not."),
)

SERIES = (*_HERE, *_TO_COME)
