"""What is due is found by indexes that hold nothing else, however much is not due; and its depth as the exporter tells it."""

import psycopg
import pytest

from scaivault.features.rotation.stats import collect, find_queue
from scaivault.features.rotation.store import assignments, history, queue
from scaivault.storage.database import Database

TENANT, OTHER = "tnt_a", "tnt_b"
NOT_DUE = 20_000
ADD = """
    WITH made AS (
        INSERT INTO secrets (tenant_id, path, secret_type, current_version, metadata, max_versions, created_at,
                             updated_at, rotation_policy_id)
        SELECT %(tenant)s, %(prefix)s || number, 'kv', 1, '{}', 10, now(), now(), 'rot_' || %(tenant)s
          FROM generate_series(1, %(count)s) AS number
        RETURNING path)
    INSERT INTO secret_rotations (tenant_id, path, policy_id, schedule_revision, counts_from, state, due_at, wake_at)
    SELECT %(tenant)s, path, 'rot_' || %(tenant)s, 1, now() + %(from_now)s::interval - interval '1 day', %(state)s,
           now() + %(from_now)s::interval, now() + %(from_now)s::interval FROM made
"""


@pytest.fixture
def connection(database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO partners (id, name) VALUES ('ptn_a', 'A')")
        for tenant in (TENANT, OTHER):
            connection.execute("INSERT INTO tenants (id, partner_id, name) VALUES (%s, 'ptn_a', 'A')", [tenant])
            connection.execute(
                """
                INSERT INTO rotation_policies
                       (tenant_id, id, name, description, interval_seconds, grace_seconds, warn_seconds, auto_generate,
                        webhook_ids, is_active, revision, created_at, updated_at)
                VALUES (%s, %s, 'p', '', 86400, 3600, '{}', true, '{}', true, 1, now(), now())
                """,
                [tenant, f"rot_{tenant}"],
            )
        yield connection


@pytest.fixture
def database(database_url, connection):
    made = Database(database_url, 2, lambda _seconds: None)
    made.open()
    yield made
    made.close()


def add(connection, prefix, count, from_now, tenant=TENANT, state="scheduled"):
    facts = {"tenant": tenant, "prefix": prefix, "count": count, "from_now": from_now, "state": state}
    connection.execute(ADD, facts)


class Explained:
    """Notes the plans of the statements that it is asked to run, and runs none of them."""

    def __init__(self, connection):
        self.connection = connection
        self.plan = ""

    def many(self, _kind, query, **parameters):
        lines = self.connection.execute("EXPLAIN (COSTS OFF) " + query, parameters).fetchall()
        self.plan = "\n".join(line for (line,) in lines)
        return []

    def one(self, kind, query, **parameters):
        self.many(kind, query, **parameters)

    def run(self, query, **parameters):
        self.many(None, query, **parameters)
        return 0


@pytest.fixture
def explained(connection):
    add(connection, "later/", NOT_DUE, "1 hour")
    add(connection, "later/", NOT_DUE, "1 hour", OTHER)
    add(connection, "due/", 20, "-1 minute")
    connection.execute("ANALYZE secrets, secret_rotations, rotation_history")
    return Explained(connection)


def now(connection):
    return connection.execute("SELECT now()").fetchone()[0]


def test_who_has_something_due_is_read_off_an_index(connection, explained):
    queue.list_due_tenants(explained, now(connection))
    assert "secret_rotations_wake_idx" in explained.plan
    assert "Seq Scan" not in explained.plan


def test_a_tenants_due_secrets_are_read_off_an_index_in_their_order(connection, explained):
    queue.claim_due(explained, TENANT, now(connection), 25)
    assert "Index Scan using secret_rotations_tenant_wake_idx on secret_rotations under" in explained.plan
    assert "Seq Scan on secret_rotations" not in explained.plan
    assert "Seq Scan on secrets" not in explained.plan
    assert "Sort" not in explained.plan


def test_the_exporters_numbers_are_read_off_indexes(explained):
    find_queue(explained)
    assert "secret_rotations_queue_idx" in explained.plan
    assert "secret_rotations_overdue_idx" in explained.plan
    assert "Seq Scan" not in explained.plan


def test_old_history_is_found_by_its_age(connection, explained):
    connection.execute(
        """
        INSERT INTO rotation_history (tenant_id, id, path, status, triggered_by, identity_id, attempts, started_at)
        SELECT 'tnt_a', 'rth_' || n, 'app/db', 'success', 'write', 'user:a', 1, now() - n * interval '1 minute'
          FROM generate_series(1, 5000) AS n
        """
    )
    connection.execute("ANALYZE rotation_history")
    history.remove_items_before(explained, now(connection), 500)
    assert "rotation_history_started_at_idx" in explained.plan


def test_the_queue_is_what_is_due_and_not_done(connection, database):
    add(connection, "later/", 5, "1 hour")
    add(connection, "due/", 7, "-2 minutes")
    add(connection, "awaited/", 3, "-1 hour", state="awaited")
    add(connection, "overdue/", 2, "-2 days", state="overdue")
    add(connection, "gone/", 4, "-3 days")
    connection.execute("UPDATE secrets SET deleted_at = now(), recoverable_until = now() WHERE path LIKE 'gone/%'")
    with database.session() as session:
        found = find_queue(session)
        families = collect(session)
    assert (found.depth, found.overdue) == (7, 2)
    assert 120 <= found.oldest_seconds < 3_600
    told = {family.name: family.samples[0].value for family in families}
    assert told["scaivault_rotation_queue_depth"] == 7
    assert told["scaivault_secrets_rotation_overdue"] == 2
    assert told["scaivault_rotation_oldest_due_seconds"] >= 120


def test_what_failed_is_counted_by_itself_and_hides_nothing_that_waits(connection, database):
    add(connection, "failing/", 4, "-3 hours")
    add(connection, "failing-and-late/", 2, "-2 days", state="overdue")
    add(connection, "gone/", 1, "-3 days")
    connection.execute("UPDATE secret_rotations SET failures = 3, wake_at = now() + interval '1 hour'")
    connection.execute("UPDATE secrets SET deleted_at = now(), recoverable_until = now() WHERE path LIKE 'gone/%'")
    add(connection, "due/", 1, "-2 minutes")
    add(connection, "late/", 1, "-2 days", state="overdue")
    with database.session() as session:
        found = find_queue(session)
        told = {family.name: family.samples[0].value for family in collect(session)}
    assert (found.depth, found.failing, found.overdue) == (1, 6, 3)
    assert 120 <= found.oldest_seconds < 3_600
    assert told["scaivault_secrets_rotation_failing"] == 6


def test_of_an_empty_queue_every_number_is_nought(database, connection):
    with database.session() as session:
        told = {family.name: family.samples[0].value for family in collect(session)}
    assert set(told.values()) == {0.0}


def test_what_one_has_claimed_no_other_gets(connection, database):
    add(connection, "due/", 30, "-1 minute")
    instant = now(connection)
    with database.transaction() as first, database.transaction() as second:
        mine = {secret.path for secret in queue.claim_due(first, TENANT, instant, 20)}
        theirs = {secret.path for secret in queue.claim_due(second, TENANT, instant, 20)}
    assert (len(mine), len(theirs), mine & theirs) == (20, 10, set())


def test_tenants_are_told_apart(connection, database):
    add(connection, "due/", 3, "-1 minute")
    add(connection, "due/", 2, "-1 minute", OTHER)
    with database.transaction() as tx:
        assert sorted(queue.list_due_tenants(tx, now(connection))) == [TENANT, OTHER]
        assert len(queue.claim_due(tx, OTHER, now(connection), 20)) == 2
        assert assignments.find_assignment(tx, OTHER, "due/3") is None
