"""One rotation by schedule, seconds after `make run`: a reader, the trail, the history, the metrics and a receiver of
events tell the same of it. The receiver knows the contract alone."""

import re
import signal

import pytest
import requests

from tests.deploy.test_dev_supervisor import READY, Dev, free_ports_of_dev
from tests.receiver import Receiver
from tests.waiting import await_true

SECRET = "a secret of thirty-two bytes or so"


class Client:
    def __init__(self, url, token):
        self.url, self.headers = url, {"Authorization": f"Bearer {token}"}

    def ask(self, method, path, body=None):
        answer = requests.request(method, f"{self.url}/v1/{path}", json=body, headers=self.headers, timeout=30)
        assert answer.ok, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    dev = Dev(tmp_path_factory.mktemp("rotation") / "dev", **free_ports_of_dev()).await_words(READY)
    try:
        yield dev.env
    finally:
        dev.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def admin(env):
    return Client(env["SCAIVAULT_URL"], env["SCAIVAULT_TOKEN"])


@pytest.fixture(scope="module")
def told():
    receiver = Receiver(SECRET)
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def policy_id(admin, told):
    """Of a policy under which a secret has come that is due ten seconds later."""
    hook = {"name": "all", "url": told.url, "secret": SECRET, "events": ["secret.rotated", "rotation.completed"]}
    admin.ask("POST", "webhooks", hook)
    made_by = admin.ask("POST", "secret-policies", {"name": "passwords", "policy_type": "password"})["id"]
    often = {"name": "often", "interval": "10s", "auto_generate": True, "secret_policy_id": made_by}
    made = admin.ask("POST", "rotation/policies", often)["id"]
    options = {"rotation_policy_id": made}
    admin.ask("PUT", "secrets/app/renewed", {"data": {"password": "mine"}, "options": options})
    return made


@pytest.fixture(scope="module")
def rotated(told, policy_id):
    """The event of the first rotation."""
    arrived = told.await_true(lambda received: "secret.rotated" in [each.event["event_type"] for each in received], 60)
    assert all(each.is_genuine for each in arrived)
    return next(each.event for each in arrived if each.event["event_type"] == "secret.rotated")


def test_the_receiver_is_told_what_happened_and_why(rotated, policy_id):
    assert (rotated["path"], rotated["identity_id"]) == ("app/renewed", "system:rotation-scheduler")
    data = rotated["data"]
    assert (data["old_version"], data["new_version"], data["auto_generated"]) == (1, 2, True)
    assert data["rotation_policy_id"] == policy_id


def test_a_reader_finds_the_value_and_for_a_while_the_one_before(env, rotated):
    reader = Client(env["SCAIVAULT_URL"], env["SCAIVAULT_READER_TOKEN"])
    assert reader.ask("GET", "secrets/app/renewed?version=2")["data"]["password"] != "mine"
    assert reader.ask("GET", "secrets/app/renewed?version=1")["data"] == {"password": "mine"}


def test_history_has_it(admin, policy_id, rotated):
    first = admin.ask("GET", f"rotation/policies/{policy_id}/history")["history"][-1]
    assert (first["status"], first["triggered_by"], first["new_version"]) == ("success", "schedule", 2)


def test_the_trail_has_it(admin, rotated):
    rows = admin.ask("GET", "audit/logs?action=rotate&identity_id=system:rotation-scheduler")["logs"]
    assert {(row["secret_path"], row["success"]) for row in rows} == {("app/renewed", True)}


def test_metrics_have_it(env, rotated):
    def counted():
        page = requests.get(f"{env['SCAIVAULT_WORKER_URL']}/v1/metrics", timeout=30).text
        found = re.search(r'^scaivault_secret_rotations_total\{status="success"\} ([0-9.]+)', page, re.MULTILINE)
        return float(found[1]) >= 1

    await_true(counted)
