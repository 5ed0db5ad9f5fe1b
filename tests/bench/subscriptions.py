"""Subscriptions: what a hundred who wait for events cost those who read."""

import math
import re
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

import psycopg

from tests.bench.load import Clients, Outcome, percentile
from tests.bench.options import Options
from tests.bench.report import Finding
from tests.bench.stage import SMALL_TENANT, Stage
from tests.bench.throughput import WARM_SECONDS, put_secrets, read_of
from tests.bench.wire import LOOPBACK, BenchFault, Line, call, receive, request

POLLERS = 100
PATIENCE_SECONDS = 30
# A poll outlives its round by this, which is for a hundred of them to begin and for those before them to end.
SPARE_SECONDS = 12
RATE_BAR, SLOW_BAR = 0.9, 1.25
WAITING = re.compile(rb"^scaivault_waiting_requests (\S+)$", re.MULTILINE)
# As if they had been asked for one by one, which takes half a second each.
ADD = """
    WITH fresh AS (
        INSERT INTO subscriptions
        SELECT tenant_id, 'sub_' || lpad(number::text, 32, '0'), name, owner_id, owner_type, owner_groups, paths, events,
               path_prefix, secret_type, tags, delivery_type, buffer_size, created_at, updated_at
          FROM subscriptions, generate_series(1, %(count)s) AS number
         WHERE tenant_id = %(tenant)s AND id = %(id)s
        RETURNING tenant_id, id)
    INSERT INTO subscription_buffers (tenant_id, subscription_id) SELECT tenant_id, id FROM fresh
"""


def subscriptions(stage: Stage, clients: Clients, options: Options, say: Callable[[str], None]) -> list[Finding]:
    """Reads in turns in quiet and beside a hundred polls that wait, each on a connection of its own."""
    _subscribe(stage)
    paths = put_secrets(stage, clients, "beside")
    reads = [read_of(stage.tokens.deployer, path, b'"username":"billing"') for path in paths]
    clients.run(stage.plan.port, reads, WARM_SECONDS)
    quiet, beside = [], []
    for number in range(options.rounds):
        quiet.append(clients.run(stage.plan.port, reads, options.seconds))
        with _waiting(stage, options.seconds):
            beside.append(clients.run(stage.plan.port, reads, options.seconds))
        rates = f"{quiet[-1].rate:,.0f}/s in quiet, {beside[-1].rate:,.0f}/s beside {POLLERS} who wait"
        say(f"round {number + 1} of {options.rounds}: reads {rates}")
    return [
        Finding(
            f"audited read beside {POLLERS} polls that wait, {options.clients} clients",
            f"{median(each.rate for each in beside):,.0f}/s",
            f"in quiet {median(each.rate for each in quiet):,.0f}/s",
            [its.rate / theirs.rate for its, theirs in zip(beside, quiet, strict=True)],
            RATE_BAR,
            is_throughput=True,
        ),
        Finding(
            "p99 of the same",
            f"{median(map(_p99, beside)) * 1_000:.1f} ms",
            f"in quiet {median(map(_p99, quiet)) * 1_000:.1f} ms",
            [_p99(its) / _p99(theirs) for its, theirs in zip(beside, quiet, strict=True)],
            SLOW_BAR,
        ),
    ]


def _subscribe(stage: Stage) -> None:
    body = {
        "name": "bench",
        "paths": ["nothing/happens/here"],
        "events": ["secret.created"],
        "delivery": {"type": "polling"},
    }
    made = call(stage.plan.port, stage.tokens.small, "POST", "/v1/subscriptions", body, status=201)
    with psycopg.connect(stage.database.url()) as connection:
        connection.execute(ADD, {"count": POLLERS, "tenant": SMALL_TENANT, "id": made["id"]})


@contextmanager
def _waiting(stage: Stage, seconds: float) -> Iterator[None]:
    """A hundred polls, all of which wait from before the block until after it."""
    timeout = math.ceil(seconds) + SPARE_SECONDS
    with ExitStack() as stack:
        polls = [stack.enter_context(_poll(stage, number, timeout)) for number in range(1, POLLERS + 1)]
        _await_waiting(stage, POLLERS)
        yield
        answered, _, _ = select.select(polls, [], [], 0)
        if answered:
            raise BenchFault(f"{len(answered)} of {POLLERS} polls did not wait to the end")
        for poll in polls:
            status, body, _ = receive(poll)
            if status != 200 or b'"events":[]' not in body:
                raise BenchFault(f"A poll was answered {status}: {body[:500].decode()}")


def _poll(stage: Stage, number: int, timeout: int) -> socket.socket:
    poll = socket.create_connection((LOOPBACK, stage.plan.port), timeout + PATIENCE_SECONDS)
    target = f"/v1/subscriptions/sub_{number:032}/poll?timeout={timeout}"
    poll.sendall(request("GET", target, stage.tokens.small).raw)
    return poll


def _await_waiting(stage: Stage, number: int) -> None:
    scrape = request("GET", "/v1/metrics?scope=pod", "none").raw
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        line = Line(stage.plan.ops_port)
        _, page = line.ask(scrape)
        line.close()
        found = WAITING.search(page)
        if found is not None and float(found[1]) == number:
            return
        if time.monotonic() > deadline:
            raise BenchFault(f"{found[1].decode() if found else 'None'} of {number} polls wait")
        time.sleep(0.05)


def _p99(outcome: Outcome) -> float:
    return percentile(outcome.latencies, 0.99)
