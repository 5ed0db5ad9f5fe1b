"""`make run` as its user meets it: real processes, from the outside."""

import contextlib
import os
import re
import select
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import jwt
import psycopg
import pytest
import redis
import requests

from scaivault.dev import postgres, processes
from tests.ports import free_ports

CHECKOUT = Path(__file__).parents[2]
READY = "Ctrl-C stops everything"
SOON = 40


class Dev:
    """One `scaivault server dev`, in a folder of the test's own."""

    def __init__(self, folder, prefix=(), **environ):
        self.folder = folder
        inherited = {"PATH": os.defpath, "PYTHONPATH": str(CHECKOUT)}
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "scaivault.cli", "server", "dev"],
            cwd=CHECKOUT,
            env=inherited | {"DEV_DIR": str(folder)} | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""

    def await_words(self, words):
        for line in self.process.stdout:
            self.said += line
            if words in line:
                return self
        pytest.fail(f"ended with {self.process.wait()} before it said {words!r}:\n{self.said}")

    def end(self, number=None):
        """Exit status, after signal `number`; everything it said is in `said`."""
        if number:
            self.process.send_signal(number)
        self.said += self.process.communicate(timeout=SOON)[0]
        return self.process.returncode

    @property
    def env(self):
        text = (self.folder / "env").read_text()
        return dict(re.findall(r"^export (\w+)='?([^'\n]*)'?$", text, re.MULTILINE))


@pytest.fixture
def dev(tmp_path):
    started = []

    def start(folder=tmp_path / "dev", **environ):
        started.append(Dev(folder, **environ))
        return started[-1]

    yield start
    for each in started:
        family = descendants(each.process.pid)
        each.process.kill()
        each.process.communicate()
        await_end(family)


@pytest.fixture
def ports():
    return free_ports_of_dev()


@pytest.fixture
def brought(database_url, redis_url):
    """Servers of the user's own, which start faster than embedded ones."""
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url}


def free_ports_of_dev():
    """Where a `make run` of the test's own may listen."""
    names = ("PORT", "OPS_PORT", "EXPORTER_PORT", "WORKER_PORT")
    return dict(zip(names, map(str, free_ports(len(names))), strict=True))


def descendants(pid):
    """Process numbers of the children of `pid` and theirs."""
    parents = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, rest = file.read_text().split(" ", 1)
            parents[int(number)] = int(rest.rpartition(")")[2].split()[1])
    found = {pid}
    while grown := {child for child, parent in parents.items() if parent in found} - found:
        found |= grown
    return found - {pid}


def await_end(pids):
    """True when all have ended soon."""
    deadline = time.monotonic() + SOON
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            ended = select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]
            os.close(handle)
            if not ended:
                return False
    return True


def modes(folder):
    """What in `folder` others than its owner may touch; the database's own files are its own affair."""
    mine = [folder, *(each for each in folder.rglob("*") if "data" not in each.relative_to(folder).parts)]
    return {str(each): oct(each.stat().st_mode) for each in mine if stat.S_IMODE(each.stat().st_mode) & 0o077}


def test_days_of_a_newcomer(dev, ports):
    """First start, second start, start after kill -9 of everything, start after kill -9 of the supervisor."""
    first = dev(**ports).await_words(READY)
    env = first.env
    assert env["SCAIVAULT_URL"] == f"http://127.0.0.1:{ports['PORT']}"
    assert env["SCAIVAULT_OPS_URL"] == f"http://127.0.0.1:{ports['OPS_PORT']}"
    assert env["SCAIVAULT_EXPORTER_URL"] == f"http://127.0.0.1:{ports['EXPORTER_PORT']}"
    assert env["SCAIVAULT_WORKER_URL"] == f"http://127.0.0.1:{ports['WORKER_PORT']}"
    assert {"SCAIVAULT_TOKEN", "SCAIVAULT_READER_TOKEN"} <= set(env)
    assert env["SCAIVAULT_TOKEN"] not in first.said
    assert modes(first.folder) == {}
    assert stat.S_IMODE((first.folder / "postgres" / "data").stat().st_mode) == 0o700
    with redis.Redis.from_url(env["REDIS_URL"]) as cache:
        assert cache.ping()
    with psycopg.connect(env["DATABASE_URL"]) as database:
        assert database.execute("SHOW fsync").fetchone() == ("on",)
        database.execute("CREATE TABLE yesterday AS SELECT 'kept' AS word")
    refuses_strangers(env)
    family = descendants(first.process.pid)
    assert first.end(signal.SIGINT) == 0
    assert await_end(family)
    assert not (first.folder / "env").exists()

    second = dev(**ports).await_words(READY)
    assert second.env == env
    for pid in [second.process.pid, *descendants(second.process.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    second.end()

    third = dev(**ports).await_words(READY)
    assert third.env == env
    family = descendants(third.process.pid)
    third.end(signal.SIGKILL)

    fourth = dev(**ports).await_words(READY)
    assert await_end(family)
    with psycopg.connect(fourth.env["DATABASE_URL"]) as database:
        assert database.execute("SELECT word FROM yesterday").fetchall() == [("kept",)]
    assert fourth.end(signal.SIGTERM) == 0


def refuses_strangers(env):
    without_password = re.sub(r"//(\w*):\w+@", r"//\1@", env["DATABASE_URL"])
    assert without_password != env["DATABASE_URL"]
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(without_password)
    with (
        redis.Redis.from_url(re.sub(r"//:\w+@", "//", env["REDIS_URL"]), retry=None) as cache,
        pytest.raises(redis.AuthenticationError),
    ):
        cache.ping()


def test_servers_of_the_users_own_are_used(dev, ports, brought):
    run = dev(**ports, **brought, SCAIKEY_URL="https://scaikey.example.com").await_words(READY)
    assert {name: run.env[name] for name in brought} == brought
    assert not {"SCAIKEY_CLIENT_ID", "SCAIKEY_CLIENT_SECRET"} & set(run.env)
    for name in ("postgres", "valkey", "scaikey"):
        assert not (run.folder / name).exists()
    neighbour = dev(run.folder.with_name("other"), **ports, **brought)
    assert neighbour.end() == 1
    assert f"Port {ports['PORT']} is taken" in neighbour.said
    assert "make run PORT=" in neighbour.said
    for name in ("OPS_PORT", "EXPORTER_PORT"):
        neighbour = dev(run.folder.with_name("other"), **brought, **free_ports_of_dev() | {name: ports[name]})
        assert neighbour.end() == 1
        assert f"make run {name}=" in neighbour.said
    twin = dev(**brought, **free_ports_of_dev())
    assert twin.end() == 1
    assert "Another `make run` works in" in twin.said
    assert (run.folder / "env").exists()
    assert run.end(signal.SIGTERM) == 0


def credentials(env):
    """What the identity provider gives the client, over its own door."""
    form = {"grant_type": "client_credentials", "scope": "secrets:read secrets:write"}
    return requests.post(
        f"{env['SCAIKEY_URL']}/oauth/token",
        form,
        auth=(env["SCAIKEY_CLIENT_ID"], env["SCAIKEY_CLIENT_SECRET"]),
        timeout=10,
    )


def test_a_client_of_the_stand_in_for_scaikey_works_within_its_policy(dev, ports, brought):
    """And within the limits that whoever started it has set."""
    run = dev(**ports, **brought, RATE_LIMIT_IDENTITY_READ="54321").await_words(READY)
    env = run.env
    assert env["SCAIKEY_CLIENT_SECRET"] not in run.said
    given = credentials(env).json()
    token = {"Authorization": f"Bearer {given['access_token']}"}
    assert (given["token_type"], given["expires_in"], given["scope"]) == ("Bearer", 3600, "secrets:read secrets:write")

    def ask(method, path, headers, **more):
        return requests.request(method, env["SCAIVAULT_URL"] + path, headers=headers, timeout=10, **more)

    who = ask("GET", "/v1/auth/whoami", token).json()
    assert (who["identity_id"], who["tenant_id"]) == ("sa:ci-deployer", "tnt_dev")
    assert ask("PUT", "/v1/secrets/app/ci", token, json={"data": {"a": "b"}}).status_code == 201
    assert ask("GET", "/v1/secrets/app/ci", token).json()["data"] == {"a": "b"}
    assert ask("GET", "/v1/secrets/other/ci", token).status_code == 403

    admin = {"Authorization": f"Bearer {env['SCAIVAULT_TOKEN']}"}
    assert ask("POST", "/v1/identity/sync", admin).status_code == 202
    statuses = {"queued"}
    while statuses & {"queued", "running"}:
        statuses = {each["status"] for each in ask("GET", "/v1/identity/sync/history", admin).json()["syncs"]}
    assert statuses == {"succeeded"}
    assert ask("GET", "/v1/identity/roles", admin).headers["X-RateLimit-Limit"] == "54321"
    assert ask("GET", "/v1/identity/tenants/tnt_dev/users", admin).json()["total"] == 3
    peeping = f"{env['SCAIKEY_URL']}/api/v1/partners"
    assert requests.get(peeping, headers=token, timeout=10).status_code == 401

    scaikey = run.folder / "scaikey"
    kids = [
        key["kid"] for key in requests.get(f"{env['SCAIKEY_URL']}/.well-known/jwks.json", timeout=10).json()["keys"]
    ]
    os.kill(int((scaikey / "pid").read_text()), signal.SIGUSR1)
    kid = kids[-1]
    while kid in kids:
        kid = jwt.get_unverified_header(credentials(env).json()["access_token"])["kid"]
    assert ask("GET", "/v1/auth/whoami", token).status_code == 200

    mint = [
        sys.executable,
        "-m",
        "scaivault.dev.scaikey",
        "mint",
        str(scaikey),
        "email=alice@dev.local",
        'groups=["readers"]',
    ]
    minted = subprocess.run(mint, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.strip()
    assert jwt.decode(minted, options={"verify_signature": False})["groups"] == ["readers"]

    wrong = {"grant_type": "client_credentials", "client_id": "ci-deployer", "client_secret": "x"}
    refused = requests.post(f"{env['SCAIKEY_URL']}/oauth/token", wrong, timeout=10)
    assert (refused.status_code, refused.json()) == (401, {"error": "invalid_client"})
    right = {**wrong, "client_secret": env["SCAIKEY_CLIENT_SECRET"]}
    assert requests.post(f"{env['SCAIKEY_URL']}/oauth/token", right, timeout=10).status_code == 200
    too_much = requests.post(f"{env['SCAIKEY_URL']}/oauth/token", {**right, "scope": "admin"}, timeout=10)
    assert (too_much.status_code, too_much.json()) == (400, {"error": "invalid_scope"})
    password = requests.post(f"{env['SCAIKEY_URL']}/oauth/token", {**right, "grant_type": "password"}, timeout=10)
    assert (password.status_code, password.json()) == (400, {"error": "unsupported_grant_type"})
    assert modes(run.folder) == {}
    assert run.end(signal.SIGTERM) == 0


def test_a_child_that_dies_ends_everything(dev, ports, brought):
    run = dev(**ports, DATABASE_URL=brought["DATABASE_URL"]).await_words(READY)
    family = descendants(run.process.pid)
    valkey = next(pid for pid in family if b"valkey" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(valkey, signal.SIGKILL)
    assert run.end() == 1
    assert "Valkey ended by itself" in run.said
    assert await_end(family)
    assert not (run.folder / "env").exists()


def test_ctrl_c_while_starting_leaves_nothing(dev, ports, brought):
    run = dev(**ports, DATABASE_URL=brought["DATABASE_URL"]).await_words("Valkey on")
    family = descendants(run.process.pid)
    assert family
    assert run.end(signal.SIGINT) == 0
    assert await_end(family)
    assert not (run.folder / "env").exists()


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PORT": "https"}, "PORT must be a port number"),
        ({"PORT": "18080", "OPS_PORT": "18080"}, "PORT and OPS_PORT are both 18080"),
        ({"PORT": "18080", "EXPORTER_PORT": "18080"}, "PORT and EXPORTER_PORT are both 18080"),
        ({"RATE_LIMIT_READ": "many", "LOG_LEVEL": "loud"}, "RATE_LIMIT_READ must be a whole number"),
        ({"DEV_DIR": "/proc/dev"}, "set DEV_DIR to another"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_starts(dev, ports, environ, words):
    run = dev(**ports | environ)
    assert run.end() == 1
    assert words in run.said
    assert "Traceback" not in run.said
    assert not (run.folder / "postgres").exists()


def test_half_an_initdb_is_done_again(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("half")
    server = postgres.start(tmp_path, tmp_path / "log", postgres.FAST)
    assert server.stop()


def test_a_stale_lock_file_does_not_matter(tmp_path):
    server = postgres.start(tmp_path, tmp_path / "log", postgres.FAST)
    lock = (tmp_path / "data" / "postmaster.pid").read_text()
    assert server.stop()
    # After a reboot the number may be anybody's: here, our own.
    (tmp_path / "data" / "postmaster.pid").write_text(lock.replace(lock.split("\n")[0], str(os.getpid()), 1))
    server = postgres.start(tmp_path, tmp_path / "log", postgres.FAST)
    assert server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="as a normal user, every other test here shows it")
def test_works_without_being_root(tmp_path, dev, ports, brought):
    folder = tmp_path / "dev"
    folder.mkdir()
    os.chown(folder, processes.NOBODY, processes.NOBODY)
    prefix = processes.unprivileged([], on_our_death="KILL")
    run = dev(folder, prefix=prefix, **ports, REDIS_URL=brought["REDIS_URL"]).await_words(READY)
    family = descendants(run.process.pid)
    assert {Path(f"/proc/{pid}").stat().st_uid for pid in family} == {processes.NOBODY}
    assert modes(folder) == {}
    assert run.end(signal.SIGINT) == 0
    assert await_end(family)
