"""HTTP/1.1 as bytes: what the load generator spends on itself, the servers do not get."""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LOOPBACK = "127.0.0.1"
ANSWER_SECONDS = 30
PIECE = 65_536
SERIAL = b"@serial@"  # replaced by a number of as many digits, new each time


class BenchFault(Exception):
    """Something is broken, not slow."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to send, and how a right answer looks."""

    raw: bytes
    status: int
    holds: bytes
    is_numbered: bool = False

    def numbered(self, number: int) -> "Request":
        """The same with its own number in the place of SERIAL."""
        digits = b"%0*d" % (len(SERIAL), number)
        return Request(self.raw.replace(SERIAL, digits), self.status, self.holds.replace(SERIAL, digits))

    def is_answered_by(self, status: int, body: bytes) -> bool:
        return status == self.status and self.holds in body


def request(
    method: str,
    target: str,
    token: str,
    body: Mapping[str, object] | None = None,
    *,
    status: int = 200,
    holds: bytes = b"",
) -> Request:
    """A request as a client library would send it."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {LOOPBACK}",
        "User-Agent: scaivault-bench/1.0",
        "Accept: application/json",
        f"Authorization: Bearer {token}",
    ]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    raw = "\r\n".join([*lines, "", ""]).encode() + content
    return Request(raw, status, holds, is_numbered=SERIAL in raw)


class Line:
    """One connection, kept alive while the server does, opened anew when it does not."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def open(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection((LOOPBACK, self._port), ANSWER_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, raw: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        connection = self.open()
        try:
            connection.sendall(raw)
            status, body, is_last = receive(connection)
        except OSError:
            self.close()
            raise
        if is_last:
            self.close()
        return status, body


def receive(connection: socket.socket) -> tuple[int, bytes, bool]:
    """Status, body, and whether the server closes the connection now."""
    got = b""
    while (end := got.find(b"\r\n\r\n")) < 0:
        got += _piece(connection)
    head = got[:end].lower()
    body = got[end + 4 :]
    length = int(head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _piece(connection)
    return int(head[9:12]), body, b"\r\nconnection: close" in head


def _piece(connection: socket.socket) -> bytes:
    piece = connection.recv(PIECE)
    if not piece:
        raise ConnectionResetError("the server hung up in the middle of an answer")
    return piece


def call(
    port: int, token: str, method: str, target: str, body: Mapping[str, object] | None = None, *, status: int = 200
) -> Any:
    """The JSON of one answer, which must have this status."""
    line = Line(port)
    try:
        got, content = line.ask(request(method, target, token, body).raw)
    finally:
        line.close()
    if got != status:
        raise BenchFault(f"{method} {target} answered {got} and not {status}: {content[:500].decode()}")
    return json.loads(content)
