"""What rate limits cost a read: one call to Redis, beside the same API that asks nobody."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

from scaivault.dev import processes
from tests.bench.load import Clients
from tests.bench.options import Options
from tests.bench.report import Finding
from tests.bench.stage import TENANT, Stage
from tests.bench.throughput import Side, in_turns, put_secrets, read_of
from tests.bench.wire import LOOPBACK, BenchFault, Line, request

START_SECONDS = 30
LEAST_SHARE = 0.85


def reads(stage: Stage, clients: Clients, options: Options, say: Callable[[str], None]) -> list[Finding]:
    """The whole audited read with limits that are counted in Redis and never reached, in turns with one without."""
    paths = put_secrets(stage, clients, "limits")
    requests = [read_of(stage.tokens.deployer, path, b'"username":"billing"') for path in paths]
    with _unlimited(stage) as port:
        sides = {
            "without": Side(port, requests, TENANT, "read"),
            "limited": Side(stage.plan.port, requests, TENANT, "read"),
        }
        outcomes = in_turns(stage, clients, sides, options, say)
    limited, without = ([each.rate for each in outcomes[name]] for name in ("limited", "without"))
    ratios = [its / theirs for its, theirs in zip(limited, without, strict=True)]
    beside = f"without limits {median(without):,.0f}/s"
    what = "audited read with rate limits in Redis, 8 clients"
    return [Finding(what, f"{median(limited):,.0f}/s", beside, ratios, bar=LEAST_SHARE, is_throughput=True)]


@contextmanager
def _unlimited(stage: Stage) -> Iterator[int]:
    """The API without limits under gunicorn, answering; its port."""
    folder = stage.plan.folder
    port, ops_port = (processes.kept_port(folder / f"unlimited-{name}.port") for name in ("api", "ops"))
    own = {
        "BIND_ADDRESS": f"{LOOPBACK}:{port}",
        "OPS_BIND_ADDRESS": f"{LOOPBACK}:{ops_port}",
        "METRICS_DIR": str(folder / "unlimited-metrics"),
    }
    log = stage.plan.logs / "unlimited.log"
    command = ["gunicorn", "--config", "python:tests.bench.unlimited_conf", "tests.bench.unlimited:app"]
    leashed = processes.leashed([sys.executable, "-m", *command], on_our_death="TERM")
    process = processes.spawn(leashed, log, {**stage.environ, **own})
    try:
        _await_answer(port, lambda: process.poll() is None, lambda: processes.last_lines(log, 20))
        yield port
    finally:
        processes.stop(process, 15, 10)


def _await_answer(port: int, lives: Callable[[], bool], log: Callable[[], str]) -> None:
    line = Line(port)
    deadline = time.monotonic() + START_SECONDS
    while lives() and time.monotonic() < deadline:
        try:
            line.ask(request("GET", "/v1/health", "none").raw)
        except OSError:
            time.sleep(0.05)
        else:
            line.close()
            return
    raise BenchFault(f"The API without limits did not start:\n{log()}")
