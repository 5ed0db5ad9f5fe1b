"""Rotation over the whole API: policies, what is under them, renewing by request and by a write, what is due."""

import psycopg
import pytest

from scaivault.kernel.caller import Role, Scope
from tests.http.test_webhooks import working
from tests.receiver import Receiver

POLICIES = "/v1/rotation/policies"
SECRET = "a-secret-that-only-the-receiver-knows"
GENERATED = [{"name": "password", "generator": "random", "config": {"length": 24}}]


def error(answer):
    return (answer.status_code, answer.json["error"]["code"])


def generator(voice, name="passwords", **more):
    made = voice.post("/v1/secret-policies", {"name": name, "fields": GENERATED} | more)
    assert made.status_code == 201, made.text
    return made.json["id"]


def policy(voice, name="monthly", interval="30d", **more):
    made = voice.post(POLICIES, {"name": name, "interval": interval, **more})
    assert made.status_code == 201, made.text
    return made.json["id"]


def under(voice, path, policy_id, **options):
    voice.write(path, {"password": "first"}, options={"rotation_policy_id": policy_id, **options})


def value(voice, path, **query):
    found = voice.get(f"/v1/secrets/{path}", query_string=query)
    assert found.status_code == 200, found.text
    return found.json["data"]


def history(voice, policy_id, **query):
    found = voice.get(f"{POLICIES}/{policy_id}/history", query_string=query)
    assert found.status_code == 200, found.text
    return found.json["history"]


class TestPolicies:
    def test_a_policy_has_what_it_was_given_and_the_usual_rest(self, ada):
        made = ada.post(POLICIES, {"name": "monthly", "interval": "30d", "warn_before": "1d, 7d"})
        assert made.status_code == 201
        assert made.headers["ETag"] == '"1"'
        shown = made.json
        assert shown["id"].startswith("rot_")
        assert (shown["interval"], shown["interval_seconds"]) == ("30d", 30 * 86_400)
        assert (shown["grace_period"], shown["warn_before"]) == ("2d", ["7d", "1d"])
        assert (shown["auto_generate"], shown["is_active"], shown["secrets_count"]) == (False, True, 0)
        assert (shown["secret_policy_id"], shown["webhook_ids"]) == (None, [])
        assert ada.get(f"{POLICIES}/{shown['id']}").json == shown

    def test_thresholds_come_as_a_list_too(self, ada):
        made = ada.post(POLICIES, {"name": "a", "interval": "30d", "warn_before": ["1d", "7d", "24h"]})
        assert made.json["warn_before"] == ["7d", "1d"]

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"name": "a"}, 422, "validation_error"),
            ({"name": "a", "interval": "monthly"}, 400, "invalid_duration"),
            ({"name": "a", "interval": "9s"}, 422, "validation_error"),
            ({"name": "a", "interval": "1d", "warn_before": "1d"}, 422, "validation_error"),
            ({"name": "a", "interval": "1d", "warn_before": "soon"}, 400, "invalid_duration"),
            ({"name": "a", "interval": "1d", "secret_policy_id": "sp_" + "0" * 32}, 404, "secret_policy_not_found"),
            ({"name": "a", "interval": "1d", "webhook_ids": ["wh_" + "0" * 32]}, 404, "webhook_not_found"),
        ],
    )
    def test_what_can_not_be_is_refused(self, ada, body, status, code):
        assert error(ada.post(POLICIES, body)) == (status, code)

    def test_a_change_names_what_is_there(self, ada):
        one = f"{POLICIES}/{policy(ada)}"
        refused = ada.patch(one, {"secret_policy_id": "sp_" + "0" * 32})
        assert error(refused) == (404, "secret_policy_not_found")
        assert refused.json["error"]["details"]["secret_policy_id"] == "sp_" + "0" * 32

    def test_a_refusal_names_the_fields(self, ada):
        body = {"name": "a", "interval": "monthly", "warn_before": ["1d", "soon"], "grace_period": 5}
        refused = ada.post(POLICIES, body)
        assert error(refused) == (400, "invalid_duration")
        assert list(refused.json["error"]["details"]["fields"]) == ["interval", "grace_period", "warn_before.1"]
        refused = ada.post(POLICIES, {"name": "a", "interval": "1d", "warn_before": None})
        assert refused.json["error"]["details"]["fields"] == {
            "warn_before": "a list of durations, or a text of them with commas"
        }

    def test_a_name_is_taken_once_in_a_tenant_and_free_again_after(self, ada, bob):
        first = policy(ada)
        assert error(ada.post(POLICIES, {"name": "monthly", "interval": "1d"})) == (409, "rotation_policy_exists")
        policy(bob)
        assert ada.delete(f"{POLICIES}/{first}").status_code == 204
        policy(ada)

    def test_the_list_goes_by_name_in_pieces(self, ada):
        for name in "cab":
            policy(ada, name, is_active=name != "b")
        first = ada.get(POLICIES, query_string={"limit": 2}).json
        assert ([each["name"] for each in first["data"]], first["has_more"]) == (["a", "b"], True)
        rest = ada.get(POLICIES, query_string={"limit": 2, "cursor": first["cursor"]}).json
        assert ([each["name"] for each in rest["data"]], rest["has_more"]) == (["c"], False)
        active = ada.get(POLICIES, query_string={"active_only": "true"}).json["data"]
        assert [each["name"] for each in active] == ["a", "c"]

    def test_a_change_is_for_who_knows_what_is_there(self, ada):
        one = f"{POLICIES}/{policy(ada)}"
        changed = ada.patch(one, {"interval": "60d", "description": "longer"}, headers={"If-Match": '"1"'})
        assert (changed.json["interval"], changed.json["revision"], changed.json["name"]) == ("60d", 2, "monthly")
        assert error(ada.patch(one, {"interval": "1d"}, headers={"If-Match": '"1"'})) == (409, "version_conflict")
        assert error(ada.delete(one, headers={"If-Match": '"1"'})) == (409, "version_conflict")
        assert ada.delete(one, headers={"If-Match": '"2"'}).status_code == 204
        assert error(ada.get(one)) == (404, "rotation_policy_not_found")

    def test_what_changes_nothing_leaves_nothing(self, ada):
        one = f"{POLICIES}/{policy(ada, warn_before='7d')}"
        assert error(ada.patch(one, {})) == (422, "validation_error")
        assert ada.patch(one, {"name": "monthly", "warn_before": ["7d"], "webhook_ids": []}).json["revision"] == 1
        assert ada.post(f"{one}/enable").json["revision"] == 1
        assert ada.audit(action="rotation_policy_update") == []

    def test_pausing_is_for_who_knows_what_is_there_too(self, ada):
        one = f"{POLICIES}/{policy(ada)}"
        assert error(ada.post(f"{one}/disable", headers={"If-Match": '"7"'})) == (409, "version_conflict")
        assert ada.post(f"{one}/disable", headers={"If-Match": '"1"'}).json["revision"] == 2
        assert error(ada.post(f"{one}/enable", headers={"If-Match": '"1"'})) == (409, "version_conflict")
        assert ada.post(f"{one}/enable", headers={"If-Match": '"2"'}).json["is_active"] is True

    def test_they_are_their_tenants_and_their_administrators(self, house, ada, bob):
        one = f"{POLICIES}/{policy(ada)}"
        assert error(bob.get(one)) == (404, "rotation_policy_not_found")
        assert error(bob.delete(one)) == (404, "rotation_policy_not_found")
        somebody = house.someone("user:sam@a.example")
        assert error(somebody.get(one)) == (403, "access_denied")
        lacking = house.someone("user:ada@a.example", frozenset(Scope) - {Scope.ADMIN}, roles=[Role.TENANT_ADMIN])
        assert error(lacking.get(one)) == (403, "insufficient_scope")

    def test_changes_are_in_the_trail(self, ada):
        one = f"{POLICIES}/{policy(ada)}"
        ada.post(f"{one}/disable")
        ada.delete(one)
        actions = [
            each["action"]
            for each in ada.audit(action="rotation_policy_create,rotation_policy_update,rotation_policy_delete")
        ]
        assert sorted(actions) == ["rotation_policy_create", "rotation_policy_delete", "rotation_policy_update"]

    def test_a_secret_policy_that_is_referred_to_stays(self, ada):
        by_policy, by_secret = generator(ada, "one"), generator(ada, "two")
        one = policy(ada, secret_policy_id=by_policy)
        ada.write("app/db", options={"secret_policy_id": by_secret})
        for each in (by_policy, by_secret):
            assert error(ada.delete(f"/v1/secret-policies/{each}")) == (409, "secret_policy_in_use")
        ada.patch(f"{POLICIES}/{one}", {"secret_policy_id": None})
        ada.patch("/v1/secrets/app/db:metadata", {"options": {"secret_policy_id": None}})
        for each in (by_policy, by_secret):
            assert ada.delete(f"/v1/secret-policies/{each}").status_code == 204


class TestAssignment:
    def test_a_write_puts_a_secret_under_a_policy_and_takes_it_away(self, ada):
        one = policy(ada)
        under(ada, "app/db", one)
        assert ada.get("/v1/secrets/app/db").json["rotation_policy_id"] == one
        assert ada.get("/v1/secrets/app/db:metadata").json["rotation_policy_id"] == one
        assert ada.get(f"{POLICIES}/{one}").json["secrets_count"] == 1
        ada.write("app/db", options={"rotation_policy_id": None})
        assert ada.get("/v1/secrets/app/db").json["rotation_policy_id"] is None
        assert ada.get(f"{POLICIES}/{one}").json["secrets_count"] == 0

    def test_options_alone_do_so_without_a_version(self, ada):
        one, passwords = policy(ada), generator(ada)
        ada.write("app/db")
        options = {"rotation_policy_id": one, "secret_policy_id": passwords}
        changed = ada.patch("/v1/secrets/app/db:metadata", {"options": options}).json
        assert (changed["version"], changed["rotation_policy_id"], changed["secret_policy_id"]) == (1, one, passwords)

    def test_what_is_not_there_is_refused_and_nothing_written(self, ada, bob):
        foreign = policy(bob)
        for options, code in (
            ({"rotation_policy_id": foreign}, "rotation_policy_not_found"),
            ({"secret_policy_id": generator(bob)}, "secret_policy_not_found"),
        ):
            assert error(ada.put("/v1/secrets/app/db", {"data": {}, "options": options})) == (404, code)
            assert error(ada.get("/v1/secrets/app/db")) == (404, "secret_not_found")

    @pytest.mark.parametrize(
        ("spelling", "status"),
        [
            ("app%2Fdb", 204),
            ("app/db", 204),
            ("app%2fdb", 204),
            ("app%252Fdb", 400),
            ("app%2F%64b", 400),
            ("%61pp/db", 400),
        ],
    )
    def test_in_the_address_of_an_assignment_slashes_may_be_encoded_and_nothing_else(self, ada, spelling, status):
        one = policy(ada)
        ada.write("app/db", options={"rotation_policy_id": one})
        address = f"{POLICIES}/{one}/secrets/{spelling}"
        answer = ada.call("DELETE", address, environ_overrides={"RAW_URI": address})
        assert answer.status_code == status, answer.text
        assert (ada.get("/v1/secrets/app/db").json["rotation_policy_id"] is None) == (status == 204)

    def test_an_administrator_assigns_and_unassigns(self, ada, house):
        one = policy(ada)
        ada.write("app/db")
        made = ada.post(f"{POLICIES}/{one}/secrets", {"secret_path": "app/db"})
        assert made.status_code == 201
        assert (made.json["secret_path"], made.json["rotation_policy_id"], made.json["state"]) == (
            "app/db",
            one,
            "scheduled",
        )
        assert ada.delete(f"{POLICIES}/{one}/secrets/app/db").status_code == 204
        assert ada.get("/v1/secrets/app/db").json["rotation_policy_id"] is None
        assert error(ada.delete(f"{POLICIES}/{one}/secrets/app/db")) == (404, "assignment_not_found")
        assert error(ada.post(f"{POLICIES}/{one}/secrets", {"secret_path": "app/no"})) == (404, "secret_not_found")
        actions = {each["action"] for each in ada.audit() if each["secret_path"] == "app/db"}
        assert {"rotation_assign", "rotation_unassign"} <= actions

    def test_what_is_under_a_policy_is_listed_in_pieces(self, ada, bob, house):
        one, other = policy(ada), policy(ada, "other")
        for path in ("app/c", "app/a", "app/b"):
            under(ada, path, one)
        under(ada, "app/other", other)
        under(ada, "app/gone", one)
        ada.delete("/v1/secrets/app/gone")
        ada.write("app/b", {"password": "second"})
        secrets = f"{POLICIES}/{one}/secrets"
        first = ada.get(secrets, query_string={"limit": 2}).json
        assert ([each["secret_path"] for each in first["secrets"]], first["has_more"]) == (["app/a", "app/b"], True)
        shown = first["secrets"][1]
        assert (shown["state"], shown["is_overdue"], shown["attempts"]) == ("scheduled", False, 0)
        assert shown["due_at"] > shown["last_rotated_at"]
        rest = ada.get(secrets, query_string={"limit": 2, "cursor": first["cursor"]}).json
        assert ([each["secret_path"] for each in rest["secrets"]], rest["cursor"]) == (["app/c"], None)
        foreign = ada.get(f"{POLICIES}/{other}/secrets", query_string={"cursor": first["cursor"]})
        assert error(foreign) == (400, "invalid_cursor")
        assert error(bob.get(secrets)) == (404, "rotation_policy_not_found")
        assert error(house.someone("user:sam@a.example").get(secrets)) == (403, "access_denied")

    def test_it_takes_the_permission_to_rotate_that_secret(self, ada, house):
        one = policy(ada)
        ada.write("app/db")
        other = house.someone("user:otto@a.example", roles=[Role.TENANT_ADMIN])
        assert error(other.post(f"{POLICIES}/{one}/secrets", {"secret_path": "app/db"})) == (403, "access_denied")

    @pytest.mark.parametrize("is_none", [True, False])
    def test_who_only_writes_takes_no_secret_from_under_its_policy(self, ada, house, is_none):
        one, other = policy(ada), policy(ada, "yearly", "365d")
        under(ada, "app/db", one)
        house.allow(ada, "user:wim@a.example", ("app/**", ["read", "write"]))
        wim = house.someone("user:wim@a.example")
        options = {"rotation_policy_id": None if is_none else other}
        asked = {"data": {"password": "his"}, "options": options}
        assert error(wim.put("/v1/secrets/app/db", asked)) == (403, "access_denied")
        assert error(wim.patch("/v1/secrets/app/db:metadata", {"options": options})) == (403, "access_denied")
        assert value(ada, "app/db") == {"password": "first"}
        assert ada.get("/v1/secrets/app/db").json["rotation_policy_id"] == one
        refused = ada.audit(action="policy_violation", identity_id="user:wim@a.example")
        assert [each["secret_path"] for each in refused] == ["app/db"] * 2
        same = wim.put("/v1/secrets/app/db", {"data": {"password": "his"}, "options": {"rotation_policy_id": one}})
        assert same.status_code == 200, same.text

    def test_who_may_rotate_it_does_and_the_trail_says_from_which_to_which(self, ada, house):
        one, other = policy(ada), policy(ada, "yearly", "365d")
        house.allow(ada, "user:rob@a.example", ("app/**", ["read", "write", "rotate"]))
        rob = house.someone("user:rob@a.example")
        under(rob, "app/db", one)
        assert rob.patch("/v1/secrets/app/db:metadata", {"options": {"rotation_policy_id": other}}).status_code == 200
        rob.write("app/db", options={"rotation_policy_id": None})
        rob.write("app/db")
        told = [each["extra_data"] for each in reversed(ada.audit(action="write", identity_id="user:rob@a.example"))]
        assert [(each.get("rotation_policy_id_before"), each.get("rotation_policy_id")) for each in told] == [
            (None, one),
            (one, other),
            (other, None),
            (None, None),
        ]
        assert "rotation_policy_id" not in told[-1]

    def test_deleting_a_policy_detaches_its_secrets(self, ada):
        one = policy(ada)
        under(ada, "app/db", one)
        assert ada.delete(f"{POLICIES}/{one}").status_code == 204
        assert ada.get("/v1/secrets/app/db").json["rotation_policy_id"] is None
        ada.write("app/db", options={"rotation_policy_id": policy(ada, "another")})

    def test_what_a_partner_shares_is_under_no_policy(self, pat, ada):
        one = policy(ada)
        body = {"data": {}, "options": {"rotation_policy_id": one}}
        assert error(pat.put("/v1/partner/secrets/shared/db", body)) == (404, "rotation_policy_not_found")


class TestRotating:
    def test_a_request_writes_a_generated_value(self, ada):
        one = policy(ada, secret_policy_id=generator(ada))
        under(ada, "app/db", one)
        done = ada.post("/v1/secrets/app/db:rotate")
        assert (done.status_code, done.json["version"], done.headers["ETag"]) == (200, 2, '"2"')
        assert len(value(ada, "app/db")["password"]) == 24
        assert value(ada, "app/db", version=1) == {"password": "first"}
        [item] = history(ada, one)
        assert (item["status"], item["triggered_by"], item["old_version"], item["new_version"]) == (
            "success",
            "request",
            1,
            2,
        )
        [entry] = ada.audit(action="rotate")
        assert (entry["secret_path"], entry["success"], entry["extra_data"]["version"]) == ("app/db", True, 2)

    def test_what_is_not_generated_stays_as_it_is(self, ada):
        kept = {"user": "bob", "host": "db.example", "ports": [5432, 6432], "tls": {"ca": "é"}, "n": 1.5, "none": None}
        ada.write("app/db", {"password": "x", **kept}, options={"secret_policy_id": generator(ada)})
        assert ada.post("/v1/secrets/app/db:rotate").status_code == 200
        data = value(ada, "app/db")
        assert len(data.pop("password")) == 24
        assert data == kept
        assert [each["action"] for each in ada.audit(action="read,rotate")] == ["read", "rotate"]

    def test_of_a_destroyed_version_nothing_is_left_to_keep(self, ada):
        ada.write("app/db", {"password": "x", "user": "bob"}, options={"secret_policy_id": generator(ada)})
        assert ada.post("/v1/secrets/app/db:destroy", {"versions": [1]}).status_code == 200
        assert ada.post("/v1/secrets/app/db:rotate").status_code == 200
        assert value(ada, "app/db").keys() == {"password"}

    def test_what_does_not_open_is_not_written_over(self, ada, house):
        one = policy(ada, secret_policy_id=generator(ada))
        for path in ("app/a", "app/b"):
            ada.write(path, {"password": "x", "user": "bob"}, options={"rotation_policy_id": one})
        with psycopg.connect(house.settings.database_url.get_secret_value(), autocommit=True) as connection:
            connection.execute(
                "UPDATE secret_versions SET sealed = overlay(sealed placing '\\x0000' from 30) WHERE path = 'app/a'"
            )
        assert ada.post("/v1/secrets/app/a:rotate").status_code == 500
        [entry] = ada.audit(action="rotate")
        assert (entry["success"], entry["extra_data"]["reason"]) == (False, "unreadable")
        first, second = ada.post(f"{POLICIES}/{one}/rotate").json
        assert (first["status"], first["error_code"]) == ("failed", "unreadable")
        assert (second["status"], second["new_version"]) == ("success", 2)
        assert value(ada, "app/b")["user"] == "bob"
        versions = ada.get("/v1/secrets/app/a:versions").json["versions"]
        assert [each["version"] for each in versions] == [1]

    def test_by_the_secrets_own_policy_where_no_other_says_how(self, ada):
        ada.write("app/db", options={"secret_policy_id": generator(ada)})
        assert ada.post("/v1/secrets/app/db:rotate").json["version"] == 2
        assert len(value(ada, "app/db")["password"]) == 24

    def test_what_stands_in_the_way_is_said(self, ada, house):
        assert error(ada.post("/v1/secrets/app/db:rotate")) == (404, "secret_not_found")
        ada.write("app/db")
        assert error(ada.post("/v1/secrets/app/db:rotate")) == (409, "no_secret_policy")
        ada.write("app/db", options={"secret_policy_id": generator(ada, is_active=False)})
        assert error(ada.post("/v1/secrets/app/db:rotate")) == (409, "secret_policy_inactive")
        reasons = {each["extra_data"]["reason"] for each in ada.audit(action="rotate", success="false")}
        assert reasons == {"secret_not_found", "no_secret_policy", "secret_policy_inactive"}

    def test_only_at_the_version_that_is_expected(self, ada):
        ada.write("app/db", options={"secret_policy_id": generator(ada)})
        refused = ada.post("/v1/secrets/app/db:rotate", headers={"If-Match": '"7"'})
        assert error(refused) == (409, "version_conflict")

    def test_it_takes_the_permission(self, house, ada):
        ada.write("app/db", options={"secret_policy_id": generator(ada)})
        house.allow(ada, "user:wim@a.example", ("app/**", ["read", "write"]))
        assert error(house.someone("user:wim@a.example").post("/v1/secrets/app/db:rotate")) == (403, "access_denied")
        house.allow(ada, "user:rob@a.example", ("app/**", ["rotate"]))
        rob = house.someone("user:rob@a.example", {Scope.SECRETS_ROTATE})
        assert rob.post("/v1/secrets/app/db:rotate").status_code == 200
        assert error(rob.get("/v1/secrets/app/db"))[0] == 403

    def test_a_write_to_a_secret_under_a_policy_is_its_rotation(self, ada, house):
        one = policy(ada)
        under(ada, "app/db", one)
        before = ada.get("/v1/rotation/due", query_string={"within_hours": 24 * 40}).json["secrets"][0]
        house.clock.forward(days=3)
        ada.write("app/db", {"password": "second"})
        after = ada.get("/v1/rotation/due", query_string={"within_hours": 24 * 40}).json["secrets"][0]
        assert after["due_at"] > before["due_at"]
        [item] = history(ada, one)
        assert (item["status"], item["triggered_by"], item["new_version"]) == ("success", "write", 2)

    def test_a_policys_secrets_are_renewed_together(self, ada):
        one = policy(ada, secret_policy_id=generator(ada))
        for path in ("app/a", "app/b", "app/c"):
            under(ada, path, one)
        done = ada.post(f"{POLICIES}/{one}/rotate")
        assert [(each["secret_path"], each["status"], each["new_version"]) for each in done.json] == [
            ("app/a", "success", 2),
            ("app/b", "success", 2),
            ("app/c", "success", 2),
        ]
        [named] = ada.post(f"{POLICIES}/{one}/rotate", {"secret_paths": ["app/b"]}).json
        assert (named["secret_path"], named["new_version"]) == ("app/b", 3)
        ada.write("app/other")
        refused = ada.post(f"{POLICIES}/{one}/rotate", {"secret_paths": ["app/other"]})
        assert error(refused) == (404, "assignment_not_found")

    def test_one_that_can_not_be_renewed_stops_none_of_the_others(self, ada):
        one = policy(ada)
        under(ada, "app/a", one)
        under(ada, "app/b", one, secret_policy_id=generator(ada))
        first, second = ada.post(f"{POLICIES}/{one}/rotate").json
        assert (first["status"], first["error_code"]) == ("failed", "no_secret_policy")
        assert (second["status"], second["new_version"]) == ("success", 2)
        assert [each["status"] for each in history(ada, one, status="failed")] == ["failed"]

    def test_more_than_is_made_in_the_time_of_a_request_is_refused_before_any_is_renewed(self, ada):
        slow = [{"name": "password", "generator": "bcrypt_hash", "config": {"rounds": 14}}]
        one = policy(ada, secret_policy_id=generator(ada, fields=slow))
        for number in range(7):
            under(ada, f"app/{number}", one)
        refused = ada.post(f"{POLICIES}/{one}/rotate")
        assert error(refused) == (409, "too_many_secrets")
        assert refused.json["error"]["details"]["limit"] == 6
        assert history(ada, one) == []
        [done] = ada.post(f"{POLICIES}/{one}/rotate", {"secret_paths": ["app/3"]}).json
        assert (done["status"], done["new_version"]) == ("success", 2)

    def test_a_secrets_own_secret_policy_comes_before_that_of_its_rotation_policy(self, ada):
        own = generator(ada, "own", fields=[{"name": "password", "generator": "hex", "config": {"length": 40}}])
        one = policy(ada, secret_policy_id=generator(ada))
        under(ada, "app/a", one, secret_policy_id=own)
        under(ada, "app/b", one)
        assert [each["status"] for each in ada.post(f"{POLICIES}/{one}/rotate").json] == ["success", "success"]
        assert [len(value(ada, path)["password"]) for path in ("app/a", "app/b")] == [40, 24]


class TestGracePeriod:
    def test_what_was_replaced_is_readable_until_its_end_and_then_not(self, ada, house):
        one = policy(ada, grace_period="2h")
        ada.write("app/db", {"password": "zeroth"})
        under(ada, "app/db", one)
        house.clock.forward(minutes=1)
        ada.write("app/db", {"password": "second"})
        versions = ada.get("/v1/secrets/app/db:versions").json["versions"]
        assert [each["is_readable"] for each in versions] == [True, True, True]
        assert versions[0]["readable_until"] is None
        assert versions[1]["readable_until"] == versions[2]["readable_until"] is not None
        assert value(ada, "app/db", version=2) == {"password": "first"}
        house.clock.forward(hours=2)
        assert value(ada, "app/db") == {"password": "second"}
        for version in (1, 2):
            gone = ada.get("/v1/secrets/app/db", query_string={"version": version})
            assert error(gone) == (404, "version_not_found")
            rollback = ada.post("/v1/secrets/app/db:rollback", {"version": version})
            assert error(rollback) == (404, "version_not_found")
        batch = ada.post("/v1/secrets/batch", {"paths": ["app/db"], "options": {"version": 2}}).json
        assert batch["errors"]["app/db"]["code"] == "version_not_found"
        versions = ada.get("/v1/secrets/app/db:versions").json["versions"]
        assert [each["is_readable"] for each in versions] == [True, False, False]

    def test_it_keeps_what_max_versions_has_no_room_for(self, ada, house):
        one = policy(ada, grace_period="1h", secret_policy_id=generator(ada))
        under(ada, "app/db", one, max_versions=1)
        assert ada.post("/v1/secrets/app/db:rotate").json["version"] == 2
        assert value(ada, "app/db", version=1) == {"password": "first"}
        house.clock.forward(minutes=30)
        ada.post("/v1/secrets/app/db:rotate")
        promised = [each["old_version"] for each in history(ada, one)]
        assert [value(ada, "app/db", version=each).keys() for each in promised] == [{"password"}] * 2
        assert [each["version"] for each in ada.get("/v1/secrets/app/db:versions").json["versions"]] == [3, 2, 1]
        house.clock.forward(minutes=30)
        ada.post("/v1/secrets/app/db:rotate")  # which drops what has become free: the first's hour is over
        assert [each["version"] for each in ada.get("/v1/secrets/app/db:versions").json["versions"]] == [4, 3, 2]

    def test_it_keeps_no_more_than_a_hundred_versions(self, ada):
        one = policy(ada)
        under(ada, "app/db", one, max_versions=1)
        for _ in range(101):
            ada.write("app/db", {"password": "next"})
        kept = ada.get("/v1/secrets/app/db:versions").json["versions"]
        assert [each["version"] for each in kept] == list(range(102, 2, -1))

    def test_a_change_of_options_drops_nothing_within_it(self, ada):
        one = policy(ada)
        under(ada, "app/db", one)
        ada.write("app/db", {"password": "second"})
        changed = ada.patch("/v1/secrets/app/db:metadata", {"options": {"max_versions": 1}})
        assert changed.status_code == 200
        assert value(ada, "app/db", version=1) == {"password": "first"}

    def test_a_rollback_within_it_is_no_rotation(self, ada, house):
        one = policy(ada)
        under(ada, "app/db", one)
        house.clock.forward(minutes=1)
        ada.write("app/db", {"password": "second"})
        due = ada.get("/v1/rotation/due", query_string={"within_hours": 24 * 40}).json["secrets"]
        house.clock.forward(minutes=1)
        assert ada.post("/v1/secrets/app/db:rollback", {"version": 1}).json["version"] == 3
        assert value(ada, "app/db") == {"password": "first"}
        assert len(history(ada, one)) == 1
        assert ada.get("/v1/rotation/due", query_string={"within_hours": 24 * 40}).json["secrets"] == due

    def test_what_no_policy_renews_keeps_its_versions(self, ada, house):
        ada.write("app/db", {"password": "first"})
        ada.write("app/db", {"password": "second"})
        house.clock.forward(days=100)
        later = house.someone("user:ada@a.example", roles=[Role.TENANT_ADMIN])
        assert value(later, "app/db", version=1) == {"password": "first"}


class TestDue:
    def test_it_tells_what_is_due_within_a_time(self, ada, house):
        soon, late = policy(ada, "soon", "10h"), policy(ada, "late", "10d")
        under(ada, "app/soon", soon)
        under(ada, "app/late", late)
        [only] = ada.get("/v1/rotation/due").json["secrets"]
        assert (only["secret_path"], only["is_overdue"], only["state"]) == ("app/soon", False, "scheduled")
        both = ada.get("/v1/rotation/due", query_string={"within_hours": 24 * 20}).json["secrets"]
        assert [each["secret_path"] for each in both] == ["app/soon", "app/late"]
        query = {"within_hours": 24 * 20, "policy_id": late}
        assert [each["secret_path"] for each in ada.get("/v1/rotation/due", query_string=query).json["secrets"]] == [
            "app/late"
        ]
        house.clock.forward(hours=11)
        assert ada.get("/v1/rotation/due", query_string={"include_overdue": "false"}).json["secrets"] == []
        ada.post(f"{POLICIES}/{soon}/disable")
        assert ada.get("/v1/rotation/due").json["secrets"] == []

    def test_in_pieces(self, ada):
        one = policy(ada, interval="10h")
        for number in range(5):
            under(ada, f"app/{number}", one)
        seen, cursor = [], None
        while True:
            query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = ada.get("/v1/rotation/due", query_string=query).json
            seen += [each["secret_path"] for each in page["secrets"]]
            cursor = page["cursor"]
            if not page["has_more"]:
                break
        assert seen == [f"app/{number}" for number in range(5)]

    def test_who_rotates_sees_what_he_may_rotate(self, ada, house):
        one = policy(ada, interval="10h")
        under(ada, "app/db", one)
        under(ada, "web/db", one)
        house.allow(ada, "user:rob@a.example", ("web/**", ["rotate"]))
        rob = house.someone("user:rob@a.example", {Scope.SECRETS_ROTATE})
        assert [each["secret_path"] for each in rob.get("/v1/rotation/due").json["secrets"]] == ["web/db"]
        reader = house.someone("user:rob@a.example", {Scope.SECRETS_READ})
        assert error(reader.get("/v1/rotation/due")) == (403, "insufficient_scope")

    def test_of_a_policy_that_is_not_there_nobody_hears_that_nothing_is_due(self, ada, bob):
        for unknown in ("rot_" + "0" * 32, policy(bob)):
            refused = ada.get("/v1/rotation/due", query_string={"policy_id": unknown})
            assert error(refused) == (404, "rotation_policy_not_found")
        assert error(ada.get("/v1/rotation/due", query_string={"policy_id": ""})) == (422, "validation_error")

    def test_the_old_name_says_that_it_is_one(self, ada):
        one = policy(ada, interval="10h")
        under(ada, "app/db", one)
        old = ada.get("/v1/rotation/pending")
        assert old.json == ada.get("/v1/rotation/due").json
        assert old.headers["Deprecation"].startswith("@")
        assert "/v1/rotation/due" in old.headers["Link"]

    def test_what_is_in_the_trash_is_due_for_nothing(self, ada):
        one = policy(ada, interval="10h")
        under(ada, "app/db", one)
        ada.delete("/v1/secrets/app/db")
        assert ada.get("/v1/rotation/due").json["secrets"] == []
        ada.post("/v1/secrets/app/db:recover")
        assert len(ada.get("/v1/rotation/due").json["secrets"]) == 1


def test_what_a_worker_renews_is_told_to_a_receiver(house, ada):
    receiver = Receiver(SECRET)
    events = ["secret.rotated", "rotation.completed"]
    body = {"name": "hook", "url": receiver.url, "secret": SECRET, "events": events}
    assert ada.post("/v1/webhooks", body).status_code == 201
    one = policy(ada, auto_generate=True, secret_policy_id=generator(ada))
    under(ada, "app/db", one)
    house.clock.forward(days=30)
    try:
        with working(house) as worker:
            received = receiver.await_count(2, 60)
            metrics = worker.instruments.render("")[0].decode()
    finally:
        receiver.close()
    assert all(each.is_genuine for each in received)
    assert [each.event["event_type"] for each in received] == events
    assert received[0].event["data"]["auto_generated"] is True
    assert received[0].event["identity_id"] == "system:rotation-scheduler"
    assert 'scaivault_secret_rotations_total{status="success"} 1.0' in metrics
    assert len(value(ada, "app/db")["password"]) == 24


class TestHistory:
    def test_in_pieces_newest_first_and_to_who_reads_the_trail(self, ada, house):
        one = policy(ada)
        under(ada, "app/db", one)
        for number in range(5):
            ada.write("app/db", {"password": str(number)})
        first = ada.get(f"{POLICIES}/{one}/history", query_string={"limit": 3}).json
        assert [each["new_version"] for each in first["history"]] == [6, 5, 4]
        rest = ada.get(f"{POLICIES}/{one}/history", query_string={"limit": 3, "cursor": first["cursor"]}).json
        assert ([each["new_version"] for each in rest["history"]], rest["has_more"]) == ([3, 2], False)
        assert ada.get(f"{POLICIES}/{one}/history", query_string={"status": "pending"}).json["history"] == []
        lacking = house.someone("user:ada@a.example", frozenset(Scope) - {Scope.AUDIT_READ}, roles=[Role.TENANT_ADMIN])
        assert error(lacking.get(f"{POLICIES}/{one}/history")) == (403, "insufficient_scope")

    def test_no_value_is_in_it(self, ada, house):
        one = policy(ada, secret_policy_id=generator(ada))
        under(ada, "app/db", one)
        ada.post("/v1/secrets/app/db:rotate")
        generated = value(ada, "app/db")["password"]
        url = house.settings.database_url.get_secret_value()
        with psycopg.connect(url) as connection:
            for table in ("rotation_history", "secret_rotations", "rotation_policies", "audit_log", "events"):
                rows = connection.execute(f"SELECT * FROM {table}").fetchall()
                assert generated not in str(rows)
