"""The processes of `make run`, started as it starts them, and a strait before each thing they depend on."""

import os
import signal
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import requests

from scaivault.bootstrap import build
from scaivault.dev import api, exporter, postgres, processes, seed, valkey, worker
from scaivault.dev.plan import DEFAULT_PORTS, Plan, make_folders
from scaivault.settings import RATE_LIMIT_PREFIX, Settings
from scaivault.storage import migrate
from tests.drills.strait import Strait
from tests.faults.test_dependencies import family_of, send
from tests.kms import aws
from tests.ports import free_ports

CHECKOUT = Path(__file__).parents[2]
# The load must come near none of these; what is left at its default is what a drill hammers at.
PLENTY = {
    RATE_LIMIT_PREFIX + category: "1000000"
    for category in ("READ", "WRITE", "DELETE", "LIST", "AUTH", "WEBHOOK", "OPEN")
}
# So few that the requests of one process can hold them all: by default there are two more than threads.
POOL = {"DATABASE_POOL_SIZE": "4"}


@dataclass
class Stack:
    """All of it, up. What faults are injected into."""

    plan: Plan
    settings: Settings
    environ: dict = field(repr=False)
    tokens: seed.Tokens
    database: postgres.Server
    cache: valkey.Server
    kms: aws.Server
    to_database: Strait
    to_cache: Strait
    to_kms: Strait
    api: api.Server
    worker: worker.Server
    exporter: exporter.Server

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
        server = getattr(self, name)
        send(family_of(server.process.pid), signal.SIGKILL)
        server.process.wait()
        try:
            yield
        finally:
            setattr(self, name, _START[name](self.plan, self.environ, self.settings))


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
    plan = Plan.of(
        {
            "PATH": os.defpath,
            "PYTHONPATH": str(CHECKOUT),
            "DEV_DIR": str(folder),
            **dict(zip(DEFAULT_PORTS, map(str, free_ports(len(DEFAULT_PORTS))), strict=True)),
        }
    )
    make_folders(plan)
    with ExitStack() as stack:

        def keep(server):
            stack.callback(server.stop)
            return server

        def strait(port):
            made = Strait(port)
            stack.callback(made.close)
            return made

        # Not flushed to disk: what is shown here is no durability, and a disk is shared with neighbours.
        database = keep(postgres.start(plan.folder / "postgres", plan.logs / "postgres.log", postgres.FAST))
        cache = keep(valkey.start(plan.folder / "valkey", plan.logs / "valkey.log"))
        kms, stop_kms = aws.start()
        stack.callback(stop_kms)
        straits = [strait(database.port), strait(cache.port), strait(int(kms.url.rpartition(":")[2]))]
        environ = _environ(plan, database, cache, kms, straits)
        settings = Settings.from_env(environ)
        migrate.apply(database.url())
        environ["EXPORTER_DATABASE_URL"] = _through(straits[0], postgres.ensure_exporter(database), database.port)
        servers = {}
        for name in _START:
            servers[name] = _START[name](plan, environ, settings)
        made = Stack(
            plan,
            settings,
            environ,
            seed.ensure(settings, plan.folder / "tokens"),
            database,
            cache,
            kms,
            *straits,
            **servers,
        )
        # Whoever is there in the end: a drill may have put another in the place of the first.
        for name in _START:
            stack.callback(lambda each=name: getattr(made, each).stop())
        yield made


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
    return {**local, **root, **PLENTY, **POOL}


def _through(strait, url, port):
    return url.replace(f":{port}/", f":{strait.port}/")
