"""gunicorn's threaded worker, with a deadline for saying what one wants.

The stock worker lends a thread to whoever connects: sixteen clients that send half a request line and stop would hold
the whole API for as long as they like. Here a connection costs no thread before its first byte, and a request that
is not complete in time is hung up on. It is a seat belt; a buffering proxy in front is still the right place.
"""

import errno
import json
import selectors
import socket
import struct
import time
from functools import partial
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]  # gunicorn has no types
from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from scaivault.kernel.ids import new_id

FIRST_BYTE_SECONDS = 10.0
HEADERS_SECONDS = 5.0
SILENCE_SECONDS = 3
REQUEST_SECONDS = 30.0  # whoever sends a byte a second is not silent, and no request of ours takes as long
_NOBODY_THERE = (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK)
_STATUS = {errors.LimitRequestLine: 414, errors.LimitRequestHeaders: 431, errors.UnsupportedTransferCoding: 501}


class BoundedThreadWorker(ThreadWorker):  # type: ignore[misc]  # see above
    """gthread, but for how it waits."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - gunicorn's own
        super().__init__(*arguments, **options)
        self._reading: dict[TConn, float] = {}

    def accept(self, listener: socket.socket) -> None:
        """Put a new connection where idle ones wait, instead of into a thread."""
        try:
            client, address = listener.accept()
        except OSError as failure:
            if failure.errno not in _NOBODY_THERE:
                raise
            return
        self.nr_conns += 1
        conn = TConn(self.cfg, client, address, listener.getsockname())
        conn.timeout = time.monotonic() + FIRST_BYTE_SECONDS
        self.pending_conns.append(conn)
        self.poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def handle(self, conn: TConn) -> object:
        self._reading[conn] = time.monotonic() + HEADERS_SECONDS
        try:
            return super().handle(conn)
        finally:
            self._reading.pop(conn, None)

    def handle_request(self, req: Any, conn: TConn) -> object:  # noqa: ANN401 - gunicorn's own
        """The headers are complete; from here on the client may not fall silent while its body is read."""
        self._reading[conn] = time.monotonic() + REQUEST_SECONDS
        _limit_silence(conn.sock, SILENCE_SECONDS)
        try:
            # A body that was not read to its end is not waited for either: the connection ends.
            return super().handle_request(req, conn) and not getattr(req.body.reader, "length", 0)
        finally:
            _limit_silence(conn.sock, 0)

    def murder_pending(self) -> None:
        """Called from the main loop, every second at least: hang up on whoever is late."""
        super().murder_pending()
        now = time.monotonic()
        for conn, deadline in list(self._reading.items()):
            if deadline < now:
                try:
                    conn.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    self._reading.pop(conn, None)

    def handle_error(self, req: object, client: socket.socket, addr: object, exc: Exception) -> None:  # noqa: ARG002
        """What never became a request is answered in our envelope, and nothing of it is repeated."""
        status = next((code for kind, code in _STATUS.items() if isinstance(exc, kind)), 400)
        if not isinstance(exc, errors.ParseException):
            self.log.error("Error handling request", exc_info=exc)
            status = 500
        code = "internal_error" if status == 500 else "invalid_request"  # noqa: PLR2004 - the one that is ours
        request_id = new_id("req")
        message = "This is not a request that can be served."
        body = json.dumps({"error": {"code": code, "message": message, "request_id": request_id}})
        head = f"HTTP/1.1 {status} Refused\r\nConnection: close\r\nContent-Type: application/json\r\n"
        head += f"X-Request-ID: {request_id}\r\n"
        try:
            util.write_nonblock(client, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        except OSError:
            self.log.debug("The client is gone.")


def _limit_silence(sock: socket.socket, seconds: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, 0))
    except OSError:
        return  # closed meanwhile
