"""The counts of secrets are what counting them would give, whatever happens at the same time."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaivault.storage import migrate
from tests.exporter.furnishing import add_secrets, add_tenants, run

TENANTS = ("tnt_a", "tnt_b")
ADD = """
    INSERT INTO secrets (tenant_id, path, secret_type, current_version, metadata, max_versions, created_at, updated_at)
    VALUES (%s, %s, 'kv', 1, '{}', 10, now(), now()) ON CONFLICT ON CONSTRAINT secrets_pkey DO NOTHING
"""
STATEMENTS = {
    "add": ADD,
    "trash": "UPDATE secrets SET deleted_at = now(), recoverable_until = now() WHERE tenant_id = %s AND path = %s",
    "recover": "UPDATE secrets SET deleted_at = NULL, recoverable_until = NULL WHERE tenant_id = %s AND path = %s",
    "write": "UPDATE secrets SET current_version = current_version + 1 WHERE tenant_id = %s AND path = %s",
    "remove": "DELETE FROM secrets WHERE tenant_id = %s AND path = %s",
}
WRITERS, TRANSACTIONS = 6, 60


def counted(url):
    return dict(run(url, "SELECT tenant_id, sum(live)::int FROM secret_counts GROUP BY 1 HAVING sum(live) <> 0"))


def walked(url):
    return dict(run(url, "SELECT tenant_id, count(*)::int FROM secrets WHERE deleted_at IS NULL GROUP BY 1"))


@pytest.fixture
def url(database_url):
    add_tenants(database_url, *TENANTS)
    return database_url


STEPS = st.lists(
    st.tuples(st.sampled_from([*STATEMENTS]), st.sampled_from(TENANTS), st.sampled_from("pqr")), max_size=8
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(transactions=st.lists(st.tuples(STEPS, st.booleans()), max_size=6))
def test_whatever_is_done_and_undone(url, transactions):
    """Goes on from one example to the next: the counts have to be right of all of them together."""
    with psycopg.connect(url) as connection:
        for steps, is_kept in transactions:
            for step, tenant, path in steps:
                connection.execute(STATEMENTS[step], [tenant, path])
            connection.commit() if is_kept else connection.rollback()
    assert counted(url) == walked(url)


def test_statements_of_many_rows_and_tenants(url):
    add_secrets(url, "tnt_a", 5_000)
    add_secrets(url, "tnt_b", 300)
    run(url, "UPDATE secrets SET deleted_at = now(), recoverable_until = now() WHERE path LIKE 'p1%'")
    run(url, "DELETE FROM secrets WHERE path LIKE 'p2%' OR path LIKE 'p11%'")
    assert counted(url) == walked(url)
    run(url, "DELETE FROM secrets")
    assert counted(url) == {}


def test_writers_beside_each_other(url):
    """Each a session, on few paths, so that they wait for each other; some of what they do is rolled back."""
    faults = []

    def write(seed):
        dice = random.Random(seed)
        with psycopg.connect(url) as connection:
            for _ in range(TRANSACTIONS):
                tenant, path = dice.choice(TENANTS), dice.choice("pqrstuvw")
                try:
                    # One secret a transaction, as the product has it.
                    for step in dice.sample([*STATEMENTS], k=3):
                        connection.execute(STATEMENTS[step], [tenant, path])
                    connection.commit() if dice.random() < 0.8 else connection.rollback()
                except psycopg.Error as fault:
                    faults.append(type(fault).__name__)
                    connection.rollback()

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert counted(url) == walked(url)


UNFINISHED = """
import sys, psycopg
with psycopg.connect(sys.argv[1]) as connection:
    connection.execute(sys.argv[2], ["tnt_a", "unfinished"])
    print("written", flush=True)
    sys.stdin.read()
"""


def test_who_is_killed_in_the_middle_leaves_nothing(url):
    add_secrets(url, "tnt_a", 3)
    writer = subprocess.Popen(
        [sys.executable, "-c", UNFINISHED, url, ADD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with contextlib.closing(writer.stdin), contextlib.closing(writer.stdout):
        assert writer.stdout.readline() == "written\n"
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    run(url, ADD, "tnt_a", "unfinished")  # waits for whatever the dead one's session still holds
    assert counted(url) == walked(url) == {"tnt_a": 4}


def test_new_versions_and_last_readers_touch_no_count(url):
    add_secrets(url, "tnt_a", 3)
    before = run(url, "SELECT ctid, * FROM secret_counts")
    run(url, "UPDATE secrets SET current_version = 2, last_accessed_at = now()")
    assert run(url, "SELECT ctid, * FROM secret_counts") == before


def test_sessions_share_a_tenants_count_out_among_them(url):
    """Else the writers of a tenant would stand in line for one row until each has committed."""
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(psycopg.connect(url)) for _ in range(4)]
        rows = {session.info.backend_pid % 8: session for session in sessions}
        for shard, session in rows.items():
            session.execute(ADD, ["tnt_a", f"of {shard}"])  # none of them commits, none of them waits
        assert counted(url) == {}
    assert counted(url) == {"tnt_a": len(rows)}


def test_what_was_there_before_is_counted_while_writers_go_on(url):
    """The previous release's tables with its secrets, then the two migrations, with writers between them."""
    first, second = sorted(migrate.MIGRATIONS.glob("*_secret_counts*.sql"))
    run(url, "DROP TRIGGER secrets_added ON secrets")
    run(url, "DROP TRIGGER secrets_removed ON secrets")
    run(url, "DROP TRIGGER secrets_trashed ON secrets")
    run(url, "DROP FUNCTION secret_counts_of_statement, secret_counts_of_row")
    run(url, "DROP TABLE secret_counts")
    add_secrets(url, "tnt_a", 7)
    run(url, STATEMENTS["trash"], "tnt_a", "p1")
    run(url, first.read_text())
    add_secrets(url, "tnt_b", 2)
    run(url, STATEMENTS["recover"], "tnt_a", "p1")
    run(url, STATEMENTS["remove"], "tnt_a", "p2")
    run(url, second.read_text())
    assert counted(url) == walked(url) == {"tnt_a": 6, "tnt_b": 2}
