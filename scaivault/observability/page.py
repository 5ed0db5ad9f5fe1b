"""Prometheus text 0.0.4 and OpenMetrics 1.0.

What does not change from one scrape to the next is kept as text: a line is a prefix and a number.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from scaivault.observability.collector import Identity, Labels, Layout, Merged, Spot
from scaivault.observability.exemplars import Exemplar

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_Numbered = tuple[int, Spot]
_IN_LABELS = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_IN_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Fact(NamedTuple):
    """A family that is made at the scrape: a gauge without a file."""

    name: str
    help: str
    samples: Sequence[tuple[Labels, float]]


@dataclass(slots=True)
class _Histogram:
    """One of its label sets: the buckets from the least to the greatest, what they add up to, and the sum of times."""

    count: str
    buckets: list[tuple[str, int, Identity]] = field(default_factory=list)
    others: list[tuple[str, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Family:
    text_head: str
    open_head: str
    rows: list[tuple[str, int]] = field(default_factory=list)
    histograms: list[_Histogram] = field(default_factory=list)


class Pages:
    """Writes what a collector has merged. Not for two threads at once."""

    def __init__(self) -> None:
        self._layout: Layout | None = None
        self._families: list[_Family] = []

    def text(self, merged: Merged, facts: Iterable[Fact] = ()) -> str:
        return "".join(self._blocks(merged, facts, is_open=False))

    def openmetrics(self, merged: Merged, facts: Iterable[Fact] = ()) -> str:
        return "".join((*self._blocks(merged, facts, is_open=True), "# EOF\n"))

    def _blocks(self, merged: Merged, facts: Iterable[Fact], *, is_open: bool) -> Iterator[str]:
        if merged.layout is not self._layout:
            self._layout, self._families = merged.layout, _families(merged.layout.spots)
        for family in self._families:
            yield family.open_head if is_open else family.text_head
            yield from _lines(family, merged.values, merged.exemplars)
        for fact in facts:
            yield _head(fact.name, "gauge", fact.help.translate(_IN_LABELS if is_open else _IN_HELP))
            yield from (f"{_prefix(fact.name, labels)}{_number(value)}\n" for labels, value in fact.samples)


def _lines(family: _Family, values: Sequence[float | None], exemplars: Mapping[Identity, Exemplar]) -> Iterator[str]:
    for prefix, index in family.rows:
        if (value := values[index]) is not None:
            yield f"{prefix}{_number(value)}\n"
    for histogram in family.histograms:
        yield from _cumulated(histogram, values, exemplars)


def _cumulated(
    histogram: _Histogram, values: Sequence[float | None], exemplars: Mapping[Identity, Exemplar]
) -> Iterator[str]:
    count = 0.0
    for prefix, index, identity in histogram.buckets:
        count += values[index] or 0.0
        yield f"{prefix}{_number(count)}{exemplars.get(identity, '') if exemplars else ''}\n"
    if histogram.buckets:
        yield f"{histogram.count}{_number(count)}\n"
    for prefix, index in histogram.others:
        yield f"{prefix}{_number(values[index] or 0.0)}\n"


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _families(spots: Sequence[Spot]) -> list[_Family]:
    """In the order of their names, so that two scrapes are alike."""
    ordered = sorted(enumerate(spots), key=_metric)
    return [_family(name, list(group)) for name, group in groupby(ordered, key=_metric)]


def _metric(numbered: _Numbered) -> str:
    return numbered[1].metric


def _family(name: str, spots: Sequence[_Numbered]) -> _Family:
    _, first = spots[0]
    kind = first.shelf.partition("_")[0]
    family = _Family(
        _head(f"{name}_total" if kind == "counter" else name, kind, first.help.translate(_IN_HELP)),
        _head(name, kind, first.help.translate(_IN_LABELS)),
    )
    if kind == "histogram":
        family.histograms = _histograms(name, spots)
    else:
        family.rows = sorted((_prefix(spot.sample, spot.labels), index) for index, spot in spots)
    return family


def _histograms(name: str, spots: Sequence[_Numbered]) -> list[_Histogram]:
    found: dict[Labels, _Histogram] = {}
    for index, spot in sorted(spots, key=_bound):
        labels = tuple(label for label in spot.labels if label[0] != "le")
        histogram = found.setdefault(labels, _Histogram(_prefix(f"{name}_count", labels)))
        prefix = _prefix(spot.sample, spot.labels)
        if labels == spot.labels:
            histogram.others.append((prefix, index))
        else:
            histogram.buckets.append((prefix, index, spot.identity))
    return [found[labels] for labels in sorted(found)]


def _bound(numbered: _Numbered) -> float:
    return float(dict(numbered[1].labels).get("le", "+Inf"))


def _head(name: str, kind: str, help_text: str) -> str:
    return f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n"


def _prefix(sample: str, labels: Labels) -> str:
    pairs = ",".join(f'{label}="{value.translate(_IN_LABELS)}"' for label, value in labels)
    return f"{sample}{{{pairs}}} " if pairs else f"{sample} "
