"""Webhooks over the whole API, with a worker beside it and a receiver that knows the contract only."""

import contextlib
import threading

import pytest

from scaivault.bootstrap import build_worker
from scaivault.settings import Address
from tests.receiver import Receiver

SECRET = "planted-webhook-secret-0123456789abcdef"
EVENTS = ["secret.created", "secret.updated", "secret.deleted"]


@contextlib.contextmanager
def working(house, worker_id="worker-1"):
    """A worker on the house's clock."""
    settings = house.settings.model_copy(update={"worker_ops_bind_address": Address("127.0.0.1", 0)})
    worker = build_worker(settings, worker_id, clock=house.clock)
    worker.start()
    try:
        yield worker
    finally:
        assert worker.stop(20)


@pytest.fixture
def worker(house):
    with working(house) as started:
        yield started


@pytest.fixture
def receiver():
    server = Receiver(SECRET)
    yield server
    server.close()


def hook(voice, receiver, **more):
    body = {"name": "hook", "url": receiver.url, "secret": SECRET, "events": EVENTS, **more}
    made = voice.post("/v1/webhooks", body)
    assert made.status_code == 201, made.text
    return made.json["id"]


def deliveries(voice, webhook_id, **query):
    found = voice.get(f"/v1/webhooks/{webhook_id}/deliveries", query_string=query)
    assert found.status_code == 200, found.text
    return found.json["deliveries"]


def await_deliveries(voice, webhook_id, check):
    """The worker writes down what came of an attempt after the receiver has answered."""
    waiting = threading.Event()
    for _ in range(400):
        found = deliveries(voice, webhook_id)
        if check(found):
            return found
        waiting.wait(0.05)
    raise AssertionError(found)


def test_a_new_secret_is_told_with_a_signature_that_holds(ada, worker, receiver):
    hook(ada, receiver)
    ada.write("app/db", {"password": "planted"}, metadata={"tags": ["prod"]})
    [received] = receiver.await_count(1)
    assert received.is_genuine
    event = received.event
    assert received.headers["user-agent"] == "ScaiVault-Webhook/1.0"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["x-scaivault-event-id"] == event["event_id"]
    assert received.headers["x-scaivault-event-type"] == event["event_type"] == "secret.created"
    assert event.keys() == {
        "event_id",
        "event_type",
        "timestamp",
        "tenant_id",
        "partner_id",
        "identity_id",
        "path",
        "data",
        "request_id",
    }
    assert (event["tenant_id"], event["partner_id"], event["path"]) == ("tnt_a", "ptn_test", "app/db")
    assert event["identity_id"] == "user:ada@a.example"
    assert event["data"] == {
        "version": 1,
        "secret_type": "kv",
        "created_by": "user:ada@a.example",
        "tags": ["prod"],
        "expires_at": None,
    }
    assert b"planted" not in received.body
