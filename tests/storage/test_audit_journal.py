"""No answer leaves before its audit entry is durable, and no entry stays of what did not happen."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaivault.features.audit import jobs, store
from scaivault.features.audit.model import Filters
from scaivault.features.audit.service import AuditJournal
from scaivault.kernel.clock import SystemClock
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.paths import SecretPath
from scaivault.storage import migrate
from scaivault.storage.database import Database
from tests.storage.audit_house import HandClock, caller

PATH = SecretPath("environments/prod/db")
LOOK_UP = "SELECT path, version FROM kept WHERE path = %(path)s"


@dataclass(frozen=True, slots=True)
class Kept:
    path: str
    version: int


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def database(database_url):
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE kept (path text PRIMARY KEY, version integer NOT NULL)")
        connection.execute("INSERT INTO kept VALUES ('environments/prod/db', 7)")
    database = Database(database_url, 2, lambda seconds: None)
    database.open()
    yield database
    database.close()


@pytest.fixture
def appended():
    return []


@pytest.fixture
def journal(database, clock, appended):
    return AuditJournal(database, clock, lambda *told: appended.append(told))


def entries(database):
    with database.session() as session:
        return store.list_entries(session, "tnt_dev", Filters(), None, 100)


def administer(database_url, statement):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(statement)


def break_commits(database_url, by):
    """From now on every statement that adds an entry succeeds, and its commit does `by` instead."""
    administer(
        database_url,
        f"CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {by}; RETURN NULL; END $$",
    )
    administer(
        database_url,
        "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON audit_log"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit()",
    )


def test_an_entry_keeps_everything_it_was_given(journal, database, clock):
    someone = caller(user_agent="curl/8.0", request_id="req_42", source_ip="2001:db8::7")
    journal.record_alone(Entry.of(Action.WRITE, someone, PATH, version=3, tags=["a", "b"], kept=None, forced=True))
    [entry] = entries(database)
    assert entry.id.startswith("log_")
    assert entry.occurred_at == clock.now()
    assert (entry.action, entry.success) == ("write", True)
    assert (entry.identity_type, entry.identity_id) == ("service_account", "sa:billing")
    assert (entry.secret_path, str(entry.source_ip), entry.user_agent) == (PATH, "2001:db8::7", "curl/8.0")
    assert (entry.request_id, entry.trace_id) == ("req_42", "a" * 32)
    assert entry.extra_data == {"version": 3, "tags": ["a", "b"], "kept": None, "forced": True}
    assert 0 < entry.duration_ms < 60_000


def test_an_entry_commits_with_its_operation(journal, database):
    with database.transaction() as tx:
        tx.run("UPDATE kept SET version = 8")
        journal.record(tx, Entry.of(Action.WRITE, caller(), PATH))
        assert entries(database) == []
    assert [entry.action for entry in entries(database)] == ["write"]


def test_a_rolled_back_operation_leaves_no_entry(journal, database):
    with database.transaction() as tx:
        journal.record(tx, Entry.of(Action.WRITE, caller(), PATH))
        raise psycopg.Rollback
    assert entries(database) == []


def write(database, journal):
    with database.transaction() as tx:
        tx.run("UPDATE kept SET version = 8")
        journal.record(tx, Entry.of(Action.WRITE, caller(), PATH))


def test_an_operation_whose_entry_is_refused_leaves_nothing(journal, database, database_url):
    administer(database_url, "ALTER TABLE audit_log ADD CONSTRAINT no_writes CHECK (action <> 'write')")
    with pytest.raises(Unavailable):
        write(database, journal)
    with database.session() as session:
        assert session.one(Kept, "SELECT path, version FROM kept") == Kept(PATH, 7)


def test_a_find_returns_the_row_and_records_success(journal, database, appended):
    found = journal.find(Kept, LOOK_UP, {"path": PATH}, Entry.of(Action.READ, caller(), PATH))
    assert found == Kept(PATH, 7)
    [entry] = entries(database)
    assert (entry.action, entry.success, entry.secret_path) == ("read", True, PATH)
    [(action, success, seconds)] = appended
    assert (action, success) == ("read", True)
    assert 0 < seconds < 60


def test_a_find_of_nothing_records_failure(journal, database, appended):
    assert journal.find(Kept, LOOK_UP, {"path": "no/such"}, Entry.of(Action.READ, caller(), PATH)) is None
    assert [entry.success for entry in entries(database)] == [False]
    assert appended[0][:2] == ("read", False)


def test_a_find_may_use_any_placeholder_name(journal):
    query = "SELECT %(path)s::text AS path, %(success)s + %(id)s AS version"
    entry = Entry.of(Action.READ, caller(), PATH)
    assert journal.find(Kept, query, {"path": "x", "success": 40, "id": 2}, entry) == Kept("x", 42)


def test_a_find_may_begin_with_a_with(journal):
    query = "WITH one AS (SELECT path, version FROM kept WHERE path = %(path)s) SELECT path, version FROM one"
    assert journal.find(Kept, query, {"path": PATH}, Entry.of(Action.READ, caller(), PATH)) == Kept(PATH, 7)


def test_a_find_is_one_statement(database_url, clock):
    waits = []
    database = Database(database_url, 2, waits.append)
    database.open()
    journal = AuditJournal(database, clock, lambda *_: None)
    journal.find(Kept, "SELECT 'a' AS path, 1 AS version", {}, Entry.of(Action.READ, caller(), PATH))
    database.close()
    assert len(waits) == 1


def test_no_answer_when_the_commit_fails(journal, database, database_url):
    break_commits(database_url, "RAISE EXCEPTION 'the disk is full' USING ERRCODE = 'disk_full'")
    with pytest.raises(Unavailable):
        journal.find(Kept, LOOK_UP, {"path": PATH}, Entry.of(Action.READ, caller(), PATH))
    assert entries(database) == []


def test_no_answer_when_the_connection_dies_before_the_commit(journal, database, database_url):
    break_commits(database_url, "PERFORM pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(Unavailable):
        journal.find(Kept, LOOK_UP, {"path": PATH}, Entry.of(Action.READ, caller(), PATH))
    assert entries(database) == []


def test_a_connection_that_was_hung_up_on_costs_neither_answer_nor_entry(journal, database, database_url):
    journal.find(Kept, LOOK_UP, {"path": PATH}, Entry.of(Action.READ, caller(), PATH))
    administer(
        database_url,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    assert journal.find(Kept, LOOK_UP, {"path": PATH}, Entry.of(Action.READ, caller(), PATH))
    assert len(entries(database)) == 2


@pytest.mark.parametrize("breakage", ["DROP TABLE audit_log CASCADE", "REVOKE INSERT ON audit_log FROM CURRENT_USER"])
def test_without_its_trail_the_vault_answers_nothing(breakage, journal, database_url):
    administer(database_url, breakage)
    with pytest.raises(Unavailable):
        journal.find(Kept, LOOK_UP, {"path": PATH}, Entry.of(Action.READ, caller(), PATH))
    with pytest.raises(Unavailable):
        journal.record_alone(Entry.of(Action.READ, caller(), PATH))


def test_migrating_makes_the_months_that_an_archive_does_not_have(journal, clock, database_url):
    clock.instant = SystemClock().now()
    administer(
        database_url,
        """
        DO $$ DECLARE month regclass; BEGIN
            FOR month IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'audit_log'::regclass LOOP
                EXECUTE format('DROP TABLE %s', month);
            END LOOP;
            PERFORM audit_log_make_months((now() - interval '9 months')::date, 7);
        END $$
        """,
    )
    with pytest.raises(Unavailable):
        journal.record_alone(Entry.of(Action.READ, caller(), PATH))
    assert migrate.apply(database_url) == 0
    journal.record_alone(Entry.of(Action.READ, caller(), PATH))


def test_a_month_that_was_not_made_refuses_entries_until_the_job_has_run(journal, database, clock):
    clock.instant = datetime(2041, 11, 30, 23, 59, 59, tzinfo=UTC)
    with pytest.raises(Unavailable):
        journal.find(Kept, LOOK_UP, {"path": PATH}, Entry.of(Action.READ, caller(), PATH))
    assert jobs.make_months(database, clock) == 7
    assert jobs.make_months(database, clock) == 0
    for year, month in [(2041, 11), (2041, 12), (2042, 1), (2042, 2), (2042, 3), (2042, 4), (2042, 5)]:
        clock.instant = datetime(year, month, 28, 23, 59, 59, 999_999, tzinfo=UTC)
        assert journal.find(Kept, LOOK_UP, {"path": PATH}, Entry.of(Action.READ, caller(), PATH)) is not None
    clock.instant = datetime(2042, 6, 1, tzinfo=UTC)
    with pytest.raises(Unavailable):
        journal.find(Kept, LOOK_UP, {"path": PATH}, Entry.of(Action.READ, caller(), PATH))


def test_months_meet_at_midnight_utc_across_a_new_year(database):
    with database.session() as session:
        store.add_months(session, date(2041, 12, 31), 2)
        bounds = session.many(
            Bound,
            """
            SELECT relname::text AS name, pg_get_expr(relpartbound, oid) AS bounds
              FROM pg_class WHERE relname IN ('audit_log_2041_12', 'audit_log_2042_01') ORDER BY relname
            """,
        )
    assert [bound.bounds for bound in bounds] == [
        "FOR VALUES FROM ('2041-12-01 00:00:00+00') TO ('2042-01-01 00:00:00+00')",
        "FOR VALUES FROM ('2042-01-01 00:00:00+00') TO ('2042-02-01 00:00:00+00')",
    ]


@dataclass(frozen=True, slots=True)
class Bound:
    name: str
    bounds: str


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(agent=st.text(max_size=400), reason=st.text(max_size=40), listed=st.lists(st.text(max_size=8), max_size=3))
def test_no_text_keeps_an_entry_out(journal, database, agent, reason, listed):
    with database.transaction() as tx:
        tx.run("DELETE FROM audit_log")
    journal.record_alone(Entry.of(Action.READ, caller(user_agent=agent), PATH, reason=reason, listed=listed))
    [entry] = entries(database)
    assert len(entry.user_agent) <= 256
    assert entry.user_agent.isprintable()
    assert json.dumps(entry.extra_data).isascii()


def test_a_zone_of_a_link_local_address_is_left_out(journal, database):
    journal.record_alone(Entry.of(Action.READ, caller(source_ip="fe80::1%eth0"), PATH))
    assert [str(entry.source_ip) for entry in entries(database)] == ["fe80::1"]


@pytest.mark.parametrize("smuggled", [{"a": 1}, b"bytes", object(), [["nested"]], 1.5])
def test_extra_takes_nothing_but_what_it_promises(smuggled, journal, database):
    with pytest.raises(TypeError, match="an audit entry has no place for a"):
        journal.record_alone(Entry.of(Action.READ, caller(), PATH, planted=smuggled))
    assert entries(database) == []
