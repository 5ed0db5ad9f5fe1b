"""`/v1/health…`, `/v1/metrics`, `/v1/version`, `/v1/openapi.json`: the vault about itself."""

import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from flask import request
from pydantic import RootModel
from pydantic import WithJsonSchema as JsonSchema

from scaivault.edge.health import Condition, Finding, Readiness
from scaivault.edge.internal import Page, Serve
from scaivault.edge.messages import Reply, Timestamp
from scaivault.edge.routes import Answer, Route, Routes
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.limits import RateCategory
from scaivault.kernel.ports import Clock, Guard

# A text to the OpenAPI document, which has room for one thing called `Condition`: a feature has one too.
ConditionWord = Annotated[str, JsonSchema({"type": "string", "enum": [word.value for word in Condition]})]


class Live(Reply):
    status: Literal["healthy"] = "healthy"
    timestamp: Timestamp


class Ready(Reply):
    status: Literal["ready", "not_ready"]
    checks: dict[str, Literal["ok", "error"]]


class NotReady(Ready):
    """`errors` says what is wrong with a component in one word of a closed list."""

    errors: Mapping[str, ConditionWord]


class ReadyReply(RootModel[NotReady | Ready]):
    pass


class Detailed(Reply):
    status: Literal["healthy", "degraded"]
    version: str
    uptime_seconds: float
    checks: dict[str, dict[str, Any]]


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


class Facts(Protocol):
    """What each component can say of itself beyond well or not; slow or absent answers are left out."""

    def __call__(self) -> Mapping[str, Mapping[str, object]]: ...


RenderMetrics = Callable[[str], tuple[bytes, str]]


class SystemPages:
    """The vault's answers about itself, the same on the API and on the internal listener."""

    def __init__(
        self,
        readiness: Readiness,
        facts: Facts,
        metrics: RenderMetrics,
        guard: Guard,
        clock: Clock,
        build: Build,
        *,
        metrics_are_open: bool,
    ) -> None:
        self._readiness = readiness
        self._facts = facts
        self._metrics = metrics
        self._guard = guard
        self._clock = clock
        self._build = build
        self._metrics_are_open = metrics_are_open
        self._started = time.monotonic()

    def close(self) -> None:
        self._readiness.close()

    def look(self) -> None:
        """Look at all components now and then, so that whoever asks first after a fault is told of it."""
        self._readiness.findings()

    def live(self) -> Live:
        """The process runs. No dependency is touched: restarting the vault does not mend PostgreSQL."""
        return Live(timestamp=self._clock.now())

    def ready(self) -> Answer:
        """It can serve a read and a write now."""
        findings = self._readiness.findings()
        bad = _bad(findings)
        checks: dict[str, Literal["ok", "error"]] = {name: "error" if name in bad else "ok" for name in findings}
        if bad:
            return Answer(NotReady(status="not_ready", checks=checks, errors=bad), 503)
        return Answer(Ready(status="ready", checks=checks))

    def detailed(self, caller: Caller) -> Detailed:
        self._guard.require_scope(caller, Scope.ADMIN)
        findings, facts = self._readiness.findings(), self._facts()
        return Detailed(
            status="degraded" if _bad(findings) else "healthy",
            version=self._build.version,
            uptime_seconds=round(time.monotonic() - self._started, 3),
            checks={name: _component(finding) | dict(facts.get(name, {})) for name, finding in findings.items()},
        )

    def version(self) -> Version:
        return Version(version=self._build.version, revision=self._build.revision, python=platform.python_version())

    def metrics(self) -> Answer:
        body, content_type = self._metrics(request.headers.get("Accept", ""))
        return Answer(None, body=body, content_type=content_type)

    def metrics_for(self, caller: Caller) -> Answer:
        """The same for administrators: labels name tenants."""
        self._guard.require_scope(caller, Scope.ADMIN)
        return self.metrics()

    def routes(self, openapi: Callable[[], bytes]) -> Routes:
        def document() -> Answer:
            return Answer(None, body=openapi())

        metrics = Route(
            "GET",
            "/v1/metrics",
            self.metrics if self._metrics_are_open else self.metrics_for,
            "Prometheus metrics",
            None if self._metrics_are_open else Scope.ADMIN,
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

        def live(_accept: str) -> Page:
            return _json_page(Answer(self.live()))

        def ready(_accept: str) -> Page:
            return _json_page(self.ready())

        def metrics(accept: str) -> Page:
            body, content_type = self._metrics(accept)
            return Page(200, content_type, body)

        return {"/v1/health": live, "/v1/health/ready": ready, "/v1/metrics": metrics}


def _bad(findings: Mapping[str, Finding]) -> dict[str, Condition]:
    return {name: found.condition for name, found in findings.items() if found.condition is not Condition.OK}


def _component(finding: Finding) -> dict[str, object]:
    latency = None if finding.latency_ms is None else round(finding.latency_ms, 3)
    return {"status": finding.condition.value, "latency_ms": latency}


def _json_page(answer: Answer) -> Page:
    body = answer.reply.model_dump_json() if answer.reply is not None else json.dumps(None)
    return Page(answer.status, "application/json", body.encode())
