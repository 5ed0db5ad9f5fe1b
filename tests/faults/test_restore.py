"""A dump and the root key, restored as docs/operations/backup.md says, give every secret back; the dump alone gives none."""

import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from scaivault.crypto.kms.local import write_key_file
from scaivault.dev import postgres
from tests.faults.test_key_rotation import environ
from tests.house import OTHER_TENANT, furnish, opened

GUIDE = Path(__file__).parents[2] / "docs/operations/backup.md"
BLOCK = re.compile(r"^ *<!-- run: (?P<name>[a-z-]+) -->\n *```sh\n(?P<commands>.*?)^ *```", re.DOTALL | re.MULTILINE)
COMMANDS = {found["name"]: found["commands"] for found in BLOCK.finditer(GUIDE.read_text())}
SECRETS = 60
PASSWORD = "of-who-may-only-read"
PATIENCE_SECONDS = 120


def libpq(url, folder):
    """What libpq's programs are told of a database by; the password is in a file."""
    parts = urlsplit(url)
    password = folder / "pgpass"
    password.write_text(f"*:*:*:*:{unquote(parts.password)}\n")
    password.chmod(0o600)
    return {
        "PGHOST": parts.hostname,
        "PGPORT": str(parts.port),
        "PGUSER": parts.username,
        "PGDATABASE": parts.path[1:],
        "PGPASSFILE": str(password),
    }


class Operator:
    """Who runs the guide's commands, against one installation."""

    def __init__(self, settings, folder, backup, url=None):
        folder.mkdir(exist_ok=True)
        self.said = ""
        programs = [str(Path(postgres.binary("pg_dump")).parent), str(Path(sys.executable).parent), os.defpath]
        self.environ = environ(settings) | libpq(url or settings.database_url.get_secret_value(), folder)
        self.environ |= {"PATH": os.pathsep.join(programs), "BACKUP": str(backup), "KEY_BACKUP": str(backup / "apart")}

    def run(self, name):
        command = ["bash", "-eu", "-o", "pipefail", "-c", COMMANDS[name]]
        done = subprocess.run(
            command, env=self.environ, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
        self.said = done.stdout + done.stderr
        return done.returncode

    def do(self, *names):
        for name in names:
            assert self.run(name) == 0, self.said
        return self.said


@pytest.fixture(scope="module")
def redis(redis_server):
    return redis_server.url()


@pytest.fixture(scope="module")
def backup_url(module_database_url, postgres_server):
    """The database as the guide's role sees it, which may only read."""
    statements = re.findall(r"^(?:CREATE|GRANT) .*scaivault_backup.*;$", GUIDE.read_text(), re.MULTILINE)
    name = urlsplit(module_database_url).path[1:]
    superuser = postgres_server.url(name, postgres.SUPERUSER)
    with closing(psycopg.connect(superuser, autocommit=True)) as connection:
        for statement in statements:
            connection.execute(statement.replace("'…'", f"'{PASSWORD}'").replace(" scaivault TO ", f" {name} TO "))
        yield re.sub("//[^@]*@", f"//scaivault_backup:{PASSWORD}@", module_database_url)
        connection.execute("DROP OWNED BY scaivault_backup")
        connection.execute("DROP ROLE scaivault_backup")


@pytest.fixture(scope="module")
def before(module_database_url, backup_url, redis, tmp_path_factory):
    """A vault of two tenants and a partner, with keys of two versions, as it was; its backup."""
    folder = tmp_path_factory.mktemp("before")
    backup = folder / "backup"
    (backup / "apart").mkdir(parents=True)
    with opened(module_database_url, redis, folder) as house:
        ada, bob = furnish(house)
        for number in range(SECRETS):
            ada.write(f"app/s{number}", {"key": f"first {number}"})
            ada.write(f"app/s{number}", {"key": f"of ada {number}", "é": [number]})
            bob.write(f"app/s{number}", {"key": f"of bob {number}"})
            if number == SECRETS // 2:
                house.services.rotation.rotate_tenant(OTHER_TENANT, lambda _done, _total: None)
        entries = len(ada.audit(limit=100, action="write"))
        operator = Operator(house.settings, folder / "operator", backup, backup_url)
        operator.do("backup", "key")
        ada.write("app/s0", {"key": "after the backup"})
    return ada.token, bob.token, backup, entries


@pytest.fixture(scope="module")
def scratch(before, tmp_path_factory):
    """A PostgreSQL that has never seen the vault, with its dump."""
    folder = tmp_path_factory.mktemp("scratch")
    server = postgres.start(folder, folder / "postgres.log", postgres.FAST)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def after(before, scratch, redis, tmp_path_factory):
    """The restored vault, and what its operator was told."""
    *_, backup, _ = before
    folder = tmp_path_factory.mktemp("after")
    write_key_file(folder / "kms.key", development=True)  # another one: whoever installs anew has this
    with opened(scratch.url(), redis, folder) as empty:
        settings = empty.settings
        assert empty.client.get("/v1/health/ready").json["errors"].keys() == {"database"}
    operator = Operator(settings, folder / "operator", backup)
    operator.do("key-back", "restore", "migrate")
    with opened(scratch.url(), redis, folder) as house:
        yield house, operator


def values(house, token, name):
    voice = house.voice(token)
    answers = {path: voice.get(f"/v1/secrets/{path}") for path in (f"app/s{number}" for number in range(SECRETS))}
    assert {answer.status_code for answer in answers.values()} == {200}
    return {path: answer.json["data"] for path, answer in answers.items()}


def test_every_secret_is_back_as_it_was(before, after):
    ada, bob, *_ = before
    house, _ = after
    wanted = {f"app/s{number}": {"key": f"of ada {number}", "é": [number]} for number in range(SECRETS)}
    assert values(house, ada, "ada") == wanted
    assert values(house, bob, "bob") == {f"app/s{number}": {"key": f"of bob {number}"} for number in range(SECRETS)}


def test_earlier_versions_are_back(before, after):
    house, _ = after
    for number in range(SECRETS):
        answer = house.voice(before[0]).get(f"/v1/secrets/app/s{number}?version=1")
        assert answer.json["data"] == {"key": f"first {number}"}


def test_the_audit_trail_is_back(before, after):
    house, _ = after
    assert len(house.voice(before[0]).audit(limit=100, action="write")) == before[3]


def test_it_is_ready_and_goes_on(before, after):
    house, _ = after
    assert house.client.get("/v1/health/ready").status_code == 200
    ada = house.voice(before[0])
    ada.write("app/next", {"key": "goes on"})
    assert ada.get("/v1/secrets/app/next").json["data"] == {"key": "goes on"}


def test_the_guide_proves_that_every_key_opens(before, after, scratch):
    _, operator = after
    assert "Left under another root key than the present one: 0" in operator.do("rewrap")
    with psycopg.connect(scratch.url()) as connection:
        versions = connection.execute("SELECT count(*) FROM secret_versions").fetchone()[0]
    assert versions >= 3 * SECRETS
    said = operator.do("prove")
    assert "of which 0 are not done" in said
    assert said.split("\n")[-2:] == [str(versions), ""]


def test_a_version_that_was_damaged_is_found_by_the_proof(before, after, scratch):
    """Or the proof would prove nothing."""
    _, operator = after
    damage = """
        UPDATE secret_versions SET wrapped_key = overlay(wrapped_key PLACING %s FROM length(wrapped_key) - 3)
        WHERE (tenant_id, path, version) = ('tnt_b', 'app/s7', 1) RETURNING 1
    """
    with psycopg.connect(scratch.url()) as connection:
        kept = connection.execute(
            "SELECT wrapped_key FROM secret_versions WHERE (tenant_id, path, version) = ('tnt_b', 'app/s7', 1)"
        ).fetchone()[0]
        assert connection.execute(damage, [b"\0\0\0\0"]).fetchone()
    assert operator.run("prove") == 1
    assert "app/s7" in operator.said
    with psycopg.connect(scratch.url()) as connection:
        connection.execute(
            "UPDATE secret_versions SET wrapped_key = %s WHERE (tenant_id, path, version) = ('tnt_b', 'app/s7', 1)",
            [kept],
        )


@pytest.mark.parametrize("is_there", [False, True], ids=["no key", "another key"])
def test_without_the_key_it_is_not_ready_and_gives_nothing(before, after, scratch, redis, tmp_path, is_there):
    """`after` has shown that the very same database gives everything with it."""
    with opened(scratch.url(), redis, tmp_path) as house:
        if not is_there:
            house.settings.kms_local_key_file.unlink()
        ready = house.client.get("/v1/health/ready")
        assert (ready.status_code, ready.json["checks"]["encryption"]) == (503, "error")
        for number in range(SECRETS):
            answer = house.voice(before[0]).get(f"/v1/secrets/app/s{number}")
            assert answer.status_code == 503
            assert "of ada" not in answer.text
        written = house.voice(before[0]).put("/v1/secrets/app/lost", {"data": {"key": "value"}})
        assert written.status_code == 503
        operator = Operator(house.settings, tmp_path / "operator", before[2])
    assert operator.run("rewrap") == 1


def test_the_dump_has_no_value_in_it(before):
    assert "TABLE DATA public secret_versions" in (before[2] / "scaivault.list").read_text()
    written_out = [postgres.binary("pg_restore"), "--file=-", before[2] / "scaivault.dump"]
    dump = subprocess.run(written_out, capture_output=True, text=True, check=True).stdout
    assert "app/s7" in dump
    for number in range(SECRETS):
        for value in (f"first {number}", f"of ada {number}", f"of bob {number}"):
            assert value not in dump
            assert value.encode().hex() not in dump
