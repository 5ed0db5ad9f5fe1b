"""What a run has shown, as a page."""

import os
import platform
import re
import subprocess

from scaivault.dev import postgres, valkey
from tests.tools import program
from tools.monitoring.rules import DRILL, PRODUCTION

PAGE = "docs/operations/drills.md"
HEAD = """# Drills

Made by `make drill`: do not edit, run it again. Each line is an alert that was seen: the fault was injected into the
running processes of `make run`, a real Prometheus with the rules of `prometheus-rules/` noticed it, a real Alertmanager
delivered the alert to a webhook, and its end after the fault had ended. In a round no other alert fired than those named.

Durations are compressed: {pace}. Seconds say that the whole way works, not how soon somebody is told in production.
{thresholds}

"""
ROW = re.compile(r"^\| `?(\w+)`? \|", re.MULTILINE)


def page(evidence, pace):
    rows = [
        f"| `{seen.alert}` | {seen.fault} | {_seconds(seen.notified_after)} | {_seconds(seen.resolved_after)} |\n"
        for seen in sorted(evidence, key=lambda seen: seen.alert)
    ]
    facts = "".join(f"- {name}: {fact}\n" for name, fact in _environment().items())
    return (
        HEAD.format(pace=_pace(pace), thresholds=_thresholds())
        + "| alert | fault | told after (s) | over after (s) |\n|---|---|--:|--:|\n"
        + "".join(rows)
        + f"\n## Made on\n\n{facts}"
    )


def alerts_in(text):
    """The alerts that a page has lines of."""
    return [name for name in ROW.findall(text) if name != "alert"]


def _seconds(seconds):
    return "" if seconds is None else f"{seconds:.0f}"


def _pace(pace):
    return (
        f"divided by {pace.divisor:g}, none shorter than {pace.shortest_seconds} s; scraped and evaluated every second"
    )


def _thresholds():
    changed = {name: getattr(DRILL, name) for name in PRODUCTION.__dataclass_fields__}
    told = [
        f"`{name}` {value} for {getattr(PRODUCTION, name)}"
        for name, value in changed.items()
        if value != getattr(PRODUCTION, name)
    ]
    return f"Thresholds that no compression brings nearer have a value for drills: {', '.join(told)}."


def _environment():
    return {
        "machine": f"{len(os.sched_getaffinity(0))} cores, {platform.system()}, Python {platform.python_version()}",
        "PostgreSQL": _version(postgres.binary("postgres"), "--version"),
        "Valkey": _version(valkey._binary(), "--version"),
        "Prometheus": _version(program("prometheus"), "--version"),
        "Alertmanager": _version(program("prometheus-alertmanager"), "--version"),
    }


def _version(*command):
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return re.search(r"\d+\.\d+[\w.+~]*", said.stdout + said.stderr)[0]
