"""Subscriptions over the whole API: what is listened for, what is heard, and what nobody else may know."""

import psycopg
import pytest

from scaivault.bootstrap.base import base_of, root_key_service
from scaivault.features.events.service.dispatch import Dispatcher
from scaivault.features.events.service.retention import Retention
from scaivault.kernel.caller import Role, Scope
from scaivault.kernel.calls import Listeners
from scaivault.observability.catalogue.vocabulary import WORKER
from scaivault.storage.epochs import await_heard

LISTENER = frozenset({Scope.SUBSCRIPTIONS_READ, Scope.SUBSCRIPTIONS_WRITE})
CHANGES = ["secret.created", "secret.updated", "secret.deleted"]


def dispatch(house, **bounds):
    """What a worker does, now: one that has just begun, and knows all that is committed. Events by the batch."""
    base = base_of(house.settings, house.clock, root_key_service(house.settings), Listeners(), WORKER)
    base.database.open()
    try:
        dispatcher = Dispatcher(base.database, base.guard, house.clock, lambda: None, **bounds)
        return list(iter(dispatcher.run, 0))
    finally:
        base.database.close()


def subscribe(voice, *, paths=("app/**",), events=CHANGES, buffer_size=1000, **more):
    made = voice.post(
        "/v1/subscriptions",
        {
            "name": "listening",
            "paths": list(paths),
            "events": list(events),
            "delivery": {"type": "polling", "buffer_size": buffer_size},
            **more,
        },
    )
    assert made.status_code == 201, made.text
    return made.json["id"]


def poll(voice, subscription_id, **query):
    answer = voice.get(f"/v1/subscriptions/{subscription_id}/poll", query_string={"timeout": 0, **query})
    assert answer.status_code == 200, answer.text
    return answer.json


def paths(polled):
    return [each["path"] for each in polled["events"]]


def ids(polled):
    return [each["event_id"] for each in polled["events"]]


def ack(voice, subscription_id, event_ids):
    answer = voice.post(f"/v1/subscriptions/{subscription_id}/ack", {"event_ids": event_ids})
    assert answer.status_code == 200, answer.text
    return answer.json["acknowledged"]


def code(answer):
    return answer.status_code, answer.json["error"]["code"]


@pytest.fixture
def lena(house, ada):
    """Who may list what is below app, and listen."""
    house.allow(ada, "user:lena@a.example", ("app/**", ["list"]))
    return house.someone("user:lena@a.example", scopes=LISTENER)


def rows(database_url, query):
    with psycopg.connect(database_url) as connection:
        return connection.execute(query).fetchone()[0]


def run(database_url, statement):
    with psycopg.connect(database_url) as connection:
        connection.execute(statement)


class TestHearing:
    def test_what_happens_is_heard_in_order_until_it_is_acknowledged(self, house, ada, lena):
        listening = subscribe(lena)
        ada.write("app/db")
        ada.write("app/db")
        ada.delete("/v1/secrets/app/db")
        dispatch(house)
        heard = poll(lena, listening)
        assert [each["event_type"] for each in heard["events"]] == CHANGES
        assert heard["has_more"] is False
        assert poll(lena, listening) == heard
        assert ack(lena, listening, ids(heard)[:2]) == 2
        assert ids(poll(lena, listening)) == ids(heard)[2:]
        assert ack(lena, listening, ids(heard)) == 1
        assert ack(lena, listening, ids(heard)) == 0
        assert poll(lena, listening) == {"events": [], "has_more": False}

    def test_an_event_is_the_one_that_a_webhook_is_told(self, house, ada, lena):
        listening = subscribe(lena)
        written = ada.write("app/db", metadata={"tags": ["prod"]})
        dispatch(house)
        [event] = poll(lena, listening)["events"]
        assert event.keys() == {
            *("event_id", "event_type", "timestamp", "tenant_id", "partner_id", "identity_id", "path", "data"),
            "request_id",
        }
        assert (event["tenant_id"], event["path"], event["identity_id"]) == ("tnt_a", "app/db", "user:ada@a.example")
        assert event["data"]["version"] == written["version"]

    def test_at_most_so_many_at_once_and_whether_there_are_more(self, house, ada, lena):
        listening = subscribe(lena)
        for number in range(5):
            ada.write(f"app/{number}")
        dispatch(house)
        first = poll(lena, listening, max_events=2)
        assert (paths(first), first["has_more"]) == (["app/0", "app/1"], True)
        second = poll(lena, listening, max_events=2, since_event_id=ids(first)[-1])
        assert (paths(second), second["has_more"]) == (["app/2", "app/3"], True)
        last = poll(lena, listening, max_events=2, since_event_id=ids(second)[-1])
        assert (paths(last), last["has_more"]) == (["app/4"], False)
        assert paths(poll(lena, listening, max_events=5)) == [f"app/{number}" for number in range(5)]

    def test_a_replay_tells_what_was_acknowledged_too(self, house, ada, lena):
        listening = subscribe(lena)
        for number in range(3):
            ada.write(f"app/{number}")
        dispatch(house)
        heard = ids(poll(lena, listening))
        ack(lena, listening, heard)
        assert ids(poll(lena, listening, since_event_id=heard[0])) == heard[1:]
        assert poll(lena, listening)["events"] == []

    def test_only_what_is_listened_for(self, house, ada, lena):
        listening = subscribe(
            lena,
            paths=["app/*", "app/deep/?/db"],
            events=["secret.created"],
            filters={"secret_type": "kv", "tags": ["prod"], "path_prefix": "app/"},
        )
        tagged = {"metadata": {"tags": ["prod"]}}
        for path in ("app/a", "app/deep/x/db", "app/deep/xy/db", "other/a"):
            ada.write(path, **tagged)
        ada.write("app/untagged")
        ada.write("app/json", {"a": {"b": 1}}, secret_type="json", **tagged)
        ada.delete("/v1/secrets/app/a")
        dispatch(house)
        assert paths(poll(lena, listening)) == ["app/a", "app/deep/x/db"]

    def test_nothing_is_kept_for_nobody(self, house, ada, lena, database_url):
        listening = subscribe(lena)
        ada.write("other/db")
        assert rows(database_url, "SELECT count(*) FROM events") == 0
        ada.write("app/db")
        assert rows(database_url, "SELECT count(*) FROM events") == 1
        assert lena.delete(f"/v1/subscriptions/{listening}").status_code == 204
        dispatch(house)
        await_heard()
        ada.write("app/db")
        assert rows(database_url, "SELECT count(*) FROM events") == 1
        assert rows(database_url, "SELECT count(*) FROM buffered_events") == 0

    def test_two_hear_the_same_and_acknowledge_for_themselves(self, house, ada, lena):
        first, second = subscribe(lena), subscribe(lena)
        ada.write("app/db")
        dispatch(house)
        heard = ids(poll(lena, first))
        assert ids(poll(lena, second)) == heard
        ack(lena, first, heard)
        assert poll(lena, first)["events"] == []
        assert ids(poll(lena, second)) == heard

    def test_a_batch_has_so_many_rows_however_many_listen(self, house, ada, lena):
        first, second = subscribe(lena), subscribe(lena)
        for number in range(4):
            ada.write(f"app/{number}")
        assert dispatch(house, most_rows=5) == [2, 2]
        ada.write("app/4")
        assert dispatch(house, most_rows=1) == [1]
        for each in (first, second):
            assert paths(poll(lena, each)) == [f"app/{number}" for number in range(5)]


def test_of_two_changes_of_one_revision_one_is_refused(house, ada, lena):
    subscription = subscribe(lena)
    seen = {"If-Match": lena.get(f"/v1/subscriptions/{subscription}").headers["ETag"]}
    first = lena.patch(f"/v1/subscriptions/{subscription}", {"name": "first"}, headers=seen)
    assert (first.status_code, first.headers["ETag"], first.json["revision"]) == (200, '"2"', 2)
    for refused in (
        lena.patch(f"/v1/subscriptions/{subscription}", {"name": "second"}, headers=seen),
        lena.delete(f"/v1/subscriptions/{subscription}", headers=seen),
    ):
        assert code(refused) == (409, "version_conflict")
    assert lena.delete(f"/v1/subscriptions/{subscription}", headers={"If-Match": '"2"'}).status_code == 204


@pytest.mark.parametrize(
    ("field", "change"),
    [
        *((field, {field: None}) for field in ("name", "paths", "events", "delivery", "enabled")),
        *((f"delivery.{field}", {"delivery": {field: None}}) for field in ("type", "buffer_size", "url", "secret")),
    ],
)
def test_nothing_is_no_change_of_a_field_and_is_refused_by_its_name(ada, lena, field, change):
    subscription = subscribe(lena)
    refused = lena.patch(f"/v1/subscriptions/{subscription}", change)
    assert (refused.status_code, list(refused.json["error"]["details"]["fields"])) == (422, [field])
    assert lena.get(f"/v1/subscriptions/{subscription}").json["revision"] == 1


class TestGaps:
    def test_what_does_not_fit_is_owned_up_to(self, house, ada, lena):
        listening = subscribe(lena, buffer_size=2)
        for number in range(5):
            ada.write(f"app/{number}")
        dispatch(house)
        heard = poll(lena, listening)
        gap, *events = heard["events"]
        assert gap["event_type"] == "subscription.gap"
        assert gap["data"] == {
            "subscription_id": listening,
            "dropped": 3,
            "next_event_id": events[0]["event_id"],
        }
        assert [each["path"] for each in events] == ["app/3", "app/4"]
        assert ids(poll(lena, listening)) == ids(heard)

    def test_a_gap_is_told_until_it_is_acknowledged_and_a_further_one_anew(self, house, ada, lena):
        listening = subscribe(lena, buffer_size=1)
        for number in range(3):
            ada.write(f"app/{number}")
        dispatch(house)
        [gap, last] = poll(lena, listening)["events"]
        assert gap["data"]["dropped"] == 2
        assert ack(lena, listening, [gap["event_id"]]) == 1
        assert ack(lena, listening, [gap["event_id"]]) == 0
        assert ids(poll(lena, listening)) == [last["event_id"]]
        ada.write("app/3")
        dispatch(house)
        [further, newest] = poll(lena, listening)["events"]
        assert (further["data"]["dropped"], newest["path"]) == (1, "app/3")
        ack(lena, listening, [gap["event_id"]])
        assert ids(poll(lena, listening))[0] == further["event_id"]

    def test_nothing_is_dropped_that_was_acknowledged(self, house, ada, lena):
        listening = subscribe(lena, buffer_size=1)
        for number in range(3):
            ada.write(f"app/{number}")
            dispatch(house)
            heard = poll(lena, listening)
            assert paths(heard) == [f"app/{number}"]
            ack(lena, listening, ids(heard))

    def test_an_acknowledgement_of_more_than_is_missing_forgives_nothing_to_come(self, house, ada, lena):
        listening = subscribe(lena, buffer_size=1)
        ack(lena, listening, [f"gap_{listening.removeprefix('sub_')}_999"])
        ada.write("app/0")
        ada.write("app/1")
        dispatch(house)
        assert poll(lena, listening)["events"][0]["data"]["dropped"] == 1

    def test_since_something_that_is_not_kept_any_more(self, house, ada, lena):
        """Everything that there is, behind a gap of which nobody can tell how large it is."""
        listening = subscribe(lena, buffer_size=2)
        ada.write("app/0")
        dispatch(house)
        [first] = ids(poll(lena, listening))
        for number in range(1, 4):
            ada.write(f"app/{number}")
        dispatch(house)
        [gap, *events] = poll(lena, listening, since_event_id=first)["events"]
        assert gap["data"]["dropped"] is None
        assert [each["path"] for each in events] == ["app/2", "app/3"]
        assert ids(poll(lena, listening, since_event_id=gap["event_id"])) == [each["event_id"] for each in events]
        never = poll(lena, listening, since_event_id=f"evt_{'0' * 32}")
        assert ids(never) == [gap["event_id"], *[each["event_id"] for each in events]]

    def test_a_gap_counts_as_one_of_those_that_were_asked_for(self, house, ada, lena):
        listening = subscribe(lena, buffer_size=1)
        for number in range(2):
            ada.write(f"app/{number}")
        dispatch(house)
        first = poll(lena, listening, max_events=1)
        assert (first["events"][0]["event_type"], first["has_more"]) == ("subscription.gap", True)
        second = poll(lena, listening, max_events=1, since_event_id=ids(first)[0])
        assert (paths(second), second["has_more"]) == (["app/1"], False)

    def test_what_nobody_fetched_in_a_week_is_missing(self, house, ada, lena):
        listening = subscribe(lena)
        ada.write("app/old")
        dispatch(house)
        house.clock.forward(days=6)
        ada.write("app/new")
        dispatch(house)
        house.clock.forward(days=2)
        assert Retention(house.services.database, house.clock).run() == 1
        [gap, event] = poll(lena, listening)["events"]
        assert (gap["data"]["dropped"], event["path"]) == (1, "app/new")

    def test_a_smaller_buffer_drops_what_does_not_fit_any_more(self, house, ada, lena):
        listening = subscribe(lena, buffer_size=3)
        for number in range(3):
            ada.write(f"app/{number}")
        dispatch(house)
        changed = lena.patch(f"/v1/subscriptions/{listening}", {"delivery": {"buffer_size": 1}})
        assert changed.json["delivery"]["buffer_size"] == 1
        [gap, event] = poll(lena, listening)["events"]
        assert (gap["data"]["dropped"], event["path"]) == (2, "app/2")


class TestAuthority:
    def test_by_default_nothing_is_heard(self, house, ada):
        nina = house.someone("user:nina@a.example", scopes=LISTENER)
        listening = subscribe(nina, paths=["**"])
        ada.write("app/db")
        dispatch(house)
        assert poll(nina, listening) == {"events": [], "has_more": False}

    @pytest.mark.parametrize("permission", ["list", "read", "admin"])
    def test_to_list_or_to_read_is_to_hear(self, house, ada, permission):
        nina = house.someone("user:nina@a.example", scopes=LISTENER)
        house.allow(ada, "user:nina@a.example", ("app/*", [permission]))
        listening = subscribe(nina, paths=["**"])
        ada.write("app/db")
        ada.write("app/deep/db")
        dispatch(house)
        assert paths(poll(nina, listening)) == ["app/db"]

    @pytest.mark.parametrize("permission", ["write", "delete", "rotate"])
    def test_to_do_anything_else_is_not(self, house, ada, permission):
        nina = house.someone("user:nina@a.example", scopes=LISTENER)
        house.allow(ada, "user:nina@a.example", ("app/*", [permission]))
        listening = subscribe(nina, paths=["**"])
        ada.write("app/db")
        dispatch(house)
        assert poll(nina, listening)["events"] == []

    def test_a_deny_is_not_heard_past(self, house, ada, lena):
        deny = {"effect": "deny"}
        house.allow(ada, "user:lena@a.example", ("app/inner/*", ["list", "read"], deny))
        listening = subscribe(lena)
        ada.write("app/inner/db")
        ada.write("app/db")
        dispatch(house)
        assert paths(poll(lena, listening)) == ["app/db"]

    def test_an_administrator_hears_no_more_than_his_policies_allow(self, house, ada):
        nora = house.someone("user:nora@a.example", roles=[Role.TENANT_ADMIN])
        listening = subscribe(nora, paths=["**"])
        ada.write("app/db")
        dispatch(house)
        assert poll(nora, listening)["events"] == []

    def test_what_waits_is_not_heard_after_a_revocation(self, house, ada):
        nina = house.someone("user:nina@a.example", scopes=LISTENER)
        policy = house.allow(ada, "user:nina@a.example", ("app/*", ["list"]))
        listening = subscribe(nina)
        ada.write("app/db")
        dispatch(house)
        [event] = poll(nina, listening)["events"]
        assert ada.delete(f"/v1/policies/{policy}?force=true").status_code == 204
        await_heard()
        assert poll(nina, listening) == {"events": [], "has_more": False}
        assert poll(nina, listening, since_event_id=f"evt_{'1' * 32}")["events"][0]["data"]["next_event_id"] is None
        ada.write("app/later")
        dispatch(house)
        house.allow(ada, "user:nina@a.example", ("app/*", ["list"]))
        await_heard()
        assert ids(poll(nina, listening)) == [event["event_id"]], "what happened without her is not told later"

    def test_a_buffer_is_not_filled_with_what_its_owner_may_not_know(self, house, ada, lena):
        """Else a gap would tell of it, and the noise would push out what she may hear."""
        listening = subscribe(lena, paths=["**"], buffer_size=2)
        ada.write("app/db")
        for number in range(5):
            ada.write(f"other/{number}")
        dispatch(house)
        assert paths(poll(lena, listening)) == ["app/db"]

    def test_a_condition_is_judged_by_the_poll_and_not_by_the_event(self, house, ada):
        nina = house.someone("user:nina@a.example", scopes=LISTENER)
        inside = {"conditions": {"ip_ranges": ["10.0.0.0/8"]}}
        house.allow(ada, "user:nina@a.example", ("app/*", ["list"], inside))
        listening = subscribe(nina)
        ada.write("app/db")
        dispatch(house)
        assert poll(nina, listening)["events"] == []
        address = f"/v1/subscriptions/{listening}/poll?timeout=0"
        at_work = nina.get(address, environ_base={"REMOTE_ADDR": "10.1.2.3"})
        assert paths(at_work.json) == ["app/db"]

    def test_policies_that_nobody_can_read_hold_up_nobody_else(self, house, database_url, ada, bob, lena):
        """They come from a newer release. Their tenant hears nothing until they can be read, and loses nothing."""
        mine = subscribe(lena)
        theirs = subscribe(bob)
        ada.write("app/db")
        bob.write("app/db")
        readable = rows(database_url, "SELECT rules::text FROM policies WHERE rules::text LIKE '%list%'")
        odd = """[{"path_pattern": "app/**", "permissions": ["levitate"]}]"""
        run(database_url, f"UPDATE policies SET rules = '{odd}' WHERE rules::text LIKE '%list%'")
        dispatch(house)
        assert paths(poll(bob, theirs)) == ["app/db"]
        run(database_url, f"UPDATE policies SET rules = '{readable}' WHERE rules::text LIKE '%levitate%'")
        assert paths(poll(lena, mine)) == ["app/db"]

    def test_a_group_counts_as_the_caller_has_it_now(self, house, ada):
        nina = house.someone("user:nina@a.example", scopes=LISTENER, groups=["group:ops"])
        house.allow(ada, "group:ops", ("app/*", ["list"]), identity_type="group")
        listening = subscribe(nina)
        ada.write("app/db")
        dispatch(house)
        assert paths(poll(nina, listening)) == ["app/db"]

    @pytest.mark.parametrize("event", ["secret.accessed", "policy.violation", "anomaly.detected"])
    def test_what_the_trail_tells_takes_the_scope_for_the_trail(self, house, ada, lena, event):
        body = {"name": "n", "paths": ["app/*"], "events": [event], "delivery": {"type": "polling"}}
        answer = lena.post("/v1/subscriptions", body)
        assert code(answer) == (403, "insufficient_scope")
        assert answer.json["error"]["details"] == {"required_scope": "audit:read"}
        mine = subscribe(lena)
        assert code(lena.patch(f"/v1/subscriptions/{mine}", {"events": [event]})) == (403, "insufficient_scope")

    def test_and_is_not_heard_by_a_token_without_it(self, house, ada):
        house.allow(ada, "user:lena@a.example", ("app/*", ["list"]))
        auditor = house.someone("user:lena@a.example", scopes=LISTENER | {Scope.AUDIT_READ})
        plain = house.someone("user:lena@a.example", scopes=LISTENER)
        listening = subscribe(auditor, paths=["app/*"], events=["secret.accessed", "secret.created"])
        ada.write("app/db")
        ada.get("/v1/secrets/app/db")
        dispatch(house)
        assert [each["event_type"] for each in poll(plain, listening)["events"]] == ["secret.created"]
        kinds = [each["event_type"] for each in poll(auditor, listening)["events"]]
        assert kinds == ["secret.created", "secret.accessed"]


class TestWhose:
    def test_to_all_others_it_does_not_exist(self, house, ada, bob, lena):
        mine = subscribe(lena)
        house.allow(ada, "user:nina@a.example", ("**", ["admin"]))
        nina = house.someone("user:nina@a.example", scopes=LISTENER)
        for other in (nina, bob):
            nobodys = f"sub_{'0' * 32}"
            for address in (mine, nobodys):
                one = f"/v1/subscriptions/{address}"
                for answer in (
                    other.get(one),
                    other.patch(one, {"name": "mine now"}),
                    other.delete(one),
                    other.get(f"{one}/poll?timeout=0"),
                    other.post(f"{one}/ack", {"event_ids": [f"evt_{'0' * 32}"]}),
                ):
                    assert code(answer) == (404, "subscription_not_found")
            assert other.get("/v1/subscriptions").json["subscriptions"] == []
        assert lena.get(f"/v1/subscriptions/{mine}").json["name"] == "listening"

    def test_an_administrator_sees_and_ends_it_but_does_not_hear_with_it(self, house, ada, lena):
        mine = subscribe(lena)
        one = f"/v1/subscriptions/{mine}"
        assert ada.get(one).json["identity_id"] == "user:lena@a.example"
        assert [each["id"] for each in ada.get("/v1/subscriptions").json["subscriptions"]] == [mine]
        for refused in (ada.get(f"{one}/poll?timeout=0"), ada.post(f"{one}/ack", {"event_ids": ["evt_x"]})):
            assert code(refused) == (404, "subscription_not_found")
            assert "of yours" in refused.json["error"]["message"]  # for he can see that there is one
        assert ada.patch(one, {"name": "theirs"}).json["name"] == "theirs"
        assert ada.delete(one).status_code == 204
        assert code(lena.get(one)) == (404, "subscription_not_found")

    def test_whoever_comes_from_another_tenant_has_none_here(self, house, pat):
        there = {"X-Tenant-ID": "tnt_b"}
        body = {"name": "n", "paths": ["**"], "events": CHANGES, "delivery": {"type": "polling"}}
        assert code(pat.post("/v1/subscriptions", body, headers=there)) == (403, "forbidden")

    def test_a_name_belongs_to_its_tenant(self, house, ada, bob, pat):
        """In tenant B there is somebody called as the partner's administrator is in tenant A."""
        namesake = house.someone("user:pat@partner.example", tenant_id="tnt_b")
        theirs = subscribe(namesake)
        there = {"X-Tenant-ID": "tnt_b"}
        polled = pat.get(f"/v1/subscriptions/{theirs}/poll?timeout=0", headers=there)
        assert code(polled) == (404, "subscription_not_found")

    def test_pages(self, house, lena):
        made = [subscribe(lena) for _ in range(3)]
        first = lena.get("/v1/subscriptions?limit=2").json
        assert [each["id"] for each in first["subscriptions"]] == [made[2], made[1]]
        rest = lena.get(f"/v1/subscriptions?limit=2&cursor={first['cursor']}").json
        assert ([each["id"] for each in rest["subscriptions"]], rest["has_more"]) == ([made[0]], False)

    def test_an_owner_has_fifty(self, house, lena, database_url):
        subscribe(lena)
        run(
            database_url,
            """
            INSERT INTO subscriptions
            SELECT tenant_id, 'sub_' || number, name, owner_id, owner_type, owner_groups, paths, events, path_prefix,
                   secret_type, tags, delivery_type, buffer_size, created_at, updated_at
              FROM subscriptions, generate_series(1, 49) AS number
            """,
        )
        body = {"name": "n", "paths": ["**"], "events": CHANGES, "delivery": {"type": "polling"}}
        answer = lena.post("/v1/subscriptions", body)
        assert code(answer) == (409, "too_many_subscriptions")
        assert answer.json["error"]["details"] == {"of_tenant": 500, "of_owner": 50}

    def test_events_about_no_path_are_refused_by_name(self, lena):
        events = ["secret.created", "webhook.disabled", "policy.created"]
        body = {"name": "n", "paths": ["**"], "events": events, "delivery": {"type": "polling"}}
        answer = lena.post("/v1/subscriptions", body)
        assert code(answer) == (422, "validation_error")
        assert "policy.created, webhook.disabled" in answer.json["error"]["details"]["fields"]["events"]


class TestForm:
    @pytest.mark.parametrize(
        "glob",
        ["", "/app", "app/", "app//db", "app/**x", "app/../db", ".app", "app db", "a" * 513, "/".join("abcdefghijk")],
    )
    def test_a_pattern_that_is_none_is_refused(self, lena, glob):
        body = {"name": "n", "paths": [glob], "events": CHANGES, "delivery": {"type": "polling"}}
        assert code(lena.post("/v1/subscriptions", body)) == (400, "invalid_glob")

    @pytest.mark.parametrize(
        "wrong",
        [
            {"paths": []},
            {"paths": ["a"] * 51},
            {"paths": "app/**"},
            {"events": []},
            {"events": ["secret.borrowed"]},
            {"name": ""},
            {"delivery": {"type": "pigeon"}},
            {"delivery": {"type": "polling", "buffer_size": 0}},
            {"delivery": {"type": "polling", "buffer_size": 10_001}},
            {"delivery": {"type": "polling", "url": "https://receiver.example/"}},
            {"delivery": {"type": "webhook", "url": "https://receiver.example/"}},
            {"delivery": {"type": "webhook", "url": "https://receiver.example/", "secret": "short"}},
            {"filters": {"colour": "red"}},
        ],
    )
    def test_a_subscription_that_means_nothing_is_refused(self, ada, wrong):
        body = {"name": "n", "paths": ["**"], "events": CHANGES, "delivery": {"type": "polling"}, **wrong}
        assert code(ada.post("/v1/subscriptions", body)) == (422, "validation_error")

    @pytest.mark.parametrize(
        "query",
        [
            "timeout=61",
            "timeout=-1",
            "timeout=1.5",
            "timeout=",
            "timeout=1_0",
            "max_events=0",
            "max_events=1001",
            "since_event_id=",
            "since_event_id=evt_'%3B--",
            "since_event_id=EVT_1",
            "wait=1",
        ],
    )
    def test_a_poll_that_means_nothing_is_refused(self, lena, query):
        answer = lena.get(f"/v1/subscriptions/{subscribe(lena)}/poll?{query}")
        assert answer.status_code == 422, answer.text

    @pytest.mark.parametrize("event_ids", [[], ["x"], [1], ["evt_1"] * 1_001, "evt_1", [f"evt_{'a' * 65}"]])
    def test_an_acknowledgement_of_nothing_is_refused(self, lena, event_ids):
        answer = lena.post(f"/v1/subscriptions/{subscribe(lena)}/ack", {"event_ids": event_ids})
        assert code(answer) == (422, "validation_error")

    def test_what_is_unknown_or_another_ones_is_not_acknowledged(self, house, ada, lena):
        mine, other = subscribe(lena), subscribe(lena, paths=["app/other/*"])
        ada.write("app/db")
        dispatch(house)
        heard = ids(poll(lena, mine))
        gap = f"gap_{other.removeprefix('sub_')}_1"
        assert ack(lena, other, heard) == 0
        assert ack(lena, mine, [f"evt_{'0' * 32}", gap, "gap_x", f"gap_{'0' * 64}"]) == 0
        assert ids(poll(lena, mine)) == heard

    def test_changes_replace_what_is_there(self, house, ada, lena):
        mine = subscribe(lena, filters={"tags": ["prod"]})
        one = f"/v1/subscriptions/{mine}"
        changed = lena.patch(
            one, {"name": "new", "paths": ["app/b*"], "events": ["secret.created"], "filters": {"secret_type": "kv"}}
        ).json
        assert (changed["name"], changed["paths"], changed["events"]) == ("new", ["app/b*"], ["secret.created"])
        assert changed["filters"] == {"path_prefix": None, "secret_type": "kv", "tags": []}
        assert lena.get(one).json == changed | {"statistics": None, "last_delivery": None}
        for path in ("app/a", "app/b"):
            ada.write(path)
        dispatch(house)
        assert paths(poll(lena, mine)) == ["app/b"]
        refused = lena.patch(one, {"paths": ["app/b", "app//b"]})
        assert (code(refused), list(refused.json["error"]["details"]["fields"])) == ((400, "invalid_glob"), ["paths.1"])
        assert code(lena.patch(one, {})) == (422, "validation_error")
        assert code(lena.patch(one, {"delivery": {"type": "webhook"}})) == (400, "invalid_request")
        assert code(lena.patch(one, {"delivery": {"url": "https://receiver.example/"}})) == (400, "invalid_request")
        assert code(lena.patch(one, {"enabled": False})) == (400, "invalid_request")


class TestTrail:
    def test_every_change_and_every_answer_with_events_is_in_it(self, house, ada, lena):
        mine = subscribe(lena)
        one = f"/v1/subscriptions/{mine}"
        lena.patch(one, {"name": "new"})
        poll(lena, mine)
        ada.write("app/a")
        ada.write("app/b")
        dispatch(house)
        heard = ids(poll(lena, mine))
        ack(lena, mine, heard)
        lena.delete(one)
        told = [
            (each["action"], each["success"], each["extra_data"])
            for each in reversed(ada.audit(identity_id="user:lena@a.example"))
        ]
        about = {"subscription_id": mine}
        assert told == [
            (
                "subscription_create",
                True,
                {**about, "delivery": "polling", "host": None, "paths": ["app/**"], "events": sorted(CHANGES)},
            ),
            ("subscription_update", True, {**about, "fields": ["name"], "previous_host": None, "host": None}),
            (
                "subscription_event",
                True,
                {**about, "events": 2, "first_event_id": heard[0], "last_event_id": heard[1], "dropped": 0},
            ),
            ("subscription_ack", True, {**about, "acknowledged": 2}),
            ("subscription_delete", True, about),
        ]

    def test_who_looks_for_what_is_not_his_is_in_it(self, house, ada, lena):
        lena.delete(f"/v1/subscriptions/sub_{'0' * 32}")
        [entry] = ada.audit(identity_id="user:lena@a.example")
        assert (entry["action"], entry["success"]) == ("subscription_delete", False)
        assert entry["extra_data"] == {"reason": "subscription_not_found"}
