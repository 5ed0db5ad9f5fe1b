"""Redis stands still or dies while limits are asked for: nobody waits for it more than once, and limits hold on."""

import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass

import pytest

from scaivault.storage.redis import CALL_SECONDS
from tests.faults.test_dependencies import CLIENTS, NEW_TENANT, TENANT, WORKERS, Stage, frozen, no_surprises
from tests.waiting import await_true

WHOAMI = "/v1/auth/whoami"
LIMIT = 40
# What a busy machine may add to a deadline.
MARGIN_SECONDS = 3.0


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield Stage(tmp_path_factory.mktemp("limits"), stack)


@pytest.fixture
def stage(standing):
    standing.settle()
    yield standing
    standing.hang_up()


@pytest.fixture(scope="module")
def narrow(standing):
    """A vault of two workers in which an identity may ask forty times."""
    vault = standing.open(RATE_LIMIT_AUTH=str(LIMIT))
    vault.await_ready()
    return vault


@dataclass
class Asked:
    status: int
    seconds: float


class Readers:
    """Clients who read one secret over and over, and note each answer and how long it took."""

    def __init__(self, stage):
        self.asked = []
        self._stage = stage
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(CLIENTS)]

    def __enter__(self):
        assert self._stage.line().ask("PUT", "/v1/secrets/limits/one", {"data": {}}).status in {200, 201}
        for thread in self._threads:
            thread.start()
        self.await_more(200)
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def await_more(self, count):
        """Until so many more were answered."""
        wanted = len(self.asked) + count
        await_true(lambda: len(self.asked) >= wanted)

    def _work(self):
        line = self._stage.line()
        while not self._stop.is_set():
            started = time.monotonic()
            status = line.ask("GET", "/v1/secrets/limits/one").status
            self.asked.append(Asked(status, time.monotonic() - started))


def local(vault, category="read"):
    return vault.gauge("scaivault_rate_limit_local_total", category=category)


def shared_again(vault, readers):
    """Whether a hundred answers in a row were decided in Redis."""
    before = local(vault)
    readers.await_more(100)
    return local(vault) == before


@contextlib.contextmanager
def stands_still(redis):
    with frozen(redis.server.process.pid):
        yield


@contextlib.contextmanager
def killed(redis):
    os.kill(redis.server.process.pid, signal.SIGKILL)
    redis.server.process.wait()
    try:
        yield
    finally:
        redis.start()


@pytest.mark.parametrize("fault", [stands_still, killed])
def test_no_request_fails_or_waits_for_more_than_the_deadline(stage, fault):
    vault = stage.vault
    with Readers(stage) as readers:
        before = local(vault)
        calm = len(readers.asked)
        with fault(stage.redis):
            await_true(lambda: local(vault) > before)
            asked = vault.gauge("scaivault_redis_latency_seconds_count")
            readers.await_more(500)
            # Those under way when it happened, and readiness; not one request after the other.
            assert vault.gauge("scaivault_redis_latency_seconds_count") - asked < 100
        await_true(lambda: shared_again(vault, readers))
    assert {each.status for each in readers.asked} == {200}
    troubled = readers.asked[calm:]
    assert max(each.seconds for each in troubled) < CALL_SECONDS + MARGIN_SECONDS
    no_surprises(vault)


def test_a_restarted_one_knows_the_script_again(stage):
    """The script is gone with the server; whoever asks next brings it along."""
    with Readers(stage) as readers:
        with killed(stage.redis):
            readers.await_more(50)
        await_true(lambda: shared_again(stage.vault, readers))
    assert {each.status for each in readers.asked} == {200}


@pytest.mark.parametrize(("fault", "tenant_id"), [(stands_still, TENANT), (killed, NEW_TENANT)])
def test_limits_hold_in_each_process_and_then_for_all_together(stage, narrow, fault, tenant_id):
    """Of an identity that has asked for nothing before: a process would remember."""

    def statuses(count):
        # A connection each: gunicorn's workers take turns.
        answers = []
        for _ in range(count):
            line = stage.line(tenant_id, narrow)
            answers.append(line.ask("GET", WHOAMI).status)
            line.hang_up()
        return answers

    with fault(stage.redis):
        started = time.monotonic()
        answers = statuses(4 * LIMIT)
        refilled = LIMIT * (time.monotonic() - started) / 60 + 1
        assert set(answers) == {200, 429}
        assert answers.count(200) <= WORKERS * (LIMIT + refilled)
        assert local(narrow, "auth") > 0
    await_true(lambda: self_counted(narrow, stage))
    started = time.monotonic()
    # One bucket again, of which there may be nothing left.
    assert statuses(4 * LIMIT).count(200) <= LIMIT + LIMIT * (time.monotonic() - started) / 60 + 1


def self_counted(vault, stage):
    """Whether all workers ask Redis again."""
    before = local(vault, "auth")
    for _ in range(8 * WORKERS):
        line = stage.line(vault=vault)
        line.ask("GET", WHOAMI)
        line.hang_up()
    return local(vault, "auth") == before
