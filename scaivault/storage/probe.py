"""Whether PostgreSQL takes transactions, asked on a connection of its own: a full pool is busy, not broken."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg

from scaivault.kernel.errors import Unavailable
from scaivault.storage.database import BoundedConnection, connect_arguments
from scaivault.storage.standing import of_this_release

ANSWER_SECONDS = 2.0
# From a table of ours: an empty database takes transactions, but can serve nobody. The message is a record in the log
# that changes no row: its transaction commits only when the disk (and a standby that is waited for) has it.
_TAKE_A_TRANSACTION = """
    SELECT (SELECT count(*) FROM _yoyo_migration WHERE migration_id = ANY(%(ours)s)),
           pg_logical_emit_message(true, 'scaivault', '')
      FROM authority_clock WHERE NOT current_setting('transaction_read_only')::boolean
"""

# More than may stay in memory, so that it goes to a file: needs room where tables grow, and leaves nothing behind.
_WRITE_A_FILE = "SELECT count(*) FROM generate_series(1, 10000)"
_MEMORY = " -c work_mem=64kB"


class NoRoom(Exception):
    """PostgreSQL answers, and its disk is full."""


class SchemaBehind(Exception):
    """PostgreSQL answers, and lacks what this release needs: run 'scaivault server migrate'."""


class _ProbeConnection(BoundedConnection):
    """Gives up soon, so that it also notices soon when all is well again."""

    answer_seconds = ANSWER_SECONDS


class DatabaseProbe:
    """One connection, kept while it works.

    A full disk is not to be seen by a small transaction: its record finds room in the log for long. `ran_out_of_room`
    tells that somebody's statement met one; from then on each check asks for room too, until there is some.
    """

    def __init__(self, url: str, observe: Callable[[float], None], ran_out_of_room: threading.Event) -> None:
        self._url = url
        self._observe = observe
        self._ran_out_of_room = ran_out_of_room
        self._turn = threading.Lock()
        self._connection: _ProbeConnection | None = None

    def check(self) -> None:
        """Return if a transaction that may write commits: no standby's, no read-only server's. Else Unavailable.

        NoRoom where its disk is full; SchemaBehind where all of it is well, but for the schema.
        """
        started = time.perf_counter()
        with self._turn:
            try:
                ours = list(of_this_release())
                taken = self._connected().execute(_TAKE_A_TRANSACTION, {"ours": ours}).fetchone()
                self._find_room()
            except psycopg.errors.UndefinedTable as behind:
                raise SchemaBehind from behind
            except psycopg.errors.DiskFull as full:
                raise NoRoom from full
            except psycopg.Error as failure:
                self._drop()
                raise Unavailable from failure
            finally:
                self._observe(time.perf_counter() - started)
        if taken is None:
            raise Unavailable("PostgreSQL takes no writes.")
        if taken[0] < len(ours):
            raise SchemaBehind

    def _find_room(self) -> None:
        if not self._ran_out_of_room.is_set():
            return
        self._ran_out_of_room.clear()
        try:
            # Where such files are bounded nothing can be learnt by one.
            with suppress(psycopg.errors.ConfigurationLimitExceeded):
                self._connected().execute(_WRITE_A_FILE)
        except psycopg.Error:
            self._ran_out_of_room.set()
            raise

    def close(self) -> None:
        with self._turn:
            self._drop()

    def _connected(self) -> _ProbeConnection:
        if self._connection is None:
            arguments = connect_arguments()
            self._connection = _ProbeConnection.connect(
                self._url, **arguments | {"options": arguments["options"] + _MEMORY}
            )
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
