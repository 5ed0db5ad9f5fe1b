"""How the vault is, in one look: the golden signals, then what each of them is made of."""

from tools.monitoring.dashboards import variables
from tools.monitoring.dashboards.panel import Color, Dashboard, Kind, Panel, Query, Row
from tools.monitoring.dashboards.promql import fact, quantile, rate, share
from tools.monitoring.dashboards.signals import PROMISES, SECONDS, SIGNALS
from tools.monitoring.thresholds import PRODUCTION as LINES

CLASSES = {"2xx$": Color.GREEN, "3xx$": Color.BLUE, "4xx$": Color.ORANGE, "5xx$": Color.RED}


def _latency(id_: int, name: str, share_of_requests: float, steps: tuple[tuple[float, Color], ...]) -> Panel:
    return Panel(
        id_,
        f"{name} latency by category",
        Kind.LINES,
        "s",
        shows=f"The time that {share_of_requests:.0%} of the requests of a category took at most, in the application.",
        normal=f"Reads of secrets: a few milliseconds; {LINES.request_seconds} s is where it counts as slow.",
        act="See which dependency became slow at the same time: dashboard Dependencies. If none, look at Saturation.",
        queries=(Query(quantile(share_of_requests, SECONDS, "path_category"), "{{path_category}}"),),
        steps=steps,
    )


REQUEST_PANELS = (
    Panel(
        8,
        "Request rate and status",
        Kind.LINES,
        "reqps",
        shows="Requests a second by category and class of status, stacked: green answered, orange refused, red failed.",
        normal="Green. Some orange is callers' mistakes and refusals by policy.",
        act="Red: the category says which feature; half of one, for half an hour, is told. "
        "Orange that grows: Policy violations or Refused by limits.",
        queries=(
            Query(
                "sum by (path_category, class) (label_replace("
                'rate(scaivault_requests_total[$__rate_interval]), "class", "${1}xx", "status", "(.).."))',
                "{{path_category}} {{class}}",
            ),
        ),
        width=16,
        height=9,
        is_stacked=True,
        shades=CLASSES,
        alerts=("ScaiVaultCategoryFailing",),
        while_empty="no traffic",
    ),
    Panel(
        9,
        "Active requests",
        Kind.LINES,
        "short",
        shows="Requests being worked on now, by category, and those that wait for an event.",
        normal="A few. Those that wait are many and cost no thread.",
        act="If it grows while traffic does not, something that requests wait for is slow: dashboard Dependencies.",
        queries=(
            Query("sum by (path_category) (scaivault_active_requests)", "{{path_category}}"),
            Query("sum(scaivault_waiting_requests)", "wait for an event"),
        ),
        width=8,
        height=9,
        is_stacked=True,
    ),
    _latency(10, "P50", 0.5, ((LINES.request_seconds, Color.YELLOW),)),
    _latency(11, "P95", 0.95, ((LINES.request_seconds, Color.YELLOW),)),
    _latency(12, "P99", 0.99, ((LINES.request_seconds, Color.YELLOW), (1, Color.RED))),
)

WORK = (
    Panel(
        13,
        "Rotation queue depth",
        Kind.LINES,
        "short",
        shows="Rotations that are due and not done.",
        normal="Near zero. A batch that falls due at once is worked off within minutes.",
        act="Growth that lasts is a duty that fails or a policy that is wrong: dashboard Background work.",
        queries=(Query(fact("scaivault_rotation_queue_depth"), "due"),),
        steps=((100, Color.YELLOW), (1000, Color.RED)),
        alerts=("ScaiVaultRotationQueueStuck",),
    ),
    Panel(
        14,
        "Webhook success rate (24h)",
        Kind.BARS,
        "percentunit",
        shows="The share of each webhook's deliveries of a day that arrived, the worst first.",
        normal="100 %.",
        act="Below 95 %: `GET /v1/webhooks/{id}/deliveries` has the receiver's answers; tell the webhook's owner.",
        queries=(
            Query(
                "sort("
                + share(
                    'sum by (webhook) (increase(scaivault_webhook_deliveries_total{status="success"}[24h]))',
                    "sum by (webhook) (increase(scaivault_webhook_deliveries_total[24h]))",
                )
                + ")",
                "{{webhook}}",
            ),
        ),
        base=Color.RED,
        steps=((1 - LINES.webhook_failed_share, Color.YELLOW), (0.99, Color.GREEN)),
        alerts=("ScaiVaultWebhookSuccessLow",),
        most=1,
        while_empty="no deliveries",
    ),
    Panel(
        15,
        "Top readers (1h)",
        Kind.BARS,
        "short",
        shows="Reads of an hour of the identities that read most, out of the audit trail.",
        normal="The names you know, in about the order they had yesterday.",
        act="An unknown name, or a known one with many times its reads: ask the audit trail, then its owner.",
        queries=(Query("sort_desc(max by (identity) (scaivault_top_readers))", "{{identity}}"),),
        base=Color.BLUE,
        while_empty="nobody read",
    ),
)

PROCESSES = (
    Panel(
        16,
        "Refused by limits",
        Kind.LINES,
        "reqps",
        shows="Requests refused with 429, by the limit they ran into.",
        normal="Zero, or single ones.",
        act="Emptiest buckets (dashboard Access) says who. Mend the client's loop before you raise a limit.",
        queries=(Query(rate("scaivault_rate_limit_hits_total", "category"), "{{category}}"),),
        width=6,
        steps=((LINES.rate_limited_per_second, Color.YELLOW),),
        alerts=("ScaiVaultRateLimitingSustained",),
        is_stacked=True,
    ),
    Panel(
        17,
        "Warnings and errors logged",
        Kind.LINES,
        "cps",
        shows="Log lines a second that are a warning or an error.",
        normal="Near zero.",
        act="Read them: `level` is a field of every line, `event` says what happened.",
        queries=(Query(rate('scaivault_log_messages_total{level=~"warn|error"}', "level"), "{{level}}"),),
        width=6,
        steps=((1, Color.YELLOW),),
        shades={"^warn$": Color.ORANGE, "^error$": Color.RED},
    ),
    Panel(
        18,
        "Memory",
        Kind.LINES,
        "bytes",
        shows="Resident memory by kind of process, over all pods.",
        normal="Flat: a process of the API stays below 150 MB (docs/operations/sizing.md).",
        act="Growth over days: restart one pod, keep the figures, report it. Growth with pods: divide by Processes.",
        queries=(Query("sum by (process) (scaivault_process_resident_memory_bytes)", "{{process}}"),),
        width=6,
        is_stacked=True,
    ),
    Panel(
        19,
        "API processes",
        Kind.LINES,
        "short",
        shows="Processes of the API by what they do: starting, serving, draining.",
        normal="Pods times WEB_CONCURRENCY, serving.",
        act="Starting for long: readiness names what is missing. Draining for long: a request does not end.",
        queries=(Query("sum by (state) (scaivault_workers)", "{{state}}"),),
        width=6,
        shades={"serving": Color.GREEN, "starting": Color.BLUE, "draining": Color.ORANGE},
        is_stacked=True,
    ),
    Panel(
        20,
        "Labels dropped",
        Kind.LINES,
        "cps",
        shows="Updates a second counted as `__other__`, by series: a label's value was unknown or beyond its cap.",
        normal="Zero.",
        act="More tenants or webhooks than a process keeps apart (500), or a method nobody knows: see the runbook.",
        queries=(Query(rate("scaivault_metric_labels_dropped_total", "series"), "{{series}}"),),
        width=12,
        height=6,
        steps=((0.01, Color.YELLOW),),
        alerts=("ScaiVaultLabelsDropped",),
    ),
    Panel(
        21,
        "Versions",
        Kind.TABLE,
        "none",
        shows="How many processes run which release.",
        normal="One release, but during a rollout.",
        act="Two for long: the rollout is stuck, or a pod is out of it: docs/operations/upgrade.md.",
        queries=(Query("count by (job, version, revision, python) (scaivault_build_info)", ""),),
        width=12,
        height=6,
    ),
)

OVERVIEW = Dashboard(
    "scaivault-overview",
    "ScaiVault / Overview",
    "Is the vault well? The golden signals, its promises, its requests, its background work, its processes.",
    (
        Row(100, "Golden signals"),
        *SIGNALS,
        Row(101, "Promises"),
        *PROMISES,
        Row(102, "Requests"),
        *REQUEST_PANELS,
        Row(103, "Work and readers"),
        *WORK,
        Row(104, "Limits and processes"),
        *PROCESSES,
    ),
    variables.EVERYWHERE,
)
