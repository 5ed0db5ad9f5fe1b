"""Sessions and transactions on a real PostgreSQL, which the tests kill, freeze and lock. Nothing waits but for an event."""

import contextlib
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import sql

from scaivault.kernel.errors import Unavailable
from scaivault.storage import database as storage
from scaivault.storage.database import BoundedConnection, Database
from scaivault.storage.errors import ConstraintViolated
from scaivault.storage.probe import DatabaseProbe, NoRoom
from tests.waiting import await_true

PATIENCE_SECONDS = 10
POOL_SIZE = 3


@dataclass(frozen=True)
class Number:
    number: int


@dataclass(frozen=True)
class Word:
    word: str


@dataclass(frozen=True)
class Moment:
    at: datetime


@pytest.fixture
def observed():
    return []


@pytest.fixture
def url(module_database_url):
    """One database for all tests, left as it was."""
    yield module_database_url
    with psycopg.connect(module_database_url) as connection:
        connection.execute("DELETE FROM partners")


@pytest.fixture
def database(url, observed):
    database = Database(url, POOL_SIZE, observed.append)
    database.open()
    yield database
    database.close()


@pytest.fixture
def superuser(url, postgres_server):
    """Somebody who may kill, in the same database."""
    with psycopg.connect(postgres_server.url(name_of(url), "postgres"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def altered(superuser, url):
    """Something about the database is different until the end of the test."""
    changed = []

    def alter(setting, back):
        superuser.execute(f"ALTER DATABASE {name_of(url)} {setting}")
        changed.append(back)

    yield alter
    for back in changed:
        superuser.execute(f"ALTER DATABASE {name_of(url)} {back}")


def name_of(url):
    return url.rpartition("/")[2]


def add_partner(session, partner_id="ptn_1"):
    session.run("INSERT INTO partners (id, name) VALUES (%(id)s, '')", id=partner_id)


def partners(database):
    with database.session() as session:
        return [row.word for row in session.many(Word, "SELECT id AS word FROM partners ORDER BY id")]


def backend(session):
    """The number of the server's process behind this session."""
    return session.one(Number, "SELECT pg_backend_pid() AS number").number


def terminate(superuser, pid):
    assert superuser.execute("SELECT pg_terminate_backend(%s, 5000)", [pid]).fetchone() == (True,)


def await_answer(database):
    """Work until it works; how often it did not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    for failures in range(1_000):
        try:
            partners(database)
        except Unavailable:
            assert time.monotonic() < deadline, "no recovery"
        else:
            return failures
    return pytest.fail("no recovery")


@contextlib.contextmanager
def frozen(pid):
    """A backend that neither answers nor hangs up."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class TestRows:
    def test_a_row_comes_as_its_kind(self, database):
        with database.session() as session:
            assert session.one(Number, "SELECT 7 AS number") == Number(7)
            assert session.one(Number, "SELECT 7 AS number WHERE false") is None
            assert session.many(Number, "SELECT generate_series(1, 3) AS number") == [Number(1), Number(2), Number(3)]
            assert session.many(Number, "SELECT 1 AS number WHERE false") == []

    @pytest.mark.parametrize("text", ["'; DROP TABLE secrets; --", "%s", "%(x)s", "\\", "🔑", "", "a\nb"])
    def test_a_value_is_never_read_as_sql(self, database, text):
        with database.session() as session:
            assert session.one(Word, "SELECT %(text)s::text AS word", text=text) == Word(text)

    def test_instants_are_in_utc_to_the_microsecond(self, database):
        instant = datetime(2026, 7, 15, 12, 0, 0, 123456, tzinfo=UTC)
        with database.session() as session:
            found = session.one(Moment, "SELECT %(at)s::timestamptz AS at", at=instant)
            assert session.one(Word, "SELECT current_setting('TimeZone') AS word") == Word("UTC")
        assert found.at.isoformat() == "2026-07-15T12:00:00.123456+00:00"

    def test_a_statement_says_how_many_rows_it_touched(self, database):
        with database.session() as session:
            add_partner(session, "ptn_1")
            add_partner(session, "ptn_2")
            assert session.run("UPDATE partners SET name = 'x'") == 2
            assert session.run("DELETE FROM partners WHERE id = 'ptn_3'") == 0

    def test_every_statement_is_timed_also_one_that_fails(self, database, observed):
        with contextlib.suppress(Unavailable), database.session() as session:
            session.one(Number, "SELECT 1 AS number")
            session.many(Number, "SELECT 1 AS number")
            session.run("SET statement_timeout = '10ms'")
            session.run("SELECT pg_sleep(60)")
        assert len(observed) == 4
        assert observed[-1] >= 0.01
        assert all(0 < seconds < PATIENCE_SECONDS for seconds in observed)


class TestTransactions:
    def test_what_ends_well_is_there(self, database):
        with database.transaction() as tx:
            add_partner(tx, "ptn_1")
            add_partner(tx, "ptn_2")
        assert partners(database) == ["ptn_1", "ptn_2"]

    @pytest.mark.parametrize("failure", [ValueError, Unavailable, KeyboardInterrupt, SystemExit])
    def test_what_raises_has_never_been(self, database, failure):
        with pytest.raises(failure), database.transaction() as tx:
            add_partner(tx)
            raise failure
        assert partners(database) == []

    def test_one_statement_refused_takes_the_others_with_it(self, database):
        with pytest.raises(ConstraintViolated), database.transaction() as tx:
            add_partner(tx)
            add_partner(tx)
        assert partners(database) == []

    def test_nobody_sees_it_before_its_end(self, database):
        with database.transaction() as tx:
            add_partner(tx)
            assert partners(database) == []
        assert partners(database) == ["ptn_1"]

    def test_a_session_commits_each_statement(self, database):
        with pytest.raises(ValueError, match="later"), database.session() as session:
            add_partner(session)
            assert partners(database) == ["ptn_1"]
            raise ValueError("later")
        assert partners(database) == ["ptn_1"]

    def test_a_connection_comes_back_clean_after_a_failure(self, url):
        database = Database(url, 1, lambda _seconds: None)
        database.open()
        for _ in range(3):
            with pytest.raises(ConstraintViolated), database.transaction() as tx:
                add_partner(tx)
                add_partner(tx)
        assert partners(database) == []
        database.close()


class TestRefusals:
    @pytest.mark.parametrize(
        ("statement", "constraint"),
        [
            ("INSERT INTO partners (id, name) VALUES ('ptn_1', '')", "partners_pkey"),
            ("INSERT INTO tenants (id, partner_id, name) VALUES ('tnt_1', 'ptn_x', '')", "tenants_partner_id_fkey"),
            ("UPDATE partners SET status = 'WELL'", "partners_status_check"),
            ("INSERT INTO authority_clock (is_single, epoch) VALUES (false, 1)", "authority_clock_is_single_check"),
            ("UPDATE partners SET name = NULL", ""),
        ],
    )
    @pytest.mark.parametrize("way", ["session", "transaction"])
    def test_a_constraint_is_told_by_its_name(self, database, way, statement, constraint):
        with database.session() as session:
            add_partner(session)
        with pytest.raises(ConstraintViolated) as refusal, getattr(database, way)() as session:
            session.run(statement)
        assert refusal.value.constraint == constraint

    def test_a_constraint_that_is_checked_at_the_commit_too(self, database):
        with database.session() as session:
            session.run(
                "CREATE TABLE IF NOT EXISTS late (n integer CONSTRAINT late_key UNIQUE DEFERRABLE INITIALLY DEFERRED)"
            )
        with pytest.raises(ConstraintViolated) as refusal, database.transaction() as tx:
            tx.run("INSERT INTO late VALUES (1), (1)")
        assert refusal.value.constraint == "late_key"

    def test_its_words_hold_no_values(self, database):
        with pytest.raises(ConstraintViolated) as refusal, database.transaction() as tx:
            add_partner(tx, "hunter2")
            add_partner(tx, "hunter2")
        assert "hunter2" not in str(refusal.value)

    def test_a_mistake_of_ours_stays_one(self, database):
        with pytest.raises(psycopg.errors.DivisionByZero), database.session() as session:
            session.run("SELECT 1 / 0")

    @pytest.mark.parametrize("statement", ["SELECT FROM nowhere", "SELECT nothing FROM partners", "SELECT nought()"])
    def test_a_schema_that_lags_behind_is_unavailable(self, database, statement):
        with pytest.raises(Unavailable, match="server migrate"), database.session() as session:
            session.run(statement)

    @pytest.mark.parametrize(
        ("setting", "statement"),
        [
            ("statement_timeout = '10ms'", "SELECT pg_sleep(60)"),
            ("default_transaction_read_only = on", "DELETE FROM partners"),
        ],
    )
    def test_what_can_not_be_done_now_is_unavailable(self, database, setting, statement):
        with pytest.raises(Unavailable), database.session() as session:
            session.run(f"SET {setting}")
            session.run(statement)

    def test_a_lock_that_is_not_to_be_had_is_unavailable(self, database):
        with database.transaction() as holder:
            holder.run("LOCK TABLE partners")
            with pytest.raises(Unavailable), database.transaction() as tx:
                tx.run("SET LOCAL lock_timeout = '10ms'")
                add_partner(tx)
        with database.session() as session:
            add_partner(session)

    def test_who_stands_in_a_transaction_too_long_is_unavailable(self, database, superuser):
        """A process that was suspended wakes up to find its transaction gone."""
        with pytest.raises(Unavailable), database.transaction() as tx:
            pid = backend(tx)
            add_partner(tx)
            tx.run("SET LOCAL idle_in_transaction_session_timeout = '10ms'")
            await_death(superuser, pid)
            add_partner(tx, "ptn_2")
        await_answer(database)
        assert partners(database) == []


def await_death(superuser, pid):
    await_true(lambda: superuser.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone() is None)


class TestLoss:
    def test_an_idle_connection_that_died_costs_no_answer(self, database, superuser):
        with database.session() as session:
            pid = backend(session)
        terminate(superuser, pid)
        assert await_answer(database) == 0

    def test_a_pool_of_dead_connections_is_mended(self, database, superuser):
        with contextlib.ExitStack() as stack:
            sessions = [stack.enter_context(database.session()) for _ in range(POOL_SIZE)]
            pids = {backend(session) for session in sessions}
        assert len(pids) == POOL_SIZE
        for pid in pids:
            terminate(superuser, pid)
        assert await_answer(database) == 0
        with contextlib.ExitStack() as stack:
            sessions = [stack.enter_context(database.session()) for _ in range(POOL_SIZE)]
            assert pids.isdisjoint({backend(session) for session in sessions})

    def test_a_connection_that_dies_during_a_statement_is_unavailable(self, database, superuser):
        asked = threading.Event()
        pids = []

        def work():
            with database.session() as session:
                pids.append(backend(session))
                asked.set()
                session.run("SELECT pg_sleep(60)")

        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            assert asked.wait(PATIENCE_SECONDS)
            terminate(superuser, pids[0])
            assert isinstance(working.exception(PATIENCE_SECONDS), Unavailable)
        assert await_answer(database) == 0

    def test_a_transaction_whose_connection_dies_leaves_nothing(self, database, superuser):
        with pytest.raises(Unavailable), database.transaction() as tx:
            add_partner(tx)
            terminate(superuser, backend(tx))
        await_answer(database)
        assert partners(database) == []

    def test_a_failure_of_ours_on_a_dead_connection_is_told_as_it_is(self, database, superuser):
        with pytest.raises(ValueError, match="ours"), database.transaction() as tx:
            add_partner(tx)
            terminate(superuser, backend(tx))
            raise ValueError("ours")
        await_answer(database)
        assert partners(database) == []

    def test_when_all_are_in_use_it_is_unavailable_and_then_not_any_more(self, url, monkeypatch):
        monkeypatch.setattr(storage, "POOL_WAIT_SECONDS", 0.05)
        database = Database(url, 1, lambda _seconds: None)
        database.open()
        with database.session(), pytest.raises(Unavailable), database.session():
            pass
        assert partners(database) == []
        database.close()

    def test_nothing_that_listens_is_unavailable_at_once(self, nowhere):
        """There is nothing to wait for: threads that did would be missing elsewhere."""
        with ThreadPoolExecutor(POOL_SIZE * 2) as pool:
            started = time.monotonic()
            asking = [pool.submit(partners, nowhere) for _ in range(POOL_SIZE * 2)]
            failures = [each.exception(PATIENCE_SECONDS) for each in asking]
            assert time.monotonic() - started < storage.POOL_WAIT_SECONDS / 2
        assert {type(failure) for failure in failures} == {Unavailable}
        assert "hunter2" not in "".join(map(str, failures))

    @pytest.fixture
    def nowhere(self):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            url = f"postgresql://x:hunter2@127.0.0.1:{nobody.getsockname()[1]}/x"
            database = Database(url, POOL_SIZE, lambda _seconds: None)
            database.open()
            yield database
            database.close()

    def test_a_connection_that_is_in_use_is_waited_for_also_when_no_other_can_be_made(self, url, altered):
        database = Database(url, 2, lambda _seconds: None)
        database.open()
        database._pool.wait()  # the first connection is there, and nobody has asked for a second one
        altered("CONNECTION LIMIT 1", "CONNECTION LIMIT -1")
        with ThreadPoolExecutor(1) as pool:
            with database.session():
                waiting = pool.submit(partners, database)
                await_true(lambda: database._pool.get_stats().get("connections_errors"))
                assert not waiting.done()
            assert waiting.result(PATIENCE_SECONDS) == []
        database.close()

    @pytest.mark.parametrize("state", ["unopened", "closed"])
    def test_a_database_that_is_not_open_is_unavailable(self, url, state):
        database = Database(url, 1, lambda _seconds: None)
        if state == "closed":
            database.open()
            database.close()
        with pytest.raises(Unavailable):
            partners(database)


class TestFrozen:
    @pytest.fixture(autouse=True)
    def impatience(self, monkeypatch):
        monkeypatch.setattr(BoundedConnection, "answer_seconds", 0.3)

    def test_a_server_that_does_not_answer_is_given_up_and_the_next_one_serves(self, database):
        with pytest.raises(Unavailable), database.session() as session:
            pid = backend(session)
            with frozen(pid):
                started = time.monotonic()
                session.one(Number, "SELECT 1 AS number")
        assert time.monotonic() - started < PATIENCE_SECONDS
        assert await_answer(database) == 0

    def test_others_are_served_while_it_stands_still(self, database):
        with contextlib.suppress(Unavailable), database.session() as session, frozen(backend(session)):
            assert partners(database) == []
            session.one(Number, "SELECT 1 AS number")

    def test_a_transaction_that_was_given_up_leaves_nothing(self, database, superuser):
        with contextlib.ExitStack() as thaw, pytest.raises(Unavailable), database.transaction() as tx:
            pid = backend(tx)
            add_partner(tx, "ptn_1")
            thaw.enter_context(frozen(pid))
            add_partner(tx, "ptn_2")
        await_death(superuser, pid)
        assert partners(database) == []

    def test_a_commit_that_was_not_answered_is_not_called_one_and_is_whole_or_nothing(self, database, superuser):
        with contextlib.ExitStack() as thaw, pytest.raises(Unavailable), database.transaction() as tx:
            pid = backend(tx)
            add_partner(tx, "ptn_1")
            add_partner(tx, "ptn_2")
            thaw.enter_context(frozen(pid))
        await_death(superuser, pid)
        assert partners(database) in ([], ["ptn_1", "ptn_2"])

    def test_the_pool_does_not_hand_it_out_again(self, database):
        with contextlib.suppress(Unavailable), database.session() as session:
            pid = backend(session)
            with frozen(pid):
                session.one(Number, "SELECT 1 AS number")
        await_answer(database)
        with contextlib.ExitStack() as stack:
            sessions = [stack.enter_context(database.session()) for _ in range(POOL_SIZE)]
            assert pid not in {backend(session) for session in sessions}


class TestGauges:
    def test_the_pool_tells_its_size_and_what_is_free(self, database):
        with contextlib.ExitStack() as stack:
            for _ in range(POOL_SIZE):
                stack.enter_context(database.session())
            assert (database.size, database.available) == (POOL_SIZE, 0)
        assert (database.size, database.available) == (POOL_SIZE, POOL_SIZE)
        assert database.most == POOL_SIZE

    def test_the_pool_tells_who_waits(self, database):
        def ask():
            with database.session() as session:
                return session.one(Number, "SELECT 1 AS number").number

        with ThreadPoolExecutor(2) as askers:
            with contextlib.ExitStack() as stack:
                for _ in range(POOL_SIZE):
                    stack.enter_context(database.session())
                assert database.waiting == 0
                asking = [askers.submit(ask) for _ in range(2)]
                await_true(lambda: database.waiting == 2)
            assert [asked.result() for asked in asking] == [1, 1]
        assert database.waiting == 0

    def test_an_unopened_one_has_nothing(self, url):
        database = Database(url, POOL_SIZE, lambda _seconds: None)
        assert (database.available, database.most, database.waiting) == (0, POOL_SIZE, 0)


class TestProbe:
    @pytest.fixture
    def probe(self, url, observed):
        probe = DatabaseProbe(url, observed.append, threading.Event())
        yield probe
        probe.close()

    def pid(self, probe):
        return probe._connection.info.backend_pid

    @pytest.fixture
    def full_disk(self, url):
        """PostgreSQL that says 53100 where it is asked for room: another `generate_series` is found first."""
        with psycopg.connect(url, autocommit=True) as admin:
            name = sql.Identifier(admin.info.dbname)
            admin.execute("CREATE SCHEMA full_disk")
            admin.execute(
                """
                CREATE FUNCTION full_disk.generate_series(integer, integer) RETURNS SETOF integer LANGUAGE plpgsql
                AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$
                """
            )
            admin.execute(sql.SQL("ALTER DATABASE {} SET search_path = full_disk, public, pg_catalog").format(name))
            yield lambda: admin.execute("DROP SCHEMA IF EXISTS full_disk CASCADE")
            admin.execute("DROP SCHEMA IF EXISTS full_disk CASCADE")
            admin.execute(sql.SQL("ALTER DATABASE {} RESET search_path").format(name))

    def test_a_full_disk_that_somebody_met_is_full_until_a_file_finds_room(self, url, database, observed, full_disk):
        probe = DatabaseProbe(url, observed.append, database.ran_out_of_room)
        probe.check()
        with pytest.raises(Unavailable, match="no room"), database.session() as session:
            session.run("SELECT * FROM full_disk.generate_series(1, 2)")
        for _ in range(2):
            with pytest.raises(NoRoom):
                probe.check()
        full_disk()
        for _ in range(2):
            probe.check()
        assert not database.ran_out_of_room.is_set()
        probe.close()

    def test_it_keeps_its_connection_and_is_timed(self, probe, observed):
        probe.check()
        first = self.pid(probe)
        probe.check()
        assert self.pid(probe) == first
        assert len(observed) == 2

    def test_it_is_well_while_every_pooled_connection_is_in_use(self, database, probe):
        with contextlib.ExitStack() as stack:
            for _ in range(POOL_SIZE):
                stack.enter_context(database.session())
            probe.check()

    def test_a_killed_connection_is_bad_once_and_then_a_new_one(self, probe, superuser):
        probe.check()
        terminate(superuser, self.pid(probe))
        with pytest.raises(Unavailable):
            probe.check()
        probe.check()

    def test_it_gives_up_on_a_server_that_stands_still(self, probe, monkeypatch):
        probe.check()
        monkeypatch.setattr(type(probe._connection), "answer_seconds", 0.2)
        with frozen(self.pid(probe)), pytest.raises(Unavailable):
            probe.check()
        probe.check()

    def test_a_server_that_takes_no_writes_is_not_well(self, probe, altered):
        """As a standby is: it answers, and can not serve."""
        altered("SET default_transaction_read_only = on", "RESET default_transaction_read_only")
        with pytest.raises(Unavailable):
            probe.check()

    def test_nothing_that_listens_is_not_well(self, observed):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            nowhere = f"postgresql://x:y@127.0.0.1:{nobody.getsockname()[1]}/x"
            probe = DatabaseProbe(nowhere, observed.append, threading.Event())
            with pytest.raises(Unavailable):
                probe.check()
        assert len(observed) == 1

    def test_it_gives_up_sooner_than_requests_do(self, probe):
        """So that a server which is back is not called lost for long."""
        probe.check()
        assert probe._connection.answer_seconds <= BoundedConnection.answer_seconds / 4

    def test_closing_is_final_for_its_connection_only(self, probe):
        probe.check()
        probe.close()
        probe.close()
        probe.check()


class TestWhoIsTold:
    """Of each statement, as it is written and never as it is filled in."""

    @pytest.fixture
    def told(self):
        return []

    @pytest.fixture
    def telling(self, url, told):
        def on_call(what, _started, failure=None, /):
            told.append((what, failure and type(failure).__name__))

        database = Database(url, 1, lambda _seconds: None, on_call)
        database.open()
        yield database
        database.close()

    def test_of_one_that_stands_alone(self, telling, told):
        with telling.session() as session:
            session.one(Word, "SELECT %(word)s AS word", word="planted")
        assert told == [("SELECT %(word)s AS word", None)]

    def test_of_a_transaction_its_begin_and_its_commit(self, telling, told):
        with telling.transaction() as tx:
            tx.run("SELECT 1")
        assert told == [("BEGIN", None), ("SELECT 1", None), ("COMMIT", None)]

    def test_of_one_that_failed_also_how_and_no_commit(self, telling, told):
        with pytest.raises(psycopg.Error), telling.transaction() as tx:
            tx.run("SELECT 1 / %(zero)s", zero=0)
        assert told == [("BEGIN", None), ("SELECT 1 / %(zero)s", "DivisionByZero")]

    def test_of_one_that_was_rolled_back_no_commit(self, telling, told):
        with telling.transaction() as tx:
            tx.run("SELECT 1")
            raise psycopg.Rollback
        assert told == [("BEGIN", None), ("SELECT 1", None)]
