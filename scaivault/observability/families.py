"""Counters, gauges and histograms of the catalogue's series, one child for each combination of label values."""

import itertools
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Generic, TypeVar

from scaivault.observability import tables
from scaivault.observability.catalogue.series import Bound, Series
from scaivault.observability.catalogue.vocabulary import BUCKETS_SECONDS, OTHER_METHOD, OVERFLOW
from scaivault.observability.store import Store

Child = TypeVar("Child")
Labels = dict[str, str]


class Counter:
    """Goes up."""

    __slots__ = ("_cell", "_lock")

    def __init__(self, store: Store, series: Series, labels: Labels) -> None:
        self._lock = store.lock
        self._cell = store.cell(
            "counter", tables.key(series.name.removesuffix("_total"), series.name, labels, series.help)
        )

    def inc(self) -> None:
        cell = self._cell
        with self._lock:
            cell.doubles[cell.at] += 1.0


class Gauge:
    """Goes up and down. Added up over live processes, or the least of theirs: what a dead one said is gone with it."""

    __slots__ = ("_cell", "_lock")

    def __init__(self, store: Store, series: Series, labels: Labels) -> None:
        self._lock = store.lock
        shelf = "gauge_livemin" if series.is_least else "gauge_livesum"
        self._cell = store.cell(shelf, tables.key(series.name, series.name, labels, series.help))

    def add(self, amount: float) -> None:
        cell = self._cell
        with self._lock:
            cell.doubles[cell.at] += amount

    def set(self, value: float) -> None:
        cell = self._cell
        with self._lock:
            cell.doubles[cell.at] = value


class Histogram:
    """Times, in the contract's buckets."""

    __slots__ = ("_buckets", "_lock", "_store", "_sum")

    def __init__(self, store: Store, series: Series, labels: Labels) -> None:
        self._store = store
        self._lock = store.lock
        bounds = (*(repr(bound) for bound in BUCKETS_SECONDS), "+Inf")
        of = partial(tables.key, series.name, help_text=series.help)
        self._sum = store.cell("histogram", of(sample=f"{series.name}_sum", labels=labels))
        self._buckets = [
            store.cell("histogram", of(sample=f"{series.name}_bucket", labels={**labels, "le": bound}))
            for bound in bounds
        ]

    def observe(self, seconds: float, trace_id: str | None = None) -> None:
        """One more, and for a bucket's exemplar the trace that it is part of."""
        bucket, total = self._buckets[bisect_left(BUCKETS_SECONDS, seconds)], self._sum
        with self._lock:
            bucket.doubles[bucket.at] += 1.0
            total.doubles[total.at] += seconds
        if trace_id is not None:
            self._store.note_trace(bucket, trace_id, seconds)


class Family(Generic[Child]):
    """The children of one series. One that is known costs a dict look-up."""

    def __init__(self, series: Series, make: Callable[[Labels], Child], bounds: "Bounds") -> None:
        self._series = series
        self._make = make
        self._bounds = bounds
        self._lock = threading.RLock()
        self._children: dict[tuple[str, ...], Child] = {}
        if series.starts_at_zero or not series.labels:
            for combination in _combinations(series):
                self.of(*combination)

    def of(self, *label_values: str) -> Child:
        """The child for these values, in the order of the catalogue's labels."""
        child = self._children.get(label_values)
        return self._admit(label_values) if child is None else child

    def _admit(self, label_values: tuple[str, ...]) -> Child:
        """Values that are refused are not remembered: whoever sends ever new ones must not fill the memory."""
        kept = self._bounds.keep(self._series, label_values)
        with self._lock:
            child = self._children.get(kept)
            if child is None:
                child = self._children[kept] = self._make(dict(zip(self._series.labels, kept, strict=True)))
        return child


class Bounds:
    """Which label values may become series of their own: those in the closed lists, and the first few of the rest."""

    def __init__(self, cap: int, dropped: Callable[[str], None]) -> None:
        self._cap = cap
        self._dropped = dropped
        self._lock = threading.Lock()
        self._admitted: dict[str, set[str]] = {}

    def admit(self, labels: Mapping[str, str]) -> None:
        """These have series already, from the process before this one: they are of the first few."""
        with self._lock:
            for label, value in labels.items():
                if value != OVERFLOW:
                    self._admitted.setdefault(label, set()).add(value)

    def keep(self, series: Series, label_values: tuple[str, ...]) -> tuple[str, ...]:
        """The values as they may be used; one that is not in bounds becomes OVERFLOW, and is counted as dropped."""
        bounds = series.labels.items()
        kept = tuple(self._one(*each, value) for each, value in zip(bounds, label_values, strict=True))
        if kept != label_values and OVERFLOW in kept:
            self._dropped(series.name)
        return kept

    def _one(self, label: str, bound: Bound, value: str) -> str:
        if isinstance(bound, tuple):
            if value in bound:
                return value
            return OTHER_METHOD if OTHER_METHOD in bound else OVERFLOW
        with self._lock:
            admitted = self._admitted.setdefault(label, set())
            if value not in admitted and len(admitted) >= min(bound, self._cap):
                return OVERFLOW
            admitted.add(value)
        return value


def _combinations(series: Series) -> Iterator[tuple[str, ...]]:
    """Every combination of a series whose labels are all closed; none of any other."""
    closed = [bound for bound in series.labels.values() if isinstance(bound, tuple)]
    return itertools.product(*closed) if len(closed) == len(series.labels) else iter(())
