"""From data to the files of prometheus-rules/."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from tools.monitoring.rules import thresholds
from tools.monitoring.rules.alerts import BY_MODULE
from tools.monitoring.rules.model import Alert, Panel, Record, Seen
from tools.monitoring.rules.pace import REAL, Pace, seconds
from tools.monitoring.rules.recording import GROUPS
from tools.monitoring.rules.thresholds import Thresholds

RUNBOOKS = "https://docs.scailabs.ai/scaivault/runbooks"  # whoever keeps them elsewhere changes this one line
RECORDING, ALERTING = "scaivault-recording.yaml", "scaivault-alerts.yaml"
_HEAD = "# Written from tools/monitoring/rules by `make docs`; a test compares them.\n"
_PLACE = re.compile(r"<([a-z_]+)>")
_Data = dict[str, Any]


def files(pace: Pace = REAL, limits: Thresholds | None = None) -> dict[str, str]:
    """File name → YAML, with the thresholds that belong to the pace unless others are given."""
    writer = _Writer(pace, limits or thresholds.at(pace))
    return {
        RECORDING: _yaml({"groups": [_group(name, map(writer.record, records)) for name, records in GROUPS.items()]}),
        ALERTING: _yaml(
            {"groups": [_group(f"scaivault-{name}", map(writer.alert, alerts)) for name, alerts in BY_MODULE.items()]}
        ),
    }


def stories() -> dict[str, str]:
    """File name → the unit tests of `promtool test rules`, at real durations."""
    return {f"{name}.yaml": _yaml(_tests(alerts)) for name, alerts in BY_MODULE.items()}


def dashboard_path(panel: Panel) -> str:
    """Below Grafana's root."""
    return f"/d/{panel.uid}"


class _Writer:
    def __init__(self, pace: Pace, limits: Thresholds) -> None:
        self._pace = pace
        self._numbers = {name: thresholds.written(value) for name, value in asdict(limits).items()}

    def record(self, record: Record) -> _Data:
        return {"record": record.name, "expr": self._expression(record.expr)}

    def alert(self, alert: Alert) -> _Data:
        kept = {"keep_firing_for": self._pace.duration(alert.keeps)} if alert.keeps else {}
        return {
            "alert": alert.name,
            "expr": self._expression(alert.expr),
            "for": self._pace.duration(alert.lasts),
            **kept,
            "labels": {"severity": alert.severity},
            "annotations": {
                "summary": self._filled(alert.summary),
                "description": self._filled(alert.description),
                "runbook_url": f"{RUNBOOKS}/{alert.name}",
                "dashboard": dashboard_path(alert.panel),
            },
        }

    def _expression(self, expr: str) -> str:
        return self._filled(self._pace.expression(expr))

    def _filled(self, text: str) -> str:
        return _PLACE.sub(lambda found: self._numbers[found[1]], text)


def _group(name: str, rules: Iterable[_Data]) -> _Data:
    return {"name": name, "rules": list(rules)}


def _tests(alerts: Sequence[Alert]) -> _Data:
    return {
        "rule_files": [f"../{RECORDING}", f"../{ALERTING}"],
        "evaluation_interval": max((seen.every for alert in alerts for seen in alert.stories), key=seconds),
        "tests": [_test(alert.name, seen) for alert in alerts for seen in alert.stories],
    }


def _test(name: str, seen: Seen) -> _Data:
    labels = {"alertname": name, "alertstate": "firing", **seen.labels}
    matchers = ",".join(f'{label}="{value}"' for label, value in labels.items())
    expected = [{"labels": "{}", "value": seen.alerts}] if seen.alerts else []
    return {
        "name": f"{name}: {seen.what}",
        "interval": seen.every,
        "input_series": [{"series": series, "values": values} for series, values in seen.series.items()],
        "promql_expr_test": [
            {"expr": f"count(ALERTS{{{matchers}}})", "eval_time": seen.at, "exp_samples": expected},
        ],
    }


class _Dumper(yaml.SafeDumper):
    """Like a person would: no aliases, long texts over several lines."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _yaml(document: Mapping[str, Any]) -> str:
    return _HEAD + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
