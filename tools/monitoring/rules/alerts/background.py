"""What nobody waits for, and somebody misses: rotation, webhooks, the worker, the exporter."""

from tools.monitoring.rules.installations import INSTALLATION, every_job, gone, up
from tools.monitoring.rules.model import Alert, Panel, Seen, silent

_BACKGROUND = "scaivault-background"
_EXPORTER, _WORKER = (
    'job="scaivault-exporter",instance="exporter-0:9465"',
    'job="scaivault-worker",instance="worker-0:9466"',
)
_EXPORTER_TOO = 'job="scaivault-exporter",instance="exporter-1:9465"'
DUE = f"scaivault_rotation_oldest_due_seconds{{{_EXPORTER}}}"
FAILING = f"scaivault_secrets_rotation_failing{{{_EXPORTER}}}"
OVERDUE = f"scaivault_secrets_rotation_overdue{{{_EXPORTER}}}"
OVERDUE_TOO = f"scaivault_secrets_rotation_overdue{{{_EXPORTER_TOO}}}"
PENDING = f"scaivault_webhook_oldest_pending_seconds{{{_EXPORTER}}}"
LOOKED = f'scaivault_exporter_up{{{_EXPORTER},collector="secrets"}}'
LOOKED_TOO = f'scaivault_exporter_up{{{_EXPORTER_TOO},collector="secrets"}}'
EXPORTER_UP, EXPORTER_UP_TOO = f"up{{{_EXPORTER}}}", f"up{{{_EXPORTER_TOO}}}"
MISSING = f'scaivault_background_workers{{{_EXPORTER},state="missing"}}'
MISSING_TOO = f'scaivault_background_workers{{{_EXPORTER_TOO},state="missing"}}'
WORKER_UP = f"up{{{_WORKER}}}"
WORKER_UP_TOO = 'up{job="scaivault-worker",instance="worker-1:9466"}'
# `exported_job`: what Prometheus makes of the vault's own label `job`.
SUCCEEDED = f'scaivault_worker_last_success_timestamp_seconds{{{_WORKER},exported_job="webhook_delivery"}}'
BATCHES = f'scaivault_worker_jobs_total{{{_WORKER},exported_job="webhook_delivery",status="success"}}'


def attempts(status: str, values: str, webhook: str = "wh_1") -> dict[str, str]:
    return {f'scaivault_webhook_attempts_total{{{_WORKER},webhook="{webhook}",status="{status}"}}': values}


PROD = {"cluster": "a", "namespace": "prod", "release": "vault"}


def _but_for(job: str) -> dict[str, str]:
    """Two releases of a namespace; of the first the pods of one job are gone."""
    both = every_job("1x60", **PROD) | every_job("1x60", **PROD | {"release": "two"})
    return both | up(job, "1x4 stale", **PROD)


ALERTS = (
    Alert(
        "ScaiVaultRotationQueueStuck",
        "ticket",
        "cluster:scaivault_rotation_oldest_due_seconds:max > <rotation_due_seconds>",
        "5m",
        "Rotations are not done when they are due",
        "The oldest rotation has been due for {{ $value | humanizeDuration }} and nobody has tried it. No worker runs, or they do "
        "not get through. Secrets stay readable with their present value, and get older than their policy allows.",
        Panel(_BACKGROUND, "Rotation queue"),
        (
            Seen("nobody rotates", {DUE: "0+15x120"}, "25m"),
            silent("they are done within minutes", {DUE: "0+15x20 0+15x20 0+15x20 0+15x20"}, "20m"),
            silent("none is due", {DUE: "0x120"}, "25m"),
        ),
    ),
    Alert(
        "ScaiVaultRotationFailing",
        "ticket",
        "cluster:scaivault_secrets_rotation_failing:max > 0",
        "10m",
        "Rotations fail: {{ $value }}",
        "{{ $value }} secrets are due and have failed to be rotated for 10 minutes and several attempts. The present values "
        "stay valid; what was to be replaced is not. The audit trail has the reason of each.",
        Panel(_BACKGROUND, "Rotations that fail"),
        (
            Seen("the target refuses", {FAILING: "0x10 1x80"}, "15m"),
            Seen("its pauses are hours", {FAILING: "0x10 1x2000"}, "8h"),
            silent("one failed and is done by the next attempts", {FAILING: "0x10 1x30 0x40"}, "15m"),
            silent("all succeed", {FAILING: "0x70"}, "15m"),
        ),
    ),
    Alert(
        "ScaiVaultRotationOverdue",
        "ticket",
        "cluster:scaivault_secrets_rotation_overdue:max > 0",
        "15m",
        "Secrets are overdue for rotation: {{ $value }}",
        "Their grace period ended without a new version. Somebody outside has to write it, or the "
        "automatic rotation fails. They stay readable.",
        Panel(_BACKGROUND, "Rotations overdue"),
        (
            Seen("one is late", {OVERDUE: "0x10 1x80"}, "20m"),
            silent("none is", {OVERDUE: "0x90"}, "20m"),
            silent("it is rotated at last", {OVERDUE: "0x10 1x50 0x40"}, "20m"),
            silent("the exporter changes", {OVERDUE: "0x10 stale", OVERDUE_TOO: "_x11 0x80"}, "20m"),
        ),
    ),
    Alert(
        "ScaiVaultWebhookQueueGrowing",
        "ticket",
        "cluster:scaivault_webhook_oldest_pending_seconds:max > <webhook_pending_seconds>",
        "5m",
        "Webhooks are told late",
        "The oldest delivery has been due for {{ $value | humanizeDuration }}. No worker runs, or more happens than they can tell. "
        "Nothing is lost within a week; receivers hear of changes late. Retries that are not due yet do not count.",
        Panel(_BACKGROUND, "Webhook queue"),
        (
            Seen("nobody delivers", {PENDING: "0+15x100"}, "20m"),
            silent("a burst is told within minutes", {PENDING: "0+15x20 0x80"}, "20m"),
            silent("nothing is pending", {PENDING: "0x100"}, "20m"),
        ),
    ),
    Alert(
        "ScaiVaultWebhookSuccessLow",
        "ticket",
        "webhook:scaivault_webhook_attempts_failed:ratio_increase1h > <webhook_failed_share>\n"
        "and webhook:scaivault_webhook_attempts:increase1h >= <fewest_attempts>",
        "5m",
        "Webhook {{ $labels.webhook }} is not told of what happens",
        "{{ $value | humanizePercentage }} of an hour's attempts to deliver to {{ $labels.webhook }} failed. "
        "Its receiver is away or refuses them; after 50 deliveries that were given up it is disabled. Others are not affected.",
        Panel(_BACKGROUND, "Webhook success"),
        (
            Seen(
                "one of two webhooks is refused a tenth",
                attempts("success", "0+9x80") | attempts("failed", "0+1x80") | attempts("success", "0+10x80", "wh_2"),
                "20m",
                labels={"webhook": "wh_1"},
            ),
            Seen("it is never told", attempts("failed", "0+1x80"), "20m", labels={"webhook": "wh_1"}),
            Seen(
                "it was told until now",
                attempts("success", "0+1x30 30x50") | attempts("failed", "_x30 1+1x50"),
                "20m",
            ),
            silent("one in a hundred fails", attempts("success", "0+99x80") | attempts("failed", "0+1x80"), "20m"),
            silent("there were few", attempts("success", "0x10 5x70") | attempts("failed", "0x10 5x70"), "20m"),
            silent("none ever failed", attempts("success", "0+10x80"), "20m"),
        ),
    ),
    Alert(
        "ScaiVaultExporterStale",
        "ticket",
        # One of them leads, in whichever zone, and the others say 0.
        f"max by ({INSTALLATION}, collector) (scaivault_exporter_up) == 0",
        "5m",
        "The exporter sees nothing of {{ $labels.collector }}",
        "No exporter has succeeded in looking at {{ $labels.collector }} for 5 minutes; what it saw before is withdrawn, and "
        "alerts that go by it are blind. PostgreSQL, Redis or the key service refuses it or is slow, or its role lacks a grant.",
        Panel(_BACKGROUND, "Exporter"),
        (
            Seen("the look fails", {LOOKED: "1x4 0x40"}, "8m", labels={"collector": "secrets"}),
            Seen("neither leads", {LOOKED: "1x4 0x40", LOOKED_TOO: "0x44"}, "8m"),
            silent("the other one leads", {LOOKED: "1x4 0x40", LOOKED_TOO: "0x6 1x40"}, "8m"),
            silent(
                "the one of another zone leads",
                {LOOKED.replace("}", ',zone="a"}'): "0x44", LOOKED_TOO.replace("}", ',zone="b"}'): "1x44"},
                "8m",
            ),
            silent("one look fails", {LOOKED: "1x4 0 1x40"}, "8m"),
        ),
    ),
    Alert(
        "ScaiVaultExporterDown",
        "page",
        gone("scaivault-exporter"),
        "5m",
        "No exporter can be reached{{ with $labels.namespace }} in {{ . }}{{ end }}",
        "Prometheus has reached no exporter for 5 minutes. The vault serves as ever; what is true of the whole deployment "
        "(queues, the root key, overdue rotations) is told by nobody, and alerts that go by it are blind.",
        Panel(_BACKGROUND, "Exporter"),
        (
            Seen("it ends", {EXPORTER_UP: "1x4 0x40"}, "8m"),
            Seen("nobody scrapes it", {WORKER_UP: "1x40"}, "6m"),
            Seen("that of one installation is gone", _but_for("scaivault-exporter"), "8m", labels=PROD),
            silent("one of two ends", {EXPORTER_UP: "1x4 0x40", EXPORTER_UP_TOO: "1x44"}, "8m"),
            silent("it was taken down on purpose", every_job("1x4 stale", **PROD), "70m"),
        ),
    ),
    Alert(
        "ScaiVaultWorkerStalled",
        "ticket",
        "duty:scaivault_worker_silent_seconds:min > <duty_silent_seconds>",
        "5m",
        "No worker gets {{ $labels.exported_job }} done",
        "{{ if gt $value 1e9 }}{{ $labels.exported_job }} has not succeeded since the workers started"
        "{{ else }}{{ $labels.exported_job }} last succeeded {{ $value | humanizeDuration }} ago{{ end }}, "
        "finding nothing to do included. Workers run, but this duty fails or hangs: their log says duty_failed and why.",
        Panel(_BACKGROUND, "Workers' duties"),
        (
            Seen(
                "it succeeds no more",
                {SUCCEEDED: "0+15x20 300x60", BATCHES: "0+1x80"},
                "17m",
                labels={"exported_job": "webhook_delivery"},
            ),
            Seen("it never succeeded", {BATCHES: "0x80"}, "12m", labels={"exported_job": "webhook_delivery"}),
            silent("it succeeds", {SUCCEEDED: "0+15x80", BATCHES: "0+1x80"}, "17m"),
            silent(
                "another worker succeeds",
                {SUCCEEDED: "0+15x20 300x60", SUCCEEDED.replace("worker-0", "worker-1"): "0+15x80", BATCHES: "0+1x80"},
                "17m",
            ),
            silent("it has just started", {SUCCEEDED: "_x4 60+15x80", BATCHES: "0x80"}, "6m"),
        ),
    ),
    Alert(
        "ScaiVaultWorkerDown",
        "page",
        gone("scaivault-worker"),
        "5m",
        "No worker can be reached{{ with $labels.namespace }} in {{ . }}{{ end }}",
        "Prometheus has reached no worker for 5 minutes. Requests are served; nothing is rotated, no webhook is told, and what "
        "is due waits until one runs. Nothing of it is lost within a week.",
        Panel(_BACKGROUND, "Workers' duties"),
        (
            Seen("it ends", {WORKER_UP: "1x4 0x40"}, "8m"),
            Seen("nobody scrapes it", {EXPORTER_UP: "1x40"}, "6m"),
            Seen("that of one installation is gone", _but_for("scaivault-worker"), "8m", labels=PROD),
            silent("one of two ends", {WORKER_UP: "1x4 0x40", WORKER_UP_TOO: "1x44"}, "8m"),
            silent("it was taken down on purpose", every_job("1x4 stale", **PROD), "70m"),
            silent("it is replaced", {WORKER_UP: "1x4 0x8 1x40"}, "8m"),
        ),
    ),
    Alert(
        "ScaiVaultWorkerMissing",
        "ticket",
        'cluster:scaivault_background_workers:max{state="missing"} > 0',
        "10m",
        "Workers are missing: {{ $value }}",
        "For 10 minutes {{ $value }} workers have been missing by their heartbeats: fewer live than are expected, or one went without a "
        "word and none came in its place. A pod that was evicted or killed leaves Prometheus's list of targets, so no other alert "
        "tells of it. Others do its work; the next one that goes may be the last.",
        Panel(_BACKGROUND, "Workers"),
        (
            Seen("a pod is evicted and not placed", {MISSING: "0x4 1x60"}, "13m"),
            Seen("the exporter changes meanwhile", {MISSING: "0x4 1x20 stale", MISSING_TOO: "_x22 1x60"}, "13m"),
            silent("it is placed on another node", {MISSING: "0x4 1x30 0x30"}, "13m"),
            silent("all are there", {MISSING: "0x70"}, "13m"),
        ),
    ),
)
