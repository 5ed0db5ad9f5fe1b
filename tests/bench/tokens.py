"""Many tokens: what a worker's memory of them weighs. And what a warm worker still asks of the key service."""

import re
from collections.abc import Callable

from tests.bench.load import Clients
from tests.bench.options import Options
from tests.bench.pressure import heaviest_mb
from tests.bench.report import Finding
from tests.bench.stage import PARTNER, TENANT, Stage
from tests.bench.throughput import put_secrets, read_of
from tests.bench.wire import BenchFault, Line, request

TOKENS = 10_000
KB_A_TOKEN = 4
MORE = 0.25
MISSES = re.compile(rb'^scaivault_cache_requests_total\{cache="tenant_key",result="miss"\} ([0-9.e+]+)$', re.MULTILINE)
Say = Callable[[str], None]


def memory(stage: Stage, clients: Clients, say: Say) -> list[Finding]:
    """A worker that sees ten thousand web tokens, all different, and then ten thousand others."""
    _show(stage, clients, "warm", 100)
    before = heaviest_mb(stage)
    _show(stage, clients, "first", TOKENS)
    full = heaviest_mb(stage)
    _show(stage, clients, "second", TOKENS)
    over = heaviest_mb(stage)
    say(
        f"the heaviest worker: {before:.0f} MB, {full:.0f} MB after {TOKENS:,} tokens, {over:.0f} MB after as many more"
    )
    first, more, bound = max(full - before, 0.1), max(over - full, 0), TOKENS * KB_A_TOKEN / 1_000
    return [
        Finding(
            f"memory of a worker for {TOKENS:,} distinct web tokens",
            f"{first:.1f} MB",
            f"{bound:.0f} MB",
            [first / bound],
            1,
        ),
        Finding(f"the same for {TOKENS:,} more", f"{more:.1f} MB", f"first {first:.1f} MB", [more / first], MORE),
    ]


def key_service(stage: Stage, clients: Clients, options: Options) -> Finding:
    """Keys that a warm installation still fetches for reads; its readiness probes have a key of their own."""
    reads = [
        read_of(stage.tokens.deployer, path, b'"username":"billing"') for path in put_secrets(stage, clients, "warm")
    ]
    clients.run(stage.plan.port, reads, options.seconds)
    before = _misses(stage)
    outcome = clients.run(stage.plan.port, reads, options.seconds)
    fetched, count = _misses(stage) - before, len(outcome.latencies)
    return Finding(
        "keys fetched from the key service, once warm", f"{fetched:.0f}", f"{count:,} reads", [fetched / count], 0
    )


def _show(stage: Stage, clients: Clients, name: str, count: int) -> None:
    """Each token once, on one connection and so to one worker."""
    tokens = (
        stage.issuer.token(
            {
                "sub": "usr_deploy",
                "email": "deploy@bench.example",
                "scope": "secrets:read",
                "tenant_id": TENANT,
                "partner_id": PARTNER,
                "jti": f"{name}-{number}",
            }
        )
        for number in range(count)
    )
    clients.each(stage.plan.port, [request("GET", "/v1/auth/whoami", token) for token in tokens])


def _misses(stage: Stage) -> float:
    line = Line(stage.plan.ops_port)
    _, page = line.ask(request("GET", "/v1/metrics", "none").raw)
    line.close()
    found = MISSES.search(page)
    if found is None:
        raise BenchFault("The metrics say nothing of the cache of tenant keys")
    return float(found[1])
