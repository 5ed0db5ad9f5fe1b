"""Bytes to a real gunicorn and back. Clients normalise; attackers do not."""

import contextlib
import json
import os
import re
import select
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scaivault.dev import processes
from tests.house import PLENTY
from tests.ports import free_ports

CHECKOUT = Path(__file__).parents[2]
START_SECONDS = 60
ANSWER_SECONDS = 15


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, as it was on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The error's code; None if the answer is not our envelope, as when gunicorn itself refuses."""
        try:
            return self.json["error"]["code"]
        except (ValueError, KeyError, TypeError):
            return None


@dataclass
class Vault:
    """A gunicorn with the product's own configuration, and its log."""

    port: int
    ops_port: int
    token: str = field(repr=False)
    log: Path
    process: subprocess.Popen

    def send(self, raw: bytes, source="127.0.0.1", *, then_close=False) -> Answer:
        """The answer to these very bytes, sent from this local address."""
        with self.connected(source) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was read
                connection.sendall(raw)
            if then_close:
                connection.shutdown(socket.SHUT_WR)
            return receive(connection)

    def ask(self, method, target, body=None, headers=(), source="127.0.0.1", token=...) -> Answer:
        """The same with an ordinary head around `target`, a str or bytes that is sent as it is."""
        token = self.token if token is ... else token
        return self.send(request(method, target, body, headers, token), source)

    @contextlib.contextmanager
    def connected(self, source="127.0.0.1"):
        with socket.create_connection(("127.0.0.1", self.port), ANSWER_SECONDS, (source, 0)) as connection:
            yield connection

    def logged(self) -> list[dict]:
        """Every line of the log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def request(method, target, body=None, headers=(), token=None) -> bytes:
    """A request of HTTP/1.1 that asks for the connection to be closed."""
    lines = [b" ".join((method.encode(), as_bytes(target), b"HTTP/1.1")), b"Host: vault", b"Connection: close"]
    if token is not None:
        lines.append(b"Authorization: Bearer " + as_bytes(token))
    if body is not None:
        lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    lines += [as_bytes(line) for line in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def as_bytes(text):
    return text.encode("latin-1") if isinstance(text, str) else text


def receive(connection) -> Answer:
    """One answer; the rest of the connection is read, so that the other side can finish."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while not complete(received) and (some := connection.recv(65_536)):
            received += some
    head, _, body = received.partition(b"\r\n\r\n")
    if not head:
        raise ConnectionError("closed without an answer")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split(" ")[1]), headers, body[: int(headers.get("content-length", len(body)))])


def complete(received) -> bool:
    head, blank, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    return bool(blank and length) and len(body) >= int(length[1])


@contextlib.contextmanager
def serving(house, token, folder, **environment):
    """A vault over the same servers and under the same root key as `house`."""
    settings = house.settings
    log = folder / "vault.log"
    port, ops_port = free_ports(2)
    environ = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(CHECKOUT),
        "SCAIVAULT_ENV": "development",
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "BASE_URL": "http://localhost",
        "BIND_ADDRESS": f"127.0.0.1:{port}",
        "OPS_BIND_ADDRESS": f"127.0.0.1:{ops_port}",
        "KMS_PROVIDER": "local",
        "KMS_LOCAL_KEY_FILE": str(settings.kms_local_key_file),
        "WEB_CONCURRENCY": "1",
        "DRAIN_SECONDS": "0",
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": "json",
        **PLENTY,
        **environment,
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:scaivault.gunicorn_conf", "scaivault.wsgi:app"]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            processes.leashed(command, on_our_death="KILL"),
            cwd=CHECKOUT,
            env=environ,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        await_answers(process, port, log)
        yield Vault(port, ops_port, token, log, process)
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def await_answers(process, port, log):
    """Return when it accepts connections. gunicorn listens before its workers are there: the first answer waits."""
    handle = os.pidfd_open(process.pid)
    try:
        while not select.select([handle], [], [], 0.02)[0]:
            with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)) as connection:
                connection.settimeout(START_SECONDS)
                connection.sendall(request("GET", "/v1/health"))
                assert receive(connection).status == 200
                return
    finally:
        os.close(handle)
    pytest.fail(f"gunicorn ended:\n{log.read_text()}")
