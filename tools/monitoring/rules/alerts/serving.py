"""Is it there, is it ready, whom does it turn away, and can it be seen at all."""

from tools.monitoring.rules.installations import EVERY_JOB, INSTALLATION, every_job, gone, up
from tools.monitoring.rules.model import Alert, Panel, Seen, silent

UP = Panel("scaivault-overview", "Up and ready")
ONE = {'up{job="scaivault",instance="vault-0:9464"}': "1x40"}
READY = 'scaivault_ready{job="scaivault",instance="vault-0:9464"}'
READY_TOO = 'scaivault_ready{job="scaivault",instance="vault-1:9464"}'
HITS = 'scaivault_rate_limit_hits_total{job="scaivault",instance="vault-0:9464",category="read"}'
DROPPED = 'scaivault_metric_labels_dropped_total{job="scaivault",instance="vault-0:9464",series="scaivault_secret_reads_total"}'
PROD = {"cluster": "a", "namespace": "prod", "release": "vault"}
TEST = {"cluster": "a", "namespace": "test", "release": "vault"}


def _zones(east: str, west: str) -> dict[str, str]:
    """An API process of each, as static targets: what is down stays on the list."""
    return up("scaivault", east, "e", zone="east") | up("scaivault", west, "w", zone="west")


def _ready(east: str, west: str) -> dict[str, str]:
    return {
        'scaivault_ready{job="scaivault",instance="e",zone="east"}': east,
        'scaivault_ready{job="scaivault",instance="w",zone="west"}': west,
    }


ALERTS = (
    Alert(
        "ScaiVaultDown",
        "page",
        gone("scaivault"),
        "1m",
        "No instance of ScaiVault can be reached{{ with $labels.namespace }} in {{ . }}{{ end }}",
        "Prometheus has reached no API process for a minute: either none runs, or nobody scrapes job `scaivault` any more. "
        "Every request fails. Ask an instance for /v1/health yourself, then look at what starts them.",
        UP,
        (
            Seen("the only instance ends", {'up{job="scaivault",instance="vault-0:9464"}': "1x4 0x20"}, "3m"),
            Seen("nobody is scraped", {'up{job="scaivault-worker",instance="worker-0:9466"}': "1x20"}, "2m"),
            Seen(
                "its pods are gone, and others of the name serve beside it",
                every_job("1x4 stale", **PROD)
                | every_job("1x600", **TEST)
                | every_job("1x600", **PROD | {"cluster": "b"})
                | every_job("1x600", **PROD | {"release": "two"}),
                "30m",
                labels=PROD,
            ),
            Seen(
                "its worker knows of it after the hour",
                up("scaivault", "1x4 stale", **PROD) | up("scaivault-worker", "1x600", **PROD),
                "2h",
                labels=PROD,
            ),
            Seen("all zones are down", _zones("1x4 0x20", "1x4 0x20"), "3m"),
            silent("a zone is down", _zones("1x4 0x20", "1x30"), "3m"),
            silent("it was taken down on purpose", every_job("1x4 stale", **PROD) | every_job("1x600", **TEST), "63m"),
            silent("pods are replaced", up("scaivault", "1x9 stale", "b") | up("scaivault", "_x9 1x30"), "5m"),
            silent(
                "one of two ends",
                ONE | {'up{job="scaivault",instance="vault-1:9464"}': "1x4 0x20"},
                "3m",
            ),
            silent("a scrape fails", {'up{job="scaivault",instance="vault-0:9464"}': "1x4 0x2 1x20"}, "2m"),
        ),
    ),
    Alert(
        "ScaiVaultInstanceDown",
        "ticket",
        f"up{{{EVERY_JOB}}} == 0",
        "5m",
        "{{ $labels.instance }} of ScaiVault can not be reached",
        "Prometheus has not reached {{ $labels.instance }} ({{ $labels.job }}) for 5 minutes. Others may serve in its place: "
        "look at why it does not come back.",
        UP,
        (
            Seen(
                "one of two ends",
                ONE | {'up{job="scaivault",instance="vault-1:9464"}': "1x4 0x40"},
                "8m",
                labels={"instance": "vault-1:9464"},
            ),
            Seen(
                "one of two workers ends",
                up("scaivault-worker", "1x60") | up("scaivault-worker", "1x4 0x40", "b"),
                "8m",
                labels={"job": "scaivault-worker", "instance": "b"},
            ),
            silent("it restarts", {'up{job="scaivault",instance="vault-0:9464"}': "1x4 0x15 1x40"}, "9m"),
            silent("it is scaled away", {'up{job="scaivault",instance="vault-0:9464"}': "1x4 0x2 stale"}, "8m"),
        ),
    ),
    Alert(
        "ScaiVaultNotReady",
        "page",
        f'max by ({INSTALLATION}) (scaivault_ready{{job="scaivault"}}) == 0',
        "2m",
        "No instance of ScaiVault is ready",
        "All API processes run and none can serve: PostgreSQL, Redis or the key service is away, or all of them are ending. "
        "Load balancers send requests to nobody. `scaivault_dependency_ready` is 0 for what is away; /v1/health/ready on the "
        "internal port says of each in one word what is wrong.",
        UP,
        (
            Seen("both lose the database", {READY: "1x4 0x20", READY_TOO: "1x4 0x20"}, "4m"),
            silent("one of them does", {READY: "1x4 0x20", READY_TOO: "1x30"}, "4m"),
            silent("those of one zone do", _ready("1x4 0x20", "1x30"), "4m"),
            Seen("those of all zones do", _ready("1x4 0x20", "1x4 0x20"), "4m"),
            silent("it was one slow minute", {READY: "1x4 0x5 1x20"}, "4m"),
        ),
    ),
    Alert(
        "ScaiVaultInstanceNotReady",
        "ticket",
        "scaivault_ready == 0",
        "10m",
        "{{ $labels.instance }} of ScaiVault is not ready",
        "{{ $labels.instance }} ({{ $labels.job }}) runs, but at least one of its processes has not been ready for 10 minutes. "
        "`scaivault_dependency_ready` is 0 for what it misses; /v1/health/ready on its internal port says why in one word each.",
        UP,
        (
            Seen("one of two is cut off", {READY: "1x4 0x60", READY_TOO: "1x80"}, "12m"),
            silent("it drains and ends", {READY: "1x4 0x3 stale", READY_TOO: "1x80"}, "12m"),
        ),
    ),
    Alert(
        "ScaiVaultMetricsMissing",
        "ticket",
        f'up{{job=~"scaivault|scaivault-worker"}} == 1 unless on (job, instance, {INSTALLATION}) scaivault_ready\n'
        f"or absent(up{{{EVERY_JOB}}})",
        "10m",
        "{{ with $labels.instance }}{{ . }} tells nothing of itself{{ else }}Nothing of ScaiVault is scraped{{ end }}",
        "{{ with $labels.instance }}{{ . }} answers scrapes without its own series: METRICS_DIR has no room, or the job scrapes "
        "another address.{{ else }}Prometheus has these rules, and none of the jobs that they are about.{{ end }} All other "
        "alerts are blind to it.",
        UP,
        (
            Seen(
                "there is no room from the start", ONE | {'up{job="scaivault",instance="vault-0:9464"}': "1x60"}, "12m"
            ),
            Seen("nobody scrapes anything", {'up{job="node"}': "1x60"}, "12m"),
            silent("it tells", ONE | {READY: "1x60"}, "10m"),
        ),
    ),
    Alert(
        "ScaiVaultRateLimitingSustained",
        "ticket",
        "sum without (instance, pod) (rate(scaivault_rate_limit_hits_total[5m])) > <rate_limited_per_second>",
        "15m",
        "Requests of category {{ $labels.category }} are refused by rate limits",
        '{{ $value | printf "%.1f" }} requests a second of category {{ $labels.category }} have been answered 429 for a quarter of '
        "an hour. A client has grown beyond its limit or retries without waiting; in category failed_auth somebody may be "
        "guessing tokens.",
        Panel("scaivault-overview", "Refused by limits"),
        (
            Seen("a client polls too often", {HITS: "0+15x120"}, "25m", labels={"category": "read"}),
            silent("a burst", {HITS: "0+100x10 1000x110"}, "25m"),
            silent("nobody is refused", {HITS: "0x120"}, "25m"),
        ),
    ),
    Alert(
        "ScaiVaultLabelsDropped",
        "ticket",
        # News once: who has more tenants than are kept apart has them for good, and knows by tomorrow.
        "sum without (instance, pod) (increase(scaivault_metric_labels_dropped_total[1h])) > 0\n"
        "unless sum without (instance, pod) (increase(scaivault_metric_labels_dropped_total[1d] offset 1d)) > 0",
        "5m",
        "{{ $labels.series }} has more label values than it may",
        "{{ $value | humanize }} updates of {{ $labels.series }} within an hour were counted as `__other__`: there are more "
        "tenants or webhooks than a process keeps apart, or a value that is on no list. Sums stay right; who it was is lost.",
        Panel("scaivault-overview", "Labels dropped"),
        (
            Seen(
                "a tenant too many", {DROPPED: "0x10 0+1x40"}, "12m", labels={"series": "scaivault_secret_reads_total"}
            ),
            silent("all are known", {DROPPED: "0x60"}, "12m"),
            silent("it was long ago", {DROPPED: "7x60"}, "12m"),
            silent("it is so for good", {DROPPED: "0+1x8000"}, "30h"),
        ),
    ),
    Alert(
        "ScaiVaultWatchdog",
        "none",
        "vector(1)",
        "0m",
        "Alerting works",
        "This always fires. Send it to something that raises an alarm when it stops: then Prometheus, Alertmanager or the way "
        "from them is broken, and no other alert will tell.",
        UP,
        (Seen("always", ONE, "1m"),),
    ),
)
