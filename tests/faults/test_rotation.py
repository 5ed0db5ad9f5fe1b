"""Workers that rotate, killed in the middle, over and over: every secret is rotated exactly once for one due time."""

import contextlib
import itertools
import random
import signal
import subprocess
import sys
import time

import psycopg
import pytest

from tests.faults.test_key_rotation import environ
from tests.house import furnish, opened
from tests.security.wire import free_ports
from tests.waiting import await_true

SECRETS = 400
KILLS = 6
FIELDS = [{"name": "password", "generator": "random", "config": {"length": 24}}]


class Site:
    """A house with secrets that are due, and workers that are processes."""

    def __init__(self, house, folder):
        self.house, self.folder = house, folder
        self.ada, _ = furnish(house)
        self.environ = environ(house.settings)
        self.workers = []
        maker = self.ada.post("/v1/secret-policies", {"name": "p", "fields": FIELDS}).json["id"]
        body = {"name": "monthly", "interval": "30d", "auto_generate": True, "secret_policy_id": maker}
        self.policy = self.ada.post("/v1/rotation/policies", body).json["id"]
        for number in range(SECRETS):
            self.ada.write(f"app/{number}", {"password": "first"}, options={"rotation_policy_id": self.policy})

    def fall_due(self):
        self.run(
            "UPDATE secret_rotations SET counts_from = counts_from - interval '30 days',"
            " due_at = due_at - interval '30 days', wake_at = wake_at - interval '30 days'"
        )

    def start(self):
        port, _ = free_ports(2)
        with (self.folder / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "scaivault.cli", "server", "worker"],
                env=self.environ | {"WORKER_OPS_BIND_ADDRESS": f"127.0.0.1:{port}", "SHUTDOWN_SECONDS": "15"},
                stdout=log,
                stderr=log,
            )
        self.workers.append(worker)
        return worker

    def kill(self, worker):
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    def end_leases(self):
        """As if their time had passed: also of the living, whose work then finds that it is not theirs any more."""
        self.run("UPDATE secret_rotations SET wake_at = now() WHERE due_at <= now() AND wake_at > now()")

    def close(self):
        for worker in self.workers:
            if worker.poll() is None:
                self.kill(worker)

    def run(self, statement):
        with psycopg.connect(self.environ["DATABASE_URL"], autocommit=True) as connection:
            connection.execute(statement)

    def rows(self, query):
        with psycopg.connect(self.environ["DATABASE_URL"]) as connection:
            return connection.execute(query).fetchall()

    def done(self):
        return self.rows("SELECT count(*) FROM secrets WHERE current_version > 1")[0][0]


@pytest.fixture
def site(database_url, redis_url, tmp_path):
    with opened(database_url, redis_url, tmp_path) as house, contextlib.closing(Site(house, tmp_path)) as made:
        yield made


def test_killed_anywhere_they_rotate_each_secret_once(site):
    site.fall_due()
    living = [site.start(), site.start()]
    for number in range(KILLS):
        before = site.done()
        await_true(lambda before=before: site.done() > min(before + 10, SECRETS - 1), 60)
        time.sleep(random.uniform(0, 0.1))  # anywhere: there is nothing that could be awaited
        site.kill(living.pop(0))
        living.append(site.start())
        if number % 2:
            site.end_leases()
    site.end_leases()
    await_true(lambda: site.done() == SECRETS, 120)
    assert site.rows("SELECT DISTINCT current_version FROM secrets") == [(2,)]
    assert site.rows("SELECT DISTINCT status, count(*) FROM rotation_history GROUP BY status") == [("success", SECRETS)]
    assert site.rows("SELECT count(*), count(DISTINCT path) FROM rotation_history") == [(SECRETS, SECRETS)]
    rotated = "SELECT count(*), count(DISTINCT secret_path) FROM audit_log WHERE action = 'rotate' AND success"
    assert site.rows(rotated) == [(SECRETS, SECRETS)]
    later = "SELECT count(*) FROM secret_rotations WHERE state = 'scheduled' AND due_at > now() AND wake_at > now()"
    assert site.rows(later) == [(SECRETS,)]
    passwords = {site.ada.get(f"/v1/secrets/app/{number}").json["data"]["password"] for number in range(SECRETS)}
    assert len(passwords) == SECRETS
    told = (site.folder / "worker.log").read_text()
    assert not [each for each in itertools.islice(passwords, 50) if each in told]
    assert "app/1" not in told
    last = living.pop()
    last.send_signal(signal.SIGTERM)
    assert last.wait(30) == 0
