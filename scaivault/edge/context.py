"""Around every request: who and where it is from before, one count, one time and one log event after."""

import time
from collections.abc import Mapping
from typing import Protocol

from flask import Flask, Response, g, request
from werkzeug.exceptions import NotFound as NoSuchRoute

from scaivault.edge import problems
from scaivault.edge.dispatch import no_such_address
from scaivault.edge.exchange import Exchange, current
from scaivault.edge.origin import Origins
from scaivault.kernel.errors import VaultError
from scaivault.observability.failures import type_name

UNMATCHED = "unmatched"
TRACE_ID = "scaivault.trace_id"
"""Where in the environ a door that has read the request's trace leaves it: no header becomes a name with a dot."""
# Probes and scrapes come every few seconds: worth a line to those who look for them only.
_QUIET = frozenset({"system"})
_OURS = 500  # from here on an answer is our failure, and whoever looks for failures must find its line


class Meter(Protocol):
    """Counts and times requests."""

    def request_started(self, category: str) -> None: ...

    def request_ended(
        self, method: str, category: str, status: int, seconds: float, trace_id: str | None = None
    ) -> None:
        """`trace_id` if the request's trace is kept, for an exemplar to lead to."""


class Log(Protocol):
    """Writes one event of named fields."""

    def __call__(self, level: str, event: str, failure: Exception | None = None, /, **fields: object) -> None: ...


class RequestContext:
    """The hooks, on one Flask application."""

    def __init__(self, origins: Origins, meter: Meter, log: Log, categories: Mapping[str, str]) -> None:
        self._origins = origins
        self._meter = meter
        self._log = log
        self._categories = categories

    def install(self, app: Flask) -> None:
        app.before_request(self._begin)
        app.after_request(self._dress)
        app.teardown_request(self._end)
        app.register_error_handler(Exception, self._fail)

    def _begin(self) -> None:
        environ = request.environ
        category = self._categories.get(request.endpoint or "", UNMATCHED)
        g.exchange = Exchange(
            origin=self._origins.read(
                peer=environ.get("REMOTE_ADDR", ""),
                forwarded_for=environ.get("HTTP_X_FORWARDED_FOR", ""),
                request_id=environ.get("HTTP_X_REQUEST_ID"),
                traceparent=environ.get("HTTP_TRACEPARENT"),
                user_agent=environ.get("HTTP_USER_AGENT", ""),
                trace_id=environ.get(TRACE_ID),
            ),
            category=category,
        )
        self._meter.request_started(category)

    def _fail(self, failure: Exception) -> Response:
        exchange = current()
        if isinstance(failure, NoSuchRoute):
            failure = no_such_address(request.path)
        exchange.error = failure.code if isinstance(failure, VaultError) else None
        response = problems.render(failure, exchange.origin.request_id)
        if response.status_code >= _OURS:
            exchange.cause = failure.__cause__ or failure
        if response.status_code == 500:  # noqa: PLR2004 - ours to mend, so worth a trace
            self._log("error", "request_failed", failure, **_fields(exchange))
        return response

    @staticmethod
    def _dress(response: Response) -> Response:
        exchange = current()
        exchange.status = response.status_code
        response.headers["X-Request-ID"] = exchange.origin.request_id
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.extend(exchange.limit_headers)
        return response

    def _end(self, _failure: BaseException | None) -> None:
        exchange = current()
        seconds = time.perf_counter() - exchange.origin.started
        kept = exchange.origin.trace_id if exchange.span_id else None
        worked = seconds - exchange.waited_seconds
        self._meter.request_ended(request.method, exchange.category, exchange.status, worked, kept)
        level = "debug" if exchange.category in _QUIET else "error" if exchange.status >= _OURS else "info"
        self._log(level, "request", **_fields(exchange), status=exchange.status, duration_ms=round(seconds * 1_000, 3))


def _fields(exchange: Exchange) -> dict[str, object]:
    rule = request.url_rule
    fields: dict[str, object] = {
        "request_id": exchange.origin.request_id,
        "trace_id": exchange.origin.trace_id,
        "method": request.method,
        "route": rule.rule if rule else UNMATCHED,
        "path_category": exchange.category,
    }
    if caller := exchange.caller:
        fields |= {"tenant_id": caller.tenant_id, "identity_id": caller.identity_id}
    if exchange.span_id:
        fields["span_id"] = exchange.span_id
    if exchange.error:
        fields["error"] = exchange.error
    if exchange.cause:
        fields["error_type"] = type_name(exchange.cause)
    if exchange.waited_seconds:
        fields["waited_ms"] = round(exchange.waited_seconds * 1_000, 3)
    return fields
