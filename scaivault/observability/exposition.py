"""Metric families as text: made from what the catalogue says of a series, rendered in either format."""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import exposition
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from scaivault.observability.catalogue.series import Series

OPENMETRICS = "application/openmetrics-text"
_END = b"# EOF\n"


def gauge(series: Series, rows: Iterable[tuple[Sequence[str], float]]) -> Metric:
    """The family of a gauge, with a sample for each row of label values, in the catalogue's order, and a number."""
    family = GaugeMetricFamily(series.name, series.help, labels=tuple(series.labels))
    for label_values, number in rows:
        family.add_metric(label_values, number)
    return family


def render(families: Iterable[Metric], accept: str) -> tuple[bytes, str]:
    """The families and their content type: OpenMetrics 1.0 if asked for, else Prometheus text 0.0.4."""
    if OPENMETRICS in accept:
        text: bytes = openmetrics.generate_latest(_Given(families))  # type: ignore[no-untyped-call]
        return text, openmetrics.CONTENT_TYPE_LATEST
    return exposition.generate_latest(_Given(families)), exposition.CONTENT_TYPE_PLAIN_0_0_4


def append(body: bytes, content_type: str, families: Sequence[Metric]) -> bytes:
    """`body`, rendered in this content type, and the families behind it in the same."""
    return body.removesuffix(_END) + render(families, content_type)[0] if families else body


class _Given(Collector):
    """What prometheus_client renders is whatever collects."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)
