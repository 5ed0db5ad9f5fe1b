"""A hundred who wait for events, at one process with four request threads: everybody else is served, the right ones are
woken, and when the process ends nobody is left waiting. A real gunicorn and a real worker.
"""

import contextlib
import http.client
import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.faults.test_dependencies import TENANT, Stage, no_surprises
from tests.ports import free_port
from tests.waiting import await_true

POLLERS, THREADS = 100, 4
ANSWER_SECONDS = 150
WAIT_SECONDS = 60
# So many more as if they had been asked for one by one, which takes half a second each.
MORE = """
    WITH fresh AS (
        INSERT INTO subscriptions
        SELECT tenant_id, 'sub_' || lpad(number::text, 32, '0'), name, owner_id, owner_type, owner_groups,
               ARRAY['poller-' || number || '/*'], events, path_prefix, secret_type, tags, delivery_type, buffer_size,
               created_at, updated_at
          FROM subscriptions, generate_series(1, %s) AS number
         WHERE id = %s
        RETURNING tenant_id, id)
    INSERT INTO subscription_buffers (tenant_id, subscription_id) SELECT tenant_id, id FROM fresh
"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield Stage(tmp_path_factory.mktemp("pollers"), stack)


@pytest.fixture
def vault(stage):
    made = stage.open(WEB_CONCURRENCY="1", WEB_THREADS=str(THREADS), DATABASE_POOL_SIZE="4")
    made.await_ready()
    yield made
    made.stop()
    stage.hang_up()


@pytest.fixture
def worker(stage, vault):
    with (stage.folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "scaivault.cli", "server", "worker"],
            env=vault.environ | {"WORKER_OPS_BIND_ADDRESS": f"127.0.0.1:{free_port()}"},
            stdout=log,
            stderr=log,
        )
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def patient(stage):
    """The answer to somebody who waits, at another vault, while everything else here is tried."""
    subscription = subscribe(stage.line(), "patient")
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(ask, stage.vault.port, stage.tokens[TENANT], subscription, timeout=33)


@pytest.fixture
def pollers(stage, vault, patient):
    """A hundred threads, each with a subscription and a connection of its own; `pollers(n)` begins the n-th poll."""
    stage.postgres.run("DELETE FROM subscriptions WHERE name = 'poller'")
    first = subscribe(stage.line(vault=vault), "poller")
    # The vault is new, and learns who listens when it has the first thing to tell.
    with psycopg.connect(stage.postgres.server.url()) as connection:
        connection.execute(MORE, [POLLERS - 1, first])
    with ThreadPoolExecutor(POLLERS) as threads:

        def poll(number, timeout=WAIT_SECONDS):
            subscription = first if number == 0 else f"sub_{number:032}"
            return threads.submit(ask, vault.port, stage.tokens[TENANT], subscription, timeout)

        yield poll
        vault.stop()


def subscribe(line, name):
    made = line.ask(
        "POST",
        "/v1/subscriptions",
        {"name": name, "paths": [f"{name}-0/*"], "events": ["secret.created"], "delivery": {"type": "polling"}},
    )
    assert made.status == 201, made.body
    return made.json["id"]


def ask(port, token, subscription, timeout):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    with contextlib.closing(connection):
        connection.request(
            "GET",
            f"/v1/subscriptions/{subscription}/poll?timeout={timeout}",
            headers={"Authorization": f"Bearer {token}"},
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.headers


def await_waiting(vault, number):
    await_true(lambda: vault.gauge("scaivault_waiting_requests") == number, ANSWER_SECONDS)


def paths(answer):
    status, body, _ = answer
    assert status == 200, body
    return [event["path"] for event in body["events"]]


def test_a_hundred_who_wait_are_in_nobodys_way(stage, vault, worker, pollers):
    waiting = [pollers(number) for number in range(POLLERS)]
    await_waiting(vault, POLLERS)

    def served(number):
        line = stage.line(vault=vault)
        written = line.ask("PUT", f"/v1/secrets/others/{number}", {"data": {"n": number}})
        return written.status, line.ask("GET", f"/v1/secrets/others/{number}").json["data"]

    with ThreadPoolExecutor(2 * THREADS) as threads:
        for number, answer in enumerate(threads.map(served, range(60))):
            assert answer == (201, {"n": number})
    line = stage.line(vault=vault)
    for number in (7, 42):
        assert line.ask("PUT", f"/v1/secrets/poller-{number}/db", {"data": {}}).status == 201
    assert paths(waiting[7].result(ANSWER_SECONDS)) == ["poller-7/db"]
    assert paths(waiting[42].result(ANSWER_SECONDS)) == ["poller-42/db"]
    await_waiting(vault, POLLERS - 2)
    rest = [each for number, each in enumerate(waiting) if number not in (7, 42)]
    assert not any(each.done() for each in rest), "an event woke somebody whom it does not concern"

    vault.process.terminate()
    answers = [each.result(ANSWER_SECONDS) for each in rest]
    assert [paths(answer) for answer in answers] == [[]] * (POLLERS - 2)
    assert {answer[2]["Connection"] for answer in answers} == {"close"}
    assert vault.process.wait(ANSWER_SECONDS) == 0
    no_surprises(vault)


def test_all_of_them_at_once_are_woken_and_served_four_at_a_time(stage, vault, worker, pollers):
    """One event that concerns everybody: the herd goes through the threads that there are, and through the pool."""
    stage.postgres.run("UPDATE subscriptions SET paths = '{everybody/*}' WHERE name = 'poller'")
    waiting = [pollers(number) for number in range(POLLERS)]
    await_waiting(vault, POLLERS)
    line = stage.line(vault=vault)
    assert line.ask("PUT", "/v1/secrets/everybody/db", {"data": {}}).status == 201
    assert [paths(each.result(ANSWER_SECONDS)) for each in waiting] == [["everybody/db"]] * POLLERS
    await_waiting(vault, 0)
    no_surprises(vault)


def test_a_worker_of_the_server_that_is_replaced_answers_those_who_wait_with_it(vault, pollers):
    waiting = [pollers(number) for number in range(8)]
    await_waiting(vault, 8)
    old = vault.workers
    vault.process.send_signal(signal.SIGHUP)
    assert [paths(each.result(ANSWER_SECONDS)) for each in waiting] == [[]] * 8
    await_true(lambda: not old & vault.workers, ANSWER_SECONDS)


def test_who_waits_longer_than_a_request_may_take_is_not_hung_up_on(patient):
    """The server parts from requests that are said for half a minute; this one has been said, and waits."""
    assert paths(patient.result(ANSWER_SECONDS)) == []
