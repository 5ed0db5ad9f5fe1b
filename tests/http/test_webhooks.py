"""Webhooks over the whole API, with a worker beside it and a receiver that knows the contract only."""

import contextlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import psycopg
import pytest

from scaivault.bootstrap.worker import build_worker
from scaivault.kernel.caller import Role, Scope
from scaivault.settings import Address
from tests.house import Voice
from tests.receiver import Receiver, answer, is_genuine, status
from tests.told import faults

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


def await_waiting(database_url, count):
    """Until so many wait for a lock."""
    waiting = threading.Event()
    with psycopg.connect(database_url, autocommit=True) as connection:
        for _ in range(600):
            [found] = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchone()
            if found == count:
                return
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


class TestWhatIsTold:
    def test_every_change_of_a_secret_in_the_order_of_its_path(self, ada, worker, receiver):
        hook(ada, receiver)
        ada.write("app/db")
        ada.write("app/db", metadata={"tags": ["a"]})
        ada.patch("/v1/secrets/app/db:metadata", {"metadata": {"owner": "team:a"}})
        ada.post("/v1/secrets/app/db:rollback", {"version": 1})
        ada.post("/v1/secrets/app/db:destroy", {"versions": [2]})
        ada.delete("/v1/secrets/app/db")
        ada.post("/v1/secrets/app/db:recover")
        ada.delete("/v1/secrets/app/db?permanent=true")
        received = receiver.await_count(8)
        assert all(each.is_genuine for each in received)
        told = [(each.event["event_type"], each.event["data"]) for each in received]
        by = {"updated_by": "user:ada@a.example", "is_rotation": False}
        assert [kind for kind, _ in told] == [
            "secret.created",
            *["secret.updated"] * 4,
            "secret.deleted",
            "secret.updated",
            "secret.deleted",
        ]
        assert told[1][1] == {"old_version": 1, "new_version": 2, **by}
        assert told[2][1] == {"old_version": 2, "new_version": 2, **by, "changed": "metadata"}
        assert told[3][1] == {"old_version": 2, "new_version": 3, **by, "rollback_to": 1}
        assert told[4][1] == {"old_version": 3, "new_version": 3, **by, "destroyed_versions": [2]}
        assert told[5][1].keys() == {"version_count", "deleted_by", "permanent", "recoverable_until"}
        assert told[5][1]["permanent"] is False
        assert told[6][1]["changed"] == "recovered"
        assert told[7][1] == {"version_count": 3, "deleted_by": "user:ada@a.example", "permanent": True}

    def test_what_policies_become_and_whom_they_refuse(self, house, ada, worker, receiver):
        kinds = [f"policy.{each}" for each in ("created", "updated", "deleted", "violation")]
        hook(ada, receiver, events=[*kinds, "policy.binding.created", "policy.binding.deleted"])
        stranger = house.someone("user:stranger@a.example")
        assert stranger.get("/v1/secrets/app/db").status_code == 403
        policy = house.allow(ada, "user:x", ("app/*", ["read"]))
        ada.patch(f"/v1/policies/{policy}", {"is_active": False})
        [binding] = ada.get(f"/v1/policies/{policy}/bindings").json["bindings"]
        ada.delete(f"/v1/policies/{policy}/bindings/{binding['id']}")
        ada.delete(f"/v1/policies/{policy}")
        events = {each.event["event_type"]: each.event for each in receiver.await_count(6)}
        assert events.keys() == {*kinds, "policy.binding.created", "policy.binding.deleted"}
        violation = events["policy.violation"]
        assert (violation["path"], violation["identity_id"]) == ("app/db", "user:stranger@a.example")
        assert violation["data"] == {"attempted": "read", "reason": "access_denied", "failed_condition": None}
        assert "path" not in events["policy.created"]
        assert events["policy.updated"]["data"]["is_active"] is False
        assert events["policy.binding.created"]["data"]["identity_id"] == "user:x"

    def test_a_read_is_told_only_where_somebody_asks_for_it(self, database_url, ada, worker, receiver):
        ada.write("app/db")
        ada.write("app/watched", metadata={"tags": ["watched"]})
        hook(ada, receiver, events=["secret.accessed"], filters={"tags": ["watched"]})
        ada.get("/v1/secrets/app/db")
        ada.get("/v1/secrets/app/watched")
        [received] = receiver.await_count(1)
        assert (received.event["path"], received.event["data"]["version"]) == ("app/watched", 1)
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT event_type FROM events").fetchall() == [("secret.accessed",)]

    def test_nothing_is_kept_where_nobody_listens(self, database_url, ada, bob, receiver):
        hook(ada, receiver, events=["secret.deleted"])
        ada.write("app/db")
        bob.write("app/db")
        bob.delete("/v1/secrets/app/db")
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)

    def test_a_policy_that_is_deleted_by_force_tells_of_every_binding_that_goes_with_it(
        self, house, database_url, ada, receiver
    ):
        policy = house.allow(ada, "user:x", ("app/*", ["read"]))
        bound = ada.post(f"/v1/policies/{policy}/bindings", {"identity_type": "group", "identity_id": "group:ops"})
        assert bound.status_code == 201, bound.text
        hook(ada, receiver, events=["policy.deleted", "policy.binding.deleted"])
        assert ada.delete(f"/v1/policies/{policy}?force=true").status_code == 204
        with psycopg.connect(database_url) as connection:
            told = connection.execute("SELECT event_type FROM events ORDER BY sequence").fetchall()
        assert told == [("policy.binding.deleted",), ("policy.binding.deleted",), ("policy.deleted",)]

    def test_what_is_rolled_back_is_not_told(self, database_url, ada, receiver):
        hook(ada, receiver)
        ada.write("app/db")
        assert ada.write("app/db", options={"expected_version": 1})["version"] == 2
        refused = ada.put("/v1/secrets/app/db", {"data": {}, "options": {"expected_version": 1}})
        assert refused.status_code == 409
        with psycopg.connect(database_url) as connection:
            told = connection.execute("SELECT event_type FROM events ORDER BY sequence").fetchall()
        assert told == [("secret.created",), ("secret.updated",)]


class TestEnds:
    """What nobody does: time passes."""

    KINDS = ("secret.expiring", "secret.expired")

    def pass_time(self, house, worker, **span):
        house.clock.forward(**span)
        worker.crew.wake("secret_expiry")

    def test_each_threshold_is_told_once_and_the_end(self, house, ada, worker, receiver):
        hook(ada, receiver, events=list(self.KINDS))
        ada.write("app/db", options={"expires_in": "40d"})
        for days, count in ((9, 0), (2, 1), (1, 1), (22, 2), (5, 3), (2, 4), (30, 4)):
            self.pass_time(house, worker, days=days)
            receiver.await_count(count)
        told = [(each.event["event_type"], each.event["data"]) for each in receiver.received]
        assert [data.get("threshold") for _, data in told] == ["30d", "7d", "1d", None]
        assert [data.get("days_remaining") for _, data in told] == [29, 6, 1, None]
        assert told[-1][0] == "secret.expired"
        assert told[-1][1].keys() == {"expired_at", "version"}
        assert receiver.received[0].event["identity_id"] == "system:expiry-watch"
        assert receiver.received[0].event["path"] == "app/db"

    def test_what_lives_shorter_than_a_threshold_is_not_told_of_at_once(self, house, ada, worker, receiver):
        hook(ada, receiver, events=list(self.KINDS))
        ada.write("app/db", options={"expires_in": "3d", "notify_before": ["10d", "2d", "90m"]})
        assert ada.get("/v1/secrets/app/db:metadata").json["notify_before"] == ["10d", "2d", "90m"]
        self.pass_time(house, worker, hours=30)
        receiver.await_count(1)
        self.pass_time(house, worker, hours=41)
        receiver.await_count(2)
        assert [each.event["data"]["threshold"] for each in receiver.received] == ["2d", "90m"]

    def test_a_new_value_begins_anew_and_a_deleted_one_is_not_told_of(self, house, ada, worker, receiver):
        hook(ada, receiver, events=[*self.KINDS, "secret.updated"])
        ada.write("app/db", options={"expires_in": "2d"})
        ada.write("app/gone", options={"expires_in": "2d"})
        ada.delete("/v1/secrets/app/gone")
        ada.patch("/v1/secrets/app/db:metadata", {"options": {"expires_in": "60d"}})
        self.pass_time(house, worker, days=3)
        ada.patch("/v1/secrets/app/db:metadata", {"metadata": {"owner": "team:a"}})
        received = receiver.await_count(2)
        assert [each.event["event_type"] for each in received] == ["secret.updated"] * 2

    def test_what_is_due_is_stepped_over_where_nobody_listens(self, house, database_url, ada, worker):
        ada.write("app/db", options={"expires_in": "2d"})
        self.pass_time(house, worker, days=3)
        waiting = threading.Event()
        with psycopg.connect(database_url, autocommit=True) as connection:
            for _ in range(200):
                due = connection.execute("SELECT notice_due_at FROM secrets WHERE path = 'app/db'").fetchone()
                if due == (None,):
                    break
                waiting.wait(0.05)
            assert due == (None,)
            assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)


class TestFilters:
    @pytest.mark.parametrize(
        ("filters", "told"),
        [
            ({"path_prefix": "app/"}, ["app/kv", "app/json"]),
            ({"secret_type": "json"}, ["app/json"]),
            ({"tags": ["red", "blue"]}, ["app/kv", "other/kv"]),
            ({"tags": ["red"], "path_prefix": "app/"}, ["app/kv"]),
            ({}, ["app/kv", "app/json", "other/kv"]),
        ],
    )
    def test_all_that_are_given_must_hold(self, ada, worker, receiver, filters, told):
        hook(ada, receiver, filters=filters)
        ada.write("app/kv", metadata={"tags": ["red"]})
        ada.write("app/json", secret_type="json")
        ada.write("other/kv", metadata={"tags": ["blue"]})
        ada.write("last", metadata={"tags": ["no"]}, secret_type="api_key")
        received = receiver.await_true(lambda received: set(told) <= {each.event["path"] for each in received})
        assert sorted(each.event["path"] for each in received if each.event["path"] != "last") == sorted(told)

    def test_who_listens_for_a_tag_hears_that_it_is_taken_away_and_nothing_after_that(self, ada, worker, receiver):
        hook(ada, receiver, filters={"tags": ["prod"]})
        ada.write("app/db", metadata={"tags": ["prod"]})
        ada.patch("/v1/secrets/app/db:metadata", {"metadata": {"tags": []}})
        ada.patch("/v1/secrets/app/db:metadata", {"metadata": {"owner": "team:a"}})
        ada.write("app/db", metadata={"tags": ["prod"]})
        told = [each.event for each in receiver.await_count(3)]
        assert [event["event_type"] for event in told] == ["secret.created", "secret.updated", "secret.updated"]
        assert [event["data"].get("new_version") for event in told] == [None, 1, 2]

    @pytest.mark.parametrize(
        ("events", "filters", "word"),
        [
            (["policy.created", "webhook.disabled"], {"path_prefix": "app/"}, "path"),
            (["policy.created"], {"tags": ["a"]}, "secret"),
            (["policy.violation"], {"secret_type": "kv"}, "secret"),
        ],
    )
    def test_what_would_never_let_anything_through_is_refused(self, ada, receiver, events, filters, word):
        body = {"name": "hook", "url": receiver.url, "secret": SECRET, "events": events, "filters": filters}
        webhook = hook(ada, receiver, events=events)
        also = hook(ada, receiver, filters=filters)
        for refused in (
            ada.post("/v1/webhooks", body),
            ada.patch(f"/v1/webhooks/{webhook}", {"filters": filters}),
            ada.patch(f"/v1/webhooks/{also}", {"events": events}),
        ):
            assert (refused.status_code, refused.json["error"]["code"]) == (400, "invalid_webhook")
            assert word in refused.json["error"]["details"]["fields"]["filters"]
        assert ada.get(f"/v1/webhooks/{also}").json["events"] == sorted(EVENTS)
        hook(ada, receiver, events=["policy.violation", *events], filters={"path_prefix": "app/"})

    def test_of_another_tenant_nothing_is_told(self, ada, bob, worker, receiver):
        hook(ada, receiver)
        bob.write("app/of-bob")
        ada.write("app/of-ada")
        [received] = receiver.await_count(1)
        assert received.event["path"] == "app/of-ada"


class TestTheAddress:
    def test_it_is_made_shown_listed_changed_and_deleted(self, ada, receiver):
        filters = {"path_prefix": "app/", "secret_type": "kv", "tags": ["a"]}
        webhook = hook(ada, receiver, filters=filters)
        shown = ada.get(f"/v1/webhooks/{webhook}").json
        assert shown["filters"] == filters
        assert (shown["status"], shown["enabled"], shown["events"]) == ("healthy", True, sorted(EVENTS))
        assert shown["statistics"] == {"deliveries_24h": 0, "success_rate_24h": None, "avg_latency_ms": None}
        assert shown["last_delivery"] is None
        other = hook(ada, receiver, name="other")
        assert [each["id"] for each in ada.get("/v1/webhooks").json["webhooks"]] == [other, webhook]
        page = ada.get("/v1/webhooks?limit=1").json
        assert ada.get(f"/v1/webhooks?limit=1&cursor={page['cursor']}").json["webhooks"][0]["id"] == webhook
        changed = ada.patch(f"/v1/webhooks/{webhook}", {"name": "new", "enabled": False, "filters": {}}).json
        assert (changed["name"], changed["status"], changed["filters"]["tags"]) == ("new", "disabled", [])
        assert ada.delete(f"/v1/webhooks/{webhook}").status_code == 204
        assert ada.get(f"/v1/webhooks/{webhook}").status_code == 404
        actions = [each["action"] for each in ada.audit(limit=5)]
        assert actions == ["webhook_delete", "webhook_update", "webhook_create", "webhook_create", "policy_bind"][:5]

    def test_there_are_no_more_than_a_hundred_however_many_ask_at_once(self, house, ada, receiver, database_url):
        hook(ada, receiver)
        with psycopg.connect(database_url) as connection:
            connection.execute(
                """
                INSERT INTO webhooks (tenant_id, id, name, url, events, path_prefix, tags, is_enabled, created_by,
                                      created_at, updated_at)
                SELECT tenant_id, 'wh_' || number, name, url, events, path_prefix, tags, is_enabled, created_by,
                       created_at, updated_at
                  FROM webhooks, generate_series(1, 98) AS number
                """
            )
        body = {"name": "hook", "url": receiver.url, "secret": SECRET, "events": EVENTS}

        def make(_number):
            return Voice(ada.client.application.test_client(), ada.token).post("/v1/webhooks", body).status_code

        with psycopg.connect(database_url) as holder, ThreadPoolExecutor(3) as asking:
            holder.execute("LOCK TABLE webhook_secrets IN SHARE MODE")  # nobody gets to the end of his transaction
            made = asking.map(make, range(3))
            await_waiting(database_url, 3)
            holder.rollback()
            assert sorted(made) == [201, 409, 409]

    @pytest.mark.parametrize("field", ["name", "url", "secret", "events", "enabled", "previous_secret_ttl"])
    def test_nothing_is_no_change_of_a_field_and_is_refused_by_its_name(self, ada, receiver, field):
        webhook = hook(ada, receiver)
        refused = ada.patch(f"/v1/webhooks/{webhook}", {"secret": SECRET + "2", field: None})
        assert refused.status_code in {400, 422}, refused.text
        if field != "previous_secret_ttl":  # that is told as every duration is
            assert list(refused.json["error"]["details"]["fields"]) == [field]
        assert ada.get(f"/v1/webhooks/{webhook}").json["revision"] == 1

    def test_filters_of_null_are_none(self, ada, receiver):
        webhook = hook(ada, receiver, filters={"tags": ["a"], "path_prefix": "app/"})
        changed = ada.patch(f"/v1/webhooks/{webhook}", {"filters": None})
        assert changed.json["filters"] == {"path_prefix": None, "secret_type": None, "tags": []}

    def test_of_two_changes_of_one_revision_one_is_refused(self, ada, receiver):
        webhook = hook(ada, receiver)
        seen = ada.get(f"/v1/webhooks/{webhook}")
        assert (seen.headers["ETag"], seen.json["revision"]) == ('"1"', 1)
        first = ada.patch(f"/v1/webhooks/{webhook}", {"name": "first"}, headers={"If-Match": seen.headers["ETag"]})
        assert (first.status_code, first.headers["ETag"]) == (200, '"2"')
        for refused in (
            ada.patch(f"/v1/webhooks/{webhook}", {"name": "second"}, headers={"If-Match": seen.headers["ETag"]}),
            ada.delete(f"/v1/webhooks/{webhook}", headers={"If-Match": seen.headers["ETag"]}),
        ):
            assert (refused.status_code, refused.json["error"]["code"]) == (409, "version_conflict")
            assert refused.json["error"]["details"] == {"current_revision": 2}
        assert ada.get(f"/v1/webhooks/{webhook}").json["name"] == "first"
        rolled = ada.patch(f"/v1/webhooks/{webhook}", {"secret": SECRET + "2"})
        assert rolled.json["revision"] == 3
        assert ada.delete(f"/v1/webhooks/{webhook}", headers={"If-Match": '"3"'}).status_code == 204

    def test_the_trail_tells_where_events_go_and_which_but_nothing_that_could_be_a_token(self, ada):
        url = "https://hooks.old.example:8443/services/planted-token?key=planted-key"
        body = {"name": "to chat", "url": url, "secret": SECRET, "events": EVENTS, "filters": {"path_prefix": "app/"}}
        webhook = ada.post("/v1/webhooks", body).json["id"]
        ada.patch(f"/v1/webhooks/{webhook}", {"url": "https://new.example/planted-token", "filters": {}})
        ada.patch(f"/v1/webhooks/{webhook}", {"name": "to mail", "secret": SECRET + "2"})
        ada.delete(f"/v1/webhooks/{webhook}")
        removed, renamed, moved, created = (each["extra_data"] for each in ada.audit(limit=4))
        assert (created["name"], created["host"]) == ("to chat", "hooks.old.example:8443")
        assert (created["path_prefix"], created["events"]) == ("app/", sorted(EVENTS))
        assert (moved["previous_host"], moved["host"]) == ("hooks.old.example:8443", "new.example")
        assert (moved["fields"], moved["path_prefix"]) == (["url", "filters"], None)
        assert (renamed["previous_host"], renamed["host"]) == ("new.example", "new.example")
        assert (renamed["fields"], renamed["name"]) == (["name", "secret"], "to mail")
        assert (removed["host"], removed["name"]) == ("new.example", "to mail")
        assert "planted" not in str(ada.audit(limit=10))

    def test_the_secret_is_in_no_answer(self, ada, receiver):
        webhook = hook(ada, receiver)
        changed = ada.patch(f"/v1/webhooks/{webhook}", {"secret": SECRET + "2"})
        for shown in (changed, ada.get(f"/v1/webhooks/{webhook}"), ada.get("/v1/webhooks"), ada.get("/v1/audit/logs")):
            assert SECRET not in shown.text

    @pytest.mark.parametrize(
        "fault",
        [
            {"secret": "short"},
            {"secret": None},
            {"events": []},
            {"events": ["secret.imagined"]},
            {"name": ""},
            {"filters": {"secret_type": "rumour"}},
            {"unknown": 1},
        ],
    )
    def test_what_makes_no_sense_is_refused_without_repeating_it(self, ada, receiver, fault):
        body = {"name": "hook", "url": receiver.url, "secret": SECRET, "events": EVENTS, **fault}
        answer = ada.post("/v1/webhooks", body)
        assert answer.status_code == 422, answer.text
        assert "short" not in answer.text
        assert SECRET not in answer.text

    def test_it_takes_the_scope_and_an_administrator(self, house, ada, receiver):
        body = {"name": "hook", "url": receiver.url, "secret": SECRET, "events": EVENTS}
        without_role = house.someone("user:carol@a.example")
        assert without_role.post("/v1/webhooks", body).status_code == 403
        without_scope = house.someone("user:ada@a.example", frozenset(Scope) - {Scope.ADMIN}, roles=[Role.TENANT_ADMIN])
        assert without_scope.post("/v1/webhooks", body).status_code == 403


class TestSecrets:
    def test_a_new_one_signs_at_once_and_the_old_one_beside_it_until_it_expires(self, house, ada, worker, receiver):
        webhook = hook(ada, receiver)
        changed = ada.patch(f"/v1/webhooks/{webhook}", {"secret": "n" * 32, "previous_secret_ttl": "1h"})
        assert changed.json["previous_secret_expires_at"]
        ada.write("app/one")
        [received] = receiver.await_count(1)
        assert not received.is_genuine
        assert is_genuine("n" * 32, received.headers, received.body)
        previous = received.headers | {"x-scaivault-signature": received.headers["x-scaivault-signature-previous"]}
        assert is_genuine(SECRET, previous, received.body)
        house.clock.forward(hours=2)
        ada.write("app/two")
        received = receiver.await_count(2)[-1]
        assert is_genuine("n" * 32, received.headers, received.body)
        assert "x-scaivault-signature-previous" not in received.headers
        assert ada.get(f"/v1/webhooks/{webhook}").json["previous_secret_expires_at"] is None

    def test_they_outlive_the_key_they_are_under(self, house, ada, worker, receiver):
        hook(ada, receiver)
        proof = house.services.rotation.rotate_tenant("tnt_a", lambda _done, _total: None)
        assert proof.is_complete
        assert proof.rewrapped == 1
        ada.write("app/db")
        [received] = receiver.await_count(1)
        assert received.is_genuine


class TestTrying:
    def test_a_test_says_what_came_of_it_and_counts_for_nothing(self, ada, receiver):
        webhook = hook(ada, receiver)
        tried = ada.post(f"/v1/webhooks/{webhook}/test").json
        assert (tried["status"], tried["response_code"], tried["error"]) == ("success", 200, None)
        [received] = receiver.await_count(1)
        assert received.is_genuine
        assert received.event["event_type"] == "webhook.test"
        receiver.behave = status(503)
        assert ada.post(f"/v1/webhooks/{webhook}/test").json["status"] == "failed"
        assert [each["status"] for each in deliveries(ada, webhook)] == ["failed", "success"]
        assert ada.get(f"/v1/webhooks/{webhook}").json["status"] == "healthy"

    def test_where_nobody_is_it_says_so(self, ada, receiver):
        webhook = hook(ada, receiver)
        receiver.close()
        tried = ada.post(f"/v1/webhooks/{webhook}/test").json
        assert (tried["status"], tried["response_code"], tried["error"]) == ("failed", None, "unreachable")


class TestDelivery:
    def test_the_log_tells_of_each_and_the_trail_too(self, ada, worker, receiver):
        webhook = hook(ada, receiver)
        ada.write("app/db")
        [row] = await_deliveries(ada, webhook, lambda found: [each["status"] for each in found] == ["success"])
        [received] = receiver.received
        assert (row["event_id"], row["event_type"]) == (received.event_id, "secret.created")
        assert (row["attempts"], row["response_code"], row["error"], row["next_attempt_at"]) == (1, 200, None, None)
        assert deliveries(ada, webhook, status="failed") == []
        assert len(deliveries(ada, webhook, status="success")) == 1
        shown = ada.get(f"/v1/webhooks/{webhook}").json
        assert shown["last_delivery"]["id"] == row["id"]
        assert shown["statistics"]["deliveries_24h"] == 1
        assert shown["statistics"]["success_rate_24h"] == 1.0
        [entry] = ada.audit(action="webhook_delivery")
        assert entry["identity_id"] == "system:webhooks"
        assert entry["request_id"] == received.event["request_id"]
        assert entry["extra_data"]["delivery_id"] == row["id"]
        assert (entry["secret_path"], entry["extra_data"]["host"]) == ("app/db", f"127.0.0.1:{receiver.port}")

    def test_a_receiver_that_fails_is_seen_at_its_first_attempt(self, house, ada, receiver, caplog):
        receiver.behave = status(500)
        webhook = hook(ada, receiver)
        with working(house) as worker:
            ada.write("app/db")
            [row] = await_deliveries(ada, webhook, lambda found: found and found[0]["attempts"] == 1)
            shown = ada.get(f"/v1/webhooks/{webhook}").json
            assert (shown["status"], shown["consecutive_failures"]) == ("failing", 0)
            last = shown["last_delivery"]
            assert (last["id"], last["status"], last["response_code"]) == (row["id"], "pending", 500)
            assert last["timestamp"] == row["last_attempt_at"]
            counted = [
                line
                for line in worker.instruments.render("")[0].decode().splitlines()
                if re.match(r"scaivault_webhook_(attempts|deliveries)_total\{", line)
            ]
            assert sorted(counted) == [
                f'scaivault_webhook_attempts_total{{status="failed",webhook="{webhook}"}} 1.0',
                f'scaivault_webhook_attempts_total{{status="success",webhook="{webhook}"}} 0.0',
                f'scaivault_webhook_deliveries_total{{status="failed",webhook="{webhook}"}} 0.0',
                f'scaivault_webhook_deliveries_total{{status="success",webhook="{webhook}"}} 0.0',
            ]
            receiver.behave = status(200)
            house.clock.forward(seconds=40)
            await_deliveries(ada, webhook, lambda found: found[0]["status"] == "success")
            assert ada.get(f"/v1/webhooks/{webhook}").json["status"] == "healthy"
        [said] = [record for record in caplog.records if record.getMessage() == "webhook_attempt_failed"]
        assert (said.levelname, said.tenant_id, said.webhook_id) == ("WARNING", "tnt_a", webhook)
        assert (said.trouble, said.status, said.attempt) == ("rejected", 500, 1)
        assert receiver.url not in str(vars(said))

    def test_it_is_tried_again_after_the_documented_pauses_then_given_up(self, house, ada, worker, receiver):
        receiver.behave = status(500)
        webhook = hook(ada, receiver)
        ada.write("app/db")
        for attempt, pause in enumerate((30, 120, 600, 1_800, 7_200), start=1):
            [row] = await_deliveries(ada, webhook, lambda found, n=attempt: found and found[0]["attempts"] == n)
            waits = instant(row["next_attempt_at"]) - house.clock.now()
            assert 0.9 * pause <= waits.total_seconds() <= 1.1 * pause
            assert (row["status"], row["response_code"]) == ("pending", 500)
            house.clock.forward(seconds=1.11 * pause)
        [row] = await_deliveries(ada, webhook, lambda found: found[0]["status"] == "failed")
        assert row["attempts"] == 6
        assert len({each.body for each in receiver.received}) == 1
        assert all(each.is_genuine for each in receiver.received)
        assert len({each.headers["x-scaivault-timestamp"] for each in receiver.received}) == 6
        assert ada.get(f"/v1/webhooks/{webhook}").json["status"] == "failing"
        [entry] = ada.audit(action="webhook_delivery")
        assert (entry["success"], entry["extra_data"]["attempts"]) == (False, 6)

    def test_what_follows_on_a_path_waits_and_other_paths_do_not(self, house, ada, worker, receiver):
        receiver.behave = lambda received, handler: answer(handler, 500 if received.event["path"] == "app/a" else 200)
        webhook = hook(ada, receiver)
        ada.write("app/a")
        await_deliveries(ada, webhook, lambda found: found and found[0]["attempts"] == 1)
        ada.write("app/a")
        ada.write("app/b")
        receiver.await_true(lambda received: any(each.event["path"] == "app/b" for each in received))
        receiver.behave = status(200)
        house.clock.forward(seconds=40)
        received = receiver.await_count(4)
        told = [each.event["data"] for each in received if each.event["path"] == "app/a"]
        assert [data.get("version") or data["new_version"] for data in told] == [1, 1, 2]

    def test_what_happens_to_one_policy_is_told_in_its_order(self, ada, worker, receiver):
        hook(ada, receiver, events=["policy.created", "policy.updated", "policy.binding.created", "policy.deleted"])
        rules = [{"path_pattern": "app/**", "permissions": ["read"]}]
        wanted = {}
        for name in "abc":
            policy = ada.post("/v1/policies", {"name": name, "rules": rules}).json["id"]
            for number in range(6):
                ada.patch(f"/v1/policies/{policy}", {"description": str(number)})
            ada.post(f"/v1/policies/{policy}/bindings", {"identity_type": "user", "identity_id": "user:x@a.example"})
            ada.delete(f"/v1/policies/{policy}?force=true")
            wanted[policy] = ["created", *["updated"] * 6, "binding.created", "deleted"]
        received = [each.event for each in receiver.await_count(27)]
        for policy, kinds in wanted.items():
            told = [event for event in received if event["data"]["policy_id"] == policy]
            assert [event["event_type"].removeprefix("policy.") for event in told] == kinds
            assert [event["data"]["revision"] for event in told[:7]] == list(range(1, 8))

    def test_a_delivery_can_be_had_once_more(self, ada, worker, receiver):
        webhook = hook(ada, receiver)
        ada.write("app/db")
        [row] = await_deliveries(ada, webhook, lambda found: [each["status"] for each in found] == ["success"])
        again = ada.post(f"/v1/webhooks/{webhook}/deliveries/{row['id']}/redeliver")
        assert (again.status_code, again.json["status"]) == (202, "pending")
        first, second = receiver.await_count(2)
        assert first.body == second.body
        assert again.json["id"] != row["id"]
        assert again.json["event_id"] == first.event_id

    def test_fifty_failures_in_a_row_disable_it_and_that_is_told(self, house, database_url, ada, worker, receiver):
        broken = Receiver(SECRET, status(500))
        try:
            webhook = hook(ada, broken)
            hook(ada, receiver, events=["webhook.disabled"])
            ada.write("app/0")
            ada.write("app/1")
            await_deliveries(ada, webhook, lambda found: [each["attempts"] for each in found] == [1, 1])
            with psycopg.connect(database_url) as connection:  # the years it would take
                connection.execute(
                    "UPDATE webhook_lanes SET consecutive_failures = 48 WHERE webhook_id = %s", [webhook]
                )
                connection.execute("UPDATE webhook_deliveries SET attempts = 5 WHERE webhook_id = %s", [webhook])
            house.clock.forward(seconds=40)
            [told] = receiver.await_count(1)
            assert told.event["data"] == {"webhook_id": webhook, "consecutive_failures": 50}
            assert faults(told.event) == []
            shown = ada.get(f"/v1/webhooks/{webhook}").json
            assert (shown["status"], shown["enabled"]) == ("disabled", False)
            sent = len(broken.received)
            ada.write("app/2")
            broken.behave = status(200)
            enabled = ada.patch(f"/v1/webhooks/{webhook}", {"enabled": True}).json
            assert (enabled["status"], enabled["consecutive_failures"]) == ("healthy", 0)
            ada.write("app/3")
            assert broken.await_count(sent + 1)[-1].event["path"] == "app/3"
        finally:
            broken.close()

    def test_a_redirect_is_a_failure_and_not_followed(self, ada, worker, receiver):
        other = Receiver(SECRET)
        try:
            receiver.behave = status(307, ("Location", other.url))
            webhook = hook(ada, receiver)
            ada.write("app/db")
            [row] = await_deliveries(ada, webhook, lambda found: found and found[0]["attempts"] == 1)
            assert (row["status"], row["response_code"]) == ("pending", 307)
            assert other.received == []
        finally:
            other.close()

    def test_a_receiver_that_hangs_holds_up_nobody_else(self, ada, worker, receiver):
        released = threading.Event()
        hanging = Receiver(SECRET, lambda _received, handler: (released.wait(30), answer(handler, 200)))
        try:
            hook(ada, hanging)
            hook(ada, receiver)
            for number in range(20):
                ada.write(f"app/{number}")
            receiver.await_count(20, seconds=8)
            assert len(hanging.received) <= 8
        finally:
            released.set()
            hanging.close()

    def test_two_workers_share_the_work_and_keep_each_paths_order(self, house, ada, worker, receiver):
        hook(ada, receiver)
        with working(house, "worker-2"):
            for number in range(30):
                ada.write(f"app/{number % 3}")
            received = receiver.await_count(30)
        for path in ("app/0", "app/1", "app/2"):
            data = [each.event["data"] for each in received if each.event["path"] == path]
            assert [each.get("version") or each["new_version"] for each in data] == list(range(1, 11))

    def test_what_is_a_week_old_is_forgotten(self, house, database_url, ada, worker, receiver):
        webhook = hook(ada, receiver)
        ada.write("app/db")
        await_deliveries(ada, webhook, lambda found: [each["status"] for each in found] == ["success"])
        house.clock.forward(days=8)
        worker.crew.wake("event_retention")
        voice = house.someone("user:ada@a.example", roles=[Role.TENANT_ADMIN])
        await_deliveries(voice, webhook, lambda found: found == [])
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)


def instant(text):
    return datetime.fromisoformat(text)
