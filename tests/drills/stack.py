"""The processes of `make run`, started as it starts them, and a strait before each thing they depend on."""

import os
import signal
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import requests

from scaivault.bootstrap.api import build
from scaivault.dev import api, exporter, postgres, seed, valkey, worker
from scaivault.dev.plan import DEFAULT_PORTS, Plan, make_folders
from scaivault.settings import RATE_LIMIT_PREFIX, Settings
from scaivault.storage import migrate
from tests.drills.strait import Strait
from tests.faults.test_dependencies import family_of, send
from tests.kms import aws
from tests.ports import free_ports
from tests.receiver import Receiver

SECRET = "a-secret-that-only-the-receivers-know"
FORWARD_SECONDS = 0.3
CHECKOUT = Path(__file__).parents[2]
# The load must come near none of these; what is left at its default is what a drill hammers at.
PLENTY = {RATE_LIMIT_PREFIX + category: "1000000" for category in ("READ", "WRITE", "LIST", "WEBHOOK", "OPEN")}
# Few enough to be reached at once by whoever means to.
SCARCE = {"RATE_LIMIT_AUTH": "30"}
# So few that the requests of one process can hold them all: by default there are two more than threads.
POOL = {"DATABASE_POOL_SIZE": "4"}


@dataclass(frozen=True)
class Hook:
    """A webhook and who receives what it is told."""

    id: str
    receiver: Receiver


@dataclass
class Stack:
    """What faults are injected into: servers that may be replaced, and the way to each of those they depend on."""

    plan: Plan
    settings: Settings
    environ: dict = field(repr=False)
    database: postgres.Server
    cache: valkey.Server
    kms: aws.Server
    to_database: Strait
    to_cache: Strait
    to_kms: Strait
    running: dict = field(default_factory=dict)
    """The vault's own processes: `api`, `worker` and `exporter`."""
    tokens: seed.Tokens | None = None
    refused: Hook | None = None
    awaited: Hook | None = None

    @property
    def url(self):
        return f"http://{self.settings.bind_address}"

    @property
    def ops_urls(self):
        """Where each scrape job finds its target."""
        return {
            "scaivault": f"http://{self.settings.ops_bind_address}",
            "scaivault-worker": f"http://{self.settings.worker_ops_bind_address}",
            "scaivault-exporter": f"http://{self.settings.exporter_bind_address}",
        }

    def call(self, method, path, body=None, *, token=None, session=requests, seconds=30):
        """One request, by the administrator if nobody else is named."""
        headers = {"Authorization": f"Bearer {token or self.tokens.administrator}"}
        return session.request(method, f"{self.url}/v1/{path}", json=body, headers=headers, timeout=seconds)

    @contextmanager
    def connection(self):
        """PostgreSQL as its superuser, by no strait; closing it ends what it holds."""
        with psycopg.connect(self.database.url(user=postgres.SUPERUSER), autocommit=True) as connection:
            yield connection

    def services(self):
        """The vault's own parts, in this process, for what has no door: opened, and to be closed."""
        services = build(self.settings)
        services.open()
        return services

    @contextmanager
    def killed(self, name):
        """`api`, `worker` or `exporter` is killed with all its processes, and started again in the end."""
        self.end(name)
        try:
            yield
        finally:
            self.start(name)

    def end(self, name):
        """At once, as by whoever needs its memory."""
        server = self.running[name]
        send(family_of(server.process.pid), signal.SIGKILL)
        server.process.wait()

    def start(self, name):
        self.running[name] = _START[name](self.plan, self.environ, self.settings)


@contextmanager
def forwarding(stack, statement, what):
    """As if time passed quickly for `what`: a pause that was written down ends soon, over and over."""
    stopping = threading.Event()

    def forward():
        with stack.connection() as connection:
            while not stopping.wait(FORWARD_SECONDS):
                connection.execute(statement, {"what": what})

    thread = threading.Thread(target=forward, name="forward", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _start_api(plan, environ, settings):
    server = api.start(plan, environ, settings)
    api.await_ready(server, plan, settings)
    return server


def _start_exporter(plan, environ, settings):
    server = exporter.start(plan, environ)
    exporter.await_ready(server, plan, settings)
    return server


_START = {"api": _start_api, "worker": worker.start, "exporter": _start_exporter}


@contextmanager
def started(folder):
    """A stack in `folder`, ended in reverse order. AWS's credentials must be in the environment (tests/kms)."""
    ports = dict(zip(DEFAULT_PORTS, map(str, free_ports(len(DEFAULT_PORTS))), strict=True))
    plan = Plan.of({"PATH": os.defpath, "PYTHONPATH": str(CHECKOUT), "DEV_DIR": str(folder), **ports})
    make_folders(plan)
    with ExitStack() as ending:
        stack = _dependencies(plan, ending)
        for name in _START:
            stack.start(name)
            # Whoever is there in the end: a drill may have put another in the place of the first.
            ending.callback(lambda each=name: stack.running[each].stop())
        stack.tokens = seed.ensure(stack.settings, plan.folder / "tokens")
        stack.refused, stack.awaited = (_hook(stack, name, ending) for name in ("refused", "awaited"))
        yield stack


def _dependencies(plan, ending):
    """PostgreSQL, Redis and the key service, and the environment of those who need them."""
    # Not flushed to disk: what is shown here is no durability, and a disk is shared with neighbours.
    database = postgres.start(plan.folder / "postgres", plan.logs / "postgres.log", postgres.FAST)
    cache = valkey.start(plan.folder / "valkey", plan.logs / "valkey.log")
    ending.callback(cache.stop)
    kms, stop_kms = aws.start()
    ending.callback(stop_kms)
    straits = [Strait(port) for port in (database.port, cache.port, urlsplit(kms.url).port)]
    for strait in straits:
        ending.callback(strait.close)
    environ = _environ(plan, database, cache, kms, straits)
    stack = Stack(plan, Settings.from_env(environ), environ, database, cache, kms, *straits)
    ending.callback(lambda: stack.database.stop())
    migrate.apply(database.url())
    environ["EXPORTER_DATABASE_URL"] = _through(straits[0], postgres.ensure_exporter(database), database.port)
    return stack


def _hook(stack, name, ending):
    receiver = Receiver(SECRET)
    ending.callback(receiver.close)
    body = {"name": name, "url": receiver.url, "secret": SECRET, "events": ["secret.updated"]}
    answer = stack.call("POST", "webhooks", body)
    assert answer.status_code == 201, answer.text
    return Hook(answer.json()["id"], receiver)


def _environ(plan, database, cache, kms, straits):
    to_database, to_cache, to_kms = straits
    found = {
        "DATABASE_URL": _through(to_database, database.url(), database.port),
        "REDIS_URL": _through(to_cache, cache.url(), cache.port),
    }
    local = plan.api_environ(found)
    del local["KMS_LOCAL_KEY_FILE"]
    root = {
        "KMS_PROVIDER": "aws",
        "KMS_KEY_ID": kms.add_key(),
        "KMS_ENDPOINT_URL": f"http://127.0.0.1:{to_kms.port}",
        **aws.CREDENTIALS,
    }
    return {**local, **root, **PLENTY, **SCARCE, **POOL}


def _through(strait, url, port):
    return url.replace(f":{port}/", f":{strait.port}/")
