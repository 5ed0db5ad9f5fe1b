"""gunicorn's threaded worker, which ends without hanging up on anybody.

The stock one stops accepting the moment it is told to end, and what waited in the listener's queue is reset. Here it
is a way in four steps: serve on until nobody is sent here any more, each answer saying that the connection ends;
shut the door behind the last one in; finish; part from whoever is left.
"""

import ctypes
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]  # gunicorn has no types
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from scaivault.gunicorn_ending import Ending, Phase

IDLE_SECONDS = 2.0  # how long an idle connection may still bring a request after its worker was told to end
PARTING_SECONDS = 2.0  # for the other side to end a connection that we have ended
FAREWELL_SECONDS = 0.5  # the same, when time is up
TAKEOVER_SECONDS = 60.0  # for a worker of a reload to be there, on a machine that has much to do
COMPANY_SECONDS = 5.0  # for the same, where another worker that ends stays until it is
SETTLE_SECONDS = 0.5  # a supervisor that ends the whole group may tell the workers before it tells the master
HANDSHAKE_SECONDS = 0.1
TURN_SECONDS = 0.1
MOST_PARTING_BYTES = 65_536
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER, which the socket module does not name
# A classic BPF program over the TCP header: drop what has SYN without ACK, a new handshake; let pass whatever belongs
# to one that has begun. Load byte 13; and 0x12; is it 0x02? then nothing, else everything.
_NO_NEW_HANDSHAKE = b"".join(
    struct.pack("=HBBI", *step)
    for step in ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
)
Tell = Callable[[bool], None]  # that the worker is ending, and whether others serve in its place


class DrainingThreadWorker(ThreadWorker):  # type: ignore[misc]  # see above
    """gthread, but for how it ends. `ending` and `tell` are set from outside before it runs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - gunicorn's own
        super().__init__(*arguments, **options)
        self.alive: bool = True
        self.wsgi: Any = None
        self.ending = Ending(0, self.cfg.graceful_timeout)
        self.tell: Tell = lambda _is_replaced: None
        self._is_open = True
        self._parting: dict[TConn, int] = {}  # how much more is heard of each that we have said farewell to

    def run(self) -> None:
        """Serve, until told to end; then see that nobody is hung up on."""
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        while self.alive and self.ending.phase is Phase.SERVING and self.is_parent_alive():
            self.ending.beat(self.age)
            self._turn(1.0)
        self.alive = False  # from here on every answer says that its connection ends
        told_at = time.monotonic()
        self._hand_over(told_at)
        self._shut_the_door()
        self._cap_keepalive(max(time.monotonic(), told_at + IDLE_SECONDS))
        self._finish(time.monotonic() + self.ending.shutdown_seconds)
        self.dismiss()
        self.tpool.shutdown(wait=False, cancel_futures=True)
        self.poller.close()
        self.method_queue.close()

    def load_wsgi(self) -> None:
        """The application, whose answers say that their connection ends also if they were asked for before we knew."""
        super().load_wsgi()
        application = self.wsgi

        def serve(environ: object, start_response: Any) -> Any:  # noqa: ANN401 - WSGI's
            def begin(*arguments: object) -> object:
                if not self.alive:
                    start_response.__self__.force_close()
                return start_response(*arguments)

            return application(environ, begin)

        self.wsgi = serve

    def finish_request(self, conn: TConn, fs: Any) -> None:  # noqa: ANN401 - gunicorn's own
        """As ever, but that who is slow to hang up keeps nobody waiting: the stock worker waits for it here."""
        if fs.cancelled() or fs.exception() is not None or fs.result():
            super().finish_request(conn, fs)
        else:
            self.part(conn)

    def part(self, conn: TConn) -> None:
        """End a connection so that what we have said arrives: hear out what is still on its way, for a while."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
        except OSError:
            self._forget(conn)
            return
        conn.timeout = time.monotonic() + PARTING_SECONDS
        self._parting[conn] = MOST_PARTING_BYTES
        self.poller.register(conn.sock, selectors.EVENT_READ, lambda _sock: self._hear_out(conn))

    def dismiss(self) -> None:
        """Time is up: end every connection that has nothing under way."""
        self.murder_keepalived(force=True)
        until = time.monotonic() + FAREWELL_SECONDS
        while self._parting and (seconds := until - time.monotonic()) > 0:
            self._turn(seconds)
        for conn in list(self._parting):
            self._give_up(conn)

    def _hear_out(self, conn: TConn) -> None:
        try:
            heard = len(conn.sock.recv(4_096))
        except BlockingIOError:
            return
        except OSError:
            heard = 0
        self._parting[conn] -= heard
        if heard == 0 or self._parting[conn] <= 0:
            self._give_up(conn)

    def _give_up(self, conn: TConn) -> None:
        del self._parting[conn]
        self.poller.unregister(conn.sock)
        self._forget(conn)

    def _forget(self, conn: TConn) -> None:
        self.nr_conns -= 1
        util.close(conn.sock)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close what has been idle too long, unless a request came in the last moment: then it is served."""
        now = time.monotonic()
        while self.keepalived_conns and (force or self.keepalived_conns[0].timeout <= now):  # in that order
            conn = self.keepalived_conns[0]
            if not force and has_something_to_say(conn.sock):
                self.on_client_socket_readable(conn, conn.sock)
                continue
            self.keepalived_conns.popleft()
            self.poller.unregister(conn.sock)
            self._forget(conn)

    def _turn(self, seconds: float) -> None:
        """Whatever happens within `seconds`, and whoever is late."""
        self.notify()
        if self._is_open:
            self.set_accept_enabled(self.nr_conns < self.worker_connections)
        self.wait_for_and_dispatch_events(timeout=seconds)
        self.murder_keepalived()
        self.murder_pending()
        now = time.monotonic()
        for conn in [each for each in self._parting if each.timeout < now]:
            self._give_up(conn)

    def _hand_over(self, told_at: float) -> None:
        """Serve on until nobody is sent here any more."""
        is_told = False
        while (seconds := self._seconds_to_serve(told_at)) > 0:
            if self._all_ends and not is_told:
                self.tell(False)
                is_told = True
            self.ending.leave(self.age)
            self._turn(min(seconds, TURN_SECONDS))
        if not is_told:
            self.tell(not self._all_ends)

    @property
    def _all_ends(self) -> bool:
        """Whether nobody will serve when we have ended."""
        return self.ending.phase in (Phase.DRAINING, Phase.HURRIED) or self.ppid != os.getppid()

    def _seconds_to_serve(self, told_at: float) -> float:
        served = time.monotonic() - told_at
        if self._all_ends:
            return 0.0 if self.ending.phase is Phase.HURRIED else self.ending.drain_seconds - served
        if self.ending.phase is Phase.REPLACED:
            return 0.0
        if self.ending.others_serve():
            return SETTLE_SECONDS - served
        return (COMPANY_SECONDS if self.ending.others_stay(self.age) else TAKEOVER_SECONDS) - served

    def _shut_the_door(self) -> None:
        """Stop accepting. If nobody else will, then only after everybody is in who has been let into the queue."""
        if self._all_ends:
            for listener in self.sockets:
                admit_nobody_new(listener)
            until = time.monotonic() + HANDSHAKE_SECONDS
            while (seconds := until - time.monotonic()) > 0:
                self._turn(seconds)
            for listener in self.sockets:
                while self.accept(listener):
                    pass
        self._is_open = False
        self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()

    def accept(self, listener: socket.socket) -> bool:
        """Take one connection; whether there was one."""
        raise NotImplementedError

    def _finish(self, deadline: float) -> None:
        """Until everybody has his answer, or time is up."""
        while self.nr_conns > 0 and (seconds := deadline - time.monotonic()) > 0:
            self._turn(min(seconds, TURN_SECONDS))


def has_something_to_say(sock: socket.socket) -> bool:
    """Whether there is something to be read now."""
    try:
        return bool(socket.socket.recv(sock, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False


def admit_nobody_new(listener: socket.socket) -> None:
    """Let the kernel drop new handshakes while those that have begun go on.

    Who comes now is not answered, and his kernel asks again after a second: by then there is somebody else at the
    address, or nobody, which he is told at once. Without this a connection that is made between our last look and the
    closing would be reset, perhaps with a request on it.
    """
    program = ctypes.create_string_buffer(_NO_NEW_HANDSHAKE, len(_NO_NEW_HANDSHAKE))
    steps = len(_NO_NEW_HANDSHAKE) // 8
    try:
        listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HP", steps, ctypes.addressof(program)))
    except OSError:
        return  # no TCP, or a sandbox that forbids it: then the window stays open, for microseconds
