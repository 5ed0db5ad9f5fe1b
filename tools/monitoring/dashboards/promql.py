"""The few forms of query that dashboards are made of."""

import re
from collections.abc import Iterable

from tools.monitoring.dashboards.panel import RATE_INTERVAL, Query, Variable

# Metrics of the vault, what rules record of them, and Prometheus's own word on whether a target answered.
_SELECTOR = re.compile(r"\b(?P<name>(?:\w+:)?scaivault_\w+(?::\w+)?|up)\b(?P<brace>\{)?")
_MATCHERS = 'namespace=~"$namespace", job=~"$job"'
_QUANTILES = ((0.5, "P50"), (0.95, "P95"), (0.99, "P99"))


def scoped(expr: str) -> str:
    """Every selector held to what the dashboard's variables choose."""
    return _SELECTOR.sub(_with_matchers, expr)


def _with_matchers(found: re.Match[str]) -> str:
    return f"{found['name']}{{{_MATCHERS}{', ' if found['brace'] else '}'}"


def rate(selector: str, by: str = "") -> str:
    """Events a second of a counter, over all pods."""
    return f"sum by ({by}) (rate({selector}[{RATE_INTERVAL}]))" if by else f"sum(rate({selector}[{RATE_INTERVAL}]))"


def fact(series: str, by: str = "") -> str:
    """A fact about the deployment, whichever exporters tell it."""
    return f"max by ({by}) ({series})" if by else f"max({series})"


def quantile(share: float, histogram: str, by: str = "") -> str:
    """The time that so large a share took at most, over all pods."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', labels)})"


def quantiles(histogram: str) -> tuple[Query, ...]:
    return tuple(Query(quantile(share, histogram), name) for share, name in _QUANTILES)


def share(part: str, whole: str) -> str:
    """How much of `whole` is `part`, which may have no series yet; nothing while there is no whole."""
    return f"(({part}) or 0 * ({whole})) / (({whole}) > 0)"


def filled_in(expr: str, variables: Iterable[Variable], rate_interval: str) -> str:
    """As Grafana sends it, with 'All' chosen of every variable."""
    for variable in variables:
        expr = expr.replace(f"${variable.name}", variable.all_value)
    return expr.replace(RATE_INTERVAL, rate_interval)
