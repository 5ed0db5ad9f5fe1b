"""What a rule is. Expressions are PromQL with `<name>` where a number of `thresholds.py` belongs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["page", "ticket", "none"]


@dataclass(frozen=True, slots=True)
class Panel:
    """Where it can be seen, on a dashboard of grafana/."""

    uid: str
    title: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A story for `promtool test rules`: what was scraped, a sample each `every`, and what is told of it at a moment.

    `series` are in promtool's notation. `alerts` is how many of the alert fire then, and with these labels.
    """

    what: str
    series: Mapping[str, str]
    at: str
    alerts: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    every: str = "15s"


def silent(what: str, series: Mapping[str, str], at: str, every: str = "15s") -> Seen:
    """A story in which nothing is told."""
    return Seen(what, series, at, alerts=0, every=every)


@dataclass(frozen=True, slots=True)
class Record:
    """A recording rule."""

    name: str
    expr: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule, and how it is known to work.

    `lasts` is how long it has to be so before anybody is told. Neither a label nor a value of one says how much: an
    alert whose labels change is another alert.
    """

    name: str
    severity: Severity
    expr: str
    lasts: str
    summary: str
    description: str
    panel: Panel
    stories: tuple[Seen, ...]
    keeps: str = ""
    """For how long it is told after it ended, so that what comes and goes is one notification."""
