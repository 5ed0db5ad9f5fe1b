"""What a dashboard is made of, as data. A panel's number is written down with it: links to it must not move."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

RATE_INTERVAL = "$__rate_interval"


class Kind(StrEnum):
    """Grafana's name of a kind of picture."""

    LINES = "timeseries"
    STAT = "stat"
    BARS = "bargauge"
    TABLE = "table"
    STATES = "state-timeline"


class Color(StrEnum):
    GREEN = "green"
    YELLOW = "yellow"
    ORANGE = "orange"
    RED = "red"
    BLUE = "blue"
    GREY = "text"


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL without the matchers of the variables, which `scoped` adds to every selector."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Text:
    """What a value is shown as."""

    value: int
    text: str
    color: Color


Step = tuple[float, Color]


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: what it shows, what is normal, what to do when it is not."""

    id: int
    title: str
    kind: Kind
    unit: str
    shows: str
    normal: str
    act: str
    queries: tuple[Query, ...]
    width: int = 8
    height: int = 8
    steps: tuple[Step, ...] = ()
    """From which value on it is of which colour; below the first it is `base`."""
    base: Color = Color.GREEN
    texts: tuple[Text, ...] = ()
    alerts: tuple[str, ...] = ()
    """The alerts that lead here; the panel leads to their runbooks."""
    is_stacked: bool = False
    shades: Mapping[str, Color] = field(default_factory=dict)
    """Colours of the lines in whose legend the pattern is found."""
    least: float | None = 0
    most: float | None = None
    while_empty: str = ""
    """What is shown while there is nothing to show, where that is normal."""

    @property
    def description(self) -> str:
        return f"{self.shows}\n\n**Normal:** {self.normal}\n\n**If not:** {self.act}"


@dataclass(frozen=True, slots=True)
class Row:
    """A heading; the panels after it are below it."""

    id: int
    title: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice of a label's values, none of which is left out by 'All'."""

    name: str
    label: str
    series: str
    all_value: str
    """Of a label that a target may not have, 'All' must match its absence as well."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    uid: str
    title: str
    description: str
    parts: tuple[Row | Panel, ...]
    variables: tuple[Variable, ...] = ()

    @property
    def panels(self) -> tuple[Panel, ...]:
        return tuple(part for part in self.parts if isinstance(part, Panel))
