"""From data to the files of prometheus-rules/."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from tools.monitoring.dashboards import panel_path
from tools.monitoring.rules import alerts, recording, thresholds
from tools.monitoring.rules.model import Alert, Record, Seen
from tools.monitoring.rules.pace import REAL, Pace, seconds
from tools.monitoring.runbooks import RUNBOOK_BASE
from tools.monitoring.thresholds import Thresholds, written

_HEAD = "# Written from tools/monitoring/rules by `make docs`; a test compares them.\n"
# The dashboards' variable; what runs outside Kubernetes has no such label.
_OF_NAMESPACE = "{{ with $labels.namespace }}&var-namespace={{ . }}{{ end }}"
_PLACE = re.compile(r"<([a-z_]+)(%?)>")
_Data = dict[str, Any]


def files(pace: Pace = REAL, limits: Thresholds | None = None) -> dict[str, str]:
    """File name → YAML, with the thresholds that belong to the pace unless others are given.

    A file for each module, with one group, whose rules are evaluated in their order: records first.
    """
    writer = _Writer(pace, limits or thresholds.at(pace))
    return {
        _file(name): _yaml({"groups": [{"name": f"scaivault-{name}", "rules": list(writer.rules(name))}]})
        for name in (recording.CLUSTER, *alerts.BY_MODULE)
    }


def stories() -> dict[str, str]:
    """File name → the unit tests of `promtool test rules`, at real durations."""
    return {f"{name}.yaml": _yaml(_tests(name, told)) for name, told in alerts.BY_MODULE.items()}


class _Writer:
    def __init__(self, pace: Pace, limits: Thresholds) -> None:
        self._pace = pace
        self._numbers = asdict(limits)

    def rules(self, module: str) -> Iterator[_Data]:
        """Its records, then its alerts."""
        yield from map(self._record, recording.BY_MODULE.get(module, ()))
        yield from map(self._alert, alerts.BY_MODULE.get(module, ()))

    def _record(self, record: Record) -> _Data:
        return {"record": record.name, "expr": self._expression(record.expr)}

    def _alert(self, alert: Alert) -> _Data:
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
                "runbook_url": f"{RUNBOOK_BASE}/{alert.name}",
                "dashboard": panel_path(alert.panel.uid, alert.panel.title) + _OF_NAMESPACE,
            },
        }

    def _expression(self, expr: str) -> str:
        return self._filled(self._pace.expression(expr))

    def _filled(self, text: str) -> str:
        return _PLACE.sub(lambda found: written(self._numbers[found[1]], as_percentage=bool(found[2])), text)


def _file(module: str) -> str:
    return f"scaivault-{module}.yaml"


def _tests(module: str, told: Sequence[Alert]) -> _Data:
    return {
        "rule_files": [f"../{_file(recording.CLUSTER)}", f"../{_file(module)}"],
        "evaluation_interval": max((seen.every for alert in told for seen in alert.stories), key=seconds),
        "tests": [_test(alert.name, seen) for alert in told for seen in alert.stories],
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
