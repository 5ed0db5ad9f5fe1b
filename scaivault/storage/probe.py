"""Whether PostgreSQL takes transactions, asked on a connection of its own: a full pool is busy, not broken."""

import threading
import time
from collections.abc import Callable

import psycopg

from scaivault.kernel.errors import Unavailable
from scaivault.storage.database import BoundedConnection, connect_arguments

ANSWER_SECONDS = 2.0
# From a table of ours: an empty database takes transactions, but can serve nobody. The message is a record in the log
# that changes no row: its transaction commits only when the disk (and a standby that is waited for) has it.
_TAKE_A_TRANSACTION = """
    SELECT pg_logical_emit_message(true, 'scaivault', '')
        FROM authority_clock WHERE NOT current_setting('transaction_read_only')::boolean
"""


class _ProbeConnection(BoundedConnection):
    """Gives up soon, so that it also notices soon when all is well again."""

    answer_seconds = ANSWER_SECONDS


class DatabaseProbe:
    """One connection, kept while it works."""

    def __init__(self, url: str, observe: Callable[[float], None]) -> None:
        self._url = url
        self._observe = observe
        self._turn = threading.Lock()
        self._connection: _ProbeConnection | None = None

    def check(self) -> None:
        """Return if a transaction that may write commits: no standby's, no read-only server's. Else Unavailable."""
        started = time.perf_counter()
        with self._turn:
            try:
                taken = self._connected().execute(_TAKE_A_TRANSACTION).fetchone()
            except psycopg.Error as failure:
                self._drop()
                raise Unavailable from failure
            finally:
                self._observe(time.perf_counter() - started)
        if taken is None:
            raise Unavailable("PostgreSQL takes no writes.")

    def close(self) -> None:
        with self._turn:
            self._drop()

    def _connected(self) -> _ProbeConnection:
        if self._connection is None:
            self._connection = _ProbeConnection.connect(self._url, **connect_arguments())
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
