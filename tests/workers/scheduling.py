"""A worker's rotation duty, driven by hand over the whole API on a clock that is moved by hand."""

import contextlib
import json

import psycopg

from scaivault.bootstrap.base import base_of, root_key_service
from scaivault.bootstrap.worker import scheduler_of
from scaivault.features.rotation.service.upkeep import Upkeep
from scaivault.kernel.calls import Listeners
from scaivault.observability.catalogue.vocabulary import WORKER

POLICIES = "/v1/rotation/policies"
GENERATED = [{"name": "password", "generator": "random", "config": {"length": 24}}]
EVENTS = [
    "rotation.completed",
    "rotation.due",
    "rotation.failed",
    "rotation.overdue",
    "secret.rotated",
    "secret.updated",
]


class Site:
    """A house, its administrator, and what would run in a worker."""

    def __init__(self, house, voice, base):
        self.house, self.voice, self.base = house, voice, base
        self.clock = house.clock
        self.scheduler = scheduler_of(base)
        self.upkeep = Upkeep(base.database, base.clock)
        self.url = house.settings.database_url.get_secret_value()

    def another_scheduler(self):
        return scheduler_of(self.base)

    def work(self, scheduler=None):
        """Until nothing is due any more."""
        while self.upkeep.run():
            pass
        worker = scheduler or self.scheduler
        while worker.run() or worker.run_costly():
            pass

    def forward(self, **span):
        self.clock.forward(**span)
        self.work()

    def listen(self, events=EVENTS):
        """Somebody who listens, and is never told: what he would hear is in the outbox."""
        body = {"name": "hook", "url": "https://receiver.example", "secret": "s" * 40, "events": events}
        made = self.voice.post("/v1/webhooks", body)
        assert made.status_code == 201, made.text

    def events(self, *kinds):
        """What was told, oldest first: type and data."""
        rows = self.rows("SELECT body FROM events ORDER BY sequence")
        told = [json.loads(body) for (body,) in rows]
        return [each for each in told if not kinds or each["event_type"] in kinds]

    def secret_policy(self, name="passwords", **more):
        made = self.voice.post("/v1/secret-policies", {"name": name, "fields": GENERATED, **more})
        assert made.status_code == 201, made.text
        return made.json["id"]

    def policy(self, name="monthly", interval="30d", **more):
        made = self.voice.post(POLICIES, {"name": name, "interval": interval, **more})
        assert made.status_code == 201, made.text
        return made.json["id"]

    def under(self, path, policy_id, **options):
        self.voice.write(path, {"password": "first"}, options={"rotation_policy_id": policy_id, **options})

    def version(self, path="app/db"):
        [(version,)] = self.rows("SELECT current_version FROM secrets WHERE path = %s", path)
        return version

    def schedule(self, path="app/db"):
        """State, due time and next look, or None."""
        found = self.rows("SELECT state, due_at, wake_at FROM secret_rotations WHERE path = %s", path)
        return found[0] if found else None

    def history(self, policy_id, **query):
        found = self.voice.get(f"{POLICIES}/{policy_id}/history", query_string=query)
        assert found.status_code == 200, found.text
        return found.json["history"]

    def rows(self, query, *parameters):
        with psycopg.connect(self.url) as connection:
            return connection.execute(query, parameters).fetchall()

    def run(self, statement, *parameters):
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement, parameters)


@contextlib.contextmanager
def site_of(house, voice):
    base = base_of(house.settings, house.clock, root_key_service(house.settings), Listeners(), WORKER)
    base.instruments.make_worker_series()
    base.database.open()
    try:
        yield Site(house, voice, base)
    finally:
        base.database.close()
