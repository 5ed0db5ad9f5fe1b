"""The internal listener: probes and metrics without authentication, on an address of their own.

A thread in every worker on one shared port (SO_REUSEPORT), so that an answer never waits for a request thread: a
probe must tell a busy process from a dead one. It serves a handful of paths and knows nothing of Flask. The exporter
serves by it too.
"""

import errno
import socket
import socketserver
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import cast

CONNECTION_SECONDS = 5.0
MOST_CONNECTIONS = 16
MAKE_WAY_SECONDS = 0.5
LOOK_UP_SECONDS = 0.05  # how often it looks whether it is to end: what a worker's last moments take
LAST_ANSWERS_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Page:
    """A ready answer."""

    status: int
    content_type: str
    body: bytes


Told = Callable[[Exception], None]  # what a page has died of
Serve = Callable[[str, str], Page]  # from the Accept header and the query string


class _Handler(BaseHTTPRequestHandler):
    timeout = CONNECTION_SECONDS
    server_version = "scaivault"
    sys_version = ""
    server: "_Server"

    def do_GET(self) -> None:
        self.server.is_asked_by(self.connection)
        page = self._page()
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    def _page(self) -> Page:
        path, _, query = self.path.partition("?")
        serve = self.server.pages.get(path)
        if serve is None:
            return Page(404, "text/plain", b"not found\n")
        try:
            return serve(self.headers.get("Accept", ""), query)
        except Exception as failure:  # noqa: BLE001 - whatever a page dies of, it is told, and its asker is answered
            self.server.told(failure)
            return Page(500, "text/plain", b"error\n")

    do_HEAD = do_GET  # noqa: N815 - the base class's names

    def send_error(self, code: int, *_words: object) -> None:
        """In a word, and none of the client's."""
        status = 405 if code == HTTPStatus.NOT_IMPLEMENTED else code
        self.close_connection = True
        self.request_version = "HTTP/1.0"  # also to who has spoken none: else there would be no status line
        self.send_response(status)
        for name, value in (("Content-Type", "text/plain"), ("Content-Length", "8"), ("Connection", "close")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"refused\n")

    def log_message(self, *_arguments: object) -> None:
        """A probe a second is not news."""


class _Server(socketserver.ThreadingMixIn, HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], pages: Mapping[str, Serve], told: Told, *, is_shared: bool) -> None:
        self.pages = pages
        self.told = told
        self.allow_reuse_port = is_shared
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._silent: OrderedDict[int, socket.socket] = OrderedDict()
        self.address_family = _family(address)
        super().__init__(address, _Handler)

    def process_request(self, request: object, client_address: object) -> None:
        """Where there is no place, who has been silent longest has to go: he has had time to ask, a probe has not."""
        guest = cast("socket.socket", request)
        if self._places.acquire(blocking=False) or self._makes_way():
            self._silent[id(guest)] = guest
            super().process_request(guest, client_address)
        else:
            self.shutdown_request(guest)

    def _makes_way(self) -> bool:
        try:
            _, longest = self._silent.popitem(last=False)
        except KeyError:
            return False
        with suppress(OSError):
            longest.shutdown(socket.SHUT_RDWR)
        return self._places.acquire(timeout=MAKE_WAY_SECONDS)

    def is_asked_by(self, guest: socket.socket) -> None:
        """His request is here: he is not sent away any more."""
        self._silent.pop(id(guest), None)

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._silent.pop(id(request), None)
            self._places.release()

    def serve_the_rest(self) -> None:
        """Whoever waits in the queue, which would be reset."""
        self.timeout, self._is_empty = 0, False
        while not self._is_empty:
            self.handle_request()

    def handle_timeout(self) -> None:
        self._is_empty = True

    def await_handlers(self) -> None:
        """Until all answers under way are given, but not for long."""
        deadline = time.monotonic() + LAST_ANSWERS_SECONDS
        for _ in range(MOST_CONNECTIONS):
            self._places.acquire(timeout=max(0.0, deadline - time.monotonic()))

    def handle_error(self, _request: object, _client_address: object) -> None:
        """A client that hung up. Nothing of it may reach standard error."""


def is_taken(address: tuple[str, int]) -> bool:
    """Whether somebody listens there: who shares a port is not refused it, and would answer in the other's place."""
    with socket.socket(_family(address)) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(address)
        except OSError as failure:
            return failure.errno == errno.EADDRINUSE
    return False


def _family(address: tuple[str, int]) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


class InternalListener:
    """Serves `pages` at `address` from a thread of its own, from `open` to `close`.

    `is_shared` where other processes serve the same at the same port; else a port that is taken is an OSError.
    """

    def __init__(
        self,
        address: tuple[str, int],
        pages: Mapping[str, Serve],
        *,
        is_shared: bool = True,
        told: Told = lambda _failure: None,
    ) -> None:
        self._address = address
        self._pages = pages
        self._told = told
        self._is_shared = is_shared
        self._server: _Server | None = None

    def open(self) -> None:
        self._server = _Server(self._address, self._pages, self._told, is_shared=self._is_shared)
        serve = partial(self._server.serve_forever, LOOK_UP_SECONDS)
        threading.Thread(target=serve, name="internal-listener", daemon=True).start()

    def close(self) -> None:
        """Answer whoever is connected already, and leave the shared port to the others."""
        if self._server is not None:
            self._server.shutdown()
            self._server.serve_the_rest()
            self._server.server_close()
            self._server.await_handlers()
            self._server = None
