"""What the features tell of their state, out of a real database."""

from datetime import timedelta

import pytest

from scaivault.crypto.stats import root_key
from scaivault.features.audit.stats import SETTLED, StillReading, TopReaders
from scaivault.features.secrets.stats import live_secrets
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.ports import KeyState
from scaivault.observability.catalogue.vocabulary import CAP, OVERFLOW
from scaivault.storage.reading import Reading
from tests.exporter.clocks import HandClock
from tests.exporter.furnishing import add_reads, add_secrets, add_tenants, run

HOUR = timedelta(hours=1).total_seconds()


@pytest.fixture
def reading(database_url):
    reading = Reading(database_url, lambda _seconds: None)
    yield reading
    reading.close()


def rows(families):
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples} for family in families
    }


def test_secrets_are_counted_by_tenant(database_url, reading):
    add_tenants(database_url, "tnt_a", "tnt_b")
    add_secrets(database_url, "tnt_a", 5)
    add_secrets(database_url, "tnt_b", 2)
    run(database_url, "DELETE FROM secrets WHERE tenant_id = 'tnt_b'")
    with reading.session() as session:
        found = rows(live_secrets(session))
    assert found["scaivault_secrets"] == {("tnt_a",): 5, ("tnt_b",): 0}
    assert found["scaivault_secrets_total"] == found["scaivault_secrets"]


def test_of_many_tenants_the_largest_are_told_and_the_rest_together(database_url, reading):
    tenants = [f"tnt_{number:04}" for number in range(CAP + 100)]
    add_tenants(database_url, *tenants)
    run(
        database_url,
        "INSERT INTO secret_counts SELECT id, shard, 1 + substr(id, 5)::int FROM tenants, generate_series(0, 1) AS shard",
    )
    with reading.session() as session:
        found = rows(live_secrets(session))["scaivault_secrets"]
    assert len(found) == CAP + 1
    assert found[(tenants[-1],)] == 2 * (CAP + 100)
    assert found[(OVERFLOW,)] == 2 * sum(range(1, 101))
    assert (tenants[99],) not in found


def readers(reading, top):
    with reading.session() as session:
        return {labels[0]: count for labels, count in rows(top.look(session))["scaivault_top_readers"].items()}


def test_readers_are_those_of_the_last_hour_each_by_his_own_tenant(database_url, reading):
    add_tenants(database_url, "tnt_a", "tnt_b")
    add_reads(database_url, "tnt_a", "user:x", 3)
    add_reads(database_url, "tnt_a", "user:x", 2, ago_seconds=HOUR - 60)
    add_reads(database_url, "tnt_b", "user:x", 4)
    add_reads(database_url, "tnt_b", "user:guest", 1, extra='{"home_tenant_id": "tnt_a"}')
    add_reads(database_url, "tnt_b", "user:old", 9, ago_seconds=HOUR + 90)
    add_reads(database_url, "tnt_b", "user:now", 9, ago_seconds=0)
    add_reads(database_url, "tnt_b", "user:in-vain", 9, success=False)
    add_reads(database_url, "tnt_b", "user:writer", 9, action="write")
    assert readers(reading, TopReaders()) == {"tnt_a/user:x": 5, "tnt_b/user:x": 4, "tnt_a/user:guest": 1}


def test_only_the_twenty_who_read_most(database_url, reading):
    add_tenants(database_url, "tnt_a")
    for number in range(1, 24):
        add_reads(database_url, "tnt_a", f"user:{number:02}", number)
    found = readers(reading, TopReaders())
    assert found == {f"tnt_a/user:{number:02}": number for number in range(4, 24)}


def test_a_later_look_adds_what_is_new_once_and_forgets_what_is_old(database_url, reading):
    add_tenants(database_url, "tnt_a")
    seconds = SETTLED.total_seconds()
    add_reads(database_url, "tnt_a", "user:x", 3)
    add_reads(database_url, "tnt_a", "user:y", 1, ago_seconds=HOUR)
    top = TopReaders()
    assert readers(reading, top) == {"tnt_a/user:x": 3, "tnt_a/user:y": 1}
    # As if the second look came a minute and a bit later: everything there is grows older.
    run(database_url, "UPDATE audit_log SET occurred_at = occurred_at - interval '100 s'")
    age(top, 100)
    add_reads(database_url, "tnt_a", "user:x", 2, ago_seconds=seconds + 50)
    assert readers(reading, top) == {"tnt_a/user:x": 5}
    assert readers(reading, top) == {"tnt_a/user:x": 5}


def age(top, seconds):
    top._spans = type(top._spans)(
        type(span)(span.until - timedelta(seconds=seconds), span.reads) for span in top._spans
    )


def test_an_hour_that_takes_long_is_read_over_several_looks(database_url, reading):
    add_tenants(database_url, "tnt_a")
    add_reads(database_url, "tnt_a", "user:x", 3)
    add_reads(database_url, "tnt_a", "user:x", 3, ago_seconds=HOUR - 60)

    class Slow(HandClock):
        def __call__(self):
            self.forward(0.1)
            return self.seconds

    top, looks = TopReaders(Slow()), 0
    while True:
        try:
            found = readers(reading, top)
            break
        except StillReading:
            looks += 1
            assert looks < 60
    assert looks >= 2
    assert found == {"tnt_a/user:x": 6}


def test_a_look_does_not_walk_the_trail(database_url, reading):
    add_tenants(database_url, "tnt_a", "tnt_b")
    for day in range(3):
        add_reads(database_url, "tnt_a", "user:x", 20_000, ago_seconds=3 * HOUR + day)
    run(database_url, "ANALYZE audit_log")
    with reading.session() as session:
        TopReaders().look(session)
        assert walks(database_url, session) == 0
        session.run("SELECT count(*) FROM audit_log WHERE duration_ms = 7")
        assert walks(database_url, session) > 0


def walks(url, session):
    """How often sessions that have told so went through months of the trail from end to end."""
    session.run("SELECT pg_stat_force_next_flush()")
    counts = run(url, "SELECT seq_scan FROM pg_stat_user_tables WHERE relname ~ '^audit_log_' AND n_live_tup > 0")
    assert counts
    return sum(count for (count,) in counts)


class Keys:
    def __init__(self, state):
        self._state = state

    def state(self):
        return self._state


@pytest.mark.parametrize("state", KeyState)
def test_a_root_key_is_usable_or_not(reading, state):
    with reading.session() as session:
        found = rows(root_key(Keys(state), session))
    assert found["scaivault_kms_key_usable"][()] == (state is KeyState.ACTIVE)
    assert found["scaivault_kms_key_last_rotation_timestamp_seconds"][()] == 0


def test_the_root_key_s_last_rotation_is_no_other_key_s(database_url, reading):
    run(
        database_url,
        "INSERT INTO key_rotations VALUES ('root', 'epoch'::timestamptz + interval '90 s'), ('tenant', now())",
    )
    with reading.session() as session:
        found = rows(root_key(Keys(KeyState.ACTIVE), session))
    assert found["scaivault_kms_key_last_rotation_timestamp_seconds"][()] == 90


@pytest.mark.parametrize(
    "statement", ["INSERT INTO partners (id, name) VALUES ('ptn_no', 'No')", "DELETE FROM secrets", "CREATE TABLE t ()"]
)
def test_who_looks_can_not_write(database_url, reading, statement):
    """Even with the owner's login."""
    with pytest.raises(Unavailable) as refused, reading.session() as session:
        session.run(statement)
    assert refused.value.__cause__.sqlstate == "25006"
    assert run(database_url, "SELECT FROM partners") == []


def test_a_statement_that_takes_long_is_ended_by_the_server(reading):
    with pytest.raises(Unavailable) as ended, reading.session() as session:
        session.run("SELECT pg_sleep(30)")
    assert ended.value.__cause__.sqlstate == "57014"


def test_a_connection_that_was_lost_is_made_anew(database_url, reading):
    with reading.session() as session:
        assert session.run("SELECT 1")
    run(
        database_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'scaivault-exporter'",
    )
    with pytest.raises(Unavailable), reading.session() as session:
        session.run("SELECT 1")
    with reading.session() as session:
        assert session.run("SELECT 1")
