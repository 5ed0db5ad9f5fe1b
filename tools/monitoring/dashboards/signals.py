"""How well the vault is, and whether it keeps what is promised: the first rows of the overview."""

from tools.monitoring.dashboards.panel import Color, Kind, Panel, Query, Text
from tools.monitoring.dashboards.promql import quantile, rate, share
from tools.monitoring.thresholds import PRODUCTION as LINES

SECONDS = "scaivault_request_duration_seconds"
REQUESTS = "scaivault_requests_total"
FAULTS = 'scaivault_requests_total{status=~"5.."}'
POOL_IN_USE = (
    "max((sum by (job) (scaivault_db_pool_size) - sum by (job) (scaivault_db_pool_available)) "
    "/ (sum by (job) (scaivault_db_pool_max) > 0))"
)
# A target that has been a vault within a day, so that `All` jobs are not those of others.
OURS = "and on (job, instance) last_over_time(scaivault_build_info[1d])"
BUDGET_STEPS = ((LINES.burn_slow, Color.YELLOW), (LINES.burn_medium, Color.ORANGE), (LINES.burn_fast, Color.RED))
# What the vault answers for: neither probes, nor who asks for addresses that there are none of.
COUNTED = 'path_category!~"system|unmatched"'
WINDOWS = ("5m", "30m", "1h", "6h")


def _burn(window: str) -> str:
    """How many times faster than the objective allows faults come."""
    faults = f'sum(rate({REQUESTS}{{{COUNTED}, status=~"5.."}}[{window}]))'
    return f"{share(faults, f'sum(rate({REQUESTS}{{{COUNTED}}}[{window}]))')} / {LINES.error_budget}"


def _slow(window: str) -> str:
    secrets = 'path_category="secrets"'
    fast = f'sum(rate({SECONDS}_bucket{{{secrets}, le="{LINES.request_seconds}"}}[{window}]))'
    return f"(1 - ({fast}) / (sum(rate({SECONDS}_count{{{secrets}}}[{window}])) > 0)) / {LINES.slow_budget}"


# Days of counters are too much to be read for a picture: this window is read off what the rules record for the alert.
THREE_DAYS = Query(f"max(scaivault:scaivault_request_errors:ratio_rate3d) / {LINES.error_budget}", "over 3d")

SIGNALS = (
    Panel(
        1,
        "Traffic",
        Kind.STAT,
        "reqps",
        shows="Requests answered a second, over all pods.",
        normal="The shape of your day. A sudden zero is an outage in front of the vault, or of it.",
        act="At zero: ask the load balancer, then Up and ready. At many times the usual: Top readers says whose it is.",
        queries=(Query(rate(REQUESTS), "requests"),),
        width=6,
        height=4,
        base=Color.BLUE,
    ),
    Panel(
        2,
        "Errors",
        Kind.STAT,
        "percentunit",
        shows="The share of requests that ended with 5xx.",
        normal=f"Zero; up to {LINES.error_budget:.1%} is within what is promised.",
        act="Request rate and status says of which category; the log has a line for each by `status` and `request_id`.",
        queries=(Query(share(rate(FAULTS), rate(REQUESTS)), "5xx"),),
        width=6,
        height=4,
        steps=((LINES.error_budget, Color.YELLOW), (0.01, Color.RED)),
        while_empty="no traffic",
    ),
    Panel(
        3,
        "Latency",
        Kind.STAT,
        "s",
        shows="The time that 99 % of all requests took at most.",
        normal=f"Below {LINES.request_seconds} s.",
        act="P99 latency by category says of which; then dashboard Dependencies.",
        queries=(Query(quantile(0.99, SECONDS), "P99"),),
        width=6,
        height=4,
        steps=((LINES.request_seconds, Color.YELLOW), (1, Color.RED)),
        while_empty="no traffic",
    ),
    Panel(
        4,
        "Saturation",
        Kind.STAT,
        "percentunit",
        shows="How many of the connections to PostgreSQL that it may open the fullest job has in use. A request holds "
        "one while it works, so this is also how busy the request threads are.",
        normal="Below 70 %.",
        act="If PostgreSQL latency is up, heal that first. Else add processes: docs/operations/scaling.md.",
        queries=(Query(POOL_IN_USE, "pool in use"),),
        width=6,
        height=4,
        steps=((0.7, Color.YELLOW), (0.9, Color.RED)),
        most=1,
    ),
)

PROMISES = (
    Panel(
        5,
        "Up and ready",
        Kind.STATES,
        "none",
        shows="Whether each process answers Prometheus, whether each server of the API and each worker is ready, and "
        "whether all of a job reach what they depend on.",
        normal="Green throughout. A short gap on one line at a time is a rollout.",
        act="`reaches` names the dependency; `curl $OPS/v1/health/ready` of the process says what is wrong with it.",
        queries=(
            Query(f"max by (job, instance) (up {OURS})", "{{job}} {{instance}} answers"),
            Query("min by (job, instance) (scaivault_ready)", "{{job}} {{instance}} is ready"),
            Query("min by (job, dependency) (scaivault_dependency_ready)", "{{job}} reaches {{dependency}}"),
        ),
        width=8,
        height=8,
        texts=(Text(1, "yes", Color.GREEN), Text(0, "NO", Color.RED)),
        alerts=(
            *("ScaiVaultDown", "ScaiVaultInstanceDown", "ScaiVaultNotReady", "ScaiVaultInstanceNotReady"),
            *("ScaiVaultMetricsMissing", "ScaiVaultWatchdog", "ScaiVaultRedisUnavailable"),
        ),
        most=1,
    ),
    Panel(
        6,
        "Error budget",
        Kind.LINES,
        "none",
        shows=f"How many times faster than {LINES.error_budget:.1%} of the requests allow faults come, "
        "over windows of several lengths. At 1 the budget of a month lasts a month; at 14.4 two days. "
        "Fast is 1h with 5m above 14.4, Medium 6h with 30m above 6, Slow 3d with 6h above 1; "
        "3d is recorded by the rules, and the worst of all that are chosen.",
        normal="Below 1 in the long windows. A short spike in the short ones is nothing.",
        act="Long and short window above a line together: it is going on, see the runbook. Long only: it is over.",
        queries=(*(Query(_burn(window), f"over {window}") for window in WINDOWS), THREE_DAYS),
        width=8,
        height=8,
        steps=BUDGET_STEPS,
        alerts=(
            "ScaiVaultErrorBudgetBurnFast",
            "ScaiVaultErrorBudgetBurnMedium",
            "ScaiVaultErrorBudgetBurnSlow",
        ),
        while_empty="no traffic",
    ),
    Panel(
        7,
        "Latency budget",
        Kind.LINES,
        "none",
        shows=f"The same for slowness: {1 - LINES.slow_budget:.0%} of the requests for secrets are to take at most "
        f"{LINES.request_seconds} s.",
        normal="Below 1 in the long windows.",
        act="Fast is 1h with 5m above 14.4, Slow 6h with 30m above 6. P99 latency by category says of which category, "
        "dashboard Dependencies by whom; then the runbook.",
        queries=tuple(Query(_slow(window), f"over {window}") for window in WINDOWS),
        width=8,
        height=8,
        steps=BUDGET_STEPS,
        alerts=("ScaiVaultLatencyBudgetBurnFast", "ScaiVaultLatencyBudgetBurnSlow"),
        while_empty="no traffic",
    ),
)
