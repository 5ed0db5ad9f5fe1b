"""`scaivault server worker`, killed at every point it can reach while the vault is written to.

A real process, a real receiver that was written from the contract only; what must hold is that every committed event
arrives, genuine, at least once, and on each path for the first time in the order in which it was committed.
"""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time

import psycopg
import pytest

from tests.faults.test_key_rotation import environ
from tests.house import furnish, opened
from tests.receiver import Receiver, answer, status
from tests.security.wire import free_ports
from tests.waiting import await_true

SECRET = "a-secret-that-only-the-receiver-knows"
PATHS = 6
EVENTS = ["secret.created", "secret.updated"]


class Site:
    """A house with a webhook, and workers that are processes."""

    def __init__(self, house, receiver, folder):
        self.house, self.receiver, self.folder = house, receiver, folder
        self.ada, _ = furnish(house)
        self.environ = environ(house.settings)
        self.database_url = self.environ["DATABASE_URL"]
        self.workers = []
        body = {"name": "hook", "url": receiver.url, "secret": SECRET, "events": EVENTS}
        self.webhook = self.ada.post("/v1/webhooks", body).json["id"]
        self.stopping = threading.Event()
        self.writer = threading.Thread(target=self._write)

    def start(self):
        port, _ = free_ports(2)
        with (self.folder / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "scaivault.cli", "server", "worker"],
                env=self.environ | {"WORKER_OPS_BIND_ADDRESS": f"127.0.0.1:{port}", "SHUTDOWN_SECONDS": "15"},
                stdout=log,
                stderr=log,
            )
        worker.port = port
        self.workers.append(worker)
        return worker

    def kill(self, worker):
        worker.kill()
        worker.wait()
        # As if the time of its lease had passed.
        self.run("UPDATE webhook_lanes SET leased_until = now() - interval '1 second' WHERE lease IS NOT NULL")

    def close(self):
        self.stopping.set()
        if self.writer.is_alive():
            self.writer.join()
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()

    def run(self, statement):
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(statement)

    def rows(self, query):
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query).fetchall()

    def write(self, times):
        for number in range(times):
            self.ada.write(f"app/{number % PATHS}")

    def _write(self):
        number = 0
        while not self.stopping.wait(0.01):
            self.ada.write(f"app/{number % PATHS}")
            number += 1

    def undone(self):
        return self.rows(
            """
            SELECT (SELECT count(*) FROM events WHERE NOT is_dispatched)
                 + (SELECT count(*) FROM webhook_deliveries WHERE status <> 'success')
            """
        )[0][0]

    def await_done(self, seconds=90):
        await_true(lambda: self.undone() == 0, seconds)

    def check(self):
        """What the whole is for."""
        committed = self.rows("SELECT id, path FROM events ORDER BY sequence")
        received = list(self.receiver.received)
        assert all(each.is_genuine for each in received)
        assert {each.event_id for each in received} == {event_id for event_id, _ in committed}
        first = list(dict.fromkeys(each.event_id for each in received))
        for number in range(PATHS):
            on_path = [event_id for event_id, path in committed if path == f"app/{number}"]
            assert [event_id for event_id in first if event_id in set(on_path)] == on_path
        ended = self.rows("SELECT count(*) FROM audit_log WHERE action = 'webhook_delivery' AND success")
        assert ended == [(len(committed),)]
        told = (self.folder / "worker.log").read_text()
        assert "worker_started" in told
        assert SECRET not in told
        assert self.receiver.url not in told
        return len(received) - len(committed)


@pytest.fixture
def receiver():
    server = Receiver(SECRET)
    yield server
    server.close()


@pytest.fixture
def site(database_url, redis_url, tmp_path, receiver):
    with (
        opened(database_url, redis_url, tmp_path) as house,
        contextlib.closing(Site(house, receiver, tmp_path)) as made,
    ):
        yield made


def probe(worker, page="/v1/health"):
    connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=5)
    try:
        connection.request("GET", page)
        return connection.getresponse().read().decode()
    except OSError:
        return ""
    finally:
        connection.close()


def during_an_attempt(site, worker):
    """Its request is at the receiver, which answers when nobody is there any more to hear it."""
    arrived, killed = threading.Event(), threading.Event()

    def behave(_received, handler):
        arrived.set()
        killed.wait(30)
        with contextlib.suppress(OSError):
            answer(handler, 200)

    site.receiver.behave = behave
    assert arrived.wait(40)
    site.kill(worker)
    site.receiver.behave = status(200)
    killed.set()


def after_an_attempt(site, worker):
    """The receiver has answered; nothing of it is written down yet, or just so."""
    answered = threading.Event()

    def behave(_received, handler):
        answer(handler, 200)
        answered.set()

    site.receiver.behave = behave
    assert answered.wait(40)
    site.kill(worker)
    site.receiver.behave = status(200)


def while_it_dispatches(site, worker):
    """Events are there that are in no queue yet, and it is at work."""
    before = len(site.receiver.received)
    await_true(lambda: len(site.receiver.received) > before, 40)
    await_true(lambda: site.rows("SELECT 1 FROM events WHERE NOT is_dispatched LIMIT 1"), 40)
    site.kill(worker)


def with_a_lane_in_hand(site, worker):
    await_true(lambda: site.rows("SELECT 1 FROM webhook_lanes WHERE lease IS NOT NULL"), 40)
    site.kill(worker)


def while_it_starts(site, worker):
    time.sleep(0.3)  # somewhere in the middle of it: there is nothing that could be awaited
    site.kill(worker)


def test_killed_at_every_point_it_loses_nothing(site):
    site.writer.start()
    points = [
        during_an_attempt,
        while_it_dispatches,
        after_an_attempt,
        with_a_lane_in_hand,
        while_it_starts,
        during_an_attempt,
        after_an_attempt,
    ]
    for point in points:
        point(site, site.start())
    site.stopping.set()
    site.writer.join()
    last = site.start()
    site.await_done()
    repeated = site.check()
    assert repeated >= 1
    last.send_signal(signal.SIGTERM)
    assert last.wait(20) == 0


def test_told_to_end_it_finishes_and_gives_back_what_it_has(site):
    worker = site.start()
    site.write(30)
    site.receiver.await_count(1, 40)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert site.rows("SELECT count(*) FROM webhook_lanes WHERE lease IS NOT NULL") == [(0,)]
    assert site.rows("SELECT count(*) FROM workers") == [(0,)]
    site.start()
    site.await_done()
    assert site.check() == 0


def test_a_second_one_at_its_address_says_so_and_ends(site):
    """Else the kernel would deal probes and scrapes out between two, and counters would go back and forth."""
    worker = site.start()
    await_true(lambda: "healthy" in probe(worker))
    second = subprocess.run(
        [sys.executable, "-m", "scaivault.cli", "server", "worker"],
        env=site.environ | {"WORKER_OPS_BIND_ADDRESS": f"127.0.0.1:{worker.port}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert f"WORKER_OPS_BIND_ADDRESS 127.0.0.1:{worker.port} can not be had: Address already in use." in second.stderr


def test_its_metrics_say_whether_it_is_ready(site):
    """From the first look on, and of itself: it needs no API."""
    worker = site.start()
    await_true(lambda: "\nscaivault_ready 1.0\n" in (probe(worker, "/v1/metrics") or ""))
    page = probe(worker, "/v1/metrics")
    for dependency in ("database", "redis", "encryption"):
        assert f'\nscaivault_dependency_ready{{dependency="{dependency}"}} 1.0\n' in page


def test_when_its_database_hangs_up_it_goes_on_afterwards(site):
    worker = site.start()
    site.write(6)
    site.receiver.await_count(6, 40)
    for _ in range(3):
        site.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        for number in range(PATHS):  # the API was hung up on too, and says so once
            await_true(lambda path=f"/v1/secrets/app/{number}": site.ada.put(path, {"data": {}}).status_code == 200)
    site.await_done()
    site.check()
    assert worker.poll() is None
    metrics = probe(worker, "/v1/metrics")
    assert 'scaivault_webhook_deliveries_total{status="success",webhook="' in metrics
    assert 'scaivault_worker_last_success_timestamp_seconds{job="event_dispatch"}' in metrics
    assert '"healthy"' in probe(worker)


def test_of_two_the_other_takes_over_when_a_lease_has_ended(site):
    """Without anybody's help: this one waits for the lease of a killed worker to end by itself."""
    arrived, killed = threading.Event(), threading.Event()

    def behave(_received, handler):
        arrived.set()
        killed.wait(40)
        with contextlib.suppress(OSError):
            answer(handler, 200)

    site.receiver.behave = behave
    first = site.start()
    site.write(PATHS)
    assert arrived.wait(40)
    site.start()
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    site.receiver.behave = status(200)
    killed.set()
    site.await_done(60)
    site.check()
