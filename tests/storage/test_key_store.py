"""What every RotationStore does: the tables, and the fake that stands for them in tests of the chain."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from scaivault.crypto.chain import WrappedKey
from scaivault.crypto.errors import RetiredKeyVersion
from scaivault.crypto.rotation import KeyRotation, Level, PartnerKey, SystemKey, TenantKey
from scaivault.crypto.store import REFERENCES, RotatingKeys
from scaivault.features.audit.service import AuditJournal
from scaivault.kernel.clock import SystemClock
from scaivault.storage import epochs
from scaivault.storage.database import Database
from tests.fakes import MemoryKeyStore

TENANTS = ["tnt_1", "tnt_2"]
AFTER_ALL = datetime.now(UTC) + timedelta(days=1)  # noqa: TID251 - the tables' defaults ask the real clock
PATIENCE_SECONDS = 30
ADD_SECRET = """
    INSERT INTO secrets (tenant_id, path, secret_type, current_version, metadata, max_versions, created_at, updated_at)
    VALUES (%s, 'a', 'kv', 1, '{}', 9, now(), now())
"""
ADD_VERSION = """
    INSERT INTO secret_versions (tenant_id, path, version, sealed, wrapped_key, created_at, created_by)
    VALUES (%s, 'a', 1, '', %s, now(), '')
"""
WRAPPED = b"SV\x01\x02" + (1).to_bytes(4, "big") + bytes(60)


def by_root(version, wrapped=b"p", kms_key_id="root:1"):
    return WrappedKey(version, wrapped, kms_key_id, None)


def by_partner(version, wrapping_version=1, wrapped=b"t"):
    return WrappedKey(version, wrapped, None, wrapping_version)


class Memory:
    def __init__(self):
        self.store = MemoryKeyStore()
        self.store.partner_of = dict.fromkeys(TENANTS, "ptn_1")

    def entries(self):
        return [(entry.caller.tenant_id, dict(entry.extra)) for entry in self.store.entries]

    def put_under_first_key(self, tenant_id):
        self.store.references = lambda which, version: which == tenant_id and version == 1


class Tables:
    def __init__(self, url, database):
        self.url = url
        self.store = RotatingKeys(database, AuditJournal(database, SystemClock(), lambda *_: None))
        self.run("INSERT INTO partners (id, name) VALUES ('ptn_1', '')")
        for tenant_id in TENANTS:
            self.run("INSERT INTO tenants (id, partner_id, name) VALUES (%s, 'ptn_1', '')", tenant_id)

    def run(self, statement, *parameters):
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def entries(self):
        return self.run("SELECT tenant_id, extra_data FROM audit_log ORDER BY occurred_at, id")

    def put_under_first_key(self, tenant_id):
        self.run(ADD_SECRET, tenant_id)
        self.run(ADD_VERSION, tenant_id, WRAPPED)


@pytest.fixture(params=["memory", "tables"])
def place(request):
    if request.param == "memory":
        yield Memory()
        return
    url = request.getfixturevalue("database_url")
    database = Database(url, 2, lambda _seconds: None)
    database.open()
    yield Tables(url, database)
    database.close()


@pytest.fixture
def store(place):
    assert place.store.add_partner_key("ptn_1", by_root(1))
    assert place.store.add_tenant_key("tnt_1", by_partner(1))
    return place.store


def entry_of(tenant_id):
    """An entry as rotation makes them."""
    rotation = KeyRotation(None, None, None, [], SystemClock())
    return rotation._entry("ptn_1", tenant_id, Level.TENANT, {"n": 1})


TOLD = {"key": "tenant", "n": 1}


@pytest.mark.parametrize("version", [1, 2])
def test_a_version_that_is_there_stays(store, version):
    store.add_next_partner_key("ptn_1", by_root(2))
    store.add_next_tenant_key("tnt_1", by_partner(2), entry_of("tnt_1"))
    assert not store.add_next_partner_key("ptn_1", by_root(version, b"other"))
    assert not store.add_next_tenant_key("tnt_1", by_partner(version, wrapped=b"other"), entry_of("tnt_1"))
    assert not store.add_tenant_key("tnt_1", by_partner(version, wrapped=b"other"))
    assert [row.wrapped for row in store.find_partner_keys("ptn_1")] == [b"p", b"p"]
    assert [row.wrapped for row in store.find_tenant_keys("tnt_1")] == [b"t", b"t"]


def test_an_addition_is_journalled_if_it_happens(place, store):
    for _ in range(2):
        store.add_next_tenant_key("tnt_1", by_partner(2), entry_of("tnt_1"))
    assert place.entries() == [("tnt_1", TOLD)]


@pytest.mark.parametrize("add", ["add_tenant_key", "add_next_tenant_key"])
def test_nothing_comes_under_a_partner_key_that_is_not_there(store, add):
    more = [entry_of("tnt_2")] if add == "add_next_tenant_key" else []
    with pytest.raises(RetiredKeyVersion):
        getattr(store, add)("tnt_2", by_partner(1, wrapping_version=9), *more)
    assert store.find_tenant_keys("tnt_2") == []


def test_whose_a_tenant_is(store):
    assert (store.find_partner("tnt_1"), store.find_partner("tnt_9")) == ("ptn_1", None)


def test_tenants_with_a_key_come_in_order_and_in_pages(store):
    assert list(store.list_tenants(AFTER_ALL, "", 9)) == ["tnt_1"]
    store.add_tenant_key("tnt_2", by_partner(1))
    assert list(store.list_tenants(AFTER_ALL, "", 9)) == TENANTS
    assert list(store.list_tenants(AFTER_ALL, "", 1)) == ["tnt_1"]
    assert list(store.list_tenants(AFTER_ALL, "tnt_1", 9)) == ["tnt_2"]


def test_tenant_keys_move_from_one_partner_key_to_the_next(place, store):
    store.add_next_partner_key("ptn_1", by_root(2))
    store.add_tenant_key("tnt_2", by_partner(1))
    assert store.count_tenant_keys_before("ptn_1", 2) == 2
    assert store.count_tenant_keys_before("ptn_1", 1) == 0
    first, second = store.list_tenant_keys_before("ptn_1", 2, ("", 0), 9)
    assert (first, second) == (TenantKey("tnt_1", 1, b"t"), TenantKey("tnt_2", 1, b"t"))
    assert store.list_tenant_keys_before("ptn_1", 2, ("tnt_1", 1), 9) == [second]
    assert store.list_tenant_keys_before("ptn_1", 2, ("", 0), 1) == [first]
    new = by_partner(1, wrapping_version=2, wrapped=b"new")
    outdated = replace(second, wrapped=b"what it was once")
    assert store.change_tenant_keys([(first, new), (outdated, new)], entry_of) == 1
    assert store.find_tenant_keys("tnt_1") == [new]
    assert store.list_tenant_keys_before("ptn_1", 2, ("", 0), 9) == [second]
    assert place.entries() == [("tnt_1", TOLD)]


def test_no_tenant_key_is_moved_under_one_that_is_not_there(place, store):
    (row,) = [TenantKey("tnt_1", 1, b"t")]
    with pytest.raises(RetiredKeyVersion):
        store.change_tenant_keys([(row, by_partner(1, wrapping_version=9))], entry_of)
    assert store.find_tenant_keys("tnt_1") == [by_partner(1)]
    assert place.entries() == []


def test_a_partner_key_is_removed_when_nothing_is_under_it(store):
    store.add_next_partner_key("ptn_1", by_root(2))
    assert not store.remove_partner_keys_before("ptn_1", 2)
    assert len(store.find_partner_keys("ptn_1")) == 2
    assert store.last_finished() is None
    moved = (TenantKey("tnt_1", 1, b"t"), by_partner(1, wrapping_version=2))
    store.change_tenant_keys([moved], entry_of)
    assert store.remove_partner_keys_before("ptn_1", 2)
    assert [row.version for row in store.find_partner_keys("ptn_1")] == [2]
    assert store.last_finished() is not None


def test_a_tenant_key_is_not_removed_while_something_is_under_it(place, store):
    store.add_next_tenant_key("tnt_1", by_partner(2), entry_of("tnt_1"))
    place.put_under_first_key("tnt_1")
    assert not store.remove_tenant_keys_before("tnt_1", 2, entry_of("tnt_1"))
    assert len(store.find_tenant_keys("tnt_1")) == 2
    assert len(place.entries()) == 1
    assert store.last_finished() is None


def test_a_removal_is_journalled_once_however_often_it_is_asked_for(place, store):
    store.add_next_tenant_key("tnt_1", by_partner(2), entry_of("tnt_1"))
    assert store.remove_tenant_keys_before("tnt_1", 2, entry_of("tnt_1"))
    assert store.remove_tenant_keys_before("tnt_1", 2, entry_of("tnt_1"))
    assert [row.version for row in store.find_tenant_keys("tnt_1")] == [2]
    assert place.entries() == [("tnt_1", TOLD)] * 2
    assert store.last_finished() is not None


def test_keys_of_another_root_are_listed_and_moved_once(place, store):
    store.add_system_key("tokens", by_root(1, b"s"))
    assert store.list_foreign_partner_keys("root:1") == store.list_foreign_system_keys("root:1") == []
    (partner_key,) = store.list_foreign_partner_keys("root:2")
    (system_key,) = store.list_foreign_system_keys("root:2")
    assert partner_key == PartnerKey("ptn_1", 1, b"p", "root:1")
    assert system_key == SystemKey("tokens", 1, b"s", "root:1")
    new = by_root(1, b"new", "root:2")
    assert [store.change_partner_key(partner_key, new, entry_of) for _ in range(2)] == [True, False]
    assert [store.change_system_key(system_key, new) for _ in range(2)] == [True, False]
    assert (store.find_partner_keys("ptn_1"), store.find_system_key("tokens")) == ([new], new)
    assert sorted(place.entries()) == [("tnt_1", TOLD), ("tnt_2", TOLD)]
    assert store.list_foreign_partner_keys("root:2") == store.list_foreign_system_keys("root:2") == []
    assert store.last_finished() is not None


class TestTables:
    @pytest.fixture
    def place(self, database_url):
        database = Database(database_url, 2, lambda _seconds: None)
        database.open()
        yield Tables(database_url, database)
        database.close()

    def test_a_new_tenant_key_moves_the_tenants_epoch_and_no_others(self, place, store):
        store.add_next_tenant_key("tnt_1", by_partner(2), entry_of("tnt_1"))
        with store._database.session() as session:
            assert [moved.tenant_id for moved in epochs.list_moved(session, 0)] == ["tnt_1"]

    def test_only_tenants_whose_oldest_key_is_old_are_listed(self, place, store):
        store.add_tenant_key("tnt_2", by_partner(1))
        place.run("UPDATE tenant_keys SET created_at = now() - interval '2 days' WHERE tenant_id = 'tnt_2'")
        store.add_next_tenant_key("tnt_2", by_partner(2), entry_of("tnt_2"))
        assert store.list_tenants(AFTER_ALL - timedelta(days=2), "", 9) == ["tnt_2"]

    def test_whatever_is_under_a_key_is_a_reason_to_keep_it(self, place):
        keys = "confrelid IN ('partner_keys'::regclass, 'tenant_keys'::regclass)"
        found = place.run(f"SELECT conname FROM pg_constraint WHERE contype = 'f' AND {keys}")
        assert sorted(name for (name,) in found) == sorted(REFERENCES)

    def test_who_is_writing_under_a_key_is_waited_for_before_it_is_removed(self, place, store):
        store.add_next_tenant_key("tnt_1", by_partner(2), entry_of("tnt_1"))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE%%'"
        with ThreadPoolExecutor(1) as operator, psycopg.connect(place.url) as writer:
            writer.execute(ADD_SECRET, ["tnt_1"])
            writer.execute(ADD_VERSION, ["tnt_1", WRAPPED])
            removed = operator.submit(store.remove_tenant_keys_before, "tnt_1", 2, entry_of("tnt_1"))
            deadline = time.monotonic() + PATIENCE_SECONDS
            while place.run(waiting) == [(0,)]:
                assert time.monotonic() < deadline
                assert not removed.done()
                time.sleep(0.01)
            writer.commit()
            assert removed.result(PATIENCE_SECONDS) is False
        assert len(store.find_tenant_keys("tnt_1")) == 2
