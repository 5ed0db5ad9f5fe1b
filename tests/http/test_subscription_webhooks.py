"""Subscriptions that are delivered: webhooks with globs and an owner, administered as subscriptions are."""

import threading

import psycopg
import pytest

from scaivault.kernel.caller import Scope
from tests.http.test_subscriptions import CHANGES, LISTENER, code
from tests.http.test_webhooks import SECRET, receiver, worker
from tests.receiver import status

__all__ = ["receiver", "worker"]

OTHER_SECRET = "another-webhook-secret-0123456789abcdef"


def body(receiver, **more):
    delivery = {"type": "webhook", "url": receiver.url, "secret": SECRET}
    return {"name": "delivered", "paths": ["app/*"], "events": CHANGES, "delivery": delivery, **more}


def subscribe(voice, receiver, **more):
    made = voice.post("/v1/subscriptions", body(receiver, **more))
    assert made.status_code == 201, made.text
    return made.json["id"]


def count(database_url, table):
    with psycopg.connect(database_url) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_it_is_told_as_a_webhook_is_and_only_of_its_paths(ada, worker, receiver):
    subscribe(ada, receiver)
    for path in ("app/a", "app/deep/a", "other/a", "app/b"):
        ada.write(path)
    received = receiver.await_count(2)
    assert all(each.is_genuine for each in received)
    assert [each.event["path"] for each in received] == ["app/a", "app/b"]


def test_what_it_shows_is_no_secret(ada, receiver):
    one = f"/v1/subscriptions/{subscribe(ada, receiver)}"
    shown = ada.get(one)
    assert SECRET not in shown.text
    assert shown.json["delivery"] == {
        "type": "webhook",
        "buffer_size": None,
        "url": receiver.url,
        "previous_secret_expires_at": None,
    }
    assert (shown.json["status"], shown.json["enabled"]) == ("active", True)


def test_to_the_webhooks_it_does_not_exist(ada, receiver):
    mine = subscribe(ada, receiver)
    one = f"/v1/webhooks/{mine}"
    assert ada.get("/v1/webhooks").json["webhooks"] == []
    for answer in (
        ada.get(one),
        ada.patch(one, {"enabled": False}),
        ada.delete(one),
        ada.post(f"{one}/test"),
        ada.get(f"{one}/deliveries"),
        ada.post(f"{one}/deliveries/del_{'0' * 32}/redeliver"),
    ):
        assert code(answer) == (404, "webhook_not_found")
    assert ada.get(f"/v1/subscriptions/{mine}").status_code == 200


def test_it_is_not_polled(ada, receiver):
    one = f"/v1/subscriptions/{subscribe(ada, receiver)}"
    assert code(ada.get(f"{one}/poll?timeout=0")) == (404, "subscription_not_found")
    assert code(ada.post(f"{one}/ack", {"event_ids": ["evt_1"]})) == (404, "subscription_not_found")
    assert code(ada.patch(one, {"delivery": {"buffer_size": 10}})) == (400, "invalid_request")


def test_it_takes_an_administrator(house, ada, receiver):
    lena = house.someone("user:lena@a.example", scopes=LISTENER)
    house.allow(ada, "user:lena@a.example", ("**", ["admin"]))
    assert code(lena.post("/v1/subscriptions", body(receiver))) == (403, "access_denied")
    narrow = house.someone("user:ada@a.example", scopes=frozenset(Scope) - {Scope.SUBSCRIPTIONS_WRITE})
    assert code(narrow.post("/v1/subscriptions", body(receiver))) == (403, "insufficient_scope")


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "https://user@receiver.example/", "ftp://receiver.example/"]
)
def test_its_address_is_as_guarded_as_a_webhooks(ada, receiver, url):
    delivery = {"type": "webhook", "url": url, "secret": SECRET}
    assert code(ada.post("/v1/subscriptions", body(receiver, delivery=delivery))) == (400, "invalid_webhook")
    one = f"/v1/subscriptions/{subscribe(ada, receiver)}"
    assert code(ada.patch(one, {"delivery": {"url": url}})) == (400, "invalid_webhook")


def test_a_new_secret_signs_and_the_old_one_is_good_for_a_while(ada, worker, receiver):
    one = f"/v1/subscriptions/{subscribe(ada, receiver)}"
    changed = ada.patch(one, {"delivery": {"secret": OTHER_SECRET, "previous_secret_ttl": "1h"}})
    assert changed.json["delivery"]["previous_secret_expires_at"] is not None
    ada.write("app/a")
    [received] = receiver.await_count(1)
    assert not received.is_genuine
    assert "x-scaivault-signature-previous" in received.headers
    receiver.secret = OTHER_SECRET
    ada.write("app/b")
    assert receiver.await_count(2)[1].is_genuine


def test_what_is_disabled_is_told_nothing_until_it_is_enabled(ada, worker, receiver):
    one = f"/v1/subscriptions/{subscribe(ada, receiver)}"
    assert ada.patch(one, {"enabled": False}).json["status"] == "disabled"
    ada.write("app/unheard")
    assert ada.patch(one, {"enabled": True}).json["status"] == "active"
    ada.write("app/heard")
    assert [each.event["path"] for each in receiver.await_count(1)] == ["app/heard"]


def test_a_receiver_that_fails_for_good_disables_it(house, database_url, ada, worker, receiver):
    mine = subscribe(ada, receiver)
    receiver.behave = status(500)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE webhook_lanes SET consecutive_failures = 49")
    ada.write("app/a")
    receiver.await_count(1)
    pause = threading.Event()
    for _ in range(600):
        house.clock.forward(hours=3)
        worker.crew.wake("webhook_delivery")
        shown = ada.get(f"/v1/subscriptions/{mine}").json
        if shown["status"] == "disabled":
            break
        pause.wait(0.05)
    assert (shown["status"], shown["enabled"]) == ("disabled", False)


def test_nothing_of_it_is_left_behind(database_url, ada, worker, receiver):
    mine = subscribe(ada, receiver)
    ada.write("app/a")
    receiver.await_count(1)
    assert ada.delete(f"/v1/subscriptions/{mine}").status_code == 204
    tables = ("subscriptions", "webhooks", "webhook_lanes", "webhook_secrets", "webhook_deliveries", "webhook_hours")
    assert [count(database_url, table) for table in tables] == [0] * 6
