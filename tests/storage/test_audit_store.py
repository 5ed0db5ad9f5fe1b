"""Every documented filter finds exactly what it says, in pieces that neither repeat nor miss, by way of an index."""

import itertools
import re
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaivault.features.audit import store
from scaivault.features.audit.model import Filters, Position
from scaivault.storage.database import Database

START = datetime(2031, 3, 30, 12, tzinfo=UTC)
PATHS = (None, "app", "app/db", "app/db-2", "app2/db", "zeta/key")
IDENTITIES = (("user", "user:ann@example.com"), ("service_account", "sa:billing"), ("service_account", "sa:ci"))
ADDRESSES = ("10.0.0.7", "2001:db8::7")
ACTIONS = ("read", "write", "delete", "policy_violation")


@pytest.fixture(scope="module")
def database(module_database_url):
    database = Database(module_database_url, 2, lambda seconds: None)
    database.open()
    with database.session() as session:
        store.add_months(session, START.date(), 2)
        for each in every_entry():
            store.add_entry(session, {f"journal_{name}": value for name, value in each.items()})
    yield database
    database.close()


def every_entry():
    """All combinations, two at the same microsecond, across the end of a month, of two tenants."""
    combinations = itertools.product(PATHS, IDENTITIES, ADDRESSES, ACTIONS, (True, False), ("tnt_dev", "tnt_other"))
    for number, (path, (kind, identity), address, action, success, tenant) in enumerate(combinations):
        yield {
            "tenant_id": tenant,
            "occurred_at": START + timedelta(minutes=10 * (number // 4)),
            "id": f"log_{number:04}",
            "action": action,
            "identity_type": kind,
            "identity_id": identity,
            "secret_path": path,
            "source_ip": address,
            "user_agent": "test",
            "success": success,
            "duration_ms": 1.5,
            "request_id": f"req_{number % 50}",
            "trace_id": "a" * 32,
            "extra_data": "{}",
        }


def expected(filters, tenant_id="tnt_dev"):
    """What a list comprehension makes of the filters: the statement's specification."""
    tests = {
        "since": lambda e, v: e["occurred_at"] >= v,
        "until": lambda e, v: e["occurred_at"] < v,
        "actions": lambda e, v: e["action"] in v,
        "path_prefix": lambda e, v: e["secret_path"] is not None and e["secret_path"].startswith(v),
        "source_ip": lambda e, v: ip_address(e["source_ip"]) == v,
    }
    wanted = {f.name: getattr(filters, f.name) for f in fields(filters) if getattr(filters, f.name) is not None}
    kept = [
        e
        for e in every_entry()
        if e["tenant_id"] == tenant_id
        and all(tests.get(name, lambda e, v, name=name: e[name] == v)(e, value) for name, value in wanted.items())
    ]
    return [e["id"] for e in sorted(kept, key=lambda e: (e["occurred_at"], e["id"]), reverse=True)]


def listed(database, filters, after=None, limit=1_000):
    with database.session() as session:
        return store.list_entries(session, "tnt_dev", filters, after, limit)


instants = st.one_of(
    st.none(), st.integers(-2, 150).map(lambda steps: START + timedelta(minutes=10 * steps, microseconds=steps % 2))
)
any_filters = st.builds(
    Filters,
    since=instants,
    until=instants,
    actions=st.one_of(st.none(), st.lists(st.sampled_from((*ACTIONS, "list")), min_size=1, unique=True).map(tuple)),
    identity_id=st.sampled_from((None, None, "sa:billing", "user:ann@example.com", "sa:nobody")),
    identity_type=st.sampled_from((None, None, "user", "service_account", "group")),
    secret_path=st.sampled_from((None, None, "app", "app/db", "nowhere")),
    path_prefix=st.sampled_from((None, None, "", "app", "app/", "app/db", "app/db-", "z", "\U0010fffe")),
    success=st.sampled_from((None, True, False)),
    source_ip=st.sampled_from((None, *map(ip_address, ADDRESSES))),
    request_id=st.sampled_from((None, None, None, "req_7", "req_0", "req_nobody")),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(filters=any_filters)
def test_filters_find_what_they_say(database, filters):
    assert [entry.id for entry in listed(database, filters)] == expected(filters)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(filters=any_filters, limit=st.integers(7, 60))
def test_pieces_neither_repeat_nor_miss(database, filters, limit):
    seen, after = [], None
    while piece := listed(database, filters, after, limit):
        seen += [entry.id for entry in piece]
        after = Position(piece[-1].occurred_at, piece[-1].id)
    assert seen == expected(filters)


def test_another_tenant_sees_its_own_only(database):
    with database.session() as session:
        found = store.list_entries(session, "tnt_other", Filters(), None, 1_000)
        assert [entry.id for entry in found] == expected(Filters(), "tnt_other")
        assert store.list_entries(session, "tnt_third", Filters(), None, 1_000) == []


def test_counting_agrees_with_listing(database):
    filters = Filters(since=START + timedelta(hours=3), until=START + timedelta(hours=9))
    entries = listed(database, filters)
    with database.session() as session:
        tally = store.count_entries(session, "tnt_dev", filters, 1_000)
    assert tally.total_events == len(entries)
    assert tally.successful_events == sum(entry.success for entry in entries)
    assert tally.by_action == {
        action: sum(entry.action == action for entry in entries) for action in {entry.action for entry in entries}
    }
    assert tally.unique_identities == len({entry.identity_id for entry in entries})
    assert tally.unique_secrets == len({entry.secret_path for entry in entries if entry.secret_path})
    assert tally.counted_since == entries[-1].occurred_at


def test_counting_stops_at_its_bound_with_the_newest_counted(database):
    newest = listed(database, Filters(), limit=30)
    with database.session() as session:
        tally = store.count_entries(session, "tnt_dev", Filters(), 30)
    assert tally.total_events == 30
    assert tally.counted_since == newest[-1].occurred_at


def test_counting_nothing(database):
    with database.session() as session:
        tally = store.count_entries(session, "tnt_dev", Filters(request_id="req_nobody"), 30)
    assert (tally.total_events, tally.by_action, tally.counted_since) == (0, {}, None)


class _Explained:
    """A session that asks how a statement would be run, instead of running it."""

    def __init__(self, connection):
        self._connection = connection
        self.plan = ""

    def many(self, _kind, query, **parameters):
        lines = self._connection.execute("EXPLAIN (COSTS OFF) " + query, parameters).fetchall()
        self.plan = "\n".join(line for (line,) in lines)
        return []


@pytest.fixture(scope="module")
def busy(module_database_url):
    """A connection to a trail of 60,000 entries, in which every value of every filter that is looked for is rare."""
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        connection.execute("SELECT audit_log_make_months('2032-05-01', 2)")
        connection.execute(
            """
            INSERT INTO audit_log
            SELECT 'tnt_busy', '2032-05-10'::timestamptz + g * interval '1 minute', 'log_' || lpad(g::text, 6, '0'),
                   CASE WHEN g % 1000 = 0 THEN 'delete' ELSE 'read' END,
                   CASE WHEN g % 1000 = 0 THEN 'user' ELSE 'service_account' END,
                   'sa:service-' || g % 200, 'app/' || g % 3000 || '/key', ('10.0.0.' || g % 250)::inet, 'test',
                   g % 1000 <> 0, 1, 'req_' || g, 'trace', '{}'
              FROM generate_series(1, 30000) AS g
            """
        )
        connection.execute("VACUUM ANALYZE audit_log")
        yield connection


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (Filters(), "pkey"),
        (Filters(since=datetime(2032, 5, 12, tzinfo=UTC), until=datetime(2032, 5, 13, tzinfo=UTC)), "pkey"),
        (Filters(actions=("delete",)), "action"),
        (Filters(actions=("delete", "policy_delete")), "action"),
        (Filters(identity_id="sa:service-7"), "identity_id"),
        (Filters(identity_type="user"), "identity_type"),
        (Filters(secret_path="app/7/key"), "secret_path"),
        (Filters(path_prefix="app/77"), "secret_path"),
        (Filters(success=False), "occurred_at_idx"),
        (Filters(source_ip=ip_address("10.0.0.9")), "source_ip"),
        (Filters(request_id="req_7"), "request_id"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("after", [None, Position(datetime(2032, 5, 20, tzinfo=UTC), "log_x")], ids=["first", "next"])
def test_every_filter_has_its_index(busy, filters, index, after):
    explained = _Explained(busy)
    store.list_entries(explained, "tnt_busy", filters, after, 101)
    scans = [line for line in explained.plan.splitlines() if "audit_log_2032_05" in line]
    assert scans
    assert not any("Seq Scan" in scan for scan in scans), explained.plan
    assert any(index in scan for scan in scans), explained.plan


def test_a_window_touches_its_months_only(busy):
    explained = _Explained(busy)
    window = Filters(since=datetime(2032, 5, 12, tzinfo=UTC), until=datetime(2032, 6, 2, tzinfo=UTC))
    store.list_entries(explained, "tnt_busy", window, None, 101)
    assert set(re.findall(r"audit_log_(\d{4}_\d\d)", explained.plan)) == {"2032_05", "2032_06"}
    store.list_entries(explained, "tnt_busy", Filters(since=window.since), Position(window.until, "log_x"), 101)
    assert set(re.findall(r"audit_log_(\d{4}_\d\d)", explained.plan)) == {"2032_05", "2032_06"}


def test_the_planner_can_tell_a_narrow_prefix_from_a_wide_one(busy):
    targets = busy.execute(
        """
        SELECT DISTINCT attstattarget
          FROM pg_inherits JOIN pg_attribute ON attrelid = inhrelid AND attname = 'secret_path'
         WHERE inhparent = 'audit_log'::regclass
        """
    ).fetchall()
    assert targets == [(1000,)]
