"""The index of runbooks, written from the alerts."""

from tools.monitoring.rules.alerts import ALERTS
from tools.monitoring.runbooks import RUNBOOK_BASE

HEAD = f"""# Runbooks

This index is written from `tools/monitoring/rules/` by `make docs`; the runbooks are written by hand.

One for each alert of [prometheus-rules](../../prometheus-rules/), under its name: that is where `runbook_url` leads.
A *page* wakes somebody; a *ticket* waits for the morning. Each has a command to run first, which expects

| variable | is |
|---|---|
| `SCAIVAULT_URL`, `SCAIVAULT_TOKEN` | the API, and an administrator's token |
| `SCAIVAULT_OPS_URL` | an API process's internal port, 9464 |
| `SCAIVAULT_WORKER_URL`, `SCAIVAULT_EXPORTER_URL` | a worker's internal port, 9466, and the exporter's, 9465 |
| `PROMETHEUS_URL`, `ALERTMANAGER_URL` | those two |
| `DATABASE_URL` | PostgreSQL, by a login that sees what others do there (`pg_monitor`) |

## Elsewhere

`runbook_url` of the alerts and the links of the dashboards begin with `{RUNBOOK_BASE}`. If yours are in a wiki, or of
a fork:

- *the chart*: the value `monitoring.rules.runbookBaseUrl`, for rules and dashboards alike
- *the folders as they are*:
  `sed -i 's#{RUNBOOK_BASE}#https://wiki.example/vault#' prometheus-rules/*.yaml grafana/*.json`
- *a fork*: `RUNBOOK_BASE` in `tools/monitoring/runbooks.py`, and `make docs`

A page's name is its alert's.

## All of them

| alert | severity | dashboard | panel |
|---|---|---|---|
"""


def page() -> str:
    return HEAD + "".join(
        f"| [{alert.name}]({alert.name}.md) | {alert.severity} | {alert.panel.uid} | {alert.panel.title} |\n"
        for alert in ALERTS
    )
