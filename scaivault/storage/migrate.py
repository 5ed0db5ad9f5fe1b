"""Schema changes: plain SQL files applied in order, each in its own transaction, one process at a time.

Files are expand-then-contract: the previous release keeps running while the next one's migrations are applied, so a
statement that would wait for a busy table gives up after LOCK_SECONDS instead of queueing everybody behind itself.
"""

import os
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from yoyo import get_backend, read_migrations
from yoyo.backends import DatabaseBackend

from scaivault.kernel.errors import Unavailable
from scaivault.storage.standing import MIGRATIONS

LOCK_SECONDS = 4
STATEMENT_SECONDS = 60


def apply(database_url: str) -> int:
    """Bring the schema up to this release; how many files were applied. Unavailable if the database is not."""
    # The library notes who ran it, and fails where a container's user has no name.
    os.environ.setdefault("LOGNAME", "scaivault")  # noqa: TID251 - said to the library, not read
    try:
        with psycopg.connect(database_url, autocommit=True, connect_timeout=5) as turn:
            if turn.info.parameter_status("server_encoding") != "UTF8":
                raise Unavailable("The database that DATABASE_URL names must be made with ENCODING 'UTF8'.")
            # Not the library's lock table: a session lock dies with its process, a row would stay after kill -9.
            turn.execute("SELECT pg_advisory_lock(hashtext('scaivault_migrations'))")
            with _backend(database_url) as backend:
                due = backend.to_apply(read_migrations(str(MIGRATIONS)))
                backend.apply_migrations(due)
            # What was asleep for long, or is restored from an archive, has no table for what is answered today.
            turn.execute("SELECT audit_log_make_months((now() AT TIME ZONE 'UTC')::date, 7)")
    except psycopg.Error as failure:
        reason = str(failure).partition("\n")[0]  # libpq names address and cause, never the password
        raise Unavailable(f"The database that DATABASE_URL names could not be migrated: {reason}") from failure
    return len(due)


def _backend(database_url: str) -> DatabaseBackend:
    parts = urlsplit(database_url)
    query = dict(parse_qsl(parts.query))
    query["options"] = f"-c lock_timeout={LOCK_SECONDS}s -c statement_timeout={STATEMENT_SECONDS}s"
    query.setdefault("connect_timeout", "5")
    return get_backend(
        urlunsplit(("postgresql+psycopg", parts.netloc, parts.path, urlencode(query, quote_via=quote), ""))
    )
