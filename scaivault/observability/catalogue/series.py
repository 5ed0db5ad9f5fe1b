"""What a series is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Scope(StrEnum):
    """POD is measured in a process: sum it. CLUSTER is a fact about the deployment, published once: take the max."""

    POD = "pod"
    CLUSTER = "cluster"


class Maker(StrEnum):
    """Which process a series comes from."""

    API = "API"
    EXPORTER = "exporter"
    WORKER = "worker"


Bound = tuple[str, ...] | int
TO_COME = ""


@dataclass(frozen=True, slots=True)
class Series:
    """One series family: what it counts, by which labels, and how many of each there can be."""

    name: str
    kind: Kind
    help: str
    labels: Mapping[str, Bound] = field(default_factory=dict)
    unit: str = ""
    scope: Scope = Scope.POD
    made_by: tuple[Maker, ...] = (Maker.API,)
    since: str = "0.1.0"
    """The release that brought it; TO_COME while its feature is not built."""
    starts_at_zero: bool = True
    """Whether every combination of closed labels exists from the start; only where there are few."""
    is_least: bool = False
    """Of a gauge: the least of a pod's live processes is told, and not their sum."""
    lint_exception: str = ""
    """Why `promtool check metrics` may complain of it."""

    @property
    def is_here(self) -> bool:
        return self.since != TO_COME

    @property
    def is_counted_by_requests(self) -> bool:
        """Whether the API's processes move it."""
        return self.is_here and Maker.API in self.made_by

    @property
    def is_counted_by_workers(self) -> bool:
        """Whether a worker moves it and the API does not."""
        return self.is_here and Maker.WORKER in self.made_by and Maker.API not in self.made_by
