"""The exporter's pages: what it knows, and whether it works."""

import json
from collections.abc import Callable, Mapping, Sequence

from prometheus_client.core import Metric

from exporter.itself import Itself
from exporter.snapshot import Watch
from scaivault.observability.catalogue.exporting import (
    EXPORTER_COLLECT_SECONDS,
    EXPORTER_LAST_SUCCESS,
    EXPORTER_LEADER,
    EXPORTER_UP,
)
from scaivault.observability.exposition import gauge, render
from scaivault.observability.listener import Page, Serve

OK, UNWELL = 200, 503


class Pages:
    """Made anew for whoever asks, out of snapshots: asking costs no source anything."""

    def __init__(
        self,
        itself: Itself,
        watches: Sequence[Watch],
        term: Callable[[], int | None],
        stuck: Callable[[], Sequence[str]],
        *,
        leads: Callable[[], bool],
    ) -> None:
        self._itself = itself
        self._watches = watches
        self._term = term
        self._leads = leads
        self._stuck = stuck

    def table(self) -> Mapping[str, Serve]:
        return {"/metrics": self.metrics, "/v1/metrics": self.metrics, "/healthz": self.health}

    def metrics(self, accept: str, _query: str = "") -> Page:
        """Everything that is true now. What the leader knows is left out if it stops leading while this is written."""
        term = self._term()
        body, content_type = render(self._families(term), accept)
        if term is not None and self._term() != term:
            body, content_type = render(self._families(None), accept)
        return Page(OK, content_type, body)

    def health(self, _accept: str = "", _query: str = "") -> Page:
        """Whether all threads make progress; those that do not, by name. A source that is away is no fault of ours."""
        stuck = self._stuck()
        body = {"status": "stuck", "stuck": list(stuck)} if stuck else {"status": "healthy"}
        return Page(UNWELL if stuck else OK, "application/json", json.dumps(body).encode())

    def _families(self, term: int | None) -> list[Metric]:
        names = [(watch.collector.name,) for watch in self._watches]
        up = [float(watch.is_up(term)) for watch in self._watches]
        seen = [snapshot for watch in self._watches if (snapshot := watch.fresh(term))]
        return [
            *self._itself.families(),
            gauge(EXPORTER_LEADER, [((), float(self._leads()))]),
            gauge(EXPORTER_UP, zip(names, up, strict=True)),
            gauge(EXPORTER_COLLECT_SECONDS, zip(names, [watch.last_seconds for watch in self._watches], strict=True)),
            gauge(EXPORTER_LAST_SUCCESS, zip(names, [watch.last_success_at for watch in self._watches], strict=True)),
            *(family for snapshot in seen for family in snapshot.families),
        ]
