"""Looking at the database from beside it: one connection that can not write, and a statement never takes long."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from scaivault.kernel.errors import Unavailable
from scaivault.storage.database import BoundedConnection, Session, connect_arguments

STATEMENT_SECONDS = 2.0
ANSWER_SECONDS = STATEMENT_SECONDS + 0.5
_OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "default_transaction_read_only": "on",
        "statement_timeout": f"{STATEMENT_SECONDS * 1_000:.0f}ms",
        "lock_timeout": "1s",
        "idle_in_transaction_session_timeout": "5s",
        "timezone": "UTC",
        "jit": "off",  # compiling a statement that visits each tenant takes longer than running it
    }.items()
)


def read_only_arguments() -> dict[str, object]:
    """What a connection that only looks is opened with."""
    return connect_arguments() | {"options": _OPTIONS, "application_name": "scaivault-exporter"}


class _Connection(BoundedConnection):
    answer_seconds = ANSWER_SECONDS


class Reading:
    """One connection, kept while it works. For one thread."""

    def __init__(self, url: str, observe: Callable[[float], None]) -> None:
        self._url = url
        self._observe = observe
        self._connection: _Connection | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Statements that each commit on their own; Unavailable if the database does not answer them in time."""
        try:
            if self._connection is None:
                self._connection = _Connection.connect(self._url, **read_only_arguments())  # type: ignore[arg-type]  # a mapping of psycopg's own keywords
            yield Session(self._connection, self._observe)
        except psycopg.Error as failure:
            self.close()
            raise Unavailable("The database does not answer what the exporter asks.") from failure

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
