"""What a run has shown, as a page."""

import os
import platform
import re
import subprocess
from dataclasses import asdict

from scaivault.dev import postgres, valkey
from tests.tools import program
from tools.monitoring.rules import DRILL, PRODUCTION

PAGE = "docs/operations/drills.md"
HEAD = """# Drills

Made by `make drill`: do not edit, run it again. Each line is an alert that was seen. Its fault was injected into the
running processes of `make run`; a real Prometheus with the rules of `prometheus-rules/` noticed it, and a real Alertmanager
told a webhook, of the alert and of its end. Faults come in rounds (`tests/drills/rounds.py`), and whoever fires in one
without being named there fails it.

Seconds are from the fault to the webhook, and from the fault's end to it. Durations of the rules are compressed for this:
{pace}. So they say that the whole way works, not how soon somebody is told in
production. Thresholds that no compression brings nearer have a value for drills:
{thresholds}.

"""
ROW = re.compile(r"^\| `?(\w+)`? \|", re.MULTILINE)


def page(evidence, counted, pace):
    rows = [
        f"| `{seen.alert}` | {seen.fault} | {_seconds(seen.notified_after)} | {_seconds(seen.resolved_after)} |\n"
        for seen in sorted(evidence, key=lambda seen: seen.alert)
    ]
    return (
        HEAD.format(pace=_pace(pace), thresholds=_thresholds())
        + "| alert | fault | told after (s) | over after (s) |\n|---|---|--:|--:|\n"
        + "".join(rows)
        + "\n## Seen besides\n\n"
        + _list(counted)
        + "\n## Made on\n\n"
        + _list(_environment())
    )


def alerts_in(text):
    """The alerts that a page has lines of."""
    return [name for name in ROW.findall(text) if name != "alert"]


def _list(facts):
    return "".join(f"- {name}: {fact}\n" for name, fact in facts.items())


def _seconds(seconds):
    return "" if seconds is None else f"{seconds:.0f}"


def _pace(pace):
    return (
        f"divided by {pace.divisor:g}, none shorter than {pace.shortest_seconds} s, scraped and evaluated every second"
    )


def _thresholds():
    real, drill = asdict(PRODUCTION), asdict(DRILL)
    return ", ".join(f"`{name}` {drill[name]} for {real[name]}" for name in real if drill[name] != real[name])


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
