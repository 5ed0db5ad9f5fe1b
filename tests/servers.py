"""The real servers under the tests: one PostgreSQL and one Valkey per pytest process, a fresh database per test.

- `postgres_server` (session): the embedded server, with superuser `postgres` and owner `scaivault`
- `postgres_url` (session): the superuser's URL of the database `postgres`
- `database_url`: a fresh copy of the migrated template, as the owner `scaivault`, made while the test before was run
- `module_database_url` (module): the same, shared by the tests of a module
- `empty_database_url`: a fresh database without any table
- `redis_server` (session): the embedded server
- `redis_url`: the same server, emptied
"""

import contextlib
import importlib.util
import itertools
from collections.abc import Iterator

import psycopg
import pytest
import redis
from psycopg import sql
from psycopg.pq import ExecStatus

from scaivault.dev import postgres, valkey

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Server]:
    folder = tmp_path_factory.mktemp("postgres")
    server = postgres.start(folder, folder / "postgres.log", postgres.FAST)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: postgres.Server) -> str:
    return postgres_server.url("postgres", postgres.SUPERUSER)


@pytest.fixture(scope="session")
def template_database(postgres_server: postgres.Server) -> str:
    """The name of a database with every migration applied, which nobody is connected to."""
    name = "template_migrated"
    _create(postgres_server, name, "template0")
    if importlib.util.find_spec("scaivault.storage.migrate") is not None:
        from scaivault.storage import migrate  # noqa: PLC0415 - only where a database is wanted

        migrate.apply(postgres_server.url(name))
    # A template is copied only while nobody is connected to it.
    _administer(postgres_server, sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
    gone = sql.SQL("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = {}")
    _administer(postgres_server, gone.format(sql.Literal(name)))
    return name


@pytest.fixture(scope="session")
def spares(postgres_server: postgres.Server, template_database: str) -> Iterator["Spares"]:
    with contextlib.closing(Spares(postgres_server, template_database)) as made:
        yield made


@pytest.fixture
def database_url(spares: "Spares") -> Iterator[str]:
    name, url = spares.take()
    yield url
    spares.give_back(name)


@pytest.fixture
def empty_database_url(postgres_server: postgres.Server) -> Iterator[str]:
    with fresh_database(postgres_server, "template0") as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(postgres_server: postgres.Server, template_database: str) -> Iterator[str]:
    """One migrated database for all tests of a module that can share it."""
    with fresh_database(postgres_server, template_database) as url:
        yield url


class Spares:
    """Copies of a template: while a test has one, the server makes the next and clears the last away."""

    def __init__(self, server: postgres.Server, template: str) -> None:
        self._server, self._template = server, template
        self._making, self._dropping = (Errand(server) for _ in range(2))
        self._make()

    def take(self) -> tuple[str, str]:
        """A name and how its owner reaches it."""
        self._making.await_done()
        taken = self._next
        self._make()
        return taken, self._server.url(taken)

    def give_back(self, name: str) -> None:
        """Dropped, with whoever is still connected."""
        self._dropping.begin(_drop(name))

    def close(self) -> None:
        self._making.close()
        self._dropping.close()

    def _make(self) -> None:
        self._next = f"test_{next(_numbers)}"
        self._making.begin(_copy(self._next, self._template))


class Errand:
    """A superuser's connection that works on one statement, while we do something else."""

    def __init__(self, server: postgres.Server) -> None:
        self._connection = psycopg.connect(server.url("postgres", postgres.SUPERUSER), autocommit=True)
        self._wire = self._connection.pgconn

    def begin(self, statement: sql.Composed) -> None:
        self.await_done()
        self._wire.send_query(statement.as_bytes(self._connection))

    def await_done(self) -> None:
        while (result := self._wire.get_result()) is not None:
            assert result.status == ExecStatus.COMMAND_OK, result.error_message

    def close(self) -> None:
        self.await_done()
        self._connection.close()


@contextlib.contextmanager
def fresh_database(server: postgres.Server, template: str) -> Iterator[str]:
    """A copy of `template`, dropped afterwards with whoever is still connected."""
    name = f"test_{next(_numbers)}"
    _create(server, name, template)
    try:
        yield server.url(name)
    finally:
        _administer(server, _drop(name))


def _create(server: postgres.Server, name: str, template: str) -> None:
    _administer(server, _copy(name, template))


def _copy(name: str, template: str) -> sql.Composed:
    names = [sql.Identifier(each) for each in (name, postgres.OWNER, template)]
    return sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(*names)


def _drop(name: str) -> sql.Composed:
    return sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))


def _administer(server: postgres.Server, statement: sql.Composed) -> None:
    with psycopg.connect(server.url("postgres", postgres.SUPERUSER), autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[valkey.Server]:
    folder = tmp_path_factory.mktemp("valkey")
    server = valkey.start(folder, folder / "valkey.log")
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: valkey.Server) -> str:
    url = redis_server.url()
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url
