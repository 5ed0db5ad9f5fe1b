"""What a worker weighs, and whether the probes are answered while nobody has time for them."""

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psycopg

from tests.bench.load import percentile
from tests.bench.report import Finding
from tests.bench.stage import TENANT, Stage
from tests.bench.wire import LOOPBACK, BenchFault, Line, call, receive, request

PATH = "bench/contended"
PROBE_SECONDS = 3.0  # well within the lock_timeout of the writers
PROBE_EVERY_SECONDS = 0.005
BLOCK_SECONDS = 4.0
MOST_WRITERS = 256
WORKER_MB = 150
PROBE_MS = 10
# Waiting for a row is waiting for its holder's transaction or, behind the first, for the row's place in the queue.
WAITING = """
    SELECT count(*)
      FROM pg_stat_activity
     WHERE application_name = 'scaivault' AND wait_event_type = 'Lock' AND wait_event IN ('transactionid', 'tuple')
"""


def weight(stage: Stage) -> Finding:
    """The heaviest worker's resident memory."""
    heaviest = heaviest_mb(stage)
    what = "resident memory of the heaviest worker, after all of this"
    return Finding(what, f"{heaviest:.0f} MB", f"{WORKER_MB} MB", [heaviest / WORKER_MB], bar=1)


def heaviest_mb(stage: Stage) -> float:
    """Megabytes resident in the heaviest worker."""
    return max(_resident_mb(pid) for pid in _workers(stage))


def probes(stage: Stage, say: Callable[[str], None]) -> Finding:
    """`/v1/health` on the internal listener while every request thread waits for a row that we hold."""
    call(stage.plan.port, stage.tokens.deployer, "PUT", f"/v1/secrets/{PATH}", {"data": {"n": 0}}, status=201)
    with _blocked(stage) as writers:
        _check_silent(stage)
        times = sorted(_probe_for(stage.plan.ops_port, PROBE_SECONDS))
        waiting = _waiting(stage)
    if waiting != stage.request_threads:
        raise BenchFault(f"Only {waiting} of {stage.request_threads} request threads were blocked to the end")
    slow = percentile(times, 0.99) * 1_000
    say(f"{len(times)} probes while {waiting} request threads waited and {writers} writes stood in line")
    what = "/v1/health (internal) p99, every request thread blocked"
    return Finding(
        f"{what}; median {median(times) * 1_000:.1f} ms", f"{slow:.1f} ms", f"{PROBE_MS} ms", [slow / PROBE_MS], 1
    )


@contextmanager
def _blocked(stage: Stage) -> Iterator[int]:
    """Hold the row and send writes until all request threads wait for it; afterwards, all of them are answered."""
    writers: list[socket.socket] = []
    write = request("PUT", f"/v1/secrets/{PATH}", stage.tokens.deployer, {"data": {"n": 1}}).raw
    try:
        with psycopg.connect(stage.database.url()) as holder:
            held = holder.execute(
                "SELECT 1 FROM secrets WHERE tenant_id = %s AND path = %s FOR UPDATE", [TENANT, PATH]
            ).fetchone()
            if held is None:
                raise BenchFault("There is no row to hold")
            deadline = time.monotonic() + BLOCK_SECONDS
            while _waiting(stage) < stage.request_threads:
                if time.monotonic() > deadline or len(writers) >= MOST_WRITERS:
                    raise BenchFault(
                        f"{len(writers)} writes block {_waiting(stage)} of {stage.request_threads} threads"
                    )
                for _ in range(stage.request_threads):
                    writers.append(socket.create_connection((LOOPBACK, stage.plan.port), 20))
                    writers[-1].sendall(write)
                time.sleep(0.1)
            yield len(writers)
        statuses = {receive(writer)[0] for writer in writers}
    finally:
        for writer in writers:
            writer.close()
    if statuses != {200}:
        raise BenchFault(f"The writes that had waited were answered {sorted(statuses)}")


def _check_silent(stage: Stage) -> None:
    """The public port's own health page must find no thread: else nothing is proven."""
    with socket.create_connection((LOOPBACK, stage.plan.port), 0.3) as public:
        public.sendall(request("GET", "/v1/health", "none").raw)
        try:
            status, _, _ = receive(public)
        except TimeoutError:
            return
    raise BenchFault(f"A request thread was free: /v1/health on the public port answered {status}")


def _probe_for(port: int, seconds: float) -> Iterator[float]:
    """Seconds of one probe after the other, each on a connection of its own, as an orchestrator's."""
    raw = request("GET", "/v1/health", "none").raw
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.perf_counter()
        line = Line(port)
        status, body = line.ask(raw)
        line.close()
        yield time.perf_counter() - started
        if status != 200:
            raise BenchFault(f"The probe was answered {status}: {body!r}")
        time.sleep(PROBE_EVERY_SECONDS)


def _waiting(stage: Stage) -> int:
    with psycopg.connect(stage.superuser_url) as connection:
        return connection.execute(WAITING).fetchone()[0]


def _workers(stage: Stage) -> list[int]:
    master = stage.api.process.pid
    found = [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]
    if len(found) != stage.settings.web_concurrency:
        raise BenchFault(f"{len(found)} processes and not {stage.settings.web_concurrency} workers under gunicorn")
    return found


def _resident_mb(pid: int) -> float:
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if found is None:
        raise BenchFault(f"Process {pid} has no resident memory")
    return int(found[1]) / 1_024
