"""Policies over HTTP: kept, bound, decided on, explained."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from scaivault.app import create_app
from scaivault.bootstrap.api import build
from scaivault.kernel.caller import Role
from tests.house import furnish, opened
from tests.waiting import await_in_force

RULES = [{"path_pattern": "app/**", "permissions": ["read"]}]


def error(answer):
    return answer.json["error"]["code"]


def make(voice, name="p", rules=RULES, **more):
    answer = voice.post("/v1/policies", {"name": name, "rules": rules, **more})
    assert answer.status_code == 201, answer.text
    return answer.json


@pytest.fixture
def carol(house, tenants):
    """A user without any policy."""
    return house.someone("user:carol@a.example")


def seen(check):
    """Wait until a change of authority is in force."""
    await_in_force(check, bool)


class TestKeeping:
    def test_a_policy_comes_back_as_it_went_in(self, ada):
        made = make(ada, "p", description="d")
        answer = ada.get(f"/v1/policies/{made['id']}")
        assert answer.json == made
        assert answer.headers["ETag"] == '"1"'
        assert made["rules"][0]["path_pattern"] == "app/**"
        assert made["rules"][0]["effect"] == "allow"
        assert made["bindings"] == []

    def test_put_replaces_and_keeps_bindings(self, house, ada):
        made = make(ada)
        bound = {"identity_type": "group", "identity_id": "group:sre"}
        ada.post(f"/v1/policies/{made['id']}/bindings", bound)
        rules = [{"path_pattern": "ops/*", "permissions": ["list"]}]
        answer = ada.put(f"/v1/policies/{made['id']}", {"name": "q", "rules": rules})
        assert (answer.status_code, answer.json["name"], len(answer.json["bindings"])) == (200, "q", 1)

    def test_patch_changes_what_is_given(self, ada):
        made = make(ada, description="before")
        answer = ada.patch(f"/v1/policies/{made['id']}", {"is_active": False})
        assert answer.json["is_active"] is False
        assert answer.json["description"] == "before"
        assert answer.json["rules"] == made["rules"]

    def test_a_stale_etag_is_a_conflict(self, ada):
        made = make(ada)
        url = f"/v1/policies/{made['id']}"
        assert ada.patch(url, {"description": "x"}, headers={"If-Match": '"1"'}).status_code == 200
        answer = ada.patch(url, {"description": "y"}, headers={"If-Match": '"1"'})
        assert (answer.status_code, error(answer)) == (409, "version_conflict")

    def test_a_bound_policy_is_deleted_only_by_force(self, ada):
        made = make(ada)
        bound = {"identity_type": "user", "identity_id": "user:x"}
        ada.post(f"/v1/policies/{made['id']}/bindings", bound)
        assert error(ada.delete(f"/v1/policies/{made['id']}")) == "policy_in_use"
        assert ada.delete(f"/v1/policies/{made['id']}?force=true").status_code == 204
        assert error(ada.get(f"/v1/policies/{made['id']}")) == "policy_not_found"

    def test_inactive_ones_are_listed_on_request(self, ada):
        make(ada, "on")
        make(ada, "off", is_active=False)
        names = {policy["name"] for policy in ada.get("/v1/policies").json["policies"]}
        assert ("on" in names, "off" in names) == (True, False)
        everything = ada.get("/v1/policies?include_inactive=true").json["policies"]
        assert "off" in {policy["name"] for policy in everything}

    @pytest.mark.parametrize(
        ("rules", "code"),
        [
            ([{"path_pattern": "/app", "permissions": ["read"]}], "invalid_glob"),
            ([{"path_pattern": "app/**x", "permissions": ["read"]}], "invalid_glob"),
            ([{"path_pattern": "../app", "permissions": ["read"]}], "invalid_glob"),
            ([{"path_pattern": "app", "permissions": []}], "invalid_policy"),
            ([{"path_pattern": "app", "permissions": ["fly"]}], "validation_error"),
            ([{"path_pattern": "app", "permissions": ["read"], "effect": "maybe"}], "validation_error"),
            ([{"path_pattern": "app", "permissions": ["read"], "colour": "red"}], "validation_error"),
            ([], "invalid_policy"),
            (RULES * 101, "invalid_policy"),
        ],
    )
    def test_rules_that_mean_nothing_are_refused(self, ada, rules, code):
        answer = ada.post("/v1/policies", {"name": "p", "rules": rules})
        assert error(answer) == code
        assert "p" not in {policy["name"] for policy in ada.get("/v1/policies").json["policies"]}

    @pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
    def test_a_foreign_policy_is_one_that_is_not_there(self, ada, bob, method):
        made = make(ada)
        body = {"put": {"name": "x", "rules": RULES}, "patch": {"name": "x"}}.get(method)
        arguments = {} if body is None else {"body": body}
        answer = getattr(bob, method)(f"/v1/policies/{made['id']}", **arguments)
        assert (answer.status_code, error(answer)) == (404, "policy_not_found")
        assert ada.get(f"/v1/policies/{made['id']}").json == made

    def test_only_administrators_write_them(self, carol):
        answer = carol.post("/v1/policies", {"name": "mine", "rules": RULES})
        assert (answer.status_code, error(answer)) == (403, "access_denied")


class TestDeciding:
    def test_without_a_policy_everything_is_denied(self, ada, carol):
        ada.write("app/db")
        for answer in (
            carol.get("/v1/secrets/app/db"),
            carol.put("/v1/secrets/app/db", {"data": {}}),
            carol.delete("/v1/secrets/app/db"),
            carol.get("/v1/secrets/app/db:metadata"),
            carol.get("/v1/secrets/app/db:versions"),
            carol.post("/v1/secrets/app/db:rollback", {"version": 1}),
            carol.post("/v1/secrets/app/db:destroy", {"versions": [1]}),
            carol.post("/v1/secrets/app/db:recover"),
            carol.patch("/v1/secrets/app/db:metadata", {"metadata": {"a": 1}}),
        ):
            assert (answer.status_code, error(answer)) == (403, "access_denied")
        assert ada.get("/v1/secrets/app/db").json["version"] == 1

    def test_what_exists_and_what_does_not_are_denied_alike(self, ada, carol):
        ada.write("app/db")
        there, absent = (carol.get(f"/v1/secrets/app/{name}").json["error"] for name in ("db", "nothing"))
        assert there | {"request_id": ""} == absent | {"request_id": ""}

    def test_deny_wins_whatever_else_allows(self, house, ada, carol):
        ada.write("app/db")
        house.allow(ada, "user:carol@a.example", ("**", ["admin"]))
        seen(lambda: carol.get("/v1/secrets/app/db").status_code == 200)
        house.allow(ada, "user:carol@a.example", ("app/*", ["read"], {"effect": "deny"}))
        seen(lambda: carol.get("/v1/secrets/app/db").status_code == 403)
        assert carol.get("/v1/secrets/app/db:metadata").status_code == 200

    def test_groups_count(self, house, ada):
        ada.write("app/db")
        dave = house.someone("user:dave", groups=["group:sre"])
        house.allow(ada, "group:sre", ("app/*", ["read"]), identity_type="group")
        seen(lambda: dave.get("/v1/secrets/app/db").status_code == 200)

    def test_a_binding_ends_at_its_hour(self, house, ada, carol):
        ada.write("app/db")
        made = make(ada)
        ends = (house.clock.now().replace(microsecond=0)).isoformat().replace("+00:00", "Z")
        past = {"identity_type": "user", "identity_id": "user:carol@a.example", "expires_at": ends}
        assert error(ada.post(f"/v1/policies/{made['id']}/bindings", past)) == "invalid_policy"
        house.clock.forward(hours=-1)
        assert ada.post(f"/v1/policies/{made['id']}/bindings", past).status_code == 201
        seen(lambda: carol.get("/v1/secrets/app/db").status_code == 200)
        house.clock.forward(hours=1)
        assert carol.get("/v1/secrets/app/db").status_code == 403

    def test_unbinding_takes_effect_in_another_process_within_a_second(self, house, ada, carol):
        ada.write("app/db")
        policy = house.allow(ada, "user:carol@a.example", ("app/*", ["read"]))
        other = build(house.settings, clock=house.clock)
        other.open()
        try:
            client = create_app(other).test_client()
            asked = {"headers": {"Authorization": f"Bearer {carol.token}"}}
            assert client.get("/v1/secrets/app/db", **asked).status_code == 200
            binding = ada.get(f"/v1/policies/{policy}").json["bindings"][0]["id"]
            assert ada.delete(f"/v1/policies/{policy}/bindings/{binding}").status_code == 204
            seen(lambda: client.get("/v1/secrets/app/db", **asked).status_code == 403)
        finally:
            other.close()

    @pytest.mark.parametrize(
        ("conditions", "code", "failed"),
        [
            ({"ip_ranges": ["10.0.0.0/8"]}, "ip_not_allowed", "ip_ranges"),
            ({"require_mfa": True}, "mfa_required", "require_mfa"),
            (
                {"time_window": {"days": ["mon"], "start": "09:00", "end": "17:00", "timezone": "Europe/Berlin"}},
                "time_window_violation",
                "time_window",
            ),
        ],
    )
    def test_a_condition_that_fails_is_named(self, house, ada, carol, conditions, code, failed):
        house.clock.forward(days=(6 - house.clock.now().weekday()) % 7)
        ada.write("app/db")
        house.allow(ada, "user:carol@a.example", ("app/*", ["read"], {"conditions": conditions}))
        seen(lambda: error(carol.get("/v1/secrets/app/db")) == code)
        answer = carol.get("/v1/secrets/app/db")
        assert answer.status_code == 403
        assert answer.json["error"]["details"] == {"failed_condition": failed}
        assert ada.audit(action="policy_violation")[0]["extra_data"]["failed_condition"] == failed


class TestExplaining:
    def ask(self, voice, **body):
        return voice.post("/v1/policies/test", {"identity_id": "user:carol@a.example", "permission": "read", **body})

    def test_says_which_rule_decided(self, house, ada, carol):
        policy = house.allow(ada, "user:carol@a.example", ("app/*", ["read"]))
        answer = self.ask(ada, path="app/db").json
        assert answer["allowed"] is True
        assert answer["matched"]["policy_id"] == policy
        assert answer["matched"]["path_pattern"] == "app/*"

    def test_says_why_each_policy_did_not(self, house, ada, carol):
        house.allow(ada, "user:carol@a.example", ("app/*", ["list"]))
        house.allow(ada, "user:carol@a.example", ("ops/*", ["read"]))
        answer = self.ask(ada, path="app/db").json
        assert answer["allowed"] is False
        assert answer["matched"] is None
        assert len({evaluated["reason"] for evaluated in answer["evaluated"]}) == 2

    def test_takes_the_circumstances_it_is_given(self, house, ada, carol):
        house.allow(ada, "user:carol@a.example", ("app/*", ["read"], {"conditions": {"ip_ranges": ["10.0.0.0/8"]}}))
        assert self.ask(ada, path="app/db", context={"source_ip": "10.1.2.3"}).json["allowed"] is True
        refused = self.ask(ada, path="app/db", context={"source_ip": "11.1.2.3"}).json
        assert (refused["allowed"], refused["failed_condition"]) == (False, "ip_ranges")

    def test_leaves_no_entry_in_the_trail(self, ada):
        before = len(ada.audit())
        self.ask(ada, path="app/db")
        assert len(ada.audit()) == before


# What follows asks one standing house, in a tenant of the test's own.


@pytest.fixture(scope="module")
def standing(module_database_url, redis_server, tmp_path_factory):
    with opened(module_database_url, redis_server.url(), tmp_path_factory.mktemp("house")) as house:
        furnish(house)
        yield house


@pytest.fixture
def elsewhere(standing):
    """A second process over the same servers."""
    other = build(standing.settings, clock=standing.clock)
    other.open()
    yield create_app(other).test_client()
    other.close()


class Tenant:
    """An administrator who may do everything, and Dave, who may do nothing yet."""

    numbers = itertools.count(1)

    def __init__(self, house):
        self.house = house
        self.id = f"tnt_{next(self.numbers)}"
        house.services.installer.add_tenant("ptn_test", self.id, self.id)
        self.admin = house.someone("user:ann", roles=[Role.TENANT_ADMIN], tenant_id=self.id)
        house.allow(self.admin, "user:ann", ("**", ["admin"]))
        self.dave = house.someone("user:dave", groups=["group:sre"], tenant_id=self.id)

    def make(self, *rules, name="p", **more):
        return make(
            self.admin,
            name,
            [{"path_pattern": "app/**", "permissions": ["read"], **rule} for rule in rules or [{}]],
            **more,
        )

    def bind(self, policy, identity_id="user:dave", **more):
        kind = identity_id.partition(":")[0]
        return self.admin.post(f"{url(policy)}/bindings", {"identity_type": kind, "identity_id": identity_id, **more})

    def give(self, *rules, to="user:dave", **more):
        """A policy of these rules, bound; before Dave's first request, so that it is in force at once."""
        policy = self.make(*rules, **more)
        assert self.bind(policy, to).status_code == 201
        return policy


@pytest.fixture
def tenant(standing):
    instant = standing.clock.instant
    yield Tenant(standing)
    standing.clock.instant = instant


def url(policy):
    return f"/v1/policies/{policy['id']}"


class TestCollection:
    def listed(self, voice, **query):
        seen, cursor = [], None
        while True:
            page = voice.get("/v1/policies", query_string=query | ({"cursor": cursor} if cursor else {})).json
            seen += page["policies"]
            cursor = page["cursor"]
            assert page["has_more"] is (cursor is not None)
            if cursor is None:
                return seen

    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    def test_comes_by_name_in_pages_without_gap_or_overlap(self, tenant, limit):
        for name in ("delta", "alpha", "charlie", "bravo"):
            tenant.make(name=name)
        names = [policy["name"] for policy in self.listed(tenant.admin, limit=limit)]
        assert [name for name in names if not name.startswith("policy")] == ["alpha", "bravo", "charlie", "delta"]
        assert len(names) == 5

    @pytest.mark.parametrize("letter", ["x", "ü", "\u4e2d", "🔑", '"', "\\"])
    def test_pages_follow_the_longest_names_there_are(self, tenant, letter):
        names = {letter * 199 + str(number) for number in range(3)}
        for name in names:
            tenant.make(name=name)
        assert names < {policy["name"] for policy in self.listed(tenant.admin, limit=1)}

    def test_a_row_counts_rules_and_bindings(self, tenant):
        policy = tenant.make({}, {"path_pattern": "ops"})
        tenant.bind(policy)
        tenant.bind(policy, "group:sre")
        [row] = [each for each in self.listed(tenant.admin) if each["id"] == policy["id"]]
        assert (row["rule_count"], row["binding_count"]) == (2, 2)
        assert "rules" not in row

    def test_partners_have_no_policies_in_this_release(self, tenant):
        assert tenant.admin.get("/v1/policies?scope=partner").json["policies"] == []
        answer = tenant.admin.post("/v1/policies", {"name": "p", "rules": RULES, "scope": "partner"})
        assert error(answer) == "invalid_policy"

    def test_a_cursor_is_good_for_its_own_query_only(self, tenant):
        tenant.make()
        cursor = tenant.admin.get("/v1/policies?limit=1").json["cursor"]
        for query in ({"include_inactive": "true"}, {"scope": "partner"}):
            answer = tenant.admin.get("/v1/policies", query_string={"limit": 1, "cursor": cursor} | query)
            assert error(answer) == "invalid_cursor"
        stranger = Tenant(tenant.house).admin
        assert error(stranger.get("/v1/policies", query_string={"cursor": cursor})) == "invalid_cursor"

    def test_a_name_is_taken_once_in_a_tenant(self, tenant):
        tenant.make(name="same")
        answer = tenant.admin.post("/v1/policies", {"name": "same", "rules": RULES})
        assert (answer.status_code, error(answer)) == (409, "policy_exists")
        Tenant(tenant.house).make(name="same")

    @pytest.mark.parametrize(("scope", "method"), [("policies:write", "get"), ("policies:read", "post")])
    def test_reading_and_writing_are_scopes_of_their_own(self, tenant, scope, method):
        half = tenant.house.someone("user:half", scopes=[scope], roles=[Role.TENANT_ADMIN], tenant_id=tenant.id)
        body = {"body": {"name": "p", "rules": RULES}} if method == "post" else {}
        answer = getattr(half, method)("/v1/policies", **body)
        assert (answer.status_code, error(answer)) == (403, "insufficient_scope")


class TestSingle:
    def test_patch_changes_each_field_alone(self, tenant):
        before = tenant.make(description="d")
        for changed in (
            {"name": "q"},
            {"description": ""},
            {"rules": [{**before["rules"][0], "effect": "deny"}]},
            {"is_active": False},
        ):
            after = tenant.admin.patch(url(before), changed).json
            assert {key for key in after if after[key] != before[key]} <= {*changed, "revision", "updated_at"}
            assert {key: after[key] for key in changed} == changed
            assert after["revision"] == before["revision"] + 1
            before = after

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({}, "invalid_policy"),
            ({"name": ""}, "validation_error"),
            ({"name": "x" * 201}, "validation_error"),
            ({"name": "a\nb"}, "validation_error"),
            ({"name": None}, "validation_error"),
            ({"is_active": "no"}, "validation_error"),
            ({"rules": None}, "validation_error"),
            ({"rules": []}, "invalid_policy"),
            ({"id": "pol_x"}, "validation_error"),
            ({"bindings": []}, "validation_error"),
            ({"scope": "partner"}, "invalid_policy"),
        ],
    )
    def test_a_patch_that_means_nothing_changes_nothing(self, tenant, body, code):
        policy = tenant.make()
        assert error(tenant.admin.patch(url(policy), body)) == code
        assert tenant.admin.get(url(policy)).json == policy

    @pytest.mark.parametrize("method", ["put", "patch", "delete"])
    def test_each_change_may_say_what_it_is_based_on(self, tenant, method):
        policy = tenant.make()
        body = {"put": {"name": "p", "rules": RULES}, "patch": {"description": "x"}}.get(method)
        options = {} if body is None else {"body": body}
        change = getattr(tenant.admin, method)
        stale = change(url(policy), headers={"If-Match": '"2"'}, **options)
        assert (stale.status_code, error(stale)) == (409, "version_conflict")
        assert stale.json["error"]["details"] == {"current_revision": 1}
        assert error(change(url(policy), headers={"If-Match": "1"}, **options)) == "invalid_request"
        fresh = change(url(policy), headers={"If-Match": '"1"'}, **options)
        assert fresh.status_code in {200, 204}
        if body is not None:
            assert fresh.headers["ETag"] == '"2"'

    def test_delete_without_bindings_needs_no_force(self, tenant):
        policy = tenant.make()
        assert tenant.admin.delete(url(policy)).status_code == 204
        assert error(tenant.admin.delete(url(policy))) == "policy_not_found"

    def test_delete_of_a_bound_one_says_how_many_are_in_the_way(self, tenant):
        policy = tenant.make()
        tenant.bind(policy)
        tenant.bind(policy, "group:sre")
        answer = tenant.admin.delete(url(policy))
        assert (answer.status_code, error(answer)) == (409, "policy_in_use")
        assert answer.json["error"]["details"] == {"binding_count": 2}
        assert error(tenant.admin.delete(f"{url(policy)}?force=false")) == "policy_in_use"

    @pytest.mark.parametrize("policy_id", ["pol_", "pol_x", "pol_" + "0" * 32, "x" * 500, "%01", "bnd_" + "0" * 32])
    def test_what_can_be_no_policy_is_not_there(self, tenant, policy_id):
        assert error(tenant.admin.get(f"/v1/policies/{policy_id}")) == "policy_not_found"

    @pytest.mark.parametrize(
        ("rule", "code"),
        [
            ({"path_pattern": "/".join("a" * 10)}, None),
            ({"path_pattern": "/".join("a" * 11)}, "invalid_glob"),
            ({"path_pattern": "/".join(["*a*b*"] * 5) + "/*"}, None),
            ({"path_pattern": "/".join(["*a*b*"] * 5) + "/*/*"}, "invalid_glob"),
            ({"path_pattern": "a" * 513}, "invalid_glob"),
            ({"conditions": {"ip_ranges": ["10.0.0.0/8"] * 100}}, None),
            ({"conditions": {"ip_ranges": ["10.0.0.0/8"] * 101}}, "invalid_policy"),
            ({"conditions": {"ip_ranges": []}}, "invalid_policy"),
            ({"conditions": {"ip_ranges": ["10.0.0.1/8"]}}, "invalid_policy"),
            ({"conditions": {"ip_ranges": ["everywhere"]}}, "invalid_policy"),
            ({"conditions": {"mfa_max_age": "5m"}}, "invalid_policy"),
            ({"conditions": {"require_mfa": True, "mfa_max_age": "soon"}}, "invalid_duration"),
            ({"conditions": {"time_window": {"start": "9:00", "end": "17:00"}}}, "invalid_policy"),
            ({"conditions": {"time_window": {"start": "09:00", "end": "09:00"}}}, "invalid_policy"),
            (
                {"conditions": {"time_window": {"start": "09:00", "end": "17:00", "timezone": "Mars/Base"}}},
                "invalid_policy",
            ),
            (
                {"conditions": {"time_window": {"start": "09:00", "end": "17:00", "timezone": "/etc/passwd"}}},
                "invalid_policy",
            ),
            ({"conditions": {"moon": "full"}}, "validation_error"),
        ],
    )
    def test_the_bounds_of_a_rule(self, tenant, rule, code):
        rules = [{"path_pattern": "app", "permissions": ["read"], **rule}]
        answer = tenant.admin.post("/v1/policies", {"name": "p", "rules": rules})
        assert (None if answer.status_code == 201 else error(answer)) == code

    def test_what_is_answered_may_be_sent_back(self, tenant):
        window = {"days": ["mon", "fri"], "start": "22:00", "end": "06:00", "timezone": "Europe/Berlin"}
        conditions = {"ip_ranges": ["10.0.0.0/8", "2001:db8::/32"], "require_mfa": True, "time_window": window}
        policy = tenant.make({"effect": "deny", "permissions": ["read", "admin"], "conditions": conditions}, {})
        sent = {key: policy[key] for key in ("name", "description", "rules", "is_active", "scope")}
        answer = tenant.admin.put(url(policy), sent)
        assert {**policy, "revision": 2, "updated_at": answer.json["updated_at"]} == answer.json


class TestBindings:
    def test_a_binding_is_answered_listed_and_removed(self, tenant):
        policy = tenant.make()
        made = tenant.bind(policy, "group:sre")
        assert made.status_code == 201
        assert (made.json["identity_type"], made.json["identity_id"], made.json["expires_at"]) == (
            "group",
            "group:sre",
            None,
        )
        assert tenant.admin.get(f"{url(policy)}/bindings").json["bindings"] == [made.json]
        assert tenant.admin.get(url(policy)).json["bindings"] == [made.json]
        one = f"{url(policy)}/bindings/{made.json['id']}"
        assert tenant.admin.delete(one).status_code == 204
        assert error(tenant.admin.delete(one)) == "binding_not_found"
        assert tenant.admin.get(f"{url(policy)}/bindings").json["bindings"] == []

    def test_they_come_in_pages_in_the_order_of_their_making(self, tenant):
        policy = tenant.make()
        made = [tenant.bind(policy, f"user:{number}").json["id"] for number in range(5)]
        seen, cursor = [], None
        while True:
            query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = tenant.admin.get(f"{url(policy)}/bindings", query_string=query).json
            seen += [binding["id"] for binding in page["bindings"]]
            cursor = page["cursor"]
            if cursor is None:
                break
        assert seen == sorted(made)

    def test_an_identity_is_bound_once(self, tenant):
        policy = tenant.make()
        assert tenant.bind(policy).status_code == 201
        again = tenant.bind(policy)
        assert (again.status_code, error(again)) == (409, "binding_exists")

    def test_one_that_has_run_out_makes_room_for_another(self, tenant):
        policy, clock = tenant.make(), tenant.house.clock
        soon = (clock.now() + timedelta(hours=1)).isoformat()
        assert tenant.bind(policy, expires_at=soon).status_code == 201
        clock.forward(hours=2)
        assert tenant.bind(policy).status_code == 201

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"identity_id": ""}, "validation_error"),
            ({"identity_id": "x" * 257}, "validation_error"),
            ({}, "validation_error"),
            ({"identity_id": "user:a b"}, "invalid_policy"),
            ({"identity_id": "user:ada", "identity_type": "group"}, "invalid_policy"),
            ({"identity_id": "group:sre", "identity_type": "user"}, "invalid_policy"),
            ({"identity_id": "user:ada", "identity_type": "robot"}, "validation_error"),
            ({"identity_id": "user:ada", "expires_at": "2020-01-01T00:00:00Z"}, "invalid_policy"),
            ({"identity_id": "user:ada", "expires_at": "2900-01-01T00:00:00Z"}, "invalid_policy"),
            ({"identity_id": "user:ada", "expires_at": "tomorrow"}, "validation_error"),
            ({"identity_id": "user:ada", "expires_at": 1_900_000_000}, "validation_error"),
            ({"identity_id": "user:ada", "policy_id": "pol_x"}, "validation_error"),
        ],
    )
    def test_who_can_not_be_bound_is_refused(self, tenant, body, code):
        policy = tenant.make()
        assert error(tenant.admin.post(f"{url(policy)}/bindings", {"identity_type": "user", **body})) == code
        assert tenant.admin.get(url(policy)).json["bindings"] == []

    @pytest.mark.parametrize(
        ("kind", "identity_id"),
        [("user", "user:ada"), ("user", "user:ada@example.com"), ("service_account", "sa:ci"), ("group", "group:sre")],
    )
    def test_an_identity_is_named_by_type_and_id(self, tenant, kind, identity_id):
        made = tenant.bind(tenant.make(), identity_id, identity_type=kind).json
        assert (made["identity_type"], made["identity_id"]) == (kind, identity_id)

    def test_a_binding_belongs_to_its_policy(self, tenant):
        mine, other = tenant.make(name="a"), tenant.make(name="b")
        binding = tenant.bind(mine).json["id"]
        assert error(tenant.admin.delete(f"{url(other)}/bindings/{binding}")) == "binding_not_found"
        stranger = Tenant(tenant.house).admin
        assert error(stranger.delete(f"{url(mine)}/bindings/{binding}")) == "policy_not_found"
        assert error(stranger.get(f"{url(mine)}/bindings")) == "policy_not_found"


VERBS = {
    "read": lambda voice: voice.get("/v1/secrets/app/db"),
    "write": lambda voice: voice.put("/v1/secrets/app/db", {"data": {}}),
    "write metadata": lambda voice: voice.patch("/v1/secrets/app/db:metadata", {"metadata": {"a": 1}}),
    "write back": lambda voice: voice.post("/v1/secrets/app/db:rollback", {"version": 1}),
    "write recovered": lambda voice: voice.post("/v1/secrets/app/db:recover"),
    "delete": lambda voice: voice.delete("/v1/secrets/app/db"),
    "delete for good": lambda voice: voice.delete("/v1/secrets/app/db?permanent=true"),
    "delete versions": lambda voice: voice.post("/v1/secrets/app/db:destroy", {"versions": [1]}),
    "list metadata": lambda voice: voice.get("/v1/secrets/app/db:metadata"),
    "list versions": lambda voice: voice.get("/v1/secrets/app/db:versions"),
}


class TestEveryVerb:
    @pytest.mark.parametrize("verb", VERBS)
    @pytest.mark.parametrize("denied", ["itself", "admin"])
    def test_a_deny_wins_over_everything_that_allows(self, tenant, verb, denied):
        tenant.admin.write("app/db")
        permission = verb.split()[0]
        tenant.give({"path_pattern": "**", "permissions": ["admin"]}, name="all")
        tenant.give({"path_pattern": "app/db", "permissions": [permission]}, name="even by name")
        denying = {
            "path_pattern": "app/*",
            "effect": "deny",
            "permissions": [permission if denied == "itself" else "admin"],
        }
        tenant.give(denying, to="group:sre", name="no")
        answer = VERBS[verb](tenant.dave)
        assert (answer.status_code, error(answer)) == (403, "access_denied")
        assert tenant.admin.get("/v1/secrets/app/db:versions").json["versions"][0]["version"] == 1

    @pytest.mark.parametrize("verb", VERBS)
    def test_its_permission_suffices_and_no_other_does(self, tenant, verb):
        tenant.admin.write("app/db")
        if verb == "write recovered":
            tenant.admin.delete("/v1/secrets/app/db")
        permission = verb.split()[0]
        others = [each for each in ("read", "write", "delete", "list", "rotate") if each != permission]
        tenant.give({"permissions": others}, name="others")
        assert error(VERBS[verb](tenant.dave)) == "access_denied"
        erin = tenant.house.someone("user:erin", tenant_id=tenant.id)
        tenant.give({"permissions": [permission]}, to="user:erin", name="its own")
        assert VERBS[verb](erin).status_code < 300

    def test_a_deny_hides_from_lists_and_batches_too(self, tenant):
        for path in ("app/a", "app/b", "app/c/d"):
            tenant.admin.write(path)
        tenant.give({"permissions": ["admin"]}, {"path_pattern": "app/b", "effect": "deny", "permissions": ["admin"]})
        assert [row["path"] for row in tenant.dave.get("/v1/secrets").json["secrets"]] == ["app/a", "app/c/d"]
        batch = tenant.dave.post("/v1/secrets/batch", {"paths": ["app/a", "app/b"]}).json
        assert (list(batch["secrets"]), batch["errors"]["app/b"]["code"]) == (["app/a"], "access_denied")
        body = {"paths": ["app/*", "app/b"], "expand_wildcards": True}
        batch = tenant.dave.post("/v1/secrets/batch/metadata", body).json
        assert (list(batch["secrets"]), list(batch["errors"])) == (["app/a"], ["app/b"])

    def test_without_the_scope_no_policy_helps(self, tenant):
        tenant.admin.write("app/db")
        weak = tenant.house.someone("user:weak", scopes=["secrets:list"], tenant_id=tenant.id)
        tenant.give({"permissions": ["admin"]}, to="user:weak")
        answer = VERBS["read"](weak)
        assert (answer.status_code, error(answer)) == (403, "insufficient_scope")
        assert answer.json["error"]["details"] == {"required_scope": "secrets:read"}

    def test_an_inactive_policy_neither_allows_nor_denies(self, tenant):
        tenant.admin.write("app/db")
        tenant.give(name="off", is_active=False)
        assert error(VERBS["read"](tenant.dave)) == "access_denied"
        tenant.give({"effect": "deny"}, to="user:erin", name="denies not", is_active=False)
        tenant.give(to="user:erin", name="allows")
        erin = tenant.house.someone("user:erin", tenant_id=tenant.id)
        assert VERBS["read"](erin).status_code == 200


OFFICE = {"ip_ranges": ["192.0.2.0/24", "2001:db8::/32"]}


class TestConditions:
    def read_from(self, tenant, address):
        return tenant.dave.get("/v1/secrets/app/db", environ_overrides={"REMOTE_ADDR": address})

    @pytest.mark.parametrize(
        ("address", "allowed"),
        [
            ("192.0.2.1", True),
            ("192.0.2.255", True),
            ("192.0.3.0", False),
            ("::ffff:192.0.2.1", True),
            ("2001:db8::9", True),
            ("2001:db9::9", False),
        ],
    )
    def test_from_where(self, tenant, address, allowed):
        tenant.admin.write("app/db")
        tenant.give({"conditions": OFFICE})
        answer = self.read_from(tenant, address)
        assert (answer.status_code == 200) is allowed
        if not allowed:
            assert error(answer) == "ip_not_allowed"
            assert answer.json["error"]["details"] == {"failed_condition": "ip_ranges"}

    def test_a_claimed_address_is_not_believed(self, tenant):
        tenant.give({"conditions": OFFICE})
        answer = tenant.dave.get("/v1/secrets/app/db", headers={"X-Forwarded-For": "192.0.2.1"})
        assert error(answer) == "ip_not_allowed"
        assert tenant.admin.audit(action="policy_violation")[0]["source_ip"] == "127.0.0.1"

    @pytest.mark.parametrize(
        ("hour", "allowed"), [("08:59", False), ("09:00", True), ("16:59", True), ("17:00", False)]
    )
    def test_when(self, tenant, hour, allowed):
        tenant.admin.write("app/db")
        window = {"start": "09:00", "end": "17:00", "timezone": "Europe/Berlin"}
        tenant.give({"conditions": {"time_window": window}})
        here = datetime.combine(tenant.house.clock.now().date(), datetime.min.time(), ZoneInfo("Europe/Berlin"))
        hours, minutes = hour.split(":")
        tenant.house.clock.instant = here.replace(hour=int(hours), minute=int(minutes)).astimezone(UTC)
        answer = VERBS["read"](tenant.dave)
        assert (answer.status_code == 200) is allowed
        if not allowed:
            assert error(answer) == "time_window_violation"
            assert answer.json["error"]["details"] == {"failed_condition": "time_window"}

    def test_all_of_them_must_hold(self, tenant):
        tenant.give({"conditions": {**OFFICE, "require_mfa": True}})
        assert error(self.read_from(tenant, "198.51.100.1")) == "ip_not_allowed"
        assert error(self.read_from(tenant, "192.0.2.1")) == "mfa_required"

    def test_another_rule_may_do_without(self, tenant):
        tenant.admin.write("app/db")
        tenant.give({"conditions": {"require_mfa": True}}, {"path_pattern": "app/db"})
        assert VERBS["read"](tenant.dave).status_code == 200

    def test_a_deny_that_does_not_apply_here_denies_nothing_here(self, tenant):
        tenant.admin.write("app/db")
        tenant.give({}, {"effect": "deny", "conditions": OFFICE})
        assert self.read_from(tenant, "198.51.100.1").status_code == 200
        assert error(self.read_from(tenant, "192.0.2.1")) == "access_denied"

    def test_a_list_shows_what_may_be_listed_from_here(self, tenant):
        tenant.admin.write("app/db")
        tenant.give({"permissions": ["list"], "conditions": OFFICE})
        there, here = ({"REMOTE_ADDR": address} for address in ("192.0.2.1", "198.51.100.1"))
        assert len(tenant.dave.get("/v1/secrets", environ_overrides=there).json["secrets"]) == 1
        assert tenant.dave.get("/v1/secrets", environ_overrides=here).json["secrets"] == []


# Whether Dave may read before it, and the change.
CHANGES = {
    "bound": (False, lambda tenant, policy: tenant.bind(policy)),
    "bound to a group": (False, lambda tenant, policy: tenant.bind(policy, "group:sre")),
    "unbound": (
        True,
        lambda tenant, policy: tenant.admin.delete(
            f"{url(policy)}/bindings/{tenant.admin.get(url(policy)).json['bindings'][0]['id']}"
        ),
    ),
    "switched off": (True, lambda tenant, policy: tenant.admin.patch(url(policy), {"is_active": False})),
    "narrowed": (
        True,
        lambda tenant, policy: tenant.admin.patch(
            url(policy), {"rules": [{"path_pattern": "ops/*", "permissions": ["read"]}]}
        ),
    ),
    "replaced": (
        True,
        lambda tenant, policy: tenant.admin.put(
            url(policy), {"name": "p", "rules": [{"path_pattern": "app/*", "permissions": ["list"]}]}
        ),
    ),
    "deleted": (True, lambda tenant, policy: tenant.admin.delete(f"{url(policy)}?force=true")),
    "denied": (True, lambda tenant, policy: tenant.give({"effect": "deny"}, name="no")),
}


class TestInAnotherProcess:
    """Whatever is changed here is in force there within a second, to the good and to the bad."""

    @pytest.mark.parametrize("change", CHANGES)
    def test_a_change_is_in_force_within_a_second(self, tenant, elsewhere, change):
        allowed_before, act = CHANGES[change]
        tenant.admin.write("app/db")
        policy = tenant.give() if allowed_before else tenant.make()
        asked = {"headers": {"Authorization": f"Bearer {tenant.dave.token}"}}
        before, after = (200, 403) if allowed_before else (403, 200)
        for _ in range(2):
            assert elsewhere.get("/v1/secrets/app/db", **asked).status_code == before
        act(tenant, policy)
        seen(lambda: elsewhere.get("/v1/secrets/app/db", **asked).status_code == after)

    def test_a_binding_ends_there_at_its_hour_without_anybody_doing_anything(self, tenant, elsewhere):
        tenant.admin.write("app/db")
        ends = (tenant.house.clock.now() + timedelta(hours=1)).isoformat()
        tenant.bind(tenant.make(), expires_at=ends)
        asked = {"headers": {"Authorization": f"Bearer {tenant.dave.token}"}}
        tenant.house.clock.forward(minutes=59, seconds=59)
        assert elsewhere.get("/v1/secrets/app/db", **asked).status_code == 200
        tenant.house.clock.forward(seconds=1)
        assert elsewhere.get("/v1/secrets/app/db", **asked).status_code == 403


class TestTrial:
    def ask(self, tenant, **body):
        asked = {"identity_id": "user:dave", "permission": "read", "path": "app/db", **body}
        return tenant.admin.post("/v1/policies/test", asked)

    @pytest.mark.parametrize(
        ("rules", "more", "word"),
        [
            ([{}], {}, "allows this"),
            ([{}, {"effect": "deny"}], {}, "denies this"),
            ([{"path_pattern": "app"}], {}, "No rule has a pattern"),
            ([{"permissions": ["list"]}], {}, "none of those grants"),
            ([{}], {"is_active": False}, "not active"),
            ([{"conditions": {"ip_ranges": ["192.0.2.0/24"]}}], {}, "another address"),
            ([{"conditions": {"require_mfa": True}}], {}, "multi-factor"),
            (
                [{"conditions": {"time_window": {"days": ["sun"], "start": "00:00", "end": "24:00"}}}],
                {},
                "another time",
            ),
            ([{"effect": "deny", "conditions": {"require_mfa": True}}], {}, "conditions do not hold"),
        ],
    )
    def test_every_reason_has_its_words(self, tenant, rules, more, word):
        policy = tenant.give(*rules, **more)
        answer = self.ask(tenant, context={"source_ip": "198.51.100.1", "timestamp": "2026-07-15T12:00:00Z"}).json
        [evaluated] = answer["evaluated"]
        assert evaluated["policy_id"] == policy["id"]
        assert word in evaluated["reason"]
        assert answer["allowed"] is (word == "allows this")
        assert (answer["matched"] is not None) is evaluated["matched"] is (word in {"allows this", "denies this"})

    def test_it_names_the_rule_that_decided_by_its_place(self, tenant):
        policy = tenant.give({"path_pattern": "ops/*"}, {"path_pattern": "app/db"}, name="mine")
        assert self.ask(tenant).json["matched"] == {
            "policy_id": policy["id"],
            "policy_name": "mine",
            "rule": 1,
            "path_pattern": "app/db",
            "effect": "allow",
        }

    def test_somebody_without_policies_is_told_so(self, tenant):
        answer = self.ask(tenant, identity_id="user:nobody").json
        assert (answer["allowed"], answer["matched"], answer["evaluated"]) == (False, None, [])
        assert "No policy is bound" in answer["reason"]

    def test_groups_are_looked_up_or_supposed(self, tenant):
        tenant.give(to="group:sre")
        assert self.ask(tenant).json["allowed"] is True
        assert self.ask(tenant, groups=[]).json["allowed"] is False
        assert self.ask(tenant, identity_id="user:new", groups=["group:sre"]).json["allowed"] is True
        assert self.ask(tenant, identity_id="group:sre").json["allowed"] is True

    @pytest.mark.parametrize(
        ("context", "allowed"),
        [
            ({"source_ip": "192.0.2.1", "mfa_verified": True, "timestamp": "2026-07-15T09:00:00+02:00"}, True),
            ({"source_ip": "192.0.2.1", "mfa_verified": True, "timestamp": "2026-07-15T07:00:00Z"}, True),
            ({"source_ip": "192.0.2.1", "mfa_verified": True, "timestamp": "2026-07-15T06:59:59Z"}, False),
            ({"source_ip": "192.0.2.1", "timestamp": "2026-07-15T07:00:00Z"}, False),
            ({"mfa_verified": True, "timestamp": "2026-07-15T07:00:00Z"}, False),
        ],
    )
    def test_circumstances_are_as_supposed(self, tenant, context, allowed):
        window = {"start": "09:00", "end": "17:00", "timezone": "Europe/Berlin"}
        tenant.give({"conditions": {"ip_ranges": ["192.0.2.0/24"], "require_mfa": True, "time_window": window}})
        assert self.ask(tenant, context=context).json["allowed"] is allowed

    def test_it_sees_a_change_at_once(self, tenant):
        policy = tenant.give()
        assert self.ask(tenant).json["allowed"] is True
        tenant.admin.patch(url(policy), {"is_active": False})
        assert self.ask(tenant).json["allowed"] is False

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"path": "../x"}, "invalid_path"),
            ({"path": "app/*"}, "invalid_path"),
            ({"permission": "fly"}, "validation_error"),
            ({"identity_id": "dave"}, "invalid_policy"),
            ({"context": {"source_ip": "here"}}, "validation_error"),
            ({"context": {"timestamp": "0001-01-01T00:00:00Z"}}, "validation_error"),
            ({"context": {"moon": "full"}}, "validation_error"),
        ],
    )
    def test_what_can_not_be_asked_is_refused(self, tenant, body, code):
        assert error(self.ask(tenant, **body)) == code

    def test_it_takes_the_scope_for_reading_policies(self, tenant):
        weak = tenant.house.someone("user:weak", scopes=["secrets:read"], tenant_id=tenant.id)
        body = {"identity_id": "user:dave", "permission": "read", "path": "app/db"}
        assert error(weak.post("/v1/policies/test", body)) == "insufficient_scope"

    @pytest.mark.parametrize("verb", VERBS)
    @pytest.mark.parametrize(
        "rules", [[{}], [{"permissions": ["admin"]}], [{"permissions": ["admin"]}, {"effect": "deny"}]]
    )
    def test_it_says_what_would_happen(self, tenant, verb, rules):
        tenant.admin.write("app/db")
        tenant.give(*rules)
        would = self.ask(tenant, permission=verb.split()[0]).json["allowed"]
        assert (VERBS[verb](tenant.dave).status_code != 403) is would
