"""Real exporters over real servers that are frozen, cut, killed and brought back."""

import contextlib
import re
import signal
import threading
import time

import psycopg
import pytest

from scaivault.crypto.kms.local import write_key_file
from scaivault.dev import postgres
from scaivault.storage import migrate
from tests.exporter.furnishing import add_reads, add_secrets, add_tenants, run
from tests.exporter.processes import CHECKOUT, INTERVAL_SECONDS, Exporter, cluster
from tests.faults.test_dependencies import Postgres, Redis, frozen
from tests.waiting import await_true

WITHIN_SECONDS = INTERVAL_SECONDS + 3  # a busy machine is slower than its timers
PASSWORD = "as-the-page-says"
SECRETS, TOKEN = ("scaivault_secrets", "tnt_a"), "hunter2-planted"


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exporter")
    database, cache = Postgres(folder / "postgres"), Redis(folder / "valkey")
    migrate.apply(database.server.url())
    add_tenants(database.server.url(), "tnt_a")
    add_secrets(database.server.url(), "tnt_a", 7)
    add_reads(database.server.url(), "tnt_a", "user:x", 3)
    write_key_file(folder / "root.key", development=True)
    yield database, cache, folder
    cache.stop()
    database.stop()


@pytest.fixture
def environ(servers):
    database, cache, folder = servers
    return {
        "SCAIVAULT_ENV": "development",
        "EXPORTER_DATABASE_URL": postgres.ensure_exporter(database.server),
        "REDIS_URL": cache.server.url(),
        "KMS_PROVIDER": "local",
        "KMS_LOCAL_KEY_FILE": str(folder / "root.key"),
    }


@pytest.fixture
def start(environ):
    with contextlib.ExitStack() as stack:

        def start(*arguments, **more):
            exporter = Exporter(environ | more, *arguments)
            stack.callback(exporter.kill)
            return exporter

        yield start


@pytest.fixture
def pair(start):
    """Two exporters, the first of which leads."""
    first = start().await_telling()
    second = start()
    await_true(second.samples)
    assert not second.leads()
    return first, second


def test_the_leader_tells_and_the_other_says_that_it_does_not(pair):
    first, second = pair
    told = first.await_telling("scaivault_top_readers").samples()
    assert told[SECRETS] == 7
    assert told["scaivault_secrets_total", "tnt_a"] == 7
    assert told["scaivault_top_readers", "tnt_a/user:x"] == 3
    assert told["scaivault_kms_key_usable",] == 1
    assert cluster(second.samples()) == {}
    assert second.samples()["scaivault_exporter_up", "secrets"] == 0
    assert second.get("/healthz") == (200, '{"status": "healthy"}')


def test_sigterm_ends_it_soon_and_the_other_takes_over(pair):
    first, second = pair
    assert first.end()[0] == 0
    second.await_telling()


def test_a_leader_that_is_killed_is_replaced(pair):
    first, second = pair
    first.send(signal.SIGKILL)
    second.await_telling()


def test_a_leader_that_is_frozen_is_replaced_and_never_heard_of_again(pair):
    """Its connection lives, its socket takes requests: what it answers when it wakes must not be what it knew."""
    first, second = pair
    answers = []
    first.send(signal.SIGSTOP)
    asking = threading.Thread(target=lambda: answers.append(first.samples()))
    asking.start()  # lies in the frozen one's queue until it wakes
    began = time.monotonic()
    second.await_telling()
    assert time.monotonic() - began < WITHIN_SECONDS
    first.send(signal.SIGCONT)
    asking.join()
    later = [first.samples() for _ in range(20)]
    assert all(cluster(each) == {} for each in [answer for answer in answers if answer] + later)
    assert second.leads()
    assert not first.leads()


def test_a_leader_whose_session_is_cut_withdraws_at_once(servers, pair):
    """At no moment do two of them tell. The one that may begin is asked first: what it tells, the other has ceased to."""
    first, second = pair
    doubled, done = [], threading.Event()

    def look():
        while not done.is_set():
            doubled.append(second.tells() and first.tells())

    looking = threading.Thread(target=look)
    looking.start()
    superuser = servers[0].server.url(user=postgres.SUPERUSER)
    run(superuser, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted")
    await_true(lambda: not first.tells())
    await_true(lambda: first.tells() or second.tells())
    done.set()
    looking.join()
    assert len(doubled) > 1
    assert not any(doubled)


def test_a_database_that_is_frozen_takes_its_values_with_it_and_nothing_else(servers, pair):
    first, second = pair
    with frozen(servers[0].server.process.pid):
        await_true(lambda: not first.tells())
        found = first.samples()
        assert cluster(found) == {}
        assert found["scaivault_exporter_up", "secrets"] == 0
        assert found["scaivault_exporter_last_success_timestamp_seconds", "secrets"] > 0
        assert [each.get("/healthz")[0] for each in pair] == [200, 200]
    await_true(lambda: first.tells() or second.tells())


def test_a_collector_that_hangs_delays_no_other_and_its_values_vanish(start, servers):
    """The table it reads is locked: the look waits, is ended by the server, and fails."""
    exporter = start().await_telling()
    with psycopg.connect(servers[0].server.url()) as locker:
        locker.execute("LOCK TABLE secret_counts")
        await_true(lambda: not exporter.tells())
        found = exporter.samples()
        assert found["scaivault_exporter_up", "secrets"] == 0
        assert found["scaivault_exporter_up", "kms"] == 1
        assert found["scaivault_kms_key_usable",] == 1
    exporter.await_telling()


def test_a_key_service_that_is_away_is_a_fact_and_no_failure(start, servers):
    exporter = start(KMS_LOCAL_KEY_FILE=str(servers[2] / "away.key")).await_telling("scaivault_kms_key_usable")
    found = exporter.samples()
    assert found["scaivault_kms_key_usable",] == 0
    assert found["scaivault_exporter_up", "kms"] == 1


def test_a_redis_that_is_frozen_delays_nothing(servers, start):
    with frozen(servers[1].server.process.pid):
        exporter = start().await_telling()
        assert exporter.get("/healthz")[0] == 200
        first = exporter.samples()["scaivault_exporter_last_success_timestamp_seconds", "secrets"]
        await_true(lambda: exporter.samples()["scaivault_exporter_last_success_timestamp_seconds", "secrets"] > first)


def test_a_port_that_is_taken_is_named(start):
    first = start()
    await_true(first.samples)
    second = start(EXPORTER_BIND_ADDRESS=f"127.0.0.1:{first.port}")
    out, err = second.process.communicate(timeout=20)
    assert second.process.returncode == 1
    assert "EXPORTER_BIND_ADDRESS" in err
    assert str(first.port) in err
    assert "Traceback" not in out + err


def test_once_prints_all_of_it_whoever_leads(pair, start):
    once = start("--once")
    out, err = once.process.communicate(timeout=20)
    assert (once.process.returncode, err) == (0, "")
    assert 'scaivault_secrets{tenant="tnt_a"} 7.0' in out
    assert "scaivault_exporter_leader 0.0" in out
    assert pair[0].leads()


def test_once_names_who_failed(start):
    once = start("--once", EXPORTER_DATABASE_URL=f"postgresql://nobody:{TOKEN}@127.0.0.1:1/nothing")
    out, err = once.process.communicate(timeout=20)
    assert once.process.returncode == 1
    assert err.endswith("Did not succeed: secrets, readers, kms, webhooks, rotation, workers.\n")
    assert 'scaivault_exporter_up{collector="secrets"} 0.0' in out
    assert TOKEN not in out + err


def test_faults_are_told_at_once_and_help_reads_well(start):
    faulty = start(EXPORTER_INTERVAL_SECONDS="1", LOG_LEVEL="loud")
    _, err = faulty.process.communicate(timeout=20)
    assert faulty.process.returncode == 2
    assert [line.split()[0] for line in err.splitlines()[1:]] == ["EXPORTER_INTERVAL_SECONDS", "LOG_LEVEL"]
    helping = start("--help")
    out, _ = helping.process.communicate(timeout=20)
    assert "--once" in out
    assert "EXPORTER_BIND_ADDRESS" in out


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT secret_path FROM audit_log",
        "SELECT source_ip FROM audit_log",
        "SELECT * FROM secrets",
        "SELECT * FROM secret_versions",
        "SELECT * FROM tokens",
        "SELECT * FROM tenant_keys",
        "UPDATE secret_counts SET live = 0",
        "INSERT INTO key_rotations VALUES ('root', now())",
        "DELETE FROM audit_log",
        "CREATE TABLE mine ()",
    ],
)
def test_its_role_may_read_what_it_counts_and_nothing_else(environ, statement):
    with (
        psycopg.connect(environ["EXPORTER_DATABASE_URL"]) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


def test_what_the_page_for_operators_grants_is_enough_for_all_looks(servers, environ, start):
    """By a role of its own, made by the page's statements: a grant that is missing is found, whoever else forgot it."""
    run(servers[0].server.url(user=postgres.SUPERUSER), documented().replace(postgres.EXPORTER, "as_documented"))
    place = environ["EXPORTER_DATABASE_URL"].partition("@")[2]
    once = start("--once", EXPORTER_DATABASE_URL=f"postgresql://as_documented:{PASSWORD}@{place}")
    out, err = once.process.communicate(timeout=60)
    assert (once.process.returncode, err) == (0, "")
    assert 'scaivault_secrets{tenant="tnt_a"} 7.0' in out


def documented():
    """The statements of the page, with a password."""
    page = (CHECKOUT / "docs" / "operations" / "exporter.md").read_text()
    (statements,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    return statements.replace("…", PASSWORD)


def test_the_page_for_operators_grants_what_make_run_does():
    statements = [" ".join(each.split()) for each in documented().split(";")]
    assert [each for each in statements if each.startswith("GRANT")] == list(postgres.EXPORTER_GRANTS)
