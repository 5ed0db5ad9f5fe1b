"""The only way to PostgreSQL: pooled sessions with deadlines, typed rows, errors in our words."""

import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, LiteralString, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.rows import RowFactory, class_row, tuple_row
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from scaivault.kernel.calls import OnCall, unheard
from scaivault.kernel.errors import Unavailable
from scaivault.storage.errors import ConstraintViolated

Row = TypeVar("Row")
RV = TypeVar("RV")

STATEMENT_SECONDS = 10.0
ANSWER_SECONDS = STATEMENT_SECONDS + 2.0
CONNECT_SECONDS = 2
POOL_WAIT_SECONDS = 5.0

# The pool's own errors are OperationalErrors too. The last one is what a process meets that was suspended in the middle
# of a transaction.
_LOST = (psycopg.OperationalError, psycopg.InterfaceError, errors.IdleInTransactionSessionTimeout)
_STALE = (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction)
_READ_ONLY = (errors.ReadOnlySqlTransaction, errors.FeatureNotSupported)

_SESSION_OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "statement_timeout": f"{STATEMENT_SECONDS:.0f}s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "15s",
        "timezone": "UTC",
        # Whatever the server's default is: an answer promises that its audit row is on disk.
        "synchronous_commit": "on",
    }.items()
)


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that gives up on a server which neither answers nor hangs up (frozen host, cut cable).

    `statement_timeout` is the server's own promise and useless when the server is the one that is stuck.
    """

    answer_seconds: ClassVar[float] = ANSWER_SECONDS

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        try:
            return super().wait(gen, interval, timeout or self.answer_seconds)
        except errors._WaitTimeout as stuck:  # noqa: SLF001 - psycopg exports no other name for it
            self.pgconn.finish()
            raise psycopg.OperationalError("no answer in time") from stuck


class Session:
    """Statements on one connection. Values only ever travel as parameters: the query is a literal, by type."""

    __slots__ = ("_connection", "_observe", "_on_call")

    def __init__(
        self, connection: psycopg.Connection[Any], observe: Callable[[float], None], on_call: OnCall = unheard
    ) -> None:
        self._connection = connection
        self._observe = observe
        self._on_call = on_call

    def one(self, kind: type[Row], query: LiteralString, **parameters: object) -> Row | None:
        """The only row as a `kind`, or None."""
        return self._execute(class_row(kind), query, parameters).fetchone()

    def many(self, kind: type[Row], query: LiteralString, **parameters: object) -> list[Row]:
        """All rows as `kind`s."""
        return self._execute(class_row(kind), query, parameters).fetchall()

    def run(self, query: LiteralString, **parameters: object) -> int:
        """How many rows the statement touched."""
        return self._execute(tuple_row, query, parameters).rowcount

    def _execute(
        self, rows: RowFactory[Row], query: LiteralString, parameters: Mapping[str, object]
    ) -> psycopg.Cursor[Row]:
        """The executed cursor, which needs no closing: all of its rows are here."""
        started = time.perf_counter()
        try:
            cursor = self._connection.cursor(row_factory=rows).execute(query, parameters)
        except BaseException as failure:
            self._observe(time.perf_counter() - started)
            self._on_call(query, started, failure)
            raise
        self._observe(time.perf_counter() - started)
        self._on_call(query, started)
        return cursor


def _has_hung_up(connection: BoundedConnection) -> bool:
    """Whether the server has ended a connection while it lay in the pool.

    Nobody has asked anything on it, so whatever there is to be read is a farewell or the end of the stream. The kernel
    tells, without a word to the server.
    """
    if connection.closed:  # by us: it has no socket to ask about, and must go back to be replaced
        return True
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


class _Pool(ConnectionPool[BoundedConnection]):
    """A pool that does not let anybody wait for a server which refuses connections.

    Waiting is for connections that are in use and will come back. When there is none at all and none can be made, the
    answer is known; every thread that waited for it in vain would be one less for requests that need no database.
    """

    def reconnect_failed(self) -> None:
        with self._lock:
            if self._nconns:
                return
            in_vain = list(self._waiting)
            self._waiting.clear()
        for client in in_vain:
            client.fail(psycopg.OperationalError("no connection can be made"))


class Database:
    """A pool of sessions. Nothing is opened before `open`, so that nothing crosses a fork."""

    def __init__(
        self,
        url: str,
        pool_size: int,
        observe: Callable[[float], None],
        on_call: OnCall = unheard,
        *,
        kept: int = 1,
    ) -> None:
        """At most `pool_size` connections, of which `kept` stay open when there is nothing to do."""
        self._observe = observe
        self._on_call = on_call
        self._mending = threading.Lock()
        self.ran_out_of_room = threading.Event()
        """Set by a statement that found the disk full. Who has found room again clears it."""
        self._pool = _Pool(
            url,
            connection_class=BoundedConnection,
            kwargs=connect_arguments(),
            min_size=kept,
            max_size=pool_size,
            timeout=POOL_WAIT_SECONDS,
            reconnect_timeout=0,
            open=False,
        )

    def open(self) -> None:
        self._pool.open()

    def close(self) -> None:
        self._pool.close(timeout=2)

    @property
    def size(self) -> int:
        return self._pool.get_stats().get("pool_size", 0)

    @property
    def available(self) -> int:
        return self._pool.get_stats().get("pool_available", 0)

    @property
    def most(self) -> int:
        return self._pool.max_size

    @property
    def waiting(self) -> int:
        """How many threads wait for a connection."""
        return self._pool.get_stats().get("requests_waiting", 0)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Statements that each commit on their own."""
        try:
            with self._lent() as connection:
                yield Session(connection, self._observe, self._on_call)
        except psycopg.Error as failure:
            self._explain(failure)
            raise

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Statements that commit together at the end of the block, or not at all if it raises."""
        try:
            with self._lent() as connection:
                began, ended = time.perf_counter(), None
                with connection.transaction():
                    self._on_call("BEGIN", began)
                    yield Session(connection, self._observe, self._on_call)
                    ended = time.perf_counter()
                if ended is not None:  # the block came to its end: psycopg.Rollback ends it early, and quietly
                    # What makes it durable, and the longest part of many a request.
                    self._on_call("COMMIT", ended)
        except psycopg.Error as failure:
            self._explain(failure)
            raise

    @contextmanager
    def _lent(self) -> Iterator[BoundedConnection]:
        """A connection that is alive. `pool.connection()` would end by a commit, which costs a tenth of a read."""
        connection = self._pool.getconn()
        while _has_hung_up(connection):
            connection.close()
            self._pool.putconn(connection)  # which makes another instead
            connection = self._pool.getconn()
        try:
            yield connection
        finally:
            self._pool.putconn(connection)

    def _explain(self, failure: psycopg.Error) -> None:
        """Raise the failure in our words, where we have some."""
        if isinstance(failure, errors.IntegrityError):
            raise ConstraintViolated(failure.diag.constraint_name or "") from failure
        if isinstance(failure, errors.DiskFull):
            self.ran_out_of_room.set()
            raise Unavailable("The database has no room; try again shortly.") from failure
        if isinstance(failure, _LOST):
            self._mend()
            # A number is the server's: it has answered, with a refusal.
            does = "can not serve this now" if failure.sqlstate else "does not answer"
            raise Unavailable(f"The database {does}; try again shortly.") from failure
        if isinstance(failure, _STALE):
            raise Unavailable("The schema is not up to date: run 'scaivault server migrate'.") from failure
        if isinstance(failure, _READ_ONLY):
            raise Unavailable("The database does not take writes; try again shortly.") from failure

    def _mend(self) -> None:
        """Throw away pooled connections that died with the server, once, in the background.

        Without this every one of them would cost a request its answer after the server is back.
        """
        if self._mending.acquire(blocking=False):
            threading.Thread(target=self._check_pool, name="pool-check", daemon=True).start()

    def _check_pool(self) -> None:
        try:
            self._pool.check()
        except (psycopg.Error, PoolTimeout, PoolClosed):
            pass
        finally:
            self._mending.release()


def connect_arguments() -> dict[str, Any]:
    """What every connection is opened with: short waits, autocommit, keep-alives, UTC."""
    return {
        "autocommit": True,
        "connect_timeout": CONNECT_SECONDS,
        "options": _SESSION_OPTIONS,
        "application_name": "scaivault",
        "keepalives_idle": 10,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }
