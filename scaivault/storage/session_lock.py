"""An advisory lock that lives and dies with one session, which the server ends when it falls silent."""

import select
import time

import psycopg

from scaivault.kernel.errors import Unavailable
from scaivault.storage.database import BoundedConnection
from scaivault.storage.reading import read_only_arguments

ANSWER_SECONDS = 2.0
# A standby knows locks of its own: whoever holds one there holds nothing.
_HOLD = "SELECT NOT pg_is_in_recovery() AND pg_try_advisory_lock(%s, %s)"


class _Connection(BoundedConnection):
    answer_seconds = ANSWER_SECONDS


class SessionLock:
    """Held by one session in the whole database. For one thread.

    A holder that is killed loses its connection and with it the lock. One that is frozen, or whose machine is gone,
    leaves the connection as it was: it is the server that ends it, `silent_seconds` after the last `hold`.

    Needs the session to be its own: not through a pooler that lends connections out by the transaction.
    """

    def __init__(self, url: str, number: tuple[int, int], silent_seconds: float) -> None:
        self._url = url
        self._number = number
        self._silent_seconds = silent_seconds
        self._connection: _Connection | None = None

    def hold(self) -> bool:
        """Take the lock, or prove that this session still has it (it is reentrant). Unavailable when nobody can say."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            row = self._connection.execute(_HOLD, self._number).fetchone()
        except psycopg.Error as failure:
            self.let_go()
            raise Unavailable from failure
        return bool(row and row[0])

    def is_cut_within(self, seconds: float) -> bool:
        """Wait so long; True, at once, when the server says something unasked or hangs up: the lock is gone."""
        if self._connection is None:
            time.sleep(seconds)
            return False
        waiting = select.poll()
        waiting.register(self._connection.fileno(), select.POLLIN)
        return bool(waiting.poll(seconds * 1_000))

    def let_go(self) -> None:
        """End the session."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> _Connection:
        arguments = read_only_arguments()
        arguments["options"] = f"{arguments['options']} -c idle_session_timeout={self._silent_seconds * 1_000:.0f}ms"
        return _Connection.connect(self._url, **arguments)  # type: ignore[arg-type]  # a mapping of psycopg's own keywords
