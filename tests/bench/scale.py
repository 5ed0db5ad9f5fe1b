"""The same list and the same question in a small and in a large tenant."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from tests.bench.options import Options
from tests.bench.report import Finding
from tests.bench.stage import Stage
from tests.bench.wire import BenchFault, Line, request

WARM = 15  # beyond what it takes PostgreSQL to settle for a plan
LEAST, MOST = 15, 300
BAR = 2


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of both tenants; the answer has `rows` rows in either."""

    what: str
    target: str
    answers: str
    rows: int = 50
    bar: float | None = BAR


SECRETS = (
    Question("list of 50", "/v1/secrets?limit=50", "secrets"),
    Question("list of 50, a team's prefix", "/v1/secrets?limit=50&prefix=team-00042/", "secrets"),
    Question("list of 50, a frequent tag", "/v1/secrets?limit=50&tag=prod", "secrets"),
    Question("list of 50, a rare tag", "/v1/secrets?limit=50&tag=pci", "secrets"),
    Question("list of 50, a frequent type", "/v1/secrets?limit=50&type=kv", "secrets"),
    Question("list of 50, one type in 100", "/v1/secrets?limit=50&type=certificate", "secrets"),
    Question("list of 50, one owner in 100", "/v1/secrets?limit=50&owner=security", "secrets"),
    Question("list of 50 that expire soon, one in 85", "/v1/secrets?limit=50&expiring_within=30d", "secrets"),
)
LOGS = "/v1/audit/logs?limit=50"
TRAIL = (
    Question("audit query, no filter", LOGS, "logs"),
    Question("audit query, identity, one in 100", f"{LOGS}&identity_id=sa:service-042", "logs"),
    Question("audit query, identity, 100 entries ever", f"{LOGS}&identity_id=user:auditor@bench.example", "logs"),
    Question("audit query, path_prefix, one in 10", f"{LOGS}&path_prefix=app-3/", "logs"),
    Question("audit query, path_prefix, one in 100", f"{LOGS}&path_prefix=app-3/service-4/", "logs"),
    Question("audit query, path_prefix, 100 entries ever", f"{LOGS}&path_prefix=retired/", "logs"),
    Question("audit query, path_prefix, none ever", f"{LOGS}&path_prefix=nowhere/", "logs", rows=0),
    Question("audit query, action, nine in 10", f"{LOGS}&action=read", "logs"),
    Question("audit query, action, one in 100", f"{LOGS}&action=delete", "logs"),
    Question("audit query, actions, two of them", f"{LOGS}&action=delete,write", "logs"),
    Question("audit query, success=false", f"{LOGS}&success=false", "logs"),
    Question("audit query, success=true", f"{LOGS}&success=true", "logs"),
)


def questions(stage: Stage, options: Options, say: Callable[[str], None]) -> list[Finding]:
    """Every question to both tenants in turns, over HTTP."""
    tokens = {"small": stage.tokens.small, "large": stage.tokens.large}
    findings = []
    for question, size in (
        *((each, options.secrets) for each in SECRETS),
        *((each, options.audit_rows) for each in TRAIL),
    ):
        times = _ask(stage.plan.port, question, tokens, options.seconds / 2)
        small, large = median(times["small"]) * 1_000, median(times["large"]) * 1_000
        what = f"{question.what}; {size:,} to {options.few:,}"
        findings.append(Finding(what, f"{large:.2f} ms", f"{small:.2f} ms", [large / small], question.bar))
        say(f"{question.what}: {large:.2f} ms to {small:.2f} ms, {len(times['large'])} times each")
    return findings


def _ask(port: int, question: Question, tokens: Mapping[str, str], seconds: float) -> Mapping[str, list[float]]:
    """Seconds of each answer, by tenant; one after the other on one connection."""
    line = Line(port)
    raws = {name: request("GET", question.target, token).raw for name, token in tokens.items()}
    for raw in raws.values():
        _check(question, *line.ask(raw))
    times: dict[str, list[float]] = {name: [] for name in tokens}
    end = time.monotonic() + seconds
    for number in range(WARM + MOST):
        for name, raw in raws.items():
            started = time.perf_counter()
            status, body = line.ask(raw)
            if number >= WARM:
                times[name].append(time.perf_counter() - started)
            if status != 200:
                _check(question, status, body)
        if number >= WARM + LEAST and time.monotonic() > end:
            break
    line.close()
    return times


def _check(question: Question, status: int, body: bytes) -> None:
    rows = len(json.loads(body)[question.answers]) if status == 200 else -1
    if rows != question.rows:
        raise BenchFault(
            f"{question.target} answered {status} with {rows} rows and not {question.rows}: {body[:300]!r}"
        )
