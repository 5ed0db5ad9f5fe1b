"""What Prometheus accepts and would yet be wrong, or of no use to whoever is woken."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.monitoring.promql import SCRAPE_INTERVAL, Judge
from tools.monitoring.rules.model import Alert
from tools.monitoring.rules.pace import seconds

SEVERITIES = {"page", "ticket", "none"}
ANNOTATIONS = {"summary", "description", "runbook_url", "dashboard"}
# Behind `with` nothing is said where there is no such label.
_LABEL = re.compile(r"(?<!with )\$labels\.(\w+)")
_BARE = re.compile(r"\{\{\s*\$value\s*\}\}")
_RECORD = re.compile(r"[a-z_]+:[a-z_]+:[a-z_]+\d*[smhd]?")

Rule = Mapping[str, Any]


def complaints(files: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Of parsed rule files: a sentence for each fault, with the rule's name before it."""
    rules = [rule for file in files.values() for group in file["groups"] for rule in group["rules"]]
    judge = Judge({rule["record"]: rule["expr"] for rule in rules if "record" in rule})
    return [
        f"{rule.get('alert') or rule.get('record')}: {complaint}"
        for rule in rules
        for complaint in _of_rule(rule, judge)
    ]


def _of_rule(rule: Rule, judge: Judge) -> Iterator[str]:
    faults = judge.of(rule["expr"])
    yield from faults
    if "record" in rule:
        if _RECORD.fullmatch(rule["record"]) is None:
            yield "a record's name is level:metric:operation"
    elif not faults:
        yield from _of_alert(rule, judge)


def _of_alert(rule: Rule, judge: Judge) -> Iterator[str]:
    severity = rule.get("labels", {}).get("severity")
    if severity not in SEVERITIES:
        yield f"its severity is {severity}, which nobody routes"
    if severity != "none" and seconds(rule.get("for", "0s")) < 2 * SCRAPE_INTERVAL.total_seconds():
        yield "one scrape makes it fire: give it a `for` of two or more"
    if missing := ANNOTATIONS - rule.get("annotations", {}).keys():
        yield f"it has no {', '.join(sorted(missing))}"
    if any("$value" in text for text in rule.get("labels", {}).values()):
        yield "a value in a label makes another alert of every change"
    returned = judge.labels(rule["expr"])
    for name, text in rule.get("annotations", {}).items():
        for label in sorted(set(_LABEL.findall(text)) - returned):
            yield f"its {name} tells of the label {label}, which its expression does not return"
        if _BARE.search(text) and judge.is_a_rate(rule["expr"]):
            yield f"its {name} tells of a rate as a bare number: humanize it"


def runbook_complaints(alerts: Iterable[Alert], folder: Path) -> list[str]:
    """Alerts that nobody says anything about, and the other way round."""
    names = {alert.name for alert in alerts}
    files = {file.stem for file in folder.glob("*.md")} - {"README"}
    return [
        *(f"{name}: there is no runbook" for name in sorted(names - files)),
        *(f"{name}: there is a runbook and no alert" for name in sorted(files - names)),
    ]
