"""`/v1/health…`, `/v1/metrics`, `/v1/version`, `/v1/openapi.json`: the vault about itself."""

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from flask import request
from pydantic import RootModel

from scaivault.edge.detail import Detail, Detailed, Word
from scaivault.edge.health import Condition, Finding, Readiness
from scaivault.edge.messages import Query, Reply, Timestamp
from scaivault.edge.metrics import as_seen_by
from scaivault.edge.routes import Answer, Route, Routes
from scaivault.kernel.caller import Caller, Role, Scope
from scaivault.kernel.limits import RateCategory
from scaivault.kernel.ports import Clock, Guard
from scaivault.observability.listener import Page, Serve

SERVER = "server"  # what is neither of the components: this process itself


POD_ONLY = "scope=pod"


class Live(Reply):
    status: Literal["healthy"] = "healthy"
    timestamp: Timestamp


class Ready(Reply):
    status: Literal["ready", "not_ready"]
    checks: dict[str, Literal["ok", "error"]]


class NotReady(Ready):
    """`errors` says what is wrong with a component in one word of a closed list."""

    errors: Mapping[str, Word]


class ReadyReply(RootModel[NotReady | Ready]):
    pass


class Version(Reply):
    version: str
    revision: str
    python: str
    api: str = "v1"


class Document(Reply):
    """An OpenAPI 3.1 document."""


@dataclass(frozen=True, slots=True)
class Build:
    """What is running."""

    version: str
    revision: str


class MetricsQuery(Query):
    """`scope=pod` leaves out what is a fact about the deployment: a scraper of every pod has it from the exporter."""

    scope: Literal["pod"] | None = None


class RenderMetrics(Protocol):
    def __call__(self, accept: str, *, pod_only: bool) -> tuple[bytes, str]: ...


class SystemPages:
    """The vault's answers about itself, the same on the API and on the internal listener."""

    def __init__(
        self,
        readiness: Readiness,
        detail: Detail,
        metrics: RenderMetrics,
        guard: Guard,
        clock: Clock,
        build: Build,
        on_ready: Callable[[bool], None],
        on_dependency: Callable[[str, bool], None],
        *,
        metrics_are_open: bool,
    ) -> None:
        self._readiness = readiness
        self._detail = detail
        self._metrics = metrics
        self._guard = guard
        self._clock = clock
        self._build = build
        self._on_ready = on_ready
        self._on_dependency = on_dependency
        self._metrics_are_open = metrics_are_open
        self._is_draining = False

    def close(self) -> None:
        self._readiness.close()
        self._detail.close()

    def look(self) -> None:
        """Look at all components now and then, so that whoever asks is told at once, and of what is."""
        self._readiness.look()
        findings = self._readiness.last()
        for name, found in findings.items():
            self._on_dependency(name, found.condition is Condition.OK)
        self._on_ready(not self._is_draining and not _bad(findings))

    def drain(self) -> None:
        """From now on nobody is to be sent here."""
        self._is_draining = True
        self._on_ready(False)

    def live(self) -> Live:
        """The process runs. No dependency is touched: restarting the vault does not mend PostgreSQL."""
        return Live(timestamp=self._clock.now())

    def ready(self) -> Answer:
        """It can serve a read and a write now, and is not about to end."""
        findings = self._readiness.last() if self._is_draining else self._readiness.findings()
        bad = _bad(findings) | ({SERVER: Condition.DRAINING} if self._is_draining else {})
        checks: dict[str, Literal["ok", "error"]] = {
            name: "error" if name in bad else "ok" for name in (*findings, *bad)
        }
        if bad:
            return Answer(NotReady(status="not_ready", checks=checks, errors=bad), 503)
        return Answer(Ready(status="ready", checks=checks))

    def detailed(self, caller: Caller) -> Detailed:
        self._guard.require_scope(caller, Scope.ADMIN)
        return self._detail.page()

    def version(self) -> Version:
        return Version(version=self._build.version, revision=self._build.revision, python=platform.python_version())

    def metrics(self, query: MetricsQuery) -> Answer:
        body, content_type = self._metrics(request.headers.get("Accept", ""), pod_only=query.scope == "pod")
        return Answer(None, body=body, content_type=content_type)

    def metrics_for(self, caller: Caller, query: MetricsQuery) -> Answer:
        """The same for administrators; what tells of other tenants than the caller's is for the installation's own."""
        self._guard.require_scope(caller, Scope.ADMIN)
        answer = self.metrics(query)
        if Role.SUPER_ADMIN in caller.principal.roles or answer.body is None:
            return answer
        return replace(answer, body=as_seen_by(answer.body, caller.tenant_id))

    def routes(self, openapi: Callable[[], bytes]) -> Routes:
        def document() -> Answer:
            return Answer(None, body=openapi())

        metrics = Route(
            "GET",
            "/v1/metrics",
            self.metrics if self._metrics_are_open else self.metrics_for,
            "Prometheus metrics",
            None if self._metrics_are_open else Scope.ADMIN,
            query=MetricsQuery,
            is_open=self._metrics_are_open,
            text_types=("text/plain", "application/openmetrics-text"),
        )
        return Routes(
            "system",
            "system",
            (
                Route("GET", "/v1/health", self.live, "Alive", reply=Live, is_open=True),
                Route(
                    "GET",
                    "/v1/health/ready",
                    self.ready,
                    "Ready to serve",
                    reply=ReadyReply,
                    is_open=True,
                    other_statuses=(503,),
                ),
                Route("GET", "/v1/health/detailed", self.detailed, "How it feels", Scope.ADMIN, reply=Detailed),
                Route(
                    "GET",
                    "/v1/version",
                    self.version,
                    "What is running",
                    reply=Version,
                    is_open=True,
                    limit=RateCategory.OPEN,
                ),
                metrics,
                Route(
                    "GET",
                    "/v1/openapi.json",
                    document,
                    "This API",
                    reply=Document,
                    is_open=True,
                    limit=RateCategory.OPEN,
                ),
            ),
        )

    def internal(self) -> Mapping[str, Serve]:
        """The pages of the internal listener."""

        def live(_accept: str, _query: str) -> Page:
            return _json_page(Answer(self.live()))

        def ready(_accept: str, _query: str) -> Page:
            return _json_page(self.ready())

        def metrics(accept: str, query: str) -> Page:
            if query not in {"", POD_ONLY}:  # a typing error would be facts counted twice
                return Page(400, "text/plain", b"the only query is scope=pod\n")
            body, content_type = self._metrics(accept, pod_only=query == POD_ONLY)
            return Page(200, content_type, body)

        return {"/v1/health": live, "/v1/health/ready": ready, "/v1/metrics": metrics}


def _bad(findings: Mapping[str, Finding]) -> dict[str, Condition]:
    return {name: found.condition for name, found in findings.items() if found.condition is not Condition.OK}


def _json_page(answer: Answer) -> Page:
    body = answer.reply.model_dump_json() if answer.reply is not None else json.dumps(None)
    return Page(answer.status, "application/json", body.encode())
