"""A collector: takes OTLP over HTTP, decodes it, and keeps every span and every byte. Or behaves badly, as told."""

import contextlib
import gzip
import socket
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

PATIENCE_SECONDS = 30
ERROR = trace_pb2.Status.STATUS_CODE_ERROR


@dataclass(frozen=True)
class Span:
    """One span, in words."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict
    resource: dict
    failed: bool
    error: str
    events: int
    started: int
    ended: int
    trace_state: str
    scope: str

    @property
    def is_server(self):
        return self.kind == "SERVER"


class Receiver:
    """What has come in. `behave` is asked by every request: 'take', 'refuse' or 'hang'."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        self.behave = "take"
        self.raw, self.headers, self.paths = [], [], []
        self.spans = []
        self.connections = []
        self.released = threading.Event()
        self._came = threading.Condition()

    def take(self, path, headers, body):
        plain = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        spans = decoded(plain)  # first: what can not be decoded must fail the request
        with self._came:
            self.paths.append(path)
            self.headers.append(dict(headers))
            self.raw.append(plain)
            self.spans += spans
            self._came.notify_all()

    def asked(self, path, headers):
        with self._came:
            self.paths.append(path)
            self.headers.append(dict(headers))
            self._came.notify_all()

    def await_true(self, check, seconds=PATIENCE_SECONDS):
        """What `check` says once it is true, looked at whenever something has come."""
        with self._came:
            assert self._came.wait_for(lambda: bool(check()), seconds), f"it did not come: {self.spans[-20:]}"
            return check()

    def await_trace(self, trace_id, count=1):
        """The spans of this trace, once its request's span and so many of its calls are there."""

        def there():
            spans = self.of(trace_id)
            return any(span.is_server for span in spans) and len(spans) >= count

        self.await_true(there)
        return self.of(trace_id)

    def of(self, trace_id):
        return [span for span in self.spans if span.trace_id == trace_id]


def decoded(body):
    message = ExportTraceServiceRequest()
    message.ParseFromString(body)
    return [
        Span(
            name=span.name,
            kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            attributes=words(span.attributes),
            resource=words(group.resource.attributes),
            failed=span.status.code == ERROR,
            error=span.status.message,
            events=len(span.events) + len(span.links),
            started=span.start_time_unix_nano,
            ended=span.end_time_unix_nano,
            trace_state=span.trace_state,
            scope=scope.scope.name,
        )
        for group in message.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def words(attributes):
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if receiver.behave == "take":
            receiver.take(self.path, self.headers, body)
            self._answer(200)
        elif receiver.behave == "refuse":
            receiver.asked(self.path, self.headers)
            self._answer(403)
        else:
            receiver.asked(self.path, self.headers)
            receiver.released.wait(PATIENCE_SECONDS)
            self.close_connection = True

    def _answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments):
        """Nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    receiver: Receiver

    def process_request(self, request, client_address):
        self.receiver.connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, *_arguments):
        """A client that hung up."""


@contextlib.contextmanager
def collecting(behave="take", port=0):
    """A collector, until the end of the block."""
    server = _Server(("127.0.0.1", port), _Handler)
    receiver = server.receiver = Receiver(server.server_address[1])
    receiver.behave = behave
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    receiver.stop = lambda: stop(server, receiver, thread)
    try:
        yield receiver
    finally:
        receiver.stop()


def stop(server, receiver, thread):
    """Dead: nobody listens at its address any more, and who was connected is hung up on."""
    receiver.released.set()
    server.shutdown()
    server.server_close()
    for connection in receiver.connections:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE_SECONDS)
