"""PostgreSQL: away, slow, slow where it hurts, or with every connection waiting for a lock."""

from contextlib import contextmanager

from psycopg import sql

from scaivault.dev import postgres
from tests.drills.load import hammering

# More than all connections of the API, so that they never rest.
CLIENTS = 24


def slow(stack):
    return stack.to_database.delayed(0.15)


@contextmanager
def stopped(stack):
    """As by an administrator, and started again."""
    stack.database.stop()
    try:
        yield
    finally:
        stack.database = postgres.start(stack.database.folder, stack.plan.logs / "postgres.log", postgres.FAST)


@contextmanager
def hanging_retention(stack):
    """What forgets old events hangs, for as long as a statement may; nothing else is asked to do that."""
    with stack.connection() as connection:
        connection.execute(
            """
            CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql
                AS $$ BEGIN PERFORM pg_sleep(3600); RETURN NULL; END $$
            """
        )
        connection.execute("CREATE TRIGGER hang BEFORE DELETE ON webhook_hours EXECUTE FUNCTION hang()")
        try:
            yield
        finally:
            connection.execute("DROP TRIGGER hang ON webhook_hours")
            connection.execute("DROP FUNCTION hang()")


@contextmanager
def slow_audit(stack):
    """What is written to the trail takes its time; nothing else does."""
    with stack.connection() as connection:
        connection.execute(
            """
            CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql
                AS $$ BEGIN PERFORM pg_sleep(0.15); RETURN NEW; END $$
            """
        )
        connection.execute("CREATE TRIGGER dawdle BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION dawdle()")
        try:
            yield
        finally:
            connection.execute("DROP TRIGGER dawdle ON audit_log")
            connection.execute("DROP FUNCTION dawdle()")


@contextmanager
def locked(stack):
    """Somebody holds a lock on what requests need, and more requests come than there are connections."""
    with hammering(stack, CLIENTS, 0.01, "GET", "secrets/app/1", None), _locked(stack, "secrets"):
        yield


def locked_workers(stack):
    """What workers write to say that they live can not be written."""
    return _locked(stack, "workers")


@contextmanager
def _locked(stack, table):
    with stack.connection() as connection, connection.transaction(force_rollback=True):
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(table)))
        yield


@contextmanager
def closed_to_exporter(stack):
    """The exporter's role lost a right."""
    with stack.connection() as connection:
        connection.execute("REVOKE SELECT (tenant_id, live) ON secret_counts FROM scaivault_exporter")
        try:
            yield
        finally:
            connection.execute("GRANT SELECT (tenant_id, live) ON secret_counts TO scaivault_exporter")
