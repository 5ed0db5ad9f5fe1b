"""What the vault leans on gives way, under load: a real gunicorn, its own PostgreSQL and Valkey, over sockets.

Whatever happens, an answer is the right one or `service_unavailable`; what was acknowledged is there; what was read is
in the trail; and nobody has to restart anything.
"""

import contextlib
import http.client
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from scaivault.bootstrap.api import build
from scaivault.crypto.kms.local import write_key_file
from scaivault.dev import postgres, valkey
from scaivault.features.identity.model import Identity
from scaivault.kernel.caller import Role, Scope
from scaivault.settings import Settings
from scaivault.storage import migrate
from tests.house import PLENTY
from tests.ports import free_port
from tests.waiting import await_true

CHECKOUT = Path(__file__).parents[2]
PATIENCE_SECONDS = 40
CLIENTS = 4
WORKERS, THREADS = 2, 4
TENANT, NEW_TENANT = "tnt_load", "tnt_new"
PLANTED = "hunter2-planted"
# Nothing here cuts the power: what a process wrote stays written, if only it waits until it has.
SETTINGS = {"fsync": "off", "synchronous_commit": "on", "full_page_writes": "off", "max_connections": "50"}


def family_of(pid):
    """The process and all that it started."""
    parents = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, rest = file.read_text().split(" ", 1)
            parents[int(number)] = int(rest.rpartition(")")[2].split()[1])
    found = {pid}
    while grown := {child for child, parent in parents.items() if parent in found} - found:
        found |= grown
    return found


def send(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextlib.contextmanager
def frozen(pid):
    """Nobody of this family answers, nobody hangs up."""
    family = family_of(pid)
    send(family, signal.SIGSTOP)
    try:
        yield
    finally:
        send(family, signal.SIGCONT)


class Postgres:
    def __init__(self, folder):
        self._folder = folder
        self.start()

    def start(self):
        self.server = postgres.start(self._folder, self._folder.with_suffix(".log"), SETTINGS)

    def stop(self):
        self.server.stop()

    def kill(self):
        family = family_of(self.server.process.pid)
        send([self.server.process.pid], signal.SIGKILL)
        send(family, signal.SIGKILL)
        self.server.process.wait()

    def run(self, statement):
        with psycopg.connect(self.server.url()) as connection:
            connection.execute(statement)

    def rows(self, query, *parameters):
        with psycopg.connect(self.server.url()) as connection:
            return connection.execute(query, parameters).fetchall()


class Redis:
    def __init__(self, folder):
        self._folder = folder
        self.start()

    def start(self):
        self.server = valkey.start(self._folder, self._folder.with_suffix(".log"))

    def stop(self):
        self.server.stop()


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json["error"]["code"] if self.status >= 400 else None


class Line:
    """One keep-alive connection; opened again when it broke."""

    def __init__(self, port, token=None):
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._connection = None

    def ask(self, method, path, body=None, **headers):
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_SECONDS)
        sent = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, sent, self._headers | headers)
            answer = self._connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        except (OSError, http.client.HTTPException):
            self.hang_up()
            raise

    def hang_up(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Vault:
    """Gunicorn as it is run, and the two ports of it."""

    def __init__(self, folder, database_url, redis_url, **environ):
        self.port, self.ops_port = free_port(), free_port()
        self.key_file = folder / "kms.key"
        self.environ = {
            "SCAIVAULT_ENV": "development",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "BASE_URL": f"http://127.0.0.1:{self.port}",
            "BIND_ADDRESS": f"127.0.0.1:{self.port}",
            "OPS_BIND_ADDRESS": f"127.0.0.1:{self.ops_port}",
            "KMS_PROVIDER": "local",
            "KMS_LOCAL_KEY_FILE": str(self.key_file),
            "METRICS_DIR": str(folder / f"metrics-{self.port}"),
            "WEB_CONCURRENCY": str(WORKERS),
            "WEB_THREADS": str(THREADS),
            "DRAIN_SECONDS": "0",
            "SHUTDOWN_SECONDS": "1",
            **PLENTY,
            **environ,
        }
        self.log = folder / f"api-{self.port}.log"
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "--config", "python:scaivault.gunicorn_conf", "scaivault.wsgi:app"],
                cwd=CHECKOUT,
                env=self.environ | {"PATH": os.defpath, "PYTHONPATH": str(CHECKOUT)},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_SECONDS)
        finally:
            send(family_of(self.process.pid), signal.SIGKILL)

    @property
    def workers(self):
        return family_of(self.process.pid) - {self.process.pid}

    def probe(self, path):
        """An answer of the internal listener; None if there was none."""
        line = Line(self.ops_port)
        try:
            return line.ask("GET", path)
        except (OSError, http.client.HTTPException):
            return None
        finally:
            line.hang_up()

    def readiness(self):
        """What is wrong, a word a component; None if nobody answers."""
        answer = self.probe("/v1/health/ready")
        return None if answer is None else answer.json.get("errors", {})

    def await_ready(self):
        """Ready, whichever of the workers that share the port is asked."""
        await_true(lambda: all(self.process.poll() is None and self.readiness() == {} for _ in range(4 * WORKERS)))

    def gauge(self, name, **labels):
        text = self.probe("/v1/metrics").body.decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


class Stage:
    """The servers, a vault over them, and an administrator in each of two tenants."""

    def __init__(self, folder, stack):
        self.folder = folder
        self._stack = stack
        self._lines = []
        self.postgres, self.redis = Postgres(folder / "postgres"), Redis(folder / "redis")
        stack.callback(self.redis.stop)
        stack.callback(self.postgres.stop)
        migrate.apply(self.postgres.server.url())
        write_key_file(folder / "kms.key", development=True)
        # One connection for four threads: a server that stands still is met in the pool's queue, which is impatient.
        self.vault = self.open(DATABASE_POOL_SIZE="1", KEY_CACHE_SECONDS="2")
        self.tokens = self._furnish()
        self.vault.await_ready()
        for tenant_id in self.tokens:
            self._permit(self.line(tenant_id))

    def open(self, **environ):
        vault = Vault(self.folder, self.postgres.server.url(), self.redis.server.url(), **environ)
        self._stack.callback(vault.stop)
        return vault

    def line(self, tenant_id=TENANT, vault=None):
        """A client's connection, hung up at the end of the test if not before."""
        self._lines.append(Line((vault or self.vault).port, self.tokens[tenant_id]))
        return self._lines[-1]

    def settle(self):
        """Until every worker is well: one that had nothing to do since a fault meets its dead connection only now."""
        self.vault.await_ready()
        await_true(lambda: all(self.line().ask("GET", "/v1/secrets/none").status == 404 for _ in range(8 * WORKERS)))
        self.hang_up()

    def hang_up(self):
        while self._lines:
            self._lines.pop().hang_up()

    def _furnish(self):
        services = build(Settings.from_env(self.vault.environ))
        services.open()
        admin = Identity("user:ada", "Ada", roles=frozenset({Role.TENANT_ADMIN}))
        installed = services.installer.install("P", "T", admin, partner_id="ptn_load", tenant_id=TENANT)
        # Of another partner: what is cached for the first one opens nothing of its tenants.
        self.postgres.run("INSERT INTO partners (id, name) VALUES ('ptn_new', 'N')")
        services.installer.add_tenant("ptn_new", NEW_TENANT, "N")
        newcomer = services.installer.add_holder(NEW_TENANT, admin, frozenset(Scope), "test")
        services.close()
        return {TENANT: installed.token, NEW_TENANT: newcomer}

    def _permit(self, line):
        policy = line.ask(
            "POST", "/v1/policies", {"name": "p", "rules": [{"path_pattern": "**", "permissions": ["admin"]}]}
        )
        bound = line.ask(
            "POST", f"/v1/policies/{policy.json['id']}/bindings", {"identity_type": "user", "identity_id": "user:ada"}
        )
        assert bound.status == 201, bound.body
        await_true(lambda: line.ask("GET", "/v1/secrets/none").status == 404)


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield Stage(tmp_path_factory.mktemp("faults"), stack)


@pytest.fixture
def stage(standing):
    standing.settle()
    yield standing
    standing.hang_up()


@pytest.fixture(scope="module")
def single(standing):
    """A vault of one worker: what it keeps and how many threads it has is known."""
    vault = standing.open(WEB_CONCURRENCY="1", KEY_CACHE_SECONDS="3")
    vault.await_ready()
    return vault


@dataclass
class Deed:
    """One request and what came of it; no status is no answer."""

    request_id: str
    method: str
    path: str
    n: int
    status: int | None = None
    code: str | None = None
    retry_after: str | None = None
    is_right: bool = True


class Load:
    """Clients who write new secrets and read them back, and note every answer."""

    runs = itertools.count(1)

    def __init__(self, stage):
        self.stage = stage
        self.prefix = f"load{next(self.runs)}"
        self.deeds = []
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(client,)) for client in range(CLIENTS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        await_true(lambda: sum(deed.status == 200 for deed in self.deeds) >= 20)
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)

    def _work(self, client):
        line = self.stage.line()
        written = []
        while not self._stop.is_set():
            n = next(self._numbers)
            if n % 3 == 0 or not written:
                deed = Deed(f"{self.prefix}-{n}", "PUT", f"{self.prefix}/c{client}/s{n}", n)
            else:
                path, value = written[n % len(written)]
                deed = Deed(f"{self.prefix}-{n}", "GET", path, value)
            self._do(line, deed)
            self.deeds.append(deed)
            if deed.method == "PUT" and deed.status == 201:
                written.append((deed.path, n))

    def _do(self, line, deed):
        body = {"data": {"n": deed.n, "password": PLANTED}} if deed.method == "PUT" else None
        headers = {"X-Request-ID": deed.request_id}
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = line.ask(deed.method, f"/v1/secrets/{deed.path}", body, **headers)
            deed.status, deed.code, deed.retry_after = answer.status, answer.code, answer.headers["Retry-After"]
            if deed.method == "GET" and answer.status == 200:
                deed.is_right = answer.json["data"] == {"n": deed.n, "password": PLANTED}

    def await_some(self, *statuses):
        """Until each has been answered to what was asked from now on: one to each client is under way already."""
        self._await(statuses, len(self.deeds) + CLIENTS)

    def await_trouble(self):
        """Until somebody was told that it can not be done."""
        self._await([503], 0)

    def _await(self, statuses, begun):
        await_true(lambda: set(statuses) <= {deed.status for deed in self.deeds[begun:]})

    @property
    def answered(self):
        return [deed for deed in self.deeds if deed.status in {200, 201}]


def check_books(load):
    """What the clients were told against what the database holds."""
    stage, deeds = load.stage, load.deeds
    assert {(deed.status, deed.code) for deed in deeds} <= {
        (200, None),
        (201, None),
        (503, "service_unavailable"),
        (None, None),
    }
    assert all(deed.retry_after for deed in deeds if deed.status == 503)
    assert all(deed.is_right for deed in deeds)

    trail = stage.postgres.rows(
        "SELECT request_id, action, secret_path, success FROM audit_log WHERE request_id LIKE %s", f"{load.prefix}-%"
    )
    succeeded = {request_id for request_id, _, _, success in trail if success}
    answered = {deed.request_id for deed in load.answered}
    assert len(trail) == len({request_id for request_id, *_ in trail}), "one row for each request"
    assert answered <= succeeded, "answered, and not in the trail"

    # Of what was not acknowledged some may have happened; but then all of it, trail included.
    written = {path for _, action, path, success in trail if action == "write" and success}
    stored = {
        path for (path,) in stage.postgres.rows("SELECT path FROM secrets WHERE path LIKE %s", f"{load.prefix}/%")
    }
    versions = stage.postgres.rows(
        "SELECT path FROM secret_versions WHERE path LIKE %s AND version = 1 AND sealed IS NOT NULL", f"{load.prefix}/%"
    )
    acknowledged = {deed.path: deed.n for deed in load.answered if deed.method == "PUT"}
    assert written == stored == {path for (path,) in versions}
    assert acknowledged.keys() <= stored
    check_values(stage, acknowledged)


def check_values(stage, acknowledged):
    line = stage.line()
    for start in range(0, len(acknowledged), 100):
        paths = list(acknowledged)[start : start + 100]
        answer = line.ask("POST", "/v1/secrets/batch", {"paths": paths})
        found = {path: secret["data"]["n"] for path, secret in answer.json["secrets"].items()}
        assert found == {path: acknowledged[path] for path in paths}


def no_surprises(vault):
    """Neither a value nor a failure that nobody foresaw is in the log."""
    text = vault.log.read_text(errors="replace")
    assert PLANTED not in text
    assert "request_failed" not in text
    assert "Traceback" not in text


class TestPostgres:
    @contextlib.contextmanager
    def stopped(self, server):
        server.stop()
        try:
            yield
        finally:
            server.start()

    @contextlib.contextmanager
    def killed(self, server):
        server.kill()
        try:
            yield
        finally:
            server.start()

    @contextlib.contextmanager
    def stands_still(self, server):
        with frozen(server.server.process.pid):
            yield

    @pytest.mark.parametrize("fault", ["stopped", "killed", "stands_still"])
    def test_without_it_all_is_unavailable_and_with_it_all_is_well_again(self, stage, fault):
        vault = stage.vault
        workers = vault.workers
        with Load(stage) as load:
            with getattr(self, fault)(stage.postgres):
                load.await_trouble()
                await_true(lambda: "database" in vault.readiness())
                assert vault.probe("/v1/health").status == 200
                assert set(vault.readiness().values()) <= {"unreachable", "timeout"}
            load.await_some(200, 201)
        vault.await_ready()
        check_books(load)
        no_surprises(vault)
        assert vault.workers == workers

    def test_a_backend_that_is_killed_costs_no_more_than_its_request(self, stage):
        with Load(stage) as load:
            for _ in range(3):
                killed = stage.postgres.rows(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'scaivault' AND pid <> pg_backend_pid()"
                )
                assert killed
                load.await_some(200)
        check_books(load)
        no_surprises(stage.vault)

    def test_who_waits_for_a_connection_is_told_while_none_is_free(self, stage):
        """A lock on what requests need. What looks at the pool needs no connection of it."""
        vault = stage.vault

        def pool():
            return {name: vault.gauge(f"scaivault_db_pool_{name}") for name in ("size", "available", "max")}

        with Load(stage) as load:
            with psycopg.connect(stage.postgres.server.url()) as somebody, somebody.transaction(force_rollback=True):
                somebody.execute("LOCK TABLE secrets IN ACCESS EXCLUSIVE MODE")
                await_true(lambda: vault.gauge("scaivault_db_pool_waiting") > 0 and pool()["available"] == 0)
                assert pool() == {"size": WORKERS, "available": 0, "max": WORKERS}
            load.await_some(200, 201)
        await_true(lambda: vault.gauge("scaivault_db_pool_waiting") == 0)
        check_books(load)
        no_surprises(vault)


class TestRedis:
    @contextlib.contextmanager
    def stopped(self, server):
        server.stop()
        try:
            yield
        finally:
            server.start()

    @contextlib.contextmanager
    def stands_still(self, server):
        with frozen(server.server.process.pid):
            yield

    @pytest.mark.parametrize("fault", ["stopped", "stands_still"])
    def test_without_it_reads_and_writes_go_on_and_readiness_says_so(self, stage, fault):
        vault = stage.vault
        with Load(stage) as load:
            with getattr(self, fault)(stage.redis):
                await_true(lambda: vault.readiness().keys() == {"redis"})
                assert vault.probe("/v1/health").status == 200
                load.await_some(200, 201)
            vault.await_ready()
        assert {deed.status for deed in load.deeds} == {200, 201}
        check_books(load)
        no_surprises(vault)

    @pytest.mark.parametrize("fault", ["stopped", "stands_still"])
    def test_metrics_say_like_readiness_whether_it_can_serve_and_what_it_misses(self, stage, fault):
        """Nobody asks anything of the API: a load balancer that goes by readiness would send nobody."""
        vault = stage.vault
        found = {"database": 1, "redis": 1, "encryption": 1}

        def ready():
            return vault.gauge("scaivault_ready")

        def reached():
            return {name: vault.gauge("scaivault_dependency_ready", dependency=name) for name in found}

        await_true(lambda: ready() == 1 and reached() == found)
        with getattr(self, fault)(stage.redis):
            await_true(lambda: ready() == 0 and reached() == found | {"redis": 0})
        await_true(lambda: ready() == 1 and reached() == found)


class TestKeyService:
    @pytest.fixture
    def away(self, single):
        """The root key's file somewhere else, until it comes back."""
        hidden = single.key_file.with_name("away")

        @contextlib.contextmanager
        def make():
            single.key_file.rename(hidden)
            yield
            hidden.rename(single.key_file)

        yield make
        if hidden.exists():
            hidden.rename(single.key_file)

    def test_without_it_what_is_open_stays_open_for_its_time_and_no_longer(self, stage, single, away):
        line, newcomer = stage.line(vault=single), stage.line(NEW_TENANT, single)
        path = "/v1/secrets/kms/known"

        def read(request_id):
            asked_at.append(time.monotonic())
            return line.ask("GET", path, **{"X-Request-ID": request_id})

        reads, asked_at = [], []
        assert line.ask("PUT", path, {"data": {"n": 1}}).status in {200, 201}
        await_true(lambda: single.gauge("scaivault_cache_requests_total", cache="tenant_key", result="miss") >= 1)
        time_is_up = time.monotonic() + 3
        with away():
            assert read("kms-open").json["data"] == {"n": 1}
            assert time.monotonic() < time_is_up
            for method, body in (("PUT", {"data": {}}), ("GET", None)):
                assert newcomer.ask(method, path, body).code == "service_unavailable"
            await_true(lambda: reads.append(read("kms-shut").status) or reads[-1] != 200)
            assert all(each < time_is_up for each in asked_at[:-1])
            assert read("kms-shut").code == "service_unavailable"
            assert line.ask("PUT", path, {"data": {"n": 2}}).code == "service_unavailable"
            await_true(lambda: single.readiness().keys() == {"encryption"})
            assert single.probe("/v1/health").status == 200
            assert line.ask("GET", "/v1/secrets?prefix=kms/").status == 200
        assert read("kms-back").json["data"] == {"n": 1}
        assert read("kms-back").status == 200
        assert newcomer.ask("PUT", path, {"data": {}}).status == 201
        single.await_ready()

        query = "SELECT request_id, count(*) FROM audit_log WHERE request_id LIKE %s AND success GROUP BY request_id"
        trail = dict(stage.postgres.rows(query, "kms-%"))
        assert trail == {"kms-open": 1, "kms-shut": reads.count(200), "kms-back": 2}
        no_surprises(single)


class TestWorkers:
    def test_one_that_is_killed_takes_nothing_along_that_was_acknowledged(self, stage):
        vault = stage.vault
        before = vault.workers
        with Load(stage) as load:
            for _ in range(2):
                victim = min(vault.workers)
                handle = os.pidfd_open(victim)
                os.kill(victim, signal.SIGKILL)
                select.select([handle], [], [], PATIENCE_SECONDS)
                os.close(handle)
                await_true(lambda: len(vault.workers) == WORKERS)
                load.await_some(201)
        assert len(before & vault.workers) <= WORKERS - 1
        check_books(load)
        await_true(lambda: vault.gauge("scaivault_active_requests") == 0)
        no_surprises(vault)

    def test_the_internal_listener_answers_while_every_request_thread_waits(self, stage, single):
        path = "/v1/secrets/held"
        assert stage.line(vault=single).ask("PUT", path, {"data": {}}).status in {200, 201}
        answers = []

        def write():
            answers.append(stage.line(vault=single).ask("PUT", path, {"data": {}}).status)

        def active():
            return single.gauge("scaivault_active_requests", path_category="secrets")

        threads = [threading.Thread(target=write) for _ in range(2 * THREADS)]
        with psycopg.connect(stage.postgres.server.url()) as holder:
            holder.execute("SELECT FROM secrets WHERE path = 'held' FOR UPDATE")
            for thread in threads:
                thread.start()
            await_true(lambda: active() == THREADS)
            started = time.monotonic()
            for _ in range(8):
                assert single.probe("/v1/health").status == 200
            assert single.readiness() == {}
            assert time.monotonic() - started < 4, "within the time that a request waits for a lock"
            assert active() == THREADS
            assert answers == []
            holder.rollback()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        assert len(answers) == len(threads)
        assert set(answers) <= {200, 503}
        assert 200 in answers
        await_true(lambda: single.gauge("scaivault_active_requests") == 0)
        no_surprises(single)


def test_a_vault_may_start_before_all_that_it_leans_on(stage):
    """Alive at once, ready when the last of them is there, and nobody starts it a second time."""
    hidden = stage.vault.key_file.with_name("away")
    stage.postgres.stop()
    stage.redis.stop()
    stage.vault.key_file.rename(hidden)
    try:
        early = stage.open(WEB_CONCURRENCY="1")
        await_true(lambda: early.readiness())
        assert early.probe("/v1/health").status == 200
        assert early.readiness().keys() == {"database", "redis", "encryption"}
        assert stage.line(vault=early).ask("GET", "/v1/secrets/none").code == "service_unavailable"
    finally:
        hidden.rename(stage.vault.key_file)
        stage.redis.start()
        stage.postgres.start()
    early.await_ready()
    line = stage.line(vault=early)
    await_true(lambda: line.ask("PUT", "/v1/secrets/early", {"data": {}}).status in {200, 201})
    no_surprises(early)
