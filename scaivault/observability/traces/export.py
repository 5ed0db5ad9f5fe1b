"""From an ended span to the collector: only what is allow-listed goes, and no failure costs anybody but the span."""

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status

from scaivault.observability.logs import masked

if TYPE_CHECKING:
    import requests

# By kind: the instrumentation has other ideas of what a name means (`server.address` as the Host header that came).
ATTRIBUTES = {
    SpanKind.SERVER: frozenset(
        {
            "http.request.method",
            "http.response.status_code",
            "http.route",
            "scaivault.error",
            "scaivault.identity_id",
            "scaivault.request_id",
            "scaivault.tenant_id",
        }
    ),
    SpanKind.CLIENT: frozenset(
        {
            "db.operation.name",
            "db.query.text",
            "db.system.name",
            "error.type",
            "http.request.method",
            "http.response.status_code",
            "scaivault.kms.operation",
            "server.address",
        }
    ),
    SpanKind.INTERNAL: frozenset(
        {
            "error.type",
            "http.response.status_code",
            "scaivault.attempt",
            "scaivault.count",
            "scaivault.event_type",
            "scaivault.job",
            "scaivault.request_id",
            "scaivault.tenant_id",
            "scaivault.webhook_id",
        }
    ),
}
UNMATCHED = "unmatched"
ATTEMPT_SECONDS = 5.0
QUIET_SECONDS = 60.0
_CODE = re.compile(r"[a-z_]{1,64}", re.ASCII)


class Log(Protocol):
    """Writes one event of named fields."""

    def __call__(self, level: str, event: str, failure: Exception | None = None, /, **fields: object) -> None: ...


class Losses:
    """Counts spans that do not arrive, and says so once a minute."""

    def __init__(self, log: Log, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._monotonic = monotonic
        self._turn = threading.Lock()
        self._untold = 0
        self._told_at = float("-inf")

    def add(self, count: int) -> None:
        """So many are lost."""
        with self._turn:
            self._untold += count
            if self._monotonic() - self._told_at < QUIET_SECONDS:
                return
            told, self._untold, self._told_at = self._untold, 0, self._monotonic()
        self._log("warn", "spans_lost", count=told)


class Queue:
    """The places in the batch processor's queue, which itself has a log line for each span that finds none."""

    def __init__(self, places: int, losses: Losses) -> None:
        self._free = threading.Semaphore(places)
        self._losses = losses

    def enter(self) -> bool:
        """Whether there was a place."""
        has_place = self._free.acquire(blocking=False)
        if not has_place:
            self._losses.add(1)
        return has_place

    def leave(self, count: int, *, arrived: bool) -> None:
        """Give up the places of a batch that was offered."""
        self._free.release(count)
        if not arrived:
            self._losses.add(count)


class Cleared(SpanProcessor):
    """Passes on a copy of each span that has what is allow-listed and nothing else.

    The instrumentation of a web framework is made to tell all: targets, peers, agents, hosts. Whatever a coming
    version of it adds, it does not leave the process.
    """

    def __init__(self, onward: SpanProcessor, queue: Queue, resource: Resource) -> None:
        self._onward = onward
        self._queue = queue
        self._resource = resource

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the copy, if there is a place for it."""
        if not self._queue.enter():
            return
        allowed = ATTRIBUTES.get(span.kind, frozenset())
        kept = {name: _shown(value) for name, value in (span.attributes or {}).items() if name in allowed}
        self._onward.on_end(
            ReadableSpan(
                name=_name(span, kept),
                context=span.context,
                parent=span.parent,
                resource=self._resource,
                attributes=kept,
                kind=span.kind,
                status=_status(span.status),
                start_time=span.start_time,
                end_time=span.end_time,
                instrumentation_scope=span.instrumentation_scope,
            )
        )

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is queued, now and on this thread."""
        return self._onward.force_flush(timeout_millis)


def _shown(value: object) -> str | int:
    return value if isinstance(value, int) else masked(str(value))


def _name(span: ReadableSpan, kept: Mapping[str, object]) -> str:
    """Of an incoming request by its route: the instrumentation names those that have none by their path."""
    if span.kind is not SpanKind.SERVER:
        return span.name
    return f"{kept.get('http.request.method', 'HTTP')} {kept.get('http.route', UNMATCHED)}"


def _status(status: Status) -> Status:
    """A code of ours may say what went wrong; an exception's text may not."""
    description = status.description
    if description is None or _CODE.fullmatch(description):
        return status
    return Status(status.status_code)


class Sender(SpanExporter):
    """The library's exporter, which owns up to what it loses."""

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        certificate_file: Path | None,
        session: "requests.Session",
        queue: Queue,
    ) -> None:
        self._exporter = OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces",
            headers=headers,
            certificate_file=str(certificate_file) if certificate_file else None,
            timeout=ATTEMPT_SECONDS,
            compression=Compression.Gzip,
            session=session,
        )
        self._queue = queue

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Offer a batch for five seconds at most; what is not taken is lost."""
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._queue.leave(len(spans), arrived=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the library's
