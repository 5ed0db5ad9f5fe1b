"""The page for administrators, while what it tells of stands still or is away: it comes in time, and says who."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from scaivault.bootstrap.api import build
from scaivault.kernel.clock import SystemClock
from scaivault.settings import Settings
from scaivault.workers.heartbeat import change_seen
from tests.faults.test_dependencies import Stage, free_port, frozen
from tests.waiting import await_true

IN_TIME_SECONDS = 3  # where a second is allowed: two cores carry all of this, and one that hangs takes minutes
DETAILED = "/v1/health/detailed"


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield Stage(tmp_path_factory.mktemp("health"), stack)


@pytest.fixture
def page(stage):
    """The page as it is made behind the door: who is asking can be known only while PostgreSQL answers."""
    services = build(Settings.from_env(stage.vault.environ | {"OPS_BIND_ADDRESS": f"127.0.0.1:{free_port()}"}))
    services.start()
    with services.database.session() as session:  # a worker that is well to the end of these tests
        change_seen(session, "colleague", SystemClock().now() + timedelta(hours=1))
    with ThreadPoolExecutor(1) as pool:
        yield lambda: pool.submit(services.system._detail.page).result(IN_TIME_SECONDS)
    services.stop()


def words(page):
    """Who is not well, a word each."""
    parts = {
        **{name: getattr(page.checks, name) for name in ("database", "redis", "encryption")},
        **{name: getattr(page, name) for name in ("migrations", "queues", "audit", "workers", "background_workers")},
    }
    return {name: part.status for name, part in parts.items() if part.status != "ok"}


def test_with_everything_there_everything_is_well(page):
    await_true(lambda: words(page()) == {} and page().status == "healthy")


def test_postgresql_that_stands_still_is_named_in_everything_that_it_knows(stage, page):
    with frozen(stage.postgres.server.process.pid):
        late = {"database", "migrations", "queues", "audit", "background_workers"}
        await_true(lambda: words(page()).keys() == late)
        assert set(words(page()).values()) <= {"timeout", "unreachable"}
        assert page().status == "degraded"
        assert page().checks.redis.memory_used_mb > 0
    await_true(lambda: words(page()) == {})


def test_redis_that_stands_still(stage, page):
    line = stage.line()
    with frozen(stage.redis.server.process.pid):
        await_true(lambda: words(page()) in ({"redis": "timeout"}, {"redis": "unreachable"}))
        assert page().checks.redis.memory_used_mb is None
        answer = line.ask("GET", DETAILED)
        assert (answer.status, answer.json["status"]) == (200, "degraded")
    await_true(lambda: words(page()) == {})
    stage.hang_up()


def test_who_comes_to_an_internal_port_that_another_has_says_so(stage):
    second = stage.open(OPS_BIND_ADDRESS=f"127.0.0.1:{stage.vault.ops_port}")
    await_true(lambda: "ops_address_is_shared" in second.log.read_text())
    assert "ops_address_is_shared" not in stage.vault.log.read_text()
    second.stop()
    stage.vault.await_ready()


def test_a_key_file_that_is_away(stage, page):
    hidden = stage.vault.key_file.with_name("away")
    stage.vault.key_file.rename(hidden)
    try:
        await_true(lambda: words(page()) == {"encryption": "unreachable"})
        assert page().checks.encryption.key_status == "unavailable"
    finally:
        hidden.rename(stage.vault.key_file)
    await_true(lambda: words(page()) == {})


def test_all_of_them_at_once_and_the_probes_are_answered(stage, page):
    vault = stage.vault
    hidden = vault.key_file.with_name("away")
    vault.key_file.rename(hidden)
    try:
        with frozen(stage.postgres.server.process.pid), frozen(stage.redis.server.process.pid):
            await_true(lambda: (vault.readiness() or {}).keys() == {"database", "redis", "encryption"})
            await_true(lambda: words(page()).keys() >= {"database", "redis", "encryption"})
            assert vault.probe("/v1/health").status == 200
    finally:
        hidden.rename(vault.key_file)
    vault.await_ready()
