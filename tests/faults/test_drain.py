"""Rolling restarts under load: a real gunicorn, told to end in every way there is, and nobody notices.

Whoever asked has his answer, what was answered is in the trail and in the counters, and probes were turned away first.
"""

import contextlib
import http.client
import itertools
import json
import os
import select
import signal
import socket
import threading
from pathlib import Path

import psycopg
import pytest

from tests.faults.test_dependencies import (
    PATIENCE_SECONDS,
    PLANTED,
    TENANT,
    Deed,
    Stage,
    check_books,
    family_of,
    frozen,
    no_surprises,
    send,
)
from tests.waiting import await_true

CROWD = 24
GO_ROUND = 3


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield Stage(tmp_path_factory.mktemp("drain"), stack)


@pytest.fixture
def start(stage):
    """Further vaults over the same servers, ready."""
    made = []

    def make(**environ):
        vault = stage.open(**{"WEB_THREADS": "8", "SHUTDOWN_SECONDS": "20", **environ})
        made.append(vault)
        vault.await_ready()
        return vault

    yield make
    stage.hang_up()
    for vault in made:
        vault.stop()


@pytest.fixture
def orphans():
    """Processes that are nobody's children any more when the test is over: to be ended, in good order."""
    pids = []
    yield pids
    for pid in pids:
        family, handle = family_of(pid), os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
        ended = select.select([handle], [], [], PATIENCE_SECONDS)[0]
        os.close(handle)
        send(family, signal.SIGKILL)
        assert ended


def ends_well(vault):
    assert vault.process.wait(PATIENCE_SECONDS) == 0
    await_true(lambda: not {pid for pid in family_of(vault.process.pid) if pid != vault.process.pid})
    no_surprises(vault)


def is_refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS).close()
    except ConnectionRefusedError:
        return True
    return False


def listens(pid, port):
    """Whether the process has a socket that takes connections at the port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{line[9]}]" for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "0A"}
    found = set()
    for file in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            found.add(str(file.readlink()))
    return bool(found & inodes)


class Balancer:
    """Knows where to send whom, as Kubernetes does: by asking each vault now and then whether it is ready."""

    def __init__(self, *vaults):
        self.vaults = vaults
        self.ready = list(vaults)
        self.told = set()  # whatever a probe was told that was not well
        self._turn = itertools.count()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)

    def pick(self):
        ready = self.ready
        return ready[next(self._turn) % len(ready)]

    def _watch(self):
        while not self._stop.wait(0.05):
            words = {vault: vault.readiness() for vault in self.vaults}
            for found in words.values():
                self.told |= {"no answer"} if found is None else set(found.values())
            # Who is merely busy stays: two cores carry all of this.
            gone = [vault for vault, found in words.items() if found is None or "draining" in found.values()]
            self.ready = [vault for vault in self.vaults if vault not in gone] or list(self.vaults)


class Crowd:
    """Clients who write and read; one half keeps its connections, the other makes one for each request."""

    runs = itertools.count(1)

    def __init__(self, stage, balancer):
        self.stage = stage
        self.prefix = f"crowd{next(self.runs)}"
        self.deeds = []
        self.reopened = 0
        self._balancer = balancer
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(client,)) for client in range(CROWD)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.await_some()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)

    @property
    def answered(self):
        return [deed for deed in self.deeds if deed.status in {200, 201}]

    def await_some(self):
        """Until everybody has had time for a few more."""
        begun = len(self.deeds)
        await_true(lambda: len(self.deeds) >= begun + GO_ROUND * CROWD)

    def _work(self, client):
        connection, written = None, []
        while not self._stop.is_set():
            n = next(self._numbers)
            if n % 3 == 0 or not written:
                deed = Deed(f"{self.prefix}-{n}", "PUT", f"{self.prefix}/c{client}/s{n}", n)
            else:
                path, value = written[n % len(written)]
                deed = Deed(f"{self.prefix}-{n}", "GET", path, value)
            if connection is None:
                port = self._balancer.pick().port
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
            goes_on = self._do(connection, deed)
            self.deeds.append(deed)
            if deed.method == "PUT" and deed.status == 201:
                written.append((deed.path, n))
            if client % 2 or not goes_on:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _do(self, connection, deed):
        """Whether the connection may be used again."""
        body = json.dumps({"data": {"n": deed.n, "password": PLANTED}}) if deed.method == "PUT" else None
        headers = {"X-Request-ID": deed.request_id, "Authorization": f"Bearer {self.stage.tokens[TENANT]}"}
        try:
            connection.request(deed.method, f"/v1/secrets/{deed.path}", body, headers)
            answer = connection.getresponse()
            said = json.loads(answer.read())
        except (OSError, http.client.HTTPException) as failure:
            deed.code = repr(failure)
            return False
        deed.status, deed.code = answer.status, said.get("error", {}).get("code")
        if deed.method == "GET" and answer.status == 200:
            deed.is_right = said["data"] == {"n": deed.n, "password": PLANTED}
        return not answer.will_close


def nobody_noticed(crowd):
    """Every request answered well, once in the trail each."""
    assert {(deed.status, deed.code) for deed in crowd.deeds} == {(200, None), (201, None)}
    check_books(crowd)
    trail = crowd.stage.postgres.rows(
        "SELECT request_id FROM audit_log WHERE request_id LIKE %s AND success", f"{crowd.prefix}-%"
    )
    assert {request_id for (request_id,) in trail} == {deed.request_id for deed in crowd.deeds}


class TestUnderLoad:
    def test_one_of_two_that_is_told_to_end_leaves_its_work_to_the_other(self, stage, start):
        leaving, staying = start(DRAIN_SECONDS="2"), start()
        with Balancer(leaving, staying) as balancer, Crowd(stage, balancer) as crowd:
            leaving.process.terminate()
            await_true(lambda: leaving not in balancer.ready)
            crowd.await_some()
            ends_well(leaving)
            crowd.await_some()
        nobody_noticed(crowd)

    def test_a_reload_and_another_one(self, stage, start):
        vault = start(DRAIN_SECONDS="2")
        before = vault.gauge("scaivault_requests_total", path_category="secrets")
        with Balancer(vault) as balancer, Crowd(stage, balancer) as crowd:
            for _ in range(GO_ROUND):
                old = vault.workers
                vault.process.send_signal(signal.SIGHUP)
                await_true(lambda old=old: not old & vault.workers)
                crowd.await_some()
        nobody_noticed(crowd)
        assert not balancer.told & {"draining", "starting", "no answer"}
        counted = vault.gauge("scaivault_requests_total", path_category="secrets") - before
        assert counted == len(crowd.deeds)

    def test_a_worker_that_is_told_to_end_is_replaced(self, stage, start):
        vault = start()
        with Balancer(vault) as balancer, Crowd(stage, balancer) as crowd:
            told = min(vault.workers)
            os.kill(told, signal.SIGTERM)
            await_true(lambda: told not in vault.workers and len(vault.workers) == 2)
            crowd.await_some()
        nobody_noticed(crowd)
        assert not balancer.told & {"draining", "starting", "no answer"}

    def test_a_second_master_takes_over(self, stage, start, orphans):
        vault = start(DRAIN_SECONDS="2")
        old = vault.workers
        with Balancer(vault) as balancer, Crowd(stage, balancer) as crowd:
            vault.process.send_signal(signal.SIGUSR2)
            await_true(lambda: sum(listens(pid, vault.ops_port) for pid in vault.workers) == 2 * len(old))
            (successor,) = {pid for pid in vault.workers - old if len(family_of(pid)) == 1 + len(old)}
            orphans.append(successor)
            vault.process.terminate()
            assert vault.process.wait(PATIENCE_SECONDS) == 0
            crowd.await_some()
        nobody_noticed(crowd)
        assert not balancer.told & {"draining", "starting", "no answer"}


class Waiting:
    """A request that takes as long as the row that it wants is held by somebody else."""

    def __init__(self, stage, vault, path):
        self.answer = None
        self.failure = None
        self._line = stage.line(vault=vault)
        self._path = f"/v1/secrets/{path}"
        self._stage = stage
        assert self._line.ask("PUT", self._path, {"data": {"n": 1}}).status in {200, 201}
        self._holder = psycopg.connect(stage.postgres.server.url())
        self._holder.execute("SELECT FROM secrets WHERE path = %s FOR UPDATE", [path])
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        await_true(self._is_waiting)

    def _ask(self):
        try:
            self.answer = self._line.ask("PUT", self._path, {"data": {"n": 2}})
        except (OSError, http.client.HTTPException) as failure:
            self.failure = failure

    def _is_waiting(self):
        return self._stage.postgres.rows("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'")

    def let_go(self):
        self._holder.close()
        self._thread.join(PATIENCE_SECONDS)


class TestRequestsUnderWay:
    def test_one_that_takes_longer_than_the_drain_is_finished(self, stage, start):
        vault = start()
        waiting = Waiting(stage, vault, "drain/long")
        vault.process.terminate()
        await_true(lambda: is_refused(vault.port))
        assert vault.readiness() == {"server": "draining"}
        assert vault.probe("/v1/health").status == 200
        waiting.let_go()
        assert waiting.answer.status == 200
        assert waiting.answer.headers["Connection"] == "close"
        ends_well(vault)

    def test_one_that_takes_longer_than_anything_is_cut_and_the_process_ends(self, stage, start):
        vault = start(SHUTDOWN_SECONDS="1")
        waiting = Waiting(stage, vault, "drain/too-long")
        vault.process.terminate()
        assert vault.process.wait(PATIENCE_SECONDS) == 0
        waiting.let_go()
        assert waiting.answer is None
        assert waiting.failure is not None

    def test_a_hasty_end_waits_for_nobody(self, stage, start):
        vault = start(DRAIN_SECONDS="600", SHUTDOWN_SECONDS="600")
        waiting = Waiting(stage, vault, "drain/hasty")
        vault.process.terminate()
        await_true(lambda: vault.readiness() == {"server": "draining"})
        vault.process.send_signal(signal.SIGINT)
        assert vault.process.wait(PATIENCE_SECONDS) == 0
        waiting.let_go()


class TestDrain:
    def test_probes_are_turned_away_while_traffic_is_served_and_asked_to_move(self, stage, start):
        vault = start(DRAIN_SECONDS="600")
        idle, fresh = stage.line(vault=vault), stage.line(vault=vault)
        assert idle.ask("GET", "/v1/secrets/none").headers["Connection"] == "keep-alive"
        await_true(lambda: vault.gauge("scaivault_ready") == 1)
        vault.process.terminate()
        # Every worker, whichever the kernel picks.
        await_true(lambda: all(vault.readiness() == {"server": "draining"} for _ in range(16)))
        assert vault.gauge("scaivault_ready") == 0
        assert vault.probe("/v1/health").status == 200
        for line in (idle, fresh):
            answer = line.ask("GET", "/v1/secrets/none")
            assert (answer.status, answer.headers["Connection"]) == (404, "close")
            line.hang_up()
        on_the_api = stage.line(vault=vault).ask("GET", "/v1/health/ready")
        assert (on_the_api.status, on_the_api.json["errors"]) == (503, {"server": "draining"})
        vault.process.terminate()  # who says it twice is in a hurry
        ends_well(vault)

    def test_whoever_waits_at_the_door_is_let_in(self, stage, start):
        """Connected, in the kernel's queue, and not seen by anybody when the signal comes."""
        vault = start()
        said = f"GET /v1/secrets/none HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stage.tokens[TENANT]}\r\n\r\n"
        with contextlib.ExitStack() as stack:
            send(vault.workers, signal.SIGSTOP)
            clients = [
                stack.enter_context(socket.create_connection(("127.0.0.1", vault.port), PATIENCE_SECONDS))
                for _ in range(3 * CROWD)
            ]
            for client in clients:
                client.sendall(said.encode())
            vault.process.terminate()
            send(vault.workers, signal.SIGCONT)
            for client in clients:
                answer = http.client.HTTPResponse(client)
                answer.begin()
                assert (answer.status, answer.headers["Connection"]) == (404, "close")
                answer.read()
        ends_well(vault)

    def test_half_a_request_may_be_said_to_its_end(self, stage, start):
        vault = start()
        head, body = half_a_request(stage)
        with socket.create_connection(("127.0.0.1", vault.port), PATIENCE_SECONDS) as client:
            client.sendall(head + body[:5])
            vault.process.terminate()
            await_true(lambda: is_refused(vault.port))
            client.sendall(body[5:])
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert answer.status in {200, 201}
        ends_well(vault)

    def test_who_never_says_the_other_half_is_told_to_try_again(self, stage, start):
        vault = start(SHUTDOWN_SECONDS="1")
        head, body = half_a_request(stage)
        with socket.create_connection(("127.0.0.1", vault.port), PATIENCE_SECONDS) as client:
            client.sendall(head + body[:5])
            vault.process.terminate()
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert json.loads(answer.read())["error"]["code"] == "service_unavailable"
        ends_well(vault)

    def test_a_connection_without_a_word_keeps_nobody(self, start):
        vault = start()
        with socket.create_connection(("127.0.0.1", vault.port), PATIENCE_SECONDS) as client:
            vault.process.terminate()
            assert client.recv(1) == b""
        ends_well(vault)

    def test_it_ends_while_the_database_stands_still(self, stage, start):
        vault = start(SHUTDOWN_SECONDS="1")
        with frozen(stage.postgres.server.process.pid):
            vault.process.terminate()
            assert vault.process.wait(PATIENCE_SECONDS) == 0
        stage.settle()

    def test_workers_whose_master_was_killed_end_in_good_order(self, stage, start):
        vault = start(DRAIN_SECONDS="1")
        waiting = Waiting(stage, vault, "drain/orphans")
        handles = [os.pidfd_open(pid) for pid in vault.workers]
        vault.process.kill()
        await_true(lambda: vault.readiness() == {"server": "draining"})
        waiting.let_go()
        assert waiting.answer.status == 200
        for handle in handles:
            assert select.select([handle], [], [], PATIENCE_SECONDS)[0]
            os.close(handle)
        no_surprises(vault)


def half_a_request(stage):
    body = b'{"data": {"n": 1}}'
    head = f"PUT /v1/secrets/drain/half HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stage.tokens[TENANT]}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode(), body
