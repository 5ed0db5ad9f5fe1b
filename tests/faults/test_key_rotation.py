"""`scaivault server rotate-key` and `rewrap`, killed in the middle, over and over, while the vault is used."""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time

import psycopg
import pytest

from scaivault.crypto.envelope import Envelope, Place
from scaivault.crypto.kms.local import LocalKeys, write_key_file
from scaivault.kernel.caller import Role
from scaivault.kernel.plaintext import Plaintext
from scaivault.settings import process_environ
from tests.house import OTHER_TENANT, TENANT, furnish, opened, partner_admin
from tests.waiting import await_true

SECRETS = 6_000
FEW = 300  # where nothing is done to each of them
KILLS = 5
PATIENCE_SECONDS = 60
PARTNER = "ptn_test"
BODY = Plaintext(b'{"key":"value"}')


def environ(settings):
    """What a process of this house is started with."""
    return process_environ() | {
        "SCAIVAULT_ENV": "development",
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "BASE_URL": settings.base_url,
        "KMS_PROVIDER": "local",
        "KMS_LOCAL_KEY_FILE": str(settings.kms_local_key_file),
        "METRICS_DIR": "",
    }


class Installation:
    """A house with thousands of secrets, and its command line."""

    def __init__(self, house, secrets=SECRETS):
        self.house, self.secrets = house, secrets
        self.ada, self.bob = furnish(house)
        self.ada.write("first")
        self.bob.write("first")
        self.environ = environ(house.settings)
        self.connection = psycopg.connect(self.environ["DATABASE_URL"], autocommit=True)
        self._fill()

    def _fill(self):
        ring = self.house.services.rotation._ring
        keys = ring.for_tenant(PARTNER, TENANT)
        paths = [f"bulk/s{number}" for number in range(self.secrets)]
        with self.connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO secrets (tenant_id, path, secret_type, current_version, metadata, max_versions, created_at,
                                     updated_at)
                SELECT %s, path, 'kv', 1, '{}', 10, now(), now() FROM unnest(%s::text[]) AS path
                """,
                [TENANT, paths],
            )
            columns = "tenant_id, path, version, sealed, wrapped_key, created_at, created_by"
            with cursor.copy(f"COPY secret_versions ({columns}) FROM STDIN") as copy:
                for path in paths:
                    sealed = Envelope.seal(keys, Place(PARTNER, TENANT, path, 1), BODY)
                    copy.write_row((TENANT, path, 1, sealed.sealed, sealed.wrapped_key, "2026-01-01", "user:ada"))

    def rows(self, query, *parameters):
        return self.connection.execute(query, parameters).fetchall()

    def key_versions(self):
        """Of the tenant's key: which there are, and which something is under."""
        return self.rows("SELECT version FROM tenant_keys WHERE tenant_id = %s ORDER BY 1", TENANT), self.rows(
            "SELECT DISTINCT key_version FROM secret_versions WHERE tenant_id = %s", TENANT
        )

    def is_begun(self):
        return len(self.key_versions()[0]) > 1

    def is_halfway(self):
        return len(self.key_versions()[1]) > 1

    def start(self, *arguments, **more):
        return subprocess.Popen(
            [sys.executable, "-m", "scaivault.cli", "server", *arguments],
            env=self.environ | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments, **more):
        process = self.start(*arguments, **more)
        output, told = process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode, output, told

    def check_sample(self):
        for number in random.sample(range(self.secrets), 40):
            answer = self.ada.get(f"/v1/secrets/bulk/s{number}")
            assert answer.json["data"] == {"key": "value"}, answer.text

    def check_all(self, **environment):
        """Every value, by a process that has never seen an older key."""
        folder = self.house.settings.kms_local_key_file.parent
        urls = self.environ["DATABASE_URL"], self.environ["REDIS_URL"]
        with opened(*urls, folder, **environment) as fresh:
            ada = fresh.voice(self.ada.token)
            for start in range(0, self.secrets, 100):
                paths = [f"bulk/s{number}" for number in range(start, min(self.secrets, start + 100))]
                answer = ada.post("/v1/secrets/batch", {"paths": paths}).json
                assert answer["errors"] == {}
                assert len(answer["secrets"]) == len(paths)


@pytest.fixture(scope="module")
def standing(postgres_server, template_database, module_database_url, redis_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rotation")
    with opened(module_database_url, redis_server.url(), folder) as house:
        installation = Installation(house)
        yield installation
        installation.connection.close()


@pytest.fixture
def another(database_url, redis_url, tmp_path):
    """An installation of its own."""
    with opened(database_url, redis_url, tmp_path) as house:
        installation = Installation(house, FEW)
        yield installation
        installation.connection.close()


class Traffic:
    """Readers and writers, each answer of which must be right."""

    def __init__(self, installation):
        self.installation = installation
        self.faults = []
        self.answers = itertools.count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(3)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)

    def _work(self, number):
        house, token = self.installation.house, self.installation.ada.token
        voice = type(self.installation.ada)(house.client.application.test_client(), token)
        while not self._stop.is_set():
            n = next(self.answers)
            try:
                voice.write(f"live/w{number}/s{n}", {"n": n})
                voice.write(f"live/w{number}/hot", {"n": n})
                assert voice.get(f"/v1/secrets/live/w{number}/s{n}").json["data"] == {"n": n}
                assert voice.get(f"/v1/secrets/live/w{number}/hot").json["data"] == {"n": n}
                read = voice.get(f"/v1/secrets/bulk/s{random.randrange(SECRETS)}")
                assert read.json["data"] == {"key": "value"}, read.text
            except Exception as fault:  # noqa: BLE001 - asserted to be none
                self.faults.append(repr(fault))


def kill_somewhere(installation, *arguments, begun, longest, **more):
    """Start the command and kill it at some instant after `begun` says that it has."""
    process = installation.start(*arguments, **more)
    try:
        await_true(lambda: begun() or process.poll() is not None, every=0.002)
        time.sleep(random.uniform(0, longest))
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_tenants_rotation_killed_anywhere_leaves_everything_readable_and_is_finished_by_the_next(standing):
    halfway = 0
    with Traffic(standing) as traffic:
        for number in range(KILLS):
            begins = [standing.is_halfway, standing.is_begun, lambda: True]
            longest = [0.02, 0.4, 1.5][number % 3]
            kill_somewhere(standing, "rotate-key", "--tenant", TENANT, begun=begins[number % 3], longest=longest)
            halfway += standing.is_halfway()
            standing.check_sample()
        status, output, told = standing.run("rotate-key", "--tenant", TENANT)
        assert (status, "Left under older keys of tnt_a: 0." in output) == (0, True), output + told
    assert halfway
    assert traffic.faults == []
    assert next(traffic.answers) > 20
    versions, used = standing.key_versions()
    assert versions == used
    assert len(versions) == 1
    standing.check_all()


def test_a_partners_rotation_killed_anywhere(standing):
    with Traffic(standing) as traffic:
        for _ in range(KILLS):
            kill_somewhere(standing, "rotate-key", "--partner", PARTNER, begun=lambda: True, longest=1.5)
            standing.check_sample()
        status, output, told = standing.run("rotate-key", "--partner", PARTNER)
        assert (status, "Left under older keys of ptn_test: 0." in output) == (0, True), output + told
    assert traffic.faults == []
    assert len(standing.rows("SELECT version FROM partner_keys WHERE partner_id = %s", PARTNER)) == 1
    standing.check_all()


def test_all_tenants_with_two_commands_at_once(standing):
    with Traffic(standing) as traffic:
        both = [standing.start("rotate-key", "--all-tenants") for _ in range(2)]
        outcomes = [(process.communicate(timeout=PATIENCE_SECONDS), process.returncode) for process in both]
    assert [status for _, status in outcomes] == [0, 0], outcomes
    assert all("Tenants: 2, of which 0 are not done." in output for (output, _), _ in outcomes)
    assert traffic.faults == []
    assert standing.rows("SELECT count(*) FROM tenant_keys WHERE tenant_id IN (%s, %s)", TENANT, OTHER_TENANT) == [(2,)]
    status, output, _ = standing.run("rotate-key", "--all-tenants", "--older-than", "1h")
    assert (status, output) == (0, "Tenants: 0, of which 0 are not done.\n")
    standing.check_all()


def test_a_new_root_key_taken_over_by_a_command_that_is_killed(another, tmp_path):
    write_key_file(tmp_path / "new", development=True)
    previous = another.environ["KMS_LOCAL_KEY_FILE"]
    moved = {
        "KMS_LOCAL_KEY_FILE": str(tmp_path / "new"),
        "PREVIOUS_KMS_PROVIDER": "local",
        "PREVIOUS_KMS_LOCAL_KEY_FILE": previous,
    }
    for _ in range(KILLS):
        kill_somewhere(another, "rewrap", begun=lambda: True, longest=1.5, **moved)
    another.check_all(**moved)
    status, output, told = another.run("rewrap", **moved)
    assert (status, "Left under another root key than the present one: 0." in output) == (0, True), output + told
    present = LocalKeys(tmp_path / "new", development=True).key_id
    used = another.rows("SELECT kms_key_id FROM partner_keys UNION SELECT kms_key_id FROM system_keys")
    assert used == [(present,)]
    another.check_all(KMS_LOCAL_KEY_FILE=str(tmp_path / "new"))


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ((), "Say one of"),
        (("--tenant", TENANT, "--all-tenants"), "Say one of"),
        (("--tenant", "a b"), "write tnt_"),
        (("--tenant", TENANT, "--older-than", "1d"), "goes with --all-tenants"),
        (("--all-tenants", "--older-than", "soon"), "A duration is"),
    ],
)
def test_a_command_that_does_not_say_what_it_means_does_nothing(standing, arguments, hint):
    before = standing.rows("SELECT tenant_id, version FROM tenant_keys ORDER BY 1, 2")
    status, _, told = standing.run("rotate-key", *arguments)
    assert status == 2
    assert hint in told
    assert standing.rows("SELECT tenant_id, version FROM tenant_keys ORDER BY 1, 2") == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--tenant", "tnt_nobody"), "There is no such tenant."),
        (("--partner", "ptn_nobody"), "There is no such partner"),
    ],
)
def test_nobodys_key_is_not_renewed(standing, arguments, told):
    status, output, error = standing.run("rotate-key", *arguments)
    assert (status, output) == (1, "")
    assert told in error


@pytest.mark.parametrize("tenant_id", ["tnt_Ab-c_179", PARTNER])
def test_ids_as_the_identity_provider_makes_them_and_shared_spaces_are_taken(standing, tenant_id):
    house = standing.house
    if tenant_id == PARTNER:
        partner_admin(house, standing.ada).put("/v1/partner/secrets/first", {"data": {"key": "value"}})
    else:
        house.services.installer.add_tenant(PARTNER, tenant_id, "Of another form")
        admin = house.someone("user:cy@c.example", roles=[Role.TENANT_ADMIN], tenant_id=tenant_id)
        house.allow(admin, "user:cy@c.example", ("**", ["admin"]))
        admin.write("first")
    status, output, told = standing.run("rotate-key", "--tenant", tenant_id)
    assert (status, f"Left under older keys of {tenant_id}: 0." in output) == (0, True), output + told


def test_what_does_not_open_is_named_and_the_command_fails(standing):
    standing.rows(
        "UPDATE secret_versions SET wrapped_key = set_byte(wrapped_key, 40, get_byte(wrapped_key, 40) # 1) "
        "WHERE tenant_id = %s AND path = 'first' RETURNING 1",
        OTHER_TENANT,
    )
    status, output, told = standing.run("rotate-key", "--tenant", OTHER_TENANT)
    assert (status, "Left under older keys of tnt_b: 1." in output) == (1, True)
    assert "secret first version 1" in told
