"""The internal listener: probes and metrics without authentication, on an address of their own.

A thread in every worker on one shared port (SO_REUSEPORT), so that an answer never waits for a request thread: a
probe must tell a busy process from a dead one. It serves a handful of paths and knows nothing of Flask. The exporter
serves by it too.
"""

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

CONNECTION_SECONDS = 5.0
MOST_CONNECTIONS = 16
LOOK_UP_SECONDS = 0.05  # how often it looks whether it is to end: what a worker's last moments take
LAST_ANSWERS_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Page:
    """A ready answer."""

    status: int
    content_type: str
    body: bytes


Serve = Callable[[str, str], Page]  # from the Accept header and the query string


class _Handler(BaseHTTPRequestHandler):
    timeout = CONNECTION_SECONDS
    server_version = "scaivault"
    sys_version = ""
    server: "_Server"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        serve = self.server.pages.get(path)
        page = serve(self.headers.get("Accept", ""), query) if serve else Page(404, "text/plain", b"not found\n")
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    do_HEAD = do_GET  # noqa: N815 - the base class's names

    def log_message(self, *_arguments: object) -> None:
        """A probe a second is not news."""


class _Server(socketserver.ThreadingMixIn, HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], pages: Mapping[str, Serve], *, is_shared: bool) -> None:
        self.pages = pages
        self.allow_reuse_port = is_shared
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def process_request(self, request: object, client_address: object) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)  # type: ignore[arg-type]
        else:
            self.shutdown_request(request)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
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


class InternalListener:
    """Serves `pages` at `address` from a thread of its own, from `open` to `close`.

    `is_shared` where other processes serve the same at the same port; else a port that is taken is an OSError.
    """

    def __init__(self, address: tuple[str, int], pages: Mapping[str, Serve], *, is_shared: bool = True) -> None:
        self._address = address
        self._pages = pages
        self._is_shared = is_shared
        self._server: _Server | None = None

    def open(self) -> None:
        self._server = _Server(self._address, self._pages, is_shared=self._is_shared)
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
