"""Redis, which may vanish at any time and take nothing with it."""

import hashlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.connection import ConnectionInterface
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from scaivault.kernel.calls import OnCall, unheard
from scaivault.kernel.errors import Unavailable
from scaivault.storage.told import ToldRedis

ANSWER_SECONDS = 0.5
CALL_SECONDS = 0.05  # what a request may lose when Redis stops answering: each thread at most once
CONNECT_SECONDS = 1.0
LINE_BYTES = 4_096
ELSEWHERE = (b"-READONLY", b"-LOADING", b"-MASTERDOWN")


def packed(*arguments: str) -> bytes:
    """Arguments as they travel: each with its length before it, so that no content is ever taken for another one."""
    return b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in (argument.encode() for argument in arguments))


class Script:
    """A script that runs inside Redis, with so many arguments: the number of keys, the keys, and the rest."""

    def __init__(self, text: bytes, *, arguments: int) -> None:
        digest = hashlib.sha1(text, usedforsecurity=False).hexdigest()
        self.text = text
        self.by_digest = b"*%d\r\n" % (arguments + 2) + packed("EVALSHA", digest)
        self.in_full = b"*%d\r\n" % (arguments + 2) + packed("EVAL", text.decode())


class RedisCalls:
    """One process's calls that requests wait for: answered within CALL_SECONDS, or Unavailable.

    As many connections as there may be calls at a time, opened beforehand: a request never waits for a name to be
    resolved or a password to be checked. `mend` opens those that are missing. When an answer takes too long all of them
    are given up, and until `mend` finds Redis answering again no call waits for anything.
    """

    def __init__(self, url: str, connections: int, observe: Callable[[float], None], on_call: OnCall = unheard) -> None:
        # The pool is only used as a factory: its own bookkeeping costs more than the call. In its life it makes 100 of
        # them, vain attempts included, if it is not told otherwise: an outage of a minute.
        self._factory = ConnectionPool.from_url(
            url,
            protocol=2,
            max_connections=sys.maxsize,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        # After the URL, which could say otherwise.
        self._factory.connection_kwargs |= {
            "socket_timeout": CALL_SECONDS,
            "socket_connect_timeout": CONNECT_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
        }
        self._most = connections
        self._observe = observe
        self._on_call = on_call
        self._turn = threading.Lock()
        self._is_open = False
        self._opened: set[ConnectionInterface] = set()
        self._idle: deque[ConnectionInterface] = deque()

    def open(self) -> None:
        """Connect, if Redis answers now."""
        self._is_open = True
        self.mend()

    def close(self) -> None:
        self._is_open = False
        self._give_up_idle()

    def mend(self) -> None:
        """Open the connections that are missing, one after the other while Redis answers. Not for a request to do."""
        while self._is_open and len(self._opened) < self._most:
            connection = self._factory.make_connection()
            try:
                connection.connect()  # type: ignore[no-untyped-call]
                connection.send_command("PING", check_health=False)  # type: ignore[no-untyped-call]
                connection.read_response()
            except (RedisError, OSError):
                connection.disconnect()  # type: ignore[no-untyped-call]
                return
            with self._turn:
                self._opened.add(connection)
            self._idle.append(connection)

    def run(self, script: Script, arguments: bytes) -> int:
        """The whole number that the script answers to `packed` arguments."""
        reply = self._call(script.by_digest + arguments)
        if reply.startswith(b"-NOSCRIPT"):
            reply = self._call(script.in_full + arguments)
        if not reply.startswith(b":"):
            raise Unavailable
        return int(reply[1:])

    def _call(self, command: bytes) -> bytes:
        """The line that answers a command, on the first connection that still stands."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                raise Unavailable from None
            started = time.perf_counter()
            try:
                return self._exchange(connection, command)
            except TimeoutError:
                self._give_up_idle()
                raise Unavailable from None
            except OSError:
                continue  # Redis hung up on this one, at its own end or for having been idle; others may stand
            finally:
                self._observe(time.perf_counter() - started)
                self._on_call("EVALSHA", started, sys.exc_info()[1])

    def _exchange(self, connection: ConnectionInterface, command: bytes) -> bytes:
        """Send, and read the line that answers. A connection on which this was cut short is never used again.

        By the socket itself, for which redis-py has no public name: one line needs no parser, and the way through the
        library takes longer than all the rest of a call.
        """
        reply = b""
        try:
            connection._sock.sendall(command)  # type: ignore[attr-defined]  # noqa: SLF001 - see above
            while not reply.endswith(b"\r\n"):
                piece: bytes = connection._sock.recv(LINE_BYTES)  # type: ignore[attr-defined]  # noqa: SLF001 - see above
                if not piece:
                    raise ConnectionResetError
                reply += piece
        finally:
            if self._is_open and _leaves_standing(reply):
                self._idle.append(connection)
            else:
                self._drop(connection)
        return reply

    def _drop(self, connection: ConnectionInterface) -> None:
        with self._turn:
            self._opened.discard(connection)
        connection.disconnect()  # type: ignore[no-untyped-call]

    def _give_up_idle(self) -> None:
        while self._idle:
            try:
                self._drop(self._idle.pop())
            except IndexError:
                return


def _leaves_standing(reply: bytes) -> bool:
    """Whether the reply is a whole line, and no word of one who does not write: a new connection leads to who does."""
    return reply.endswith(b"\r\n") and reply.startswith((b":", b"-")) and not reply.startswith(ELSEWHERE)


class RedisProbe:
    """Whether Redis answers, on a connection of its own."""

    def __init__(self, url: str, observe: Callable[[float], None], on_call: OnCall = unheard) -> None:
        pool = ConnectionPool.from_url(url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS)
        self._redis = ToldRedis(pool, on_call)
        self._observe = observe

    def check(self) -> None:
        """Return if it answers a ping, else Unavailable."""
        started = time.perf_counter()
        try:
            self._redis.ping()
        except (RedisError, OSError) as failure:
            raise Unavailable from failure
        finally:
            self._observe(time.perf_counter() - started)

    def memory_used_mb(self) -> float | None:
        """Megabytes in use, None if it does not say."""
        try:
            return int(self._redis.info("memory")["used_memory"]) / 1_000_000
        except (RedisError, OSError, KeyError):
            return None

    def close(self) -> None:
        self._redis.close()
