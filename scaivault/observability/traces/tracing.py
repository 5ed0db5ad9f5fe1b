"""Spans: made while a request is served, cleared of all that is not allow-listed, sent by a thread of its own."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.propagate import set_global_textmap
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, StatusCode

from scaivault.observability.traces import statements
from scaivault.observability.traces.begun import Begun, Continued, Ids, beginning
from scaivault.observability.traces.export import Cleared, Log, Losses, Queue, Sender
from scaivault.observability.traces.sampling import Sampling

if TYPE_CHECKING:
    import requests

FLUSH_SECONDS = 2.0
QUEUE_SPANS = 2_048
BATCH_SPANS = 512
BATCH_SECONDS = 2.0
NAME = "scaivault"


@dataclass(frozen=True, slots=True)
class Collector:
    """Where spans go. `headers` are what the collector knows us by."""

    endpoint: str
    headers: Mapping[str, str] = field(repr=False)
    certificate_file: Path | None


@dataclass(frozen=True, slots=True)
class Service:
    """What the spans are spans of."""

    name: str
    version: str


class Tracing:
    """Nothing runs before `open`, which belongs after the fork; `close` takes no longer than two seconds.

    Who calls another system tells when a call has ended, and a span is made of it if the request at hand is traced: in
    every other request it costs a look at a context variable. A call has no calls in it, so nothing need be its child.
    """

    def __init__(
        self,
        service: Service,
        collector: Collector,
        sampling: Sampling,
        session: "Callable[[], requests.Session]",
        log: Log,
    ) -> None:
        self._service = service
        self._collector = collector
        self._session = session
        self._log = log
        self._batches: BatchSpanProcessor | None = None
        self.keeps = sampling.keeps
        # All arguments are given, so that no variable of the SDK's own decides. Whoever comes this far is sampled.
        self.provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource({}),
            shutdown_on_exit=False,
            id_generator=Ids(),
            span_limits=SpanLimits(max_attribute_length=statements.MOST_CHARACTERS),
        )
        self._tracer = self.provider.get_tracer(NAME, service.version)

    def open(self) -> None:
        """Begin to send, from a thread of this process."""
        _silence_the_library()
        set_global_textmap(Continued())
        queue = Queue(QUEUE_SPANS, Losses(self._log))
        sender = Sender(
            self._collector.endpoint,
            self._collector.headers,
            self._collector.certificate_file,
            self._session(),
            queue,
        )
        self._batches = BatchSpanProcessor(
            sender,
            max_queue_size=QUEUE_SPANS,
            schedule_delay_millis=BATCH_SECONDS * 1_000,
            max_export_batch_size=BATCH_SPANS,
            export_timeout_millis=FLUSH_SECONDS * 1_000,
        )
        self.provider.add_span_processor(Cleared(self._batches, queue, self._resource()))

    def close(self) -> None:
        """Send what is queued. What is not taken in time is left behind, with the thread that offers it."""
        if self._batches is not None:
            ending = threading.Thread(target=self._batches.shutdown, name="traces-flush", daemon=True)
            ending.start()
            ending.join(FLUSH_SECONDS)
            self._batches = None

    @contextmanager
    def request(self, trace_id: str, parent_id: str | None) -> Iterator[None]:
        """In the block the first span is of this trace, and a child of its caller's span if it has one."""
        with beginning(Begun(int(trace_id, 16), int(parent_id, 16) if parent_id else None)):
            yield

    def database(self, what: str, started: float, failure: BaseException | None = None, /, **_: str | int) -> None:
        """A statement."""
        if _is_traced():
            self._tell(statements.summary(what), started, failure, statements.attributes(what))

    def redis(self, what: str, started: float, failure: BaseException | None = None, /, **_: str | int) -> None:
        """A command, by its name."""
        if _is_traced():
            self._tell(what, started, failure, {"db.system.name": "redis", "db.operation.name": what})

    def kms(self, what: str, started: float, failure: BaseException | None = None, /, **_: str | int) -> None:
        """An operation of the key service."""
        if _is_traced():
            self._tell(f"KMS {what}", started, failure, {"scaivault.kms.operation": what})

    def outbound(
        self, what: str, started: float, failure: BaseException | None = None, /, **details: str | int
    ) -> None:
        """A call to another system over HTTP. One that no request waits for is a trace of its own."""
        if _is_traced() or self.keeps(os.urandom(16).hex(), None):
            self._tell(what, started, failure, {"http.request.method": what} | details)

    def work(
        self, what: str, started: float, trace_id: str | None, error: str | None = None, /, **details: str | int
    ) -> None:
        """Something that no request waited for: a span in the trace of what caused it, else a trace of its own."""
        trace_id = trace_id or os.urandom(16).hex()
        if not self.keeps(trace_id, None):
            return
        ended = time.time_ns()
        began = ended - int((time.perf_counter() - started) * 1e9)
        with beginning(Begun(int(trace_id, 16), None)):
            span = self._tracer.start_span(what, kind=SpanKind.INTERNAL, start_time=began, attributes=details)
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(StatusCode.ERROR)
        span.end(ended)

    def _tell(
        self, name: str, started: float, failure: BaseException | None, attributes: Mapping[str, str | int]
    ) -> None:
        ended = time.time_ns()
        began = ended - int((time.perf_counter() - started) * 1e9)
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, start_time=began, attributes=attributes)
        if failure is not None:
            span.set_attribute("error.type", type(failure).__name__)
            span.set_status(StatusCode.ERROR)
        span.end(ended)

    def _resource(self) -> Resource:
        return Resource(
            {
                "service.name": self._service.name,
                "service.version": self._service.version,
                "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
                "telemetry.sdk.language": "python",
                "telemetry.sdk.name": "opentelemetry",
                "telemetry.sdk.version": installed_version("opentelemetry-sdk"),
            }
        )


def _is_traced() -> bool:
    """Whether this thread works for a request whose spans are kept, or for one that has ended since."""
    return trace.get_current_span().get_span_context().trace_flags.sampled


def _silence_the_library() -> None:
    """It has a line for every span that it drops and every batch that fails, some with the collector's URL. We tell."""
    library = logging.getLogger("opentelemetry")
    library.propagate = False
    if not library.handlers:
        library.addHandler(logging.NullHandler())
