"""Who there is, as the identity provider tells it, and what that means for who is let in."""

import hashlib
import hmac
import itertools
import json
from datetime import timedelta

import psycopg
import pytest

from scaivault.kernel.caller import Role, Scope
from tests.house import OTHER_TENANT, TENANT, opened
from tests.waiting import await_in_force

RECEIVER = "/v1/identity/webhooks/scaikey"
SECRET = "whsec-of-the-tests"
_numbers = itertools.count(1)


def error(answer):
    return answer.status_code, answer.json["error"]["code"]


@pytest.fixture
def house(database_url, redis_url, tmp_path):
    with opened(database_url, redis_url, tmp_path, SCAIKEY_WEBHOOK_SECRET=SECRET) as house:
        yield house


class ScaiKey:
    """Tells, as ScaiKey does."""

    def __init__(self, house, secret=SECRET):
        self.house = house
        self.secret = secret

    def event(self, kind, resource_id, data=None, *, at=0, event_id=None, tenant_id=TENANT, partner_id="prt_test"):
        return {
            "event_id": event_id or f"evt_{next(_numbers)}",
            "event_type": kind,
            "timestamp": f"2026-01-01T00:{at // 60:02}:{at % 60:02}Z",
            "resource": {"type": kind.partition(".")[0], "id": resource_id},
            "actor": {"id": "usr_admin", "type": "admin"},
            "data": data or {},
            "tenant_id": tenant_id,
            "partner_id": partner_id,
        }

    def signature(self, body, at=None, secret=None):
        moment = int(self.house.clock.now().timestamp() if at is None else at)
        signed = hmac.digest((secret or self.secret).encode(), f"{moment}.".encode() + body, hashlib.sha256)
        return f"t={moment},v1={signed.hex()}"

    def send(self, event, **headers):
        body = json.dumps(event, sort_keys=True, separators=(",", ":")).encode()
        sent = {"X-ScaiKey-Signature": self.signature(body), "Content-Type": "application/json", **headers}
        return self.house.client.post(RECEIVER, data=body, headers=sent)

    def tell(self, *event, **more):
        answer = self.send(self.event(*event, **more))
        assert answer.status_code == 200, answer.text
        return answer.json["success"], answer.json["message"]

    def user(self, number, *, at=0, verb="created", **data):
        told = {"email": f"u{number}@a.example", "display_name": f"User {number}", **data}
        assert self.tell(f"user.{verb}", f"usr_{number}", told, at=at) == (True, "taken")


@pytest.fixture
def scaikey(house, ada):
    return ScaiKey(house)


class TestReceiver:
    def test_a_genuine_event_is_taken_once(self, scaikey, ada):
        event = scaikey.event("user.created", "usr_1", {"email": "U1@a.example"})
        assert scaikey.send(event).json == {"success": True, "message": "taken", "event_id": event["event_id"]}
        assert scaikey.send(event).json["message"] == "taken before"
        assert ada.get(f"/v1/identity/tenants/{TENANT}/users").json["total"] == 1

    @pytest.mark.parametrize(
        ("header", "code"),
        [
            (lambda key, body: None, "authentication_required"),
            (lambda key, body: "", "token_invalid"),
            (lambda key, body: "v1=" + "0" * 64, "token_invalid"),
            (lambda key, body: key.signature(body, secret="another"), "token_invalid"),
            (lambda key, body: key.signature(body + b" "), "token_invalid"),
            (lambda key, body: key.signature(body, at=key.house.clock.now().timestamp() - 301), "token_invalid"),
            (lambda key, body: key.signature(body, at=key.house.clock.now().timestamp() + 301), "token_invalid"),
            (lambda key, body: key.signature(body).replace("t=", "t=0"), "token_invalid"),
            (lambda key, body: key.signature(body).upper(), "token_invalid"),
            (lambda key, body: key.signature(body) + ",v1=zz", "token_invalid"),
            (lambda key, body: f"t={'9' * 400},v1={'0' * 64}", "token_invalid"),
        ],
    )
    def test_what_is_not_signed_lately_by_the_secret_is_refused_unread(self, scaikey, ada, header, code):
        body = json.dumps(scaikey.event("user.created", "usr_1", {"email": "u1@a.example"})).encode()
        given = header(scaikey, body)
        headers = {} if given is None else {"X-ScaiKey-Signature": given}
        answer = scaikey.house.client.post(RECEIVER, data=body, headers=headers)
        assert error(answer) == (401, code)
        assert ada.get(f"/v1/identity/tenants/{TENANT}/users").json["total"] == 0

    def test_a_body_that_is_not_signed_is_not_even_parsed(self, scaikey):
        answer = scaikey.house.client.post(RECEIVER, data=b"{not json", headers={"X-ScaiKey-Signature": "t=1,v1=x"})
        assert error(answer) == (401, "token_invalid")

    def test_one_of_several_signatures_is_enough_while_the_secret_changes(self, scaikey):
        body = json.dumps(scaikey.event("user.created", "usr_1", {"email": "u1@a.example"})).encode()
        both = scaikey.signature(body, secret="the next") + ",v1=" + scaikey.signature(body).partition("v1=")[2]
        answer = scaikey.house.client.post(RECEIVER, data=body, headers={"X-ScaiKey-Signature": both})
        assert answer.json["success"] is True

    def test_without_a_secret_nothing_is_taken(self, scaikey, database_url, redis_url, tmp_path):
        with opened(database_url, redis_url, tmp_path) as house:
            answer = ScaiKey(house).send(scaikey.event("user.created", "usr_1", {"email": "u1@a.example"}))
        assert error(answer) == (401, "token_invalid")

    @pytest.mark.parametrize(
        ("kind", "resource_id", "data", "more"),
        [
            ("user.created", "usr_1", {}, {}),
            ("user.created", "nobody", {"email": "u@a.example"}, {}),
            ("user.created", "usr_1", {"email": "no address"}, {}),
            ("user.created", "usr_1", {"email": "a\u0430@a.example"}, {}),
            ("user.created", "usr_1", {"email": "u@a.example", "display_name": "two\nlines"}, {}),
            ("user.created", "usr_1", {"email": "u@a.example", "mfa_enabled": "yes"}, {}),
            ("user.created", "usr_1", {"email": "u@a.example", "roles": "super_admin"}, {}),
            ("user.created", "usr_1", {"email": "u@a.example"}, {"tenant_id": "tnt_nowhere"}),
            ("user.created", "usr_1", {"email": "u@a.example"}, {"tenant_id": None}),
            ("user.created", "usr_1", {"email": "u@a.example"}, {"tenant_id": "ptn_test"}),
            ("group.created", "grp_1", {"name": "not a name"}, {}),
            ("group.created", "grp_1", {}, {}),
            ("group.member_added", "grp_1", {}, {}),
            ("tenant.updated", TENANT, {}, {"partner_id": "prt_other"}),
            ("tenant.created", "tnt_new", {}, {"partner_id": None}),
            ("partner.created", "evil", {}, {}),
        ],
    )
    def test_what_can_not_be_taken_is_said_and_changes_nothing(
        self, scaikey, database_url, kind, resource_id, data, more
    ):
        before = rows_of(database_url)
        is_taken, message = scaikey.tell(kind, resource_id, data, **more)
        assert (is_taken, bool(message)) == (False, True)
        assert rows_of(database_url) == before

    def test_it_may_come_again_once_it_can_be_taken(self, scaikey):
        event = scaikey.event("user.created", "usr_1", {"email": "u@a.example"}, tenant_id="tnt_new")
        assert scaikey.send(event).json["success"] is False
        assert scaikey.tell("tenant.created", "tnt_new", {"name": "New"}) == (True, "taken")
        assert scaikey.send(event).json["success"] is True

    def test_kinds_that_the_vault_does_not_keep_are_taken_and_leave_nothing(self, scaikey):
        assert scaikey.tell("application.user_assigned", "app_1") == (True, "taken")

    def test_the_trail_tells_of_it(self, scaikey, ada):
        scaikey.user(1)
        [entry] = ada.audit(action="identity_sync")
        assert (entry["identity_type"], entry["identity_id"]) == ("system", "system:scaikey")
        assert entry["extra_data"]["event_type"] == "user.created"
        assert "u1@a.example" not in json.dumps(entry)


def rows_of(url):
    with psycopg.connect(url) as connection:
        tables = ("partners", "tenants", "users", "groups", "group_members", "identities")
        return {
            table: sorted(
                text for (text,) in connection.execute(f"SELECT (to_jsonb(t) - 'authority_epoch')::text FROM {table} t")
            )
            for table in tables
        }


class TestUsers:
    def test_they_are_listed_and_found_by_a_part_of_their_name(self, scaikey, ada):
        for number in (1, 2, 3):
            scaikey.user(number, mfa_enabled=number == 2)
        listed = ada.get(f"/v1/identity/tenants/{TENANT}/users?page_size=2").json
        assert [each["id"] for each in listed["users"]] == ["usr_1", "usr_2"]
        assert listed["total"] == 3
        assert listed["users"][1]["mfa_enabled"] is True
        assert [u["id"] for u in ada.get(f"/v1/identity/tenants/{TENANT}/users?q=USER+3").json["users"]] == ["usr_3"]
        assert ada.get(f"/v1/identity/tenants/{TENANT}/users?q=%25").json["total"] == 0

    def test_what_is_late_changes_nothing(self, scaikey, ada):
        scaikey.user(1, at=10)
        scaikey.tell("user.suspended", "usr_1", at=30)
        scaikey.tell("user.updated", "usr_1", {"display_name": "Late", "status": "ACTIVE"}, at=20)
        [user] = ada.get(f"/v1/identity/tenants/{TENANT}/users").json["users"]
        assert (user["display_name"], user["status"]) == ("User 1", "SUSPENDED")

    def test_what_was_deleted_does_not_come_back_by_a_late_word(self, scaikey, ada):
        scaikey.user(1, at=10)
        scaikey.tell("user.deleted", "usr_1", at=30)
        scaikey.tell("user.activated", "usr_1", at=20)
        assert ada.get(f"/v1/identity/tenants/{TENANT}/users?status=ACTIVE").json["total"] == 0
        assert error(ada.get("/v1/identity/users/usr_1/roles")) == (404, "identity_not_found")

    def test_a_status_we_do_not_know_shuts_out(self, scaikey, ada):
        scaikey.user(1, status="PENDING_REVIEW")
        assert ada.get(f"/v1/identity/tenants/{TENANT}/users").json["users"][0]["status"] == "SUSPENDED"

    @pytest.mark.parametrize(("verb", "status"), [("suspended", "SUSPENDED"), ("deleted", "DELETED")])
    def test_who_is_shut_out_is_out_within_a_second(self, scaikey, house, ada, verb, status):
        scaikey.user(1)
        one = house.someone("user:u1@a.example")
        assert one.get("/v1/auth/whoami").status_code == 200
        scaikey.tell(f"user.{verb}", "usr_1", at=9)
        answer = await_in_force(lambda: one.get("/v1/auth/whoami"), lambda answer: answer.status_code == 403)
        assert error(answer) == (403, "forbidden")
        assert ada.get("/v1/identity/resolve/user/user:u1@a.example").json["status"] == status

    def test_who_comes_back_is_in_again(self, scaikey, house):
        scaikey.user(1)
        one = house.someone("user:u1@a.example")
        scaikey.tell("user.suspended", "usr_1", at=5)
        await_in_force(lambda: one.get("/v1/auth/whoami"), lambda answer: answer.status_code == 403)
        scaikey.tell("user.activated", "usr_1", at=6)
        assert await_in_force(lambda: one.get("/v1/auth/whoami"), lambda answer: answer.status_code == 200)

    def test_a_changed_email_ends_the_name_before(self, scaikey, house, ada):
        scaikey.user(1)
        one = house.someone("user:u1@a.example")
        scaikey.tell("user.updated", "usr_1", {"email": "new@a.example"}, at=5)
        assert await_in_force(lambda: one.get("/v1/auth/whoami"), lambda answer: answer.status_code == 403)
        assert ada.get("/v1/identity/resolve/user/usr_1").json["identity_id"] == "user:new@a.example"

    def test_two_live_users_do_not_share_a_name(self, scaikey):
        scaikey.user(1)
        assert scaikey.tell("user.created", "usr_2", {"email": "u1@a.example"})[0] is False
        scaikey.tell("user.deleted", "usr_1", at=5)
        assert scaikey.tell("user.created", "usr_2", {"email": "u1@a.example"})[0] is True


class TestWhen:
    def stamped(self, scaikey, **span):
        """An event of this very instant, or of one that far from it."""
        instant = scaikey.house.clock.now() + timedelta(**span)
        return lambda *event: scaikey.event(*event) | {"timestamp": instant.isoformat()}

    def test_the_future_is_refused_and_blocks_nothing(self, scaikey, ada):
        told = {"email": "u1@a.example", "status": "ACTIVE"}
        scaikey.user(1)
        ahead = scaikey.send(self.stamped(scaikey, minutes=6)("user.updated", "usr_1", told)).json
        assert ahead["success"] is False
        assert "ahead" in ahead["message"]
        assert scaikey.send(self.stamped(scaikey)("user.suspended", "usr_1")).json["message"] == "taken"
        assert ada.get(f"/v1/identity/tenants/{TENANT}/users").json["users"][0]["status"] == "SUSPENDED"

    def test_clocks_may_differ_by_five_minutes(self, scaikey):
        answer = scaikey.send(self.stamped(scaikey, minutes=5)("user.created", "usr_1", {"email": "u1@a.example"}))
        assert answer.json["message"] == "taken"

    def test_what_is_late_is_told_so(self, scaikey, ada):
        scaikey.user(1, at=10)
        scaikey.tell("group.created", "grp_sre", {"name": "sre"}, at=10)
        scaikey.tell("group.member_added", "grp_sre", {"user_id": "usr_1"}, at=10)
        scaikey.tell("tenant.updated", TENANT, {"name": "A"}, at=10)
        scaikey.tell("partner.updated", "prt_test", {"name": "P"}, at=10)
        for event in (
            ("user.suspended", "usr_1"),
            ("group.deleted", "grp_sre"),
            ("group.member_removed", "grp_sre", {"user_id": "usr_1"}),
            ("tenant.updated", TENANT, {"status": "SUSPENDED"}),
            ("partner.updated", "prt_test", {"status": "SUSPENDED"}),
        ):
            assert scaikey.tell(*event, at=9) == (True, "superseded")
        [entry] = [each for each in ada.audit() if each["extra_data"].get("event_type") == "user.suspended"]
        assert entry["extra_data"]["outcome"] == "superseded"

    def test_who_is_created_again_is_active_again(self, scaikey, house, ada):
        scaikey.user(1, at=10)
        scaikey.tell("user.deleted", "usr_1", at=11)
        scaikey.user(1, at=12)
        assert ada.get(f"/v1/identity/tenants/{TENANT}/users").json["users"][0]["status"] == "ACTIVE"
        assert house.someone("user:u1@a.example").get("/v1/auth/whoami").status_code == 200
        scaikey.user(2, status="SUSPENDED")
        assert ada.get(f"/v1/identity/tenants/{TENANT}/users?status=SUSPENDED").json["total"] == 1


class TestWhoIsNotKnownYet:
    @pytest.mark.parametrize(("verb", "status"), [("suspended", "SUSPENDED"), ("deleted", "DELETED")])
    def test_stays_out_whatever_is_told_later_of_before(self, scaikey, ada, verb, status):
        assert scaikey.tell(f"user.{verb}", "usr_1", at=10) == (True, "taken")
        assert scaikey.tell(f"user.{verb}", "usr_1", at=9) == (True, "superseded")
        scaikey.user(1, at=8)
        assert ada.get("/v1/identity/resolve/user/usr_1").json["status"] == status
        assert scaikey.tell("user.activated", "usr_1", at=9) == (True, "superseded")
        assert scaikey.tell("user.activated", "usr_1", at=11) == (True, "taken")
        assert ada.get("/v1/identity/resolve/user/usr_1").json["status"] == "ACTIVE"

    def test_is_suspended_also_when_more_is_told_after_that(self, scaikey, ada):
        scaikey.tell("user.suspended", "usr_1", at=10)
        scaikey.user(1, at=11, verb="updated")
        assert ada.get("/v1/identity/resolve/user/usr_1").json["status"] == "SUSPENDED"
        scaikey.tell("user.suspended", "usr_2", at=10)
        scaikey.user(2, at=11)
        assert ada.get("/v1/identity/resolve/user/usr_2").json["status"] == "ACTIVE"


class TestGroups:
    @pytest.fixture(autouse=True)
    def team(self, scaikey):
        scaikey.user(1)
        scaikey.user(2)
        assert scaikey.tell("group.created", "grp_sre", {"name": "sre"}) == (True, "taken")
        assert scaikey.tell("group.member_added", "grp_sre", {"user_id": "usr_1"}) == (True, "taken")

    def test_members_are_in_the_group_that_policies_bind(self, scaikey, house, ada):
        house.allow(ada, "group:sre", ("app/*", ["read"]), identity_type="group")
        ada.write("app/db")
        identities = [ada.get(f"/v1/identity/resolve/user/usr_{number}").json["groups"] for number in (1, 2)]
        assert identities == [["group:sre"], []]

    def test_they_are_listed(self, ada):
        [group] = ada.get(f"/v1/identity/tenants/{TENANT}/groups").json["groups"]
        assert (group["id"], group["name"], group["member_count"]) == ("grp_sre", "sre", 1)
        members = ada.get("/v1/identity/groups/grp_sre/members").json
        assert [(each["user_id"], each["email"], each["membership_type"]) for each in members["members"]] == [
            ("usr_1", "u1@a.example", "DIRECT")
        ]
        assert members["total"] == 1

    def test_removal_renaming_and_deletion_reach_every_member(self, scaikey, ada):
        scaikey.tell("group.updated", "grp_sre", {"name": "ops"}, at=5)
        assert ada.get("/v1/identity/resolve/user/usr_1").json["groups"] == ["group:ops"]
        scaikey.tell("group.member_added", "grp_sre", {"user_id": "usr_2"}, at=6)
        scaikey.tell("group.member_removed", "grp_sre", {"user_id": "usr_1"}, at=7)
        assert ada.get("/v1/identity/resolve/user/usr_1").json["groups"] == []
        assert ada.get("/v1/identity/resolve/user/usr_2").json["groups"] == ["group:ops"]
        scaikey.tell("group.deleted", "grp_sre", at=8)
        assert ada.get("/v1/identity/resolve/user/usr_2").json["groups"] == []
        assert error(ada.get("/v1/identity/groups/grp_sre/members")) == (404, "identity_not_found")

    def test_a_late_addition_does_not_undo_a_removal(self, scaikey, ada):
        scaikey.tell("group.member_removed", "grp_sre", {"user_id": "usr_1"}, at=9)
        scaikey.tell("group.member_added", "grp_sre", {"user_id": "usr_1"}, at=8)
        assert ada.get("/v1/identity/resolve/user/usr_1").json["groups"] == []

    def test_who_was_deleted_and_lost_the_name_keeps_no_group_from_ending(self, scaikey, ada):
        scaikey.tell("user.deleted", "usr_1", at=5)
        assert scaikey.tell("user.created", "usr_3", {"email": "u1@a.example"}, at=6)[0] is True
        assert scaikey.tell("group.deleted", "grp_sre", at=7) == (True, "taken")
        assert ada.get("/v1/identity/resolve/user/user:u1@a.example").json["user_id"] == "usr_3"

    @pytest.mark.parametrize("name", ["group:sre", "sre"])
    def test_a_group_resolves(self, ada, name):
        assert ada.get(f"/v1/identity/resolve/group/{name}").json["identity_id"] == "group:sre"

    @pytest.mark.parametrize(
        "who", ["user/user:nobody", "group/group:none", "system/system:scaikey", "robot/x", "user/'"]
    )
    def test_what_is_not_there_does_not(self, ada, who):
        assert error(ada.get(f"/v1/identity/resolve/{who}")) == (404, "identity_not_found")


class TestTenantsAndPartners:
    def test_a_new_tenant_is_there_for_the_partners_admin(self, scaikey, pat):
        assert scaikey.tell("tenant.created", "tnt_c", {"name": "Tenant C", "slug": "c"}) == (True, "taken")
        assert pat.get("/v1/t/tnt_c/auth/whoami").json["tenant_id"] == "tnt_c"
        listed = pat.get("/v1/identity/tenants").json
        assert [each["id"] for each in listed["tenants"]] == [TENANT, OTHER_TENANT, "tnt_c"]
        assert listed["tenants"][2]["slug"] == "c"

    def test_a_tenant_of_a_partner_not_told_of_yet_is_taken_and_the_partner_learnt_later(self, scaikey, house):
        scaikey.tell("tenant.created", "tnt_x", {"name": "X"}, partner_id="prt_x")
        scaikey.tell("partner.created", "prt_x", {"name": "Partner X", "slug": "x", "region": "eu"})
        root = house.someone("user:root@a.example", roles=[Role.SUPER_ADMIN])
        partners = {each["id"]: each for each in root.get("/v1/identity/partners").json["partners"]}
        assert (partners["ptn_x"]["name"], partners["ptn_x"]["region"]) == ("Partner X", "eu")

    @pytest.mark.parametrize("kind", ["tenant", "partner"])
    def test_a_suspended_one_is_shut_out_within_a_second(self, scaikey, bob, kind):
        resource = OTHER_TENANT if kind == "tenant" else "prt_test"
        scaikey.tell(f"{kind}.updated", resource, {"status": "SUSPENDED"})
        answer = await_in_force(lambda: bob.get("/v1/auth/whoami"), lambda answer: answer.status_code == 403)
        assert error(answer) == (403, "forbidden")

    def test_everybody_sees_as_far_as_he_may_act(self, scaikey, house, ada, pat):
        scaikey.tell("tenant.created", "tnt_x", {"name": "X"}, partner_id="prt_x")
        root = house.someone("user:root@a.example", roles=[Role.SUPER_ADMIN])

        def seen(voice, query=""):
            return [each["id"] for each in voice.get(f"/v1/identity/tenants{query}").json["tenants"]]

        assert seen(ada) == [TENANT]
        assert seen(pat) == [TENANT, OTHER_TENANT]
        assert seen(root) == [TENANT, OTHER_TENANT, "tnt_x"]
        assert seen(root, "?partner_id=ptn_x") == ["tnt_x"]
        assert seen(pat, "?partner_id=ptn_x") == []
        assert [each["id"] for each in ada.get("/v1/identity/partners").json["partners"]] == ["ptn_test"]
        for voice, tenant_id in ((ada, OTHER_TENANT), (pat, "tnt_x"), (pat, "tnt_nowhere")):
            answer = voice.get(f"/v1/identity/tenants/{tenant_id}/users")
            assert error(answer) == (403, "tenant_access_denied")
        assert root.get("/v1/identity/tenants/tnt_x/users").status_code == 200
        assert error(root.get("/v1/identity/tenants/tnt_nowhere/groups")) == (404, "tenant_not_found")


ROLES = "/v1/identity/users/usr_1/roles"


class TestRoles:
    @pytest.fixture(autouse=True)
    def user(self, scaikey):
        scaikey.user(1)

    def test_a_partner_admin_gives_them_and_they_work(self, scaikey, house, ada, pat):
        one = house.someone("user:u1@a.example", roles=[])
        scaikey.user(1, at=1, verb="updated")
        assert pat.put(ROLES, {"roles": ["tenant_admin"]}).json == {"user_id": "usr_1", "roles": ["tenant_admin"]}
        order = {"name": "n", "rules": [{"path_pattern": "x/*", "permissions": ["read"]}]}
        assert await_in_force(lambda: one.post("/v1/policies", order), lambda answer: answer.status_code == 201)
        [entry] = ada.audit(action="role_assign")
        assert (entry["extra_data"]["roles"], entry["extra_data"]["before"]) == (["tenant_admin"], [])

    def test_they_stay_when_the_user_is_told_of_without_any(self, scaikey, pat):
        pat.put(ROLES, {"roles": ["tenant_admin"]})
        scaikey.user(1, at=5, verb="updated")
        assert pat.get(ROLES).json["roles"] == ["tenant_admin"]

    def test_a_tenant_admin_gives_none(self, ada):
        assert error(ada.put(ROLES, {"roles": ["tenant_admin"]})) == (403, "access_denied")

    @pytest.mark.parametrize("roles", [["super_admin"], ["tenant_admin", "super_admin"]])
    def test_only_a_super_admin_gives_super_admin(self, house, pat, roles):
        assert error(pat.put(ROLES, {"roles": roles})) == (403, "forbidden")
        assert pat.get(ROLES).json["roles"] == []
        root = house.someone("user:root@a.example", roles=[Role.SUPER_ADMIN])
        assert root.put(ROLES, {"roles": roles}).status_code == 200

    @pytest.mark.parametrize("roles", [[], ["tenant_admin"], ["super_admin", "partner_admin"]])
    def test_or_changes_who_has_it(self, house, pat, roles):
        root = house.someone("user:root@a.example", roles=[Role.SUPER_ADMIN])
        root.put(ROLES, {"roles": ["super_admin"]})
        assert error(pat.put(ROLES, {"roles": roles})) == (403, "forbidden")
        assert pat.get(ROLES).json["roles"] == ["super_admin"]

    @pytest.mark.parametrize("role", [Role.PARTNER_ADMIN, Role.SUPER_ADMIN])
    def test_nobody_changes_his_own(self, house, role):
        self_made = house.someone("user:u1@a.example", roles=[role])
        assert error(self_made.put(ROLES, {"roles": [role]})) == (403, "forbidden")
        assert error(self_made.put(ROLES, {"roles": []})) == (403, "forbidden")

    def test_what_is_no_role_is_refused_by_name(self, pat):
        answer = pat.put(ROLES, {"roles": ["tenant_admin", "root"]})
        assert error(answer) == (400, "invalid_role")
        assert answer.json["error"]["details"] == {"roles": ["root"]}

    def test_the_user_is_one_of_the_tenant_acted_in(self, pat):
        assert error(pat.put(f"/v1/t/{OTHER_TENANT}/identity/users/usr_1/roles", {"roles": []})) == (
            404,
            "identity_not_found",
        )

    def test_it_takes_the_scope(self, house):
        lacking = house.someone(
            "user:pat@partner.example", frozenset(Scope) - {Scope.IDENTITY_ADMIN}, roles=[Role.PARTNER_ADMIN]
        )
        assert error(lacking.put(ROLES, {"roles": []})) == (403, "insufficient_scope")

    def test_any_token_may_know_what_there_is(self, house):
        nobody = house.someone("user:nobody", scopes=[Scope.SECRETS_LIST])
        assert {each["name"] for each in nobody.get("/v1/identity/roles").json["roles"]} == set(Role)


class TestTheRolesThatWereThereBefore:
    def test_an_administrator_whom_the_directory_tells_of_goes_on(self, scaikey, ada):
        scaikey.tell("user.created", "usr_ada", {"email": "Ada@a.example", "display_name": "Ada L."})
        told = ada.get("/v1/identity/users/usr_ada/roles")
        assert (told.status_code, told.json["roles"]) == (200, ["tenant_admin"])
        scaikey.tell("user.updated", "usr_ada", {"roles": ["partner_admin"]}, at=1)
        assert ada.get("/v1/identity/users/usr_ada/roles").json["roles"] == ["partner_admin", "tenant_admin"]
        scaikey.tell("user.updated", "usr_ada", {"roles": []}, at=2)
        assert ada.get("/v1/identity/users/usr_ada/roles").json["roles"] == ["tenant_admin"]
        await_in_force(lambda: ada.get("/v1/auth/whoami"), lambda answer: answer.json["display_name"] == "Ada L.")
        rows = [(row["extra_data"]["before"], row["extra_data"]["roles"]) for row in ada.audit(action="role_assign")]
        assert rows == [
            (["partner_admin", "tenant_admin"], ["tenant_admin"]),
            (["tenant_admin"], ["partner_admin", "tenant_admin"]),
        ]

    def test_what_the_provider_told_it_takes_again(self, scaikey, pat, ada):
        scaikey.user(1, roles=["tenant_admin"])
        scaikey.user(1, at=1, verb="updated", roles=[])
        assert pat.get(ROLES).json["roles"] == []
        scaikey.user(1, at=2, verb="updated", roles=["tenant_admin"])
        assert pat.put(ROLES, {"roles": []}).status_code == 200
        scaikey.user(1, at=3, verb="updated", roles=["tenant_admin"])  # as before: nothing new is told
        assert pat.get(ROLES).json["roles"] == []
        rows = ada.audit(action="role_assign")
        assert [row["extra_data"]["roles"] for row in rows] == [[], ["tenant_admin"], [], ["tenant_admin"]]
        assert [row["identity_id"] for row in rows][1:] == ["system:scaikey"] * 3

    def test_what_was_given_here_stays_until_it_is_taken_here(self, scaikey, pat):
        scaikey.user(1)
        pat.put(ROLES, {"roles": ["tenant_admin"]})
        scaikey.user(1, at=5, verb="updated", roles=[])
        assert pat.get(ROLES).json["roles"] == ["tenant_admin"]
        pat.put(ROLES, {"roles": []})
        assert pat.get(ROLES).json["roles"] == []

    def test_groups_stay_until_the_directory_has_one_of_that_name(self, scaikey, house, ada):
        house.someone("user:u1@a.example", groups=["group:readers", "group:sre"])
        scaikey.user(1)

        def groups():
            return ada.get("/v1/identity/resolve/user/usr_1").json["groups"]

        assert groups() == ["group:readers", "group:sre"]
        scaikey.tell("group.created", "grp_sre", {"name": "sre"}, at=1)
        assert groups() == ["group:readers"]
        scaikey.tell("group.member_added", "grp_sre", {"user_id": "usr_1"}, at=2)
        assert groups() == ["group:readers", "group:sre"]
        scaikey.tell("group.deleted", "grp_sre", at=3)
        assert groups() == ["group:readers"]

    @pytest.mark.parametrize(("verb", "data"), [("suspended", {}), ("deleted", {}), ("updated", {"status": "GONE"})])
    def test_the_last_administrator_does_not_leave_unnoticed(self, scaikey, house, ada, pat, verb, data):
        reader = house.someone("user:reader@a.example", scopes=[Scope.AUDIT_READ])
        scaikey.tell("user.created", "usr_pat", {"email": "pat@partner.example"})
        scaikey.tell("user.created", "usr_ada", {"email": "ada@a.example"})
        scaikey.tell("user.deleted", "usr_pat", at=1)
        assert reader.audit(action="role_assign") == []
        scaikey.tell(f"user.{verb}", "usr_ada", data, at=3)
        [row] = reader.audit(action="role_assign")
        assert (row["extra_data"]["leaves_no_administrator"], row["extra_data"]["user_id"]) == (True, "usr_ada")

    def test_nor_does_one_whose_name_becomes_another_s(self, scaikey, house):
        reader = house.someone("user:reader@a.example", scopes=[Scope.AUDIT_READ])
        scaikey.user(1)
        scaikey.tell("user.updated", "usr_1", {"email": "ada@a.example"}, at=1)
        [row] = reader.audit(action="role_assign")
        assert (row["extra_data"]["leaves_no_administrator"], row["extra_data"]["roles"]) == (True, [])
