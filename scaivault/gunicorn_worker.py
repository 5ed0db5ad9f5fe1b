"""gunicorn's threaded worker, which lends no thread to who is still speaking.

The stock worker lends a thread to whoever connects: sixteen clients that send half a request and stop would hold the
whole API for as long as they like. Here a connection waits in the poller until its request is there, head and body, in
the kernel's buffer; who takes too long is hung up on. It is a seat belt; a buffering proxy in front is still the right
place. Under TLS nothing can be seen before it is read: there only the deadlines hold.
"""

import errno
import fcntl
import json
import re
import selectors
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]  # gunicorn has no types
from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn  # type: ignore[import-untyped]

from scaivault.gunicorn_drain import DrainingThreadWorker, has_something_to_say
from scaivault.gunicorn_threads import LendingThreads
from scaivault.kernel.ids import new_id

MOST_HEAD_BYTES = 65_536
MOST_BODY_BYTES = 2_097_152  # more than any body that is accepted: what is larger is refused unread
FIRST_BYTE_SECONDS = 10.0
HEADERS_SECONDS = 5.0
SILENCE_SECONDS = 3
REQUEST_SECONDS = 30.0  # whoever sends a byte a second is not silent, and no request of ours takes as long
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n")
_NOBODY_THERE = (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK)
_UNAVAILABLE = 503
_SAID = {
    414: "The address is longer than this server reads.",
    431: "The headers are more, or one of them is longer, than this server reads.",
}
_STATUS = {errors.LimitRequestLine: 414, errors.LimitRequestHeaders: 431, errors.UnsupportedTransferCoding: 501}


class BoundedThreadWorker(DrainingThreadWorker):
    """gthread, but for how it waits."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - gunicorn's own
        super().__init__(*arguments, **options)
        self.refused: Callable[[int, str], None] = lambda _status, _request_id: None
        self._reading: dict[TConn, float] = {}
        self._heard: dict[TConn, tuple[float, int]] = {}  # since when a request is being said, and how much of it
        self._serving = threading.local()

    def get_thread_pool(self) -> LendingThreads:
        return LendingThreads(self.cfg.threads)

    @contextmanager
    def lend(self) -> Iterator[None]:
        """For a request that waits: its thread counts for nothing meanwhile, and nobody hangs up on it."""
        conn: TConn | None = getattr(self._serving, "conn", None)
        if conn is not None:
            self._reading.pop(conn, None)
        with self.tpool.lent():
            yield
        if conn is not None:
            self._reading[conn] = time.monotonic() + REQUEST_SECONDS

    def accept(self, listener: socket.socket) -> bool:
        """Put a new connection, if there is one, where idle ones wait, instead of into a thread."""
        try:
            client, address = listener.accept()
        except OSError as failure:
            if failure.errno not in _NOBODY_THERE:
                raise
            return False
        self.nr_conns += 1
        conn = TConn(self.cfg, client, address, listener.getsockname())
        conn.timeout = time.monotonic() + FIRST_BYTE_SECONDS
        self.pending_conns.append(conn)
        self.poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))
        return True

    def enqueue_req(self, conn: TConn) -> None:
        """A thread for a request that is there; for one that is still being said, a place in the poller."""
        missing = 0 if self.cfg.is_ssl or _has_read_ahead(conn) else self._missing(conn)
        if missing:
            self._park(conn, missing)
            return
        self._heard.pop(conn, None)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        super().enqueue_req(conn)

    def _missing(self, conn: TConn) -> int:
        """How many bytes at least are still to come before a thread can not be kept waiting."""
        try:
            head = conn.sock.recv(MOST_HEAD_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            available = struct.unpack("i", fcntl.ioctl(conn.sock, termios.FIONREAD, bytes(4)))[0]
        except OSError:
            return 0  # hung up: the thread finds out at once
        since, heard = self._heard.get(conn, (time.monotonic(), 0))
        if available <= heard:
            return 0  # readable, and nothing new: the other side has ended
        self._heard[conn] = (since, available)
        conn.timeout = since + (REQUEST_SECONDS if _END_OF_HEAD in head else HEADERS_SECONDS)
        return _missing_bytes(head, available)

    def _park(self, conn: TConn, missing: int) -> None:
        # The poller is woken by that many bytes, or by the end: who sends a byte at a time wakes it for the head only.
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, self._heard[conn][1] + missing)
        conn.sock.setblocking(False)
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def handle(self, conn: TConn) -> object:
        self._reading[conn] = time.monotonic() + HEADERS_SECONDS
        try:
            return super().handle(conn)
        finally:
            self._reading.pop(conn, None)

    def handle_request(self, req: Any, conn: TConn) -> object:  # noqa: ANN401 - gunicorn's own
        """The headers are complete; from here on the client may not fall silent while its body is read."""
        self._reading[conn] = time.monotonic() + REQUEST_SECONDS
        self._serving.conn = conn
        _limit_silence(conn.sock, SILENCE_SECONDS)
        if not _has_come_whole(req):
            req.force_close()  # nobody may read it to its end, and the answer has to say that the connection ends
        try:
            return super().handle_request(req, conn) and _is_read_to_its_end(req)
        finally:
            _limit_silence(conn.sock, 0)

    def murder_pending(self) -> None:
        """Called from the main loop, every second at least: hang up on whoever is late."""
        now = time.monotonic()
        for conn in [each for each in self.pending_conns if each.timeout < now]:
            if conn not in self._heard and has_something_to_say(conn.sock):
                self.on_pending_socket_readable(conn, conn.sock)
                continue
            self._unpark(conn)
            self.nr_conns -= 1
            conn.close()
        for conn, deadline in list(self._reading.items()):
            if deadline < now and not _hang_up(conn.sock):
                self._reading.pop(conn, None)

    def _unpark(self, conn: TConn) -> None:
        self.pending_conns.remove(conn)
        self._heard.pop(conn, None)
        self.poller.unregister(conn.sock)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)

    def _cap_keepalive(self, deadline: float) -> None:
        """Who has not said a word since he connected is idle too."""
        for conn in (*self.keepalived_conns, *self.pending_conns):
            if conn not in self._heard:
                conn.timeout = min(conn.timeout, deadline)

    def dismiss(self) -> None:
        """Who is still saying his request is told to try again; who still waits for an answer gets none."""
        for conn in list(self._reading):
            _hang_up(conn.sock)
        for conn in list(self.pending_conns):
            if conn in self._heard:
                self._refuse(conn.sock, _UNAVAILABLE, "service_unavailable", "The server is going down; try again.")
            self._unpark(conn)
            self.part(conn)
        super().dismiss()

    def handle_error(self, req: object, client: socket.socket, addr: object, exc: Exception) -> None:  # noqa: ARG002
        """What never became a request is answered in our envelope, and nothing of it is repeated."""
        status = next((code for kind, code in _STATUS.items() if isinstance(exc, kind)), 400)
        if not isinstance(exc, errors.ParseException):
            self.log.error("Error handling request", exc_info=exc)
            status = 500
        code = "internal_error" if status == 500 else "invalid_request"  # noqa: PLR2004 - the one that is ours
        self._refuse(client, status, code, _SAID.get(status, "This is not a request that can be served."))

    def _refuse(self, client: socket.socket, status: int, code: str, message: str) -> None:
        request_id = new_id("req")
        self.refused(status, request_id)
        body = json.dumps({"error": {"code": code, "message": message, "request_id": request_id}})
        head = f"HTTP/1.1 {status} Refused\r\nConnection: close\r\nContent-Type: application/json\r\n"
        head += f"X-Request-ID: {request_id}\r\n" + ("Retry-After: 1\r\n" if status == _UNAVAILABLE else "")
        try:
            util.write_nonblock(client, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        except OSError:
            self.log.debug("The client is gone.")


def _hang_up(sock: socket.socket) -> bool:
    """Whether there was anybody to hang up on."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return False
    return True


def _missing_bytes(head: bytes, available: int) -> int:
    """How many bytes at least a request lacks that begins with `head` and of which `available` bytes are there.

    0 also for those whose end can not be told from their head (chunks), who wait for a word (Expect), whose body is too
    large or who make no sense: they get their answer.
    """
    end = head.find(_END_OF_HEAD)
    if end < 0:
        return int(len(head) < MOST_HEAD_BYTES)
    fields = head[: end + 2].lower()
    length = _LENGTH.search(fields)
    if length is None or b"\r\nexpect:" in fields or int(length[1]) > MOST_BODY_BYTES:
        return 0
    return max(0, end + len(_END_OF_HEAD) + int(length[1]) - available)


def _has_come_whole(req: Any) -> bool:  # noqa: ANN401 - gunicorn's own
    """Whether reading the body keeps nobody waiting: it was waited for before a thread was lent (chunks were not)."""
    length = getattr(req.body.reader, "length", 0)
    return length <= MOST_BODY_BYTES and "EXPECT" not in {name for name, _ in req.headers}


def _is_read_to_its_end(req: Any) -> bool:  # noqa: ANN401 - gunicorn's own
    """What the answer did not need of the body goes out of the way of the next request; False if it does not come."""
    try:
        req.body.read()
    except OSError:
        return False
    return True


def _has_read_ahead(conn: TConn) -> bool:
    """Whether some of the next request has left the kernel's buffer, so that the rest alone tells nothing."""
    return conn.parser is not None and bool(conn.parser.unreader.buf.getvalue())


def _limit_silence(sock: socket.socket, seconds: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, 0))
    except OSError:
        return  # closed meanwhile
