"""Reads and writes under eight clients, in turns with the floor."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import psycopg

from tests.bench.load import Clients, Outcome, percentile
from tests.bench.options import Options
from tests.bench.report import Finding
from tests.bench.stage import FLOOR_TENANT, TENANT, Stage
from tests.bench.wire import SERIAL, BenchFault, Request, request

SECRETS = 300
WARM_SECONDS = 1.0
DATA = {"username": "billing", "password": "correct-horse-battery-staple", "host": "db-7.internal", "port": 5432}
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Side:
    """One of those that take turns."""

    port: int
    requests: Sequence[Request]
    tenant: str
    action: str


def reads(stage: Stage, clients: Clients, options: Options, say: Say) -> list[Finding]:
    """The whole read, its floor, and how even it is."""
    paths = put_secrets(stage, clients, "read")
    token = stage.tokens.deployer
    sides = {
        "floor": Side(stage.floor_port, [read_of(token, path, b'"sealed":"') for path in paths], FLOOR_TENANT, "read"),
        "read": Side(
            stage.plan.port, [read_of(token, path, b'"username":"billing"') for path in paths], TENANT, "read"
        ),
    }
    outcomes = in_turns(stage, clients, sides, options, say)
    return [
        _against_floor("audited read, 8 clients", outcomes, "read", bar=0.6),
        _evenness("p99 of a read to its median", outcomes["read"], bar=3),
        _evenness("the same of the floor's read", outcomes["floor"], bar=None),
    ]


def web_tokens(stage: Stage, clients: Clients, options: Options, say: Say) -> list[Finding]:
    """The same read by the same identity, with a JSON web token and with a personal one."""
    paths = put_secrets(stage, clients, "web")
    sides = {
        name: Side(stage.plan.port, [read_of(token, path, b'"username":"billing"') for path in paths], TENANT, "read")
        for name, token in {"personal": stage.tokens.deployer, "web": stage.tokens.web_deployer}.items()
    }
    outcomes = in_turns(stage, clients, sides, options, say)
    web, personal = ([each.rate for each in outcomes[name]] for name in ("web", "personal"))
    ratios = [its / theirs for its, theirs in zip(web, personal, strict=True)]
    beside = f"personal token {median(personal):,.0f}/s"
    what = "audited read with a JSON web token, 8 clients"
    return [Finding(what, f"{median(web):,.0f}/s", beside, ratios, bar=0.9, is_throughput=True)]


def writes(stage: Stage, clients: Clients, options: Options, say: Say) -> list[Finding]:
    """New secrets and next versions, and the floor of both."""
    paths = put_secrets(stage, clients, "rewrite")
    token = stage.tokens.deployer
    new = SERIAL.decode()
    sides = {
        "floor": Side(stage.floor_port, [_write(token, f"bench/new/{new}", 201)], FLOOR_TENANT, "write"),
        "new secret": Side(stage.plan.port, [_write(token, f"bench/new/{new}", 201)], TENANT, "write"),
        "next version": Side(stage.plan.port, [_write(token, path, 200) for path in paths], TENANT, "write"),
    }
    outcomes = in_turns(stage, clients, sides, options, say)
    return [
        _against_floor("audited write of a new secret, 8 clients", outcomes, "new secret", bar=0.4),
        _against_floor("audited write of a next version, 8 clients", outcomes, "next version", bar=0.4),
    ]


def read_of(token: str, path: str, mark: bytes) -> Request:
    return request("GET", f"/v1/secrets/{path}", token, holds=mark)


def _write(token: str, path: str, status: int) -> Request:
    return request("PUT", f"/v1/secrets/{path}", token, {"data": DATA}, status=status, holds=f'"{path}"'.encode())


def put_secrets(stage: Stage, clients: Clients, kind: str) -> list[str]:
    paths = [f"bench/{kind}/service-{number // 10:03}/secret-{number % 10}" for number in range(SECRETS)]
    clients.each(stage.plan.port, [_write(stage.tokens.deployer, path, 201) for path in paths])
    return paths


def in_turns(
    stage: Stage, clients: Clients, sides: Mapping[str, Side], options: Options, say: Say
) -> Mapping[str, list[Outcome]]:
    """A B A B …: whatever else the machine does in the meantime, it does to all of them."""
    for side in sides.values():
        clients.run(side.port, side.requests, WARM_SECONDS)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in sides}
    for number in range(options.rounds):
        for name, side in sides.items():
            outcomes[name].append(_audited(stage, clients, side, options.seconds))
        told = ", ".join(f"{name} {each[-1].rate:,.0f}/s" for name, each in outcomes.items())
        say(f"round {number + 1} of {options.rounds}: {told}")
    return outcomes


def _audited(stage: Stage, clients: Clients, side: Side, seconds: float) -> Outcome:
    """A round; BenchFault unless every answer has left its row in the trail."""
    before = _entries(stage, side)
    outcome = clients.run(side.port, side.requests, seconds)
    entries = _entries(stage, side) - before
    if entries != len(outcome.latencies):
        raise BenchFault(f"{len(outcome.latencies)} answers left {entries} entries in the audit trail")
    return outcome


def _entries(stage: Stage, side: Side) -> int:
    with psycopg.connect(stage.database.url()) as connection:
        row = connection.execute(
            "SELECT count(*) FROM audit_log WHERE tenant_id = %s AND action = %s AND success",
            [side.tenant, side.action],
        ).fetchone()
    return row[0]


def _against_floor(what: str, outcomes: Mapping[str, list[Outcome]], name: str, bar: float) -> Finding:
    ours, floor = [each.rate for each in outcomes[name]], [each.rate for each in outcomes["floor"]]
    ratios = [mine / its for mine, its in zip(ours, floor, strict=True)]
    return Finding(what, f"{median(ours):,.0f}/s", f"floor {median(floor):,.0f}/s", ratios, bar, is_throughput=True)


def _evenness(what: str, rounds: Sequence[Outcome], bar: float | None) -> Finding:
    """Over the answers of all rounds together: a slow round is not forgiven."""
    together = sorted(latency for each in rounds for latency in each.latencies)
    middle, slow = median(together), percentile(together, 0.99)
    return Finding(what, f"{slow * 1_000:.1f} ms", f"median {middle * 1_000:.1f} ms", [slow / middle], bar)
