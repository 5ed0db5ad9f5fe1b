"""Webhooks: how many deliveries a worker makes, how soon after the commit, and what one costs that has nothing to do."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import psycopg

from scaivault.dev import worker
from tests.bench.load import percentile
from tests.bench.report import Finding
from tests.bench.stage import SMALL_TENANT, Stage
from tests.bench.wire import BenchFault, call
from tests.receiver import Receiver

SECRET = "a-secret-that-only-the-receiver-knows"
EVENTS = ["secret.created", "secret.updated"]
HOOKS, BACKLOG = 4, 500
PER_SECOND, SECONDS = 50, 12
DELIVERIES_PER_SECOND = 200
DISPATCH_SECONDS = 2.0
IDLE_SECONDS, IDLE_SHARE = 20.0, 0.01
PATIENCE_SECONDS = 120
TICKS = os.sysconf("SC_CLK_TCK")
# As the API commits them: with a body of the usual size, each on a path of its own.
ADD_EVENTS = """
    INSERT INTO events (tenant_id, id, event_type, occurred_at, request_id, path, tags, body)
    SELECT %(tenant)s, 'evt_bench' || lpad(number::text, 8, '0'), 'secret.updated', now(), 'req_bench',
           'bench/' || number, '{}', '{"event_id":"evt_bench' || number || '","data":"' || repeat('x', 400) || '"}'
      FROM generate_series(1, %(count)s) AS number
"""


def webhooks(stage: Stage, say: Callable[[str], None]) -> list[Finding]:
    """A backlog worked off by one worker, and events as they come; each delivery's signature is checked."""
    receivers = [Receiver(SECRET) for _ in range(HOOKS)]
    try:
        hooks = [_hook(stage, receiver) for receiver in receivers]
        with psycopg.connect(stage.database.url(), autocommit=True) as connection:
            connection.execute(ADD_EVENTS, {"tenant": SMALL_TENANT, "count": BACKLOG})
        with working(stage):
            rate = _work_off(receivers)
            say(f"{HOOKS * BACKLOG} deliveries to {HOOKS} webhooks, {rate:.0f}/s")
            for hook in hooks[1:]:
                _disable(stage, hook)
            slow = _as_they_come(stage, receivers[0])
            say(f"{PER_SECOND * SECONDS} writes, each delivered; p99 {slow:.2f} s after it was asked for")
            _disable(stage, hooks[0])
        if not all(each.is_genuine for receiver in receivers for each in receiver.received):
            raise BenchFault("A signature does not hold")
    finally:
        for receiver in receivers:
            receiver.close()
    bar = DELIVERIES_PER_SECOND
    return [
        Finding("deliveries, one worker, from the outbox", f"{rate:.0f}/s", f"{bar}/s", [rate / bar], 1, True),
        Finding(
            f"from a write's request to its delivery, p99 at {PER_SECOND} events/s",
            f"{slow:.2f} s",
            f"{DISPATCH_SECONDS:g} s",
            [slow / DISPATCH_SECONDS],
            1,
        ),
    ]


def idle(stage: Stage, say: Callable[[str], None]) -> Finding:
    """What a worker and the database cost while nothing is due: processor time of both, by the second."""
    with working(stage) as process:
        await_ready(stage)
        time.sleep(5)  # what it costs to start is not what it costs to wait
        with psycopg.connect(stage.database.url(), autocommit=True) as connection:
            secrets = connection.execute("SELECT count(*) FROM secrets").fetchone()[0]
            backends = [pid for (pid,) in connection.execute(BACKENDS, [_client_ports(process.pid)]).fetchall()]
        before = cpu_seconds(process.pid), sum(map(cpu_seconds, backends))
        time.sleep(IDLE_SECONDS)
        after = cpu_seconds(process.pid), sum(map(cpu_seconds, filter(_is_alive, backends)))
    own, its_database = ((late - early) / IDLE_SECONDS for late, early in zip(after, before, strict=True))
    say(f"idle worker beside {secrets:,} secrets: {own:.2%} of a core, its database sessions {its_database:.2%}")
    what = f"processor of an idle worker and its database sessions, {secrets:,} secrets"
    share = own + its_database
    return Finding(what, f"{share:.2%}", f"{IDLE_SHARE:.0%} of a core", [share / IDLE_SHARE], 1)


BACKENDS = "SELECT pid FROM pg_stat_activity WHERE client_port = ANY(%s)"


@contextmanager
def working(stage: Stage) -> Iterator[Popen[bytes]]:
    """A worker, from start to orderly end."""
    server = worker.start(stage.plan, stage.environ, stage.settings)
    try:
        yield server.process
    finally:
        if not server.stop():
            raise BenchFault("The worker did not end when it was told to")


def _hook(stage: Stage, receiver: Receiver) -> str:
    body = {"name": "bench", "url": receiver.url, "secret": SECRET, "events": EVENTS}
    return call(stage.plan.port, stage.tokens.small, "POST", "/v1/webhooks", body, status=201)["id"]


def _disable(stage: Stage, hook: str) -> None:
    body = {"enabled": False}
    call(stage.plan.port, stage.tokens.small, "PATCH", f"/v1/webhooks/{hook}", body)


def _work_off(receivers: list[Receiver]) -> float:
    """Deliveries per second from the first one's arrival to the last one's."""
    for receiver in receivers:
        receiver.await_count(BACKLOG, PATIENCE_SECONDS)
    times = sorted(each.at for receiver in receivers for each in receiver.received)
    return len(times) / (times[-1] - times[0])


def _as_they_come(stage: Stage, receiver: Receiver) -> float:
    """The slowest but one in a hundred, from before the write was asked for to its arrival."""
    asked: dict[str, float] = {}
    began = time.monotonic()
    for number in range(PER_SECOND * SECONDS):
        time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        path = f"coming/{number}"
        asked[path] = time.time()
        call(stage.plan.port, stage.tokens.small, "PUT", f"/v1/secrets/{path}", {"data": {"n": number}}, status=201)
    receiver.await_count(BACKLOG + len(asked), PATIENCE_SECONDS)
    arrived = {each.event["path"]: each.at for each in receiver.received[BACKLOG:]}
    return percentile(sorted(arrived[path] - at for path, at in asked.items()), 0.99)


def await_ready(stage: Stage) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(stage.database.url(), autocommit=True) as connection:
        while connection.execute("SELECT count(*) FROM workers").fetchone() == (0,):
            if time.monotonic() > deadline:
                raise BenchFault("The worker did not start")
            time.sleep(0.1)


def _client_ports(pid: int) -> list[int]:
    """The ports that a process's own TCP connections go out from."""
    inodes = {os.fspath(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return [int(row[1].rpartition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in inodes]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
