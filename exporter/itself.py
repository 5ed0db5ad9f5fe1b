"""The exporter about itself: what runs, how large it is, how long its calls took."""

import bisect
import os
import platform
import threading
from collections.abc import Sequence
from importlib.metadata import version as installed_version
from itertools import accumulate
from pathlib import Path

from prometheus_client.core import HistogramMetricFamily, Metric

from scaivault.observability.catalogue.dependencies import DB_SECONDS, REDIS_SECONDS
from scaivault.observability.catalogue.requests import BUILD_INFO, RESIDENT_MEMORY
from scaivault.observability.catalogue.series import Series
from scaivault.observability.catalogue.vocabulary import BUCKETS_SECONDS
from scaivault.observability.exposition import gauge

VERSION = installed_version("scaivault")
REVISION = "unknown"
PROCESS = "exporter"


class Latency:
    """A histogram of our own: prometheus_client's would write to files if the environment is a worker's."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._turn = threading.Lock()
        self._counts = [0] * (len(BUCKETS_SECONDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        with self._turn:
            self._counts[bisect.bisect_left(BUCKETS_SECONDS, seconds)] += 1
            self._sum += seconds

    def family(self) -> Metric:
        with self._turn:
            counts, total = list(accumulate(self._counts)), self._sum
        bounds = [*(str(bound) for bound in BUCKETS_SECONDS), "+Inf"]
        family = HistogramMetricFamily(self._series.name, self._series.help)
        family.add_metric((), list(zip(bounds, counts, strict=True)), total)
        return family


class Itself:
    """This process's own series."""

    def __init__(self) -> None:
        self.database = Latency(DB_SECONDS)
        self.redis = Latency(REDIS_SECONDS)

    def families(self) -> Sequence[Metric]:
        return (
            gauge(BUILD_INFO, [((VERSION, REVISION, platform.python_version()), 1.0)]),
            gauge(RESIDENT_MEMORY, [((PROCESS,), _resident_bytes())]),
            self.database.family(),
            self.redis.family(),
        )


def _resident_bytes() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return float(pages * os.sysconf("SC_PAGESIZE"))
