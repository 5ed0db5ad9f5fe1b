"""What a PromQL expression asks for and returns, judged by the catalogue of series.

A rule over a series that nobody makes passes every other check and is merely quiet. So names, labels and the values of
closed labels are compared with the catalogue; what is said about ranges, counters and sums is what pint says.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import promql_parser as promql
from promql_parser import AggModifierType, LabelModifierType, MatchOp, VectorMatchCardinality

from scaivault.observability.catalogue.series import Kind, Maker, Scope, Series
from scaivault.observability.catalogue.vocabulary import BUCKETS_SECONDS, OVERFLOW
from tools.monitoring.series import EXISTING

SCRAPE_INTERVAL = timedelta(seconds=15)
SCRAPES_IN_A_RANGE = 4  # one may fail, and yet there are two to compare
JOBS = {"scaivault": Maker.API, "scaivault-worker": Maker.WORKER, "scaivault-exporter": Maker.EXPORTER}
TARGET = frozenset({"job", "instance", "pod"})
DEPLOYMENT = frozenset({"cluster", "namespace", "release"})  # a target may have them; without, they are empty
PROMETHEUS_OWN = {"up": Kind.GAUGE, "ALERTS": Kind.GAUGE}
_OF_COUNTERS = {"rate", "irate", "increase", "resets"}
_ANYTHING = {"count", "group", "absent", "absent_over_time", "count_over_time", "present_over_time"}
_FRAGILE = {"topk", "bottomk", "limitk"}
_PARTS = re.compile(r"_(bucket|count|sum)$")

Labels = frozenset[str]


@dataclass(frozen=True, slots=True)
class _Named:
    """What a selector's name stands for."""

    series: Series | None
    labels: Labels
    is_counter: bool = False
    is_cluster: bool = False


class Judge:
    """Knows the catalogue and the records; `of` says all that is wrong with an expression, a sentence each."""

    def __init__(self, records: Mapping[str, str] | None = None, catalogue: Iterable[Series] = EXISTING) -> None:
        self._records = dict(records or {})
        self._series = {series.name: series for series in catalogue}

    def of(self, expr: str) -> list[str]:
        try:
            parsed = promql.parse(expr)
        except ValueError as fault:
            return [f"is not PromQL: {fault}"]
        return [*self._visit(parsed, ()), *self._unmatched(parsed)]

    def labels(self, expr: str) -> Labels:
        """The labels that every sample of the expression has, as far as the catalogue tells."""
        return self._labels(promql.parse(expr))

    def is_a_rate(self, expr: str) -> bool:
        """Whether there is a rate in it, or in a record that it reads."""
        calls = any(isinstance(node, promql.Call) and node.func.name in _OF_COUNTERS for node in _nodes(expr))
        names = (node.name for node in _nodes(expr) if isinstance(node, promql.VectorSelector))
        return calls or any(self.is_a_rate(self._records[name]) for name in names if name in self._records)

    def cluster_series(self, expr: str) -> set[str]:
        """The facts about the deployment that the expression itself names."""
        names = {node.name or "" for node in _nodes(expr) if isinstance(node, promql.VectorSelector)}
        return {name for name in names if (named := self._named(name)) is not None and named.is_cluster}

    def _visit(self, node: object, above: tuple[object, ...]) -> Iterator[str]:
        if isinstance(node, promql.VectorSelector):
            yield from self._selector(node, above)
        elif isinstance(node, promql.MatrixSelector) and node.range < SCRAPES_IN_A_RANGE * SCRAPE_INTERVAL:
            yield f"a range of {node.range.total_seconds():g} s is less than {SCRAPES_IN_A_RANGE} scrapes"
        elif isinstance(node, promql.AggregateExpr):
            yield from self._aggregate(node)
        for child in _children(node):
            yield from self._visit(child, (*above, node))

    def _aggregate(self, node: promql.AggregateExpr) -> Iterator[str]:
        if str(node.op) in _FRAGILE:
            yield f"{node.op} returns other series from one moment to the next"
        named = frozenset(node.modifier.labels) if node.modifier is not None else frozenset()
        if unknown := named - self._labels(node.expr) - TARGET:
            yield f"{node.op} is told of labels that there are not: {', '.join(sorted(unknown))}"

    def _selector(self, selector: promql.VectorSelector, above: tuple[object, ...]) -> Iterator[str]:
        named = self._named(selector.name or "")
        if named is None:
            yield f"nobody makes {selector.name or 'a series without a name'}"
            return
        for matcher in selector.matchers.matchers:
            yield from self._matcher(selector.name or "", named, matcher)
        is_ranged = any(isinstance(node, promql.MatrixSelector) for node in above)
        around = _around(above)
        if named.is_counter and around not in _OF_COUNTERS | _ANYTHING:
            yield f"{selector.name} is a counter, and its value says nothing without a rate"
        if not named.is_counter and is_ranged and around in _OF_COUNTERS:
            yield f"{selector.name} is a gauge, and has no {around}"
        if named.is_cluster and around not in _ANYTHING and _aggregated(above) not in {"max", "min"}:
            yield f"{selector.name} is told by whoever leads: take the max, or its record, and never a sum"

    def _matcher(self, name: str, named: _Named, matcher: promql.Matcher) -> Iterator[str]:
        if matcher.name not in named.labels:
            yield f"{name} has no label {matcher.name}"
            return
        values = _values(named, matcher.name)
        found = [value for value in values if _matches(matcher, value)]
        if values and not found:
            yield f"{name} has no {matcher}: nothing is selected"
        elif values and len(found) == len(values) and matcher.op in (MatchOp.NotEqual, MatchOp.NotRe):
            yield f"{name} has no {matcher.name} that {matcher} leaves out"

    def _named(self, name: str) -> _Named | None:
        if name in self._records:
            return _Named(None, self.labels(self._records[name]))
        if name in PROMETHEUS_OWN:
            more = {"alertname", "alertstate", "severity"} if name == "ALERTS" else set()
            return _Named(None, TARGET | DEPLOYMENT | more)
        part = _PARTS.search(name)
        series = self._series.get(name) or self._series.get(_PARTS.sub("", name))
        if series is None or (part is not None) is not (series.kind is Kind.HISTOGRAM):
            return None
        le = {"le"} if part is not None and part[1] == "bucket" else set()
        labels = {f"exported_{label}" if label in TARGET else label for label in series.labels}
        return _Named(
            series, TARGET | DEPLOYMENT | labels | le, series.kind is not Kind.GAUGE, series.scope is Scope.CLUSTER
        )

    def _labels(self, node: object) -> Labels:
        if isinstance(node, promql.VectorSelector):
            named = self._named(node.name or "")
            return named.labels if named is not None else frozenset()
        if isinstance(node, promql.AggregateExpr):
            return self._of_aggregate(node)
        if isinstance(node, promql.BinaryExpr):
            return self._of_binary(node)
        if isinstance(node, promql.Call) and node.func.name == "absent":
            return frozenset(_equals(node.args[0]))
        return frozenset().union(*(self._labels(child) for child in _children(node)))

    def _of_aggregate(self, node: promql.AggregateExpr) -> Labels:
        inside = self._labels(node.expr)
        if node.modifier is None:
            return inside if str(node.op) in _FRAGILE else frozenset()
        named = frozenset(node.modifier.labels)
        return inside - named if node.modifier.type == AggModifierType.Without else inside & named

    def _of_binary(self, node: promql.BinaryExpr) -> Labels:
        left, right = self._labels(node.lhs), self._labels(node.rhs)
        if not _are_vectors(node):
            return left | right
        if str(node.op) == "or":
            return left & right
        modifier = node.modifier
        if str(node.op) in {"and", "unless"} or modifier is None or modifier.matching is None:
            return left
        matching = modifier.matching
        if modifier.card == VectorMatchCardinality.ManyToOne:  # group_left: many keep what tells them apart
            return left
        named = frozenset(matching.labels)
        return left & named if matching.type == LabelModifierType.Include else left - named

    def _unmatched(self, parsed: object) -> Iterator[str]:
        """Pairs that never meet, because one side has a label which the other has not."""
        for node in _below(parsed):
            if not isinstance(node, promql.BinaryExpr) or not _are_vectors(node) or str(node.op) == "or":
                continue
            matching = node.modifier.matching if node.modifier is not None else None
            left, right = self._labels(node.lhs), self._labels(node.rhs)
            named = frozenset(matching.labels) if matching is not None else frozenset()
            if matching is not None and matching.type == LabelModifierType.Include:
                alone = named - (left & right)
            else:
                alone = (left ^ right) - named
            if alone:
                yield f"the sides of `{node.op}` never meet: not both have {', '.join(sorted(alone))}"


def _values(named: _Named, label: str) -> tuple[str, ...]:
    """All that a label can be; nothing if that is not known."""
    if label == "job":
        series = named.series
        makers = set(JOBS.values()) if series is None else {*series.made_by, *_besides(series)}
        return tuple(job for job, maker in JOBS.items() if maker in makers)
    if label == "le":
        return (*map(repr, BUCKETS_SECONDS), "+Inf")
    if named.series is None:
        return ()
    bound = named.series.labels.get(label.removeprefix("exported_"), named.series.labels.get(label, 1))
    return (*bound, OVERFLOW) if isinstance(bound, tuple) else ()


def _besides(series: Series) -> set[Maker]:
    """A worker has what the API's processes have."""
    return {Maker.WORKER} if Maker.API in series.made_by else set()


def _matches(matcher: promql.Matcher, value: str) -> bool:
    if matcher.op in (MatchOp.Re, MatchOp.NotRe):
        return (re.fullmatch(matcher.value, value) is not None) is (matcher.op == MatchOp.Re)
    return (value == matcher.value) is (matcher.op == MatchOp.Equal)


def _equals(node: object) -> Iterator[str]:
    if isinstance(node, promql.VectorSelector):
        yield from (matcher.name for matcher in node.matchers.matchers if matcher.op == MatchOp.Equal)


def _are_vectors(node: promql.BinaryExpr) -> bool:
    return not (_is_scalar(node.lhs) or _is_scalar(node.rhs))


def _is_scalar(node: object) -> bool:
    if isinstance(node, promql.ParenExpr | promql.UnaryExpr):
        return _is_scalar(node.expr)
    if isinstance(node, promql.BinaryExpr):
        return _is_scalar(node.lhs) and _is_scalar(node.rhs)
    is_time = isinstance(node, promql.Call) and node.func.name in {"time", "scalar"}
    return is_time or isinstance(node, promql.NumberLiteral)


def _around(above: tuple[object, ...]) -> str:
    """The function or aggregation next around."""
    for node in reversed(above):
        if isinstance(node, promql.Call):
            return node.func.name
        if isinstance(node, promql.AggregateExpr):
            return str(node.op)
    return ""


def _aggregated(above: tuple[object, ...]) -> str:
    """The aggregation next around."""
    return next((str(node.op) for node in reversed(above) if isinstance(node, promql.AggregateExpr)), "")


def _children(node: object) -> Iterator[object]:
    for attribute in ("lhs", "rhs", "expr", "vector_selector"):
        child = getattr(node, attribute, None)
        if child is not None:
            yield child
    if isinstance(node, promql.Call):
        yield from node.args


def _below(node: object) -> Iterator[object]:
    yield node
    for child in _children(node):
        yield from _below(child)


def _nodes(expr: str) -> Iterator[object]:
    return _below(promql.parse(expr))
