"""Rotation over the real tables: nothing under an old key is left, nothing is unreadable, nobody notices."""

import threading
import time
from collections import Counter

import psycopg
import pytest

from scaivault.bootstrap.api import build
from scaivault.crypto.kms.local import LocalKeys, write_key_file
from scaivault.crypto.rotation import IDENTITY
from scaivault.kernel.errors import NotFound
from scaivault.storage import migrate
from tests.house import OTHER_TENANT, TENANT, opened

PATIENCE_SECONDS = 60
PATHS = [f"app/s{number}" for number in range(30)]


def untold(_done, _total):
    pass


@pytest.fixture
def written(ada, bob):
    """Secrets of both tenants, some with more versions than one, one of them destroyed."""
    for path in PATHS:
        ada.write(path, {"of": path})
    ada.write(PATHS[0], {"of": PATHS[0]})
    assert ada.post(f"/v1/secrets/{PATHS[0]}:destroy", {"versions": [1]}).status_code == 200
    bob.write("app/theirs", {"of": "bob"})


@pytest.fixture
def rotation(house, written):
    return house.services.rotation


@pytest.fixture
def rows(database_url):
    def rows(query, *parameters):
        with psycopg.connect(database_url, autocommit=True) as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    return rows


def key_versions(rows, tenant_id=TENANT):
    found = rows("SELECT key_version, count(*) FROM secret_versions WHERE tenant_id = %s GROUP BY 1", tenant_id)
    return dict(found)


def everything_reads(ada, bob):
    for path in PATHS:
        assert ada.get(f"/v1/secrets/{path}").json["data"] == {"of": path}
    assert bob.get("/v1/secrets/app/theirs").json["data"] == {"of": "bob"}


def test_a_tenants_key_is_renewed_with_everything_under_it(rotation, rows, ada, bob):
    told = []
    proof = rotation.rotate_tenant(TENANT, lambda *progress: told.append(progress))
    assert (proof.rewrapped, proof.left, proof.version, proof.is_complete) == (len(PATHS), 0, 2, True)
    assert told[-1] == (len(PATHS), len(PATHS))
    assert key_versions(rows) == {2: len(PATHS), None: 1}
    assert key_versions(rows, OTHER_TENANT) == {1: 1}
    assert rows("SELECT version FROM tenant_keys WHERE tenant_id = %s", TENANT) == [(2,)]
    everything_reads(ada, bob)


def test_values_are_not_touched(rotation, rows):
    sealed = rows("SELECT path, version, sealed, created_at FROM secret_versions ORDER BY 1, 2")
    rotation.rotate_tenant(TENANT, untold)
    assert rows("SELECT path, version, sealed, created_at FROM secret_versions ORDER BY 1, 2") == sealed


def test_a_partners_key_is_renewed_with_its_tenants_under_it(rotation, rows, ada, bob):
    proof = rotation.rotate_partner("ptn_test", untold)
    assert (proof.rewrapped, proof.left, proof.version) == (2, 0, 2)
    assert rows("SELECT DISTINCT wrapping_version FROM tenant_keys") == [(2,)]
    assert rows("SELECT version FROM partner_keys") == [(2,)]
    everything_reads(ada, bob)
    assert rotation.rotate_tenant(TENANT, untold).is_complete
    everything_reads(ada, bob)


def test_an_interrupted_rotation_is_finished_and_not_begun_again(rotation, rows, ada, bob, monkeypatch):
    with monkeypatch.context() as interrupted:
        interrupted.setattr(type(rotation._store), "remove_tenant_keys_before", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rotation.rotate_tenant(TENANT, untold)
    everything_reads(ada, bob)
    assert rotation.rotate_tenant(TENANT, untold).version == 2
    assert rows("SELECT version FROM tenant_keys WHERE tenant_id = %s", TENANT) == [(2,)]


def test_whom_there_is_nothing_to_rotate_for(rotation, house):
    house.services.installer.add_tenant("ptn_test", "tnt_empty", "Empty")
    assert rotation.rotate_tenant("tnt_empty", untold).version is None
    with pytest.raises(NotFound):
        rotation.rotate_tenant("tnt_nobody", untold)
    with pytest.raises(NotFound):
        rotation.rotate_partner("ptn_nobody", untold)


def test_every_rotation_is_in_the_trail_of_those_it_is_about(rotation, ada, bob):
    rotation.rotate_tenant(TENANT, untold)
    rotation.rotate_partner("ptn_test", untold)
    begun, finished, partner = reversed(ada.audit(action="key_rotate"))
    assert begun["extra_data"] == {"key": "tenant", "version": 2, "stage": "begun"}
    assert finished["extra_data"] == {"key": "tenant", "version": 2, "stage": "finished", "rewrapped": len(PATHS)}
    assert partner["extra_data"] == {"key": "partner", "version": 2}
    assert {entry["identity_id"] for entry in (begun, finished, partner)} == {IDENTITY}
    assert [entry["extra_data"]["key"] for entry in bob.audit(action="key_rotate")] == ["partner"]


def test_health_tells_when_a_key_was_last_renewed(rotation, ada):
    def told():
        return ada.get("/v1/health/detailed").json["checks"]["encryption"]["last_rotation"]

    assert told() is None
    rotation.rotate_tenant(TENANT, untold)
    first = told()
    rotation.rotate_partner("ptn_test", untold)
    assert None is not first < told()


def test_what_does_not_open_stays_and_so_does_its_key(rotation, rows, ada):
    rows(
        "UPDATE secret_versions SET wrapped_key = set_byte(wrapped_key, 40, get_byte(wrapped_key, 40) # 1) "
        "WHERE tenant_id = %s AND path = %s",
        TENANT,
        PATHS[7],
    )
    proof = rotation.rotate_tenant(TENANT, untold)
    assert (proof.left, proof.unreadable, proof.is_complete) == (1, [f"secret {PATHS[7]} version 1"], False)
    assert rows("SELECT version FROM tenant_keys WHERE tenant_id = %s ORDER BY 1", TENANT) == [(1,), (2,)]
    assert ada.get(f"/v1/secrets/{PATHS[8]}").status_code == 200
    assert ada.delete(f"/v1/secrets/{PATHS[7]}?permanent=true").status_code in {200, 204}
    assert rotation.rotate_tenant(TENANT, untold).is_complete


class TestProcessesThatHaveNotHeard:
    @pytest.fixture
    def deaf(self, house, monkeypatch):
        """The API keeps the keys that it has, whatever the epochs say."""
        ring = house.services.rotation._ring
        monkeypatch.setattr(ring, "_epoch_of", lambda _tenant_id: 0)

    @pytest.fixture
    def elsewhere(self, house):
        """Another process."""
        services = build(house.settings, clock=house.clock)
        services.open()
        yield services
        services.close()

    def test_who_listens_hears_of_a_new_key_by_itself(self, house, elsewhere, written):
        ring = house.services.rotation._ring
        assert ring.for_tenant("ptn_test", TENANT).active_version == 1
        assert elsewhere.rotation.rotate_tenant(TENANT, untold).is_complete
        deadline = time.monotonic() + PATIENCE_SECONDS
        while ring.for_tenant("ptn_test", TENANT).active_version == 1:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert set(ring.for_tenant("ptn_test", TENANT).by_version) == {2}

    def test_their_reads_find_the_new_key(self, deaf, elsewhere, written, ada, bob):
        everything_reads(ada, bob)
        assert elsewhere.rotation.rotate_tenant(TENANT, untold).is_complete
        everything_reads(ada, bob)

    def test_their_writes_are_begun_again_under_the_new_key(self, deaf, elsewhere, written, ada, rows):
        assert elsewhere.rotation.rotate_tenant(TENANT, untold).is_complete
        ada.write("late/new", {"a": 1})
        ada.write(PATHS[3], {"a": 2})
        assert key_versions(rows) == {2: len(PATHS) + 2, None: 1}
        assert len(ada.audit(action="write", path_prefix="late/")) == 1

    def test_so_is_their_rolling_back(self, deaf, elsewhere, written, ada):
        ada.write(PATHS[3], {"a": 2})
        assert elsewhere.rotation.rotate_tenant(TENANT, untold).is_complete
        assert ada.post(f"/v1/secrets/{PATHS[3]}:rollback", {"version": 1}).status_code in {200, 201}
        assert ada.get(f"/v1/secrets/{PATHS[3]}").json["data"] == {"of": PATHS[3]}

    def test_what_they_write_during_a_rotation_is_wrapped_anew_too(self, deaf, elsewhere, written, ada, bob, rows):
        late = []

        def write_late(done, _total):
            if len(late) < 3:
                late.append(f"late/s{done}-{len(late)}")
                ada.write(late[-1], {"of": late[-1]})

        assert elsewhere.rotation.rotate_tenant(TENANT, write_late).is_complete
        assert key_versions(rows) == {2: len(PATHS) + len(late), None: 1}
        assert late
        everything_reads(ada, bob)

    def test_a_new_tenants_first_key_under_a_retired_partner_key_is_made_again(self, elsewhere, written, house, ada):
        house.services.installer.add_tenant("ptn_test", "tnt_late", "Late")
        late = house.someone("user:late@c.example", roles=["tenant_admin"], tenant_id="tnt_late")
        house.allow(late, "user:late@c.example", ("**", ["admin"]))
        assert elsewhere.rotation.rotate_partner("ptn_test", untold).is_complete
        late.write("app/first", {"a": 1})
        assert late.get("/v1/secrets/app/first").json["data"] == {"a": 1}


class TestTheDatabaseRefuses:
    @pytest.mark.parametrize("table", ["tenant_keys", "partner_keys"])
    def test_to_remove_a_key_that_wraps_something(self, written, rows, table):
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            rows(f"DELETE FROM {table}")

    def test_a_data_key_under_a_version_that_is_not_there(self, written, rows):
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            rows("UPDATE secret_versions SET wrapped_key = set_byte(wrapped_key, 7, 9)")

    def test_a_tenant_key_under_a_version_that_is_not_there(self, written, rows):
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            rows("UPDATE tenant_keys SET wrapping_version = 9")

    def test_the_column_is_what_the_header_says(self, written, rows):
        rows(
            "INSERT INTO tenant_keys (tenant_id, version, wrapped, wrapping_version) VALUES (%s, 16909060, '', 1)",
            TENANT,
        )
        rows("UPDATE secret_versions SET wrapped_key = '\\x5356010201020304'::bytea WHERE path = %s", PATHS[3])
        assert rows("SELECT key_version FROM secret_versions WHERE path = %s", PATHS[3]) == [(0x01020304,)]

    def test_the_previous_releases_new_tenant_keys_know_their_partner(self, written, house, rows):
        house.services.installer.add_tenant("ptn_test", "tnt_c", "C")
        rows("INSERT INTO tenant_keys (tenant_id, version, wrapped, wrapping_version) VALUES ('tnt_c', 1, '', 1)")
        assert rows("SELECT partner_id FROM tenant_keys WHERE tenant_id = 'tnt_c'") == [("ptn_test",)]


class TestRoots:
    @pytest.fixture
    def successor(self, written, house, database_url, redis_url, tmp_path):
        """A house with another root key, which knows the previous one."""
        folder = tmp_path / "successor"
        folder.mkdir()
        previous = {
            "PREVIOUS_KMS_PROVIDER": "local",
            "PREVIOUS_KMS_LOCAL_KEY_FILE": str(house.settings.kms_local_key_file),
        }
        with opened(database_url, redis_url, folder, **previous) as successor:
            yield successor

    def test_all_keys_come_under_the_present_root(self, successor, rows, ada, bob, database_url, redis_url, tmp_path):
        told = []
        proof = successor.services.rotation.rewrap_root(lambda *progress: told.append(progress))
        assert (proof.left, proof.is_complete, told[-1]) == (0, True, (proof.rewrapped, proof.rewrapped))
        present = LocalKeys(successor.settings.kms_local_key_file, development=True).key_id
        assert rows("SELECT kms_key_id FROM partner_keys UNION SELECT kms_key_id FROM system_keys") == [(present,)]
        with opened(database_url, redis_url, tmp_path / "successor") as alone:
            assert alone.voice(ada.token).get(f"/v1/secrets/{PATHS[1]}").json["data"] == {"of": PATHS[1]}
        assert Counter(entry["extra_data"]["key"] for entry in ada.audit(action="key_rotate")) == {"root": 1}

    def test_both_roots_serve_until_then(self, successor, ada):
        assert successor.voice(ada.token).get(f"/v1/secrets/{PATHS[1]}").json["data"] == {"of": PATHS[1]}

    def test_doing_it_again_does_nothing(self, successor):
        successor.services.rotation.rewrap_root(untold)
        assert successor.services.rotation.rewrap_root(untold).rewrapped == 0

    def test_a_key_of_a_third_root_is_named_and_left(self, successor, rows, tmp_path):
        write_key_file(tmp_path / "third", development=True)
        third = LocalKeys(tmp_path / "third", development=True)
        rows("INSERT INTO partners (id, name) VALUES ('ptn_third', '')")
        rows(
            "INSERT INTO partner_keys (partner_id, version, wrapped, kms_key_id) VALUES ('ptn_third', 1, %s, %s)",
            third.encrypt(bytes(32), b"elsewhere"),
            third.key_id,
        )
        proof = successor.services.rotation.rewrap_root(untold)
        assert (proof.left, proof.unreadable) == (1, ["partner key ptn_third 1"])


def test_two_rotations_at_once_share_the_work(rotation, house, rows, ada, bob):
    others = [build(house.settings, clock=house.clock) for _ in range(2)]
    proofs, faults = [], []

    def rotate(services):
        services.open()
        try:
            proofs.append(services.rotation.rotate_tenant(TENANT, untold))
        except Exception as fault:  # noqa: BLE001 - told below
            faults.append(fault)
        finally:
            services.close()

    threads = [threading.Thread(target=rotate, args=(services,)) for services in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert faults == []
    assert [proof.is_complete for proof in proofs] == [True, True]
    assert len(rows("SELECT version FROM tenant_keys WHERE tenant_id = %s", TENANT)) == 1
    everything_reads(ada, bob)


def test_the_migration_reads_the_version_off_rows_that_are_there(empty_database_url, tmp_path, monkeypatch):
    """As it meets a vault of the previous release."""
    before = tmp_path / "migrations"
    before.mkdir()
    for file in sorted(migrate.MIGRATIONS.glob("000[12]_*.sql")):
        (before / file.name).write_text(file.read_text())
    with monkeypatch.context() as previous:
        previous.setattr(migrate, "MIGRATIONS", before)
        migrate.apply(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO partners (id, name) VALUES ('ptn_1', '');
            INSERT INTO tenants (id, partner_id, name) VALUES ('tnt_1', 'ptn_1', '');
            INSERT INTO partner_keys (partner_id, version, wrapped, kms_key_id) VALUES ('ptn_1', 1, '', 'root');
            INSERT INTO tenant_keys (tenant_id, version, wrapped, wrapping_version) VALUES ('tnt_1', 1, '', 1);
            INSERT INTO secrets (tenant_id, path, secret_type, current_version, metadata, max_versions, created_at,
                                 updated_at)
            VALUES ('tnt_1', 'a', 'kv', 2, '{}', 9, now(), now());
            INSERT INTO secret_versions (tenant_id, path, version, sealed, wrapped_key, created_at, created_by)
            VALUES ('tnt_1', 'a', 1, '', '\\x5356010200000001ff', now(), '');
            INSERT INTO secret_versions (tenant_id, path, version, created_at, created_by, destroyed_at)
            VALUES ('tnt_1', 'a', 2, now(), '', now());
            """
        )
        migrate.apply(empty_database_url)
        assert connection.execute("SELECT version, key_version FROM secret_versions ORDER BY 1").fetchall() == [
            (1, 1),
            (2, None),
        ]
        assert connection.execute("SELECT partner_id FROM tenant_keys").fetchall() == [("ptn_1",)]
