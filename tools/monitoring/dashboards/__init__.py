"""Grafana's dashboards, as data: `make docs` writes them to `grafana/`."""

from collections.abc import Iterator

from tools.monitoring.dashboards.access import ACCESS
from tools.monitoring.dashboards.background import BACKGROUND
from tools.monitoring.dashboards.dependencies import DEPENDENCIES
from tools.monitoring.dashboards.overview import OVERVIEW
from tools.monitoring.dashboards.promql import filled_in, scoped
from tools.monitoring.dashboards.render import render

DASHBOARDS = (OVERVIEW, BACKGROUND, DEPENDENCIES, ACCESS)

# Panels that the first page about monitoring asks for, of features that are not built: the series they will be made of.
TO_COME = {
    "Active leases": ("scaivault_leases_active",),
    "Certificates expiring in the next 30 days": (
        "scaivault_certificates_expiring_soon",
        "scaivault_certificate_not_after_timestamp_seconds",
    ),
}


def files() -> dict[str, str]:
    """The text of every file, by its name."""
    return {f"{dashboard.uid}.json": render(dashboard) for dashboard in DASHBOARDS}


def panel_path(uid: str, title: str) -> str:
    """Where a panel is in any Grafana."""
    ids = {(dashboard.uid, panel.title): panel.id for dashboard in DASHBOARDS for panel in dashboard.panels}
    return f"/d/{uid}?viewPanel={ids[uid, title]}"


def queries(rate_interval: str = "1m") -> Iterator[tuple[str, str, str]]:
    """Every query as Prometheus takes it, of everything: dashboard, panel, PromQL."""
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            for query in panel.queries:
                yield dashboard.uid, panel.title, filled_in(scoped(query.expr), dashboard.variables, rate_interval)
