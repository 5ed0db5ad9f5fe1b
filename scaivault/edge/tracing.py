"""Incoming requests as spans: OpenTelemetry's Flask instrumentation, for those requests whose trace is kept.

The instrumentation costs a request 150 µs and more, whether its span is kept or not. So there are two applications
over the same services: whether a trace is kept is known from two headers, and a request that is not never meets it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, request
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import Span, StatusCode, format_span_id

from scaivault.edge.context import TRACE_ID
from scaivault.edge.exchange import current
from scaivault.edge.origin import trace_of
from scaivault.observability.catalogue.vocabulary import METHODS, OTHER_METHOD
from scaivault.observability.traces.tracing import Tracing

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Asked every few seconds by machines, and of no interest when they are answered.
UNTRACED = frozenset({"/v1/health", "/v1/health/ready", "/v1/metrics"})
KNOWN_METHODS = frozenset(METHODS) - {OTHER_METHOD}
SERVER_ERROR = 500


class Doors:
    """WSGI: to the instrumented application if the request's trace is kept, to the plain one if not."""

    def __init__(self, plain: "WSGIApplication", traced: "WSGIApplication", tracing: Tracing) -> None:
        self._plain = plain
        self._traced = traced
        self._tracing = tracing

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        trace = trace_of(environ.get("HTTP_TRACEPARENT"), environ.get("HTTP_X_REQUEST_ID"))
        environ[TRACE_ID] = trace.trace_id
        if environ["PATH_INFO"] in UNTRACED or not self._tracing.keeps(trace.trace_id, trace.is_sampled):
            return self._plain(environ, start_response)
        with self._tracing.request(trace.trace_id, trace.parent_id):
            return self._traced(environ, start_response)


def instrumented(app: Flask, tracing: Tracing) -> Flask:
    """The application with a span around each request. Its hooks come after those of the edge, which knows the rest."""
    FlaskInstrumentor.instrument_app(  # type: ignore[no-untyped-call]  # the library's
        app,
        request_hook=_begin,
        response_hook=_describe,
        tracer_provider=tracing.provider,
        meter_provider=NoOpMeterProvider(),
        excluded_urls="",
        enable_commenter=False,
    )
    return app


def _begin(span: Span, _environ: Any) -> None:  # noqa: ANN401 - the library's
    if span.is_recording():
        current().span_id = format_span_id(span.get_span_context().span_id)


def _describe(span: Span | None, _status: str, _headers: Any) -> None:  # noqa: ANN401 - the library's
    """What the edge knows when the answer begins. The instrumentation's own words for it are left behind."""
    if span is None or not span.is_recording():
        return
    exchange = current()
    span.set_attribute("scaivault.request_id", exchange.origin.request_id)
    span.set_attribute("http.request.method", request.method if request.method in KNOWN_METHODS else "_OTHER")
    span.set_attribute("http.response.status_code", exchange.status)
    if exchange.caller is not None:
        span.set_attribute("scaivault.tenant_id", exchange.caller.tenant_id)
        span.set_attribute("scaivault.identity_id", exchange.caller.identity_id)
    if exchange.error is not None:
        span.set_attribute("scaivault.error", exchange.error)
    if exchange.status >= SERVER_ERROR:
        span.set_status(StatusCode.ERROR, exchange.error or "internal_error")
