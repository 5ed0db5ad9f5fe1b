"""Personal access tokens over HTTP."""

import re

import psycopg
import pytest

from scaivault.app import create_app
from scaivault.bootstrap.api import build
from scaivault.kernel.caller import Scope
from tests.house import furnish, opened
from tests.waiting import await_in_force

TOKENS = "/v1/auth/tokens"


def error(answer):
    return answer.json["error"]["code"]


def mint(voice, **body):
    return voice.post(TOKENS, {"name": "ci", "scopes": ["secrets:read"], **body})


def test_whoami_says_who_the_token_speaks_for(ada):
    who = ada.get("/v1/auth/whoami").json
    assert who["identity_id"] == "user:ada@a.example"
    assert who["identity_type"] == "user"
    assert who["tenant_id"] == "tnt_a"
    assert who["partner_id"] == "ptn_test"
    assert who["roles"] == ["tenant_admin"]
    assert who["scopes"] == sorted(scope.value for scope in Scope)
    assert who["mfa_verified_at"] is None


def test_a_new_token_is_shown_once_and_works(house, ada):
    made = mint(ada)
    assert made.status_code == 201
    assert made.json["token"].startswith("skt_")
    assert house.voice(made.json["token"]).get("/v1/auth/whoami").json["scopes"] == ["secrets:read"]
    listed = ada.get(TOKENS)
    assert made.json["id"] in [token["id"] for token in listed.json["tokens"]]
    assert made.json["token"] not in listed.text


def test_it_expires(house, ada):
    token = mint(ada, expires_in="1h").json["token"]
    house.clock.forward(minutes=59)
    assert house.voice(token).get("/v1/auth/whoami").status_code == 200
    house.clock.forward(minutes=1)
    answer = house.voice(token).get("/v1/auth/whoami")
    assert (answer.status_code, error(answer)) == (401, "token_expired")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_lifetime_is_90_days_unless_asked_otherwise(house, ada):
    made = mint(ada).json
    house.clock.forward(days=89)
    assert house.voice(made["token"]).get("/v1/auth/whoami").status_code == 200
    house.clock.forward(days=1)
    assert error(house.voice(made["token"]).get("/v1/auth/whoami")) == "token_expired"


class TestNeverMoreThanItsMaker:
    def test_no_scope_that_the_maker_lacks(self, house, ada):
        weak = house.voice(mint(ada).json["token"])
        answer = mint(weak, scopes=["secrets:read", "secrets:write"])
        assert (answer.status_code, error(answer)) == (403, "forbidden")
        assert answer.json["error"]["details"] == {"scopes": ["secrets:write"]}
        assert mint(weak).status_code == 201

    def test_no_longer_life(self, house, ada):
        brief = house.voice(mint(ada, expires_in="1h").json["token"])
        assert error(mint(brief, expires_in="2h")) == "forbidden"
        child = mint(brief).json
        assert child["expires_at"] <= brief.get("/v1/auth/whoami").json["token_expires_at"]

    def test_no_other_tenant(self, ada):
        assert error(mint(ada, tenant_id="tnt_b")) == "tenant_access_denied"
        assert mint(ada, tenant_id="tnt_a").status_code == 201

    def test_only_an_administrator_makes_tokens_for_service_accounts(self, house, ada):
        someone = house.someone("user:someone", scopes=["secrets:read", "identity:admin"])
        answer = mint(someone, identity_id="sa:ci")
        assert (answer.status_code, error(answer)) == (403, "access_denied")
        narrow = house.voice(mint(ada).json["token"])
        assert error(mint(narrow, identity_id="sa:ci")) == "insufficient_scope"
        token = mint(ada, identity_id="sa:ci", groups=["group:robots"]).json["token"]
        who = house.voice(token).get("/v1/auth/whoami").json
        assert (who["identity_id"], who["identity_type"]) == ("sa:ci", "service_account")
        assert (who["groups"], who["roles"]) == (["group:robots"], [])

    def test_a_service_account_stays_in_its_groups_unless_told_otherwise(self, house, ada):
        mint(ada, identity_id="sa:ci", groups=["group:robots"])
        token = mint(ada, identity_id="sa:ci").json["token"]
        assert house.voice(token).get("/v1/auth/whoami").json["groups"] == ["group:robots"]
        emptied = mint(ada, identity_id="sa:ci", groups=[]).json["token"]
        assert house.voice(emptied).get("/v1/auth/whoami").json["groups"] == []

    @pytest.mark.parametrize("identity_id", ["user:bob", "sa:", "sa:x y", "group:x", "sa:" + "x" * 101])
    def test_only_service_accounts_can_be_named(self, ada, identity_id):
        assert mint(ada, identity_id=identity_id).status_code == 422

    def test_groups_need_a_service_account_to_be_in_them(self, ada):
        assert mint(ada, groups=["group:admins"]).status_code == 422


class TestRevocation:
    def test_is_in_force_in_every_process_within_a_second(self, house, ada):
        made = mint(ada).json
        other = build(house.settings, clock=house.clock)
        other.open()
        try:
            client = create_app(other).test_client()
            asked = {"headers": {"Authorization": f"Bearer {made['token']}"}}
            assert client.get("/v1/auth/whoami", **asked).status_code == 200
            assert ada.delete(f"{TOKENS}/{made['id']}").status_code == 204
            answer = await_in_force(
                lambda: client.get("/v1/auth/whoami", **asked), lambda answer: answer.status_code != 200
            )
            assert error(answer) == "token_revoked"
        finally:
            other.close()

    def test_twice_is_not_found(self, ada):
        made = mint(ada).json
        assert ada.delete(f"{TOKENS}/{made['id']}").status_code == 204
        assert error(ada.delete(f"{TOKENS}/{made['id']}")) == "token_not_found"

    def test_of_somebody_elses_token_is_for_administrators_of_that_tenant(self, house, ada, bob):
        made = mint(ada).json
        someone = house.someone("user:someone", scopes=["secrets:read"])
        for voice in (someone, bob):
            assert error(voice.delete(f"{TOKENS}/{made['id']}")) == "token_not_found"
        theirs = mint(someone).json
        assert ada.delete(f"{TOKENS}/{theirs['id']}").status_code == 204

    def test_a_token_that_stopped_working_leaves_a_row_in_the_trail(self, house, ada):
        made = mint(ada).json
        ada.delete(f"{TOKENS}/{made['id']}")
        house.voice(made["token"]).get("/v1/secrets/app/db")
        row = ada.audit(action="policy_violation")[0]
        assert row["identity_id"] == "user:ada@a.example"
        assert row["extra_data"] == {"attempted": "authenticate", "reason": "token_revoked"}


def test_others_see_only_their_own_tokens(house, ada, bob):
    mint(ada)
    someone = house.someone("user:someone", scopes=["secrets:read"])
    assert {token["identity_id"] for token in someone.get(TOKENS).json["tokens"]} == {"user:someone"}
    assert {token["identity_id"] for token in bob.get(TOKENS).json["tokens"]} == {"user:bob@b.example"}
    assert len({token["identity_id"] for token in ada.get(TOKENS).json["tokens"]}) > 1


def test_the_list_comes_in_pages(ada):
    made = {mint(ada).json["id"] for _ in range(5)}
    seen, cursor = set(), None
    while True:
        page = ada.get(TOKENS, query_string={"limit": 2} | ({"cursor": cursor} if cursor else {})).json
        assert len(page["tokens"]) <= 2
        assert seen.isdisjoint(token["id"] for token in page["tokens"])
        seen |= {token["id"] for token in page["tokens"]}
        cursor = page["cursor"]
        if not page["has_more"]:
            break
    assert made < seen


class TestIntrospection:
    def test_tells_what_a_token_of_this_tenant_stands_for(self, ada):
        token = mint(ada).json["token"]
        answer = ada.post("/v1/auth/introspect", {"token": token}).json
        assert answer["active"] is True
        assert answer["identity_id"] == "user:ada@a.example"
        assert answer["scopes"] == ["secrets:read"]

    def test_says_nothing_of_any_other(self, house, ada, bob):
        expired = mint(ada, expires_in="1s").json["token"]
        house.clock.forward(seconds=2)
        for text in ("skt_nonsense", "x", expired, bob.token):
            assert ada.post("/v1/auth/introspect", {"token": text}).json == {"active": False}

    def test_needs_the_scope_admin(self, house, ada):
        weak = house.voice(mint(ada).json["token"])
        assert error(weak.post("/v1/auth/introspect", {"token": "x"})) == "insufficient_scope"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "authentication_required"),
        ("", "authentication_required"),
        ("Bearer", "authentication_required"),
        ("Bearer ", "authentication_required"),
        ("Basic YTpi", "authentication_required"),
        ("Bearer a b", "authentication_required"),
        ("Bearer x", "token_invalid"),
        ("Bearer skt_" + "A" * 43, "token_invalid"),
        ("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", "token_invalid"),
        ("Bearer " + "x" * 8_000, "token_invalid"),
    ],
)
def test_anything_but_a_token_of_ours_is_401(house, ada, header, code):
    answer = house.client.get("/v1/auth/whoami", headers={"Authorization": header} if header is not None else {})
    assert (answer.status_code, error(answer)) == (401, code)


def test_a_token_is_taken_from_the_header_alone(house, ada):
    assert house.client.get(f"/v1/auth/whoami?access_token={ada.token}").status_code == 401
    house.client.set_cookie("Authorization", f"Bearer {ada.token}")
    assert house.client.get("/v1/auth/whoami").status_code == 401


def test_an_identity_has_a_hundred_live_tokens_at_most(house, ada):
    someone = house.someone("user:someone", scopes=["secrets:read"])
    answers = [mint(someone, expires_in="1h").status_code for _ in range(100)]
    assert answers == [201] * 99 + [409]
    house.clock.forward(hours=2)
    assert mint(someone, expires_in="1h").status_code == 201


@pytest.fixture(scope="module")
def standing(module_database_url, redis_server, tmp_path_factory):
    """A house that is left standing for tests which leave nothing behind."""
    with opened(module_database_url, redis_server.url(), tmp_path_factory.mktemp("house")) as house:
        yield house, furnish(house)[0]


class TestOrders:
    @pytest.mark.parametrize(
        "body",
        [
            {"name": ""},
            {"name": "x" * 201},
            {"name": "a\x07b"},
            {"name": 5},
            {"scopes": []},
            {"scopes": ["fly"]},
            {"scopes": "secrets:read"},
            {"scopes": ["secrets:read"] * 100},
            {"colour": "red"},
            {"groups": ["sre"], "identity_id": "sa:ci"},
            {"groups": [f"group:{number}" for number in range(51)], "identity_id": "sa:ci"},
            {"id": "tok_mine"},
            {"roles": ["tenant_admin"]},
        ],
    )
    def test_what_is_no_order_is_refused_by_field(self, standing, body):
        answer = mint(standing[1], **body)
        assert (answer.status_code, error(answer)) == (422, "validation_error")
        assert set(answer.json["error"]["details"]["fields"])

    @pytest.mark.parametrize("expires_in", ["soon", "0d", "-1d", "1y", "", "36501d", 3_600])
    def test_a_lifetime_is_a_duration(self, standing, expires_in):
        answer = mint(standing[1], expires_in=expires_in)
        assert (answer.status_code, error(answer)) == (400, "invalid_duration")

    def test_a_scope_twice_is_that_scope(self, standing):
        assert mint(standing[1], scopes=["admin", "admin"]).json["scopes"] == ["admin"]

    def test_every_token_is_another_text(self, standing):
        texts = {mint(standing[1]).json["token"] for _ in range(5)}
        assert len(texts) == 5
        assert all(re.fullmatch(r"skt_[A-Za-z0-9_-]{43}", text) for text in texts)

    def test_its_text_is_kept_nowhere(self, standing, module_database_url):
        house, ada = standing
        text = mint(ada).json["token"]
        house.voice(text).get("/v1/secrets/app/db")
        ada.post("/v1/auth/introspect", {"token": text})
        secret = text.removeprefix("skt_")
        with psycopg.connect(module_database_url) as connection:
            for table in ("tokens", "identities", "audit_log"):
                [rows] = connection.execute(f"SELECT coalesce(string_agg(t::text, ''), '') FROM {table} t").fetchone()
                assert rows
                assert secret not in rows
                assert secret.encode().hex() not in rows


class TestTenants:
    def test_the_tokens_own_tenant_may_be_named(self, standing):
        assert standing[1].get("/v1/auth/whoami", headers={"X-Tenant-ID": "tnt_a"}).status_code == 200

    @pytest.mark.parametrize("tenant_id", ["tnt_b", "tnt_nowhere", "", "TNT_A", "tnt_a,tnt_b"])
    def test_a_foreign_one_is_denied_alike_whether_it_is_there_or_not(self, standing, tenant_id):
        answer = standing[1].get("/v1/auth/whoami", headers={"X-Tenant-ID": tenant_id})
        assert (answer.status_code, error(answer)) == (403, "tenant_access_denied")
        assert standing[1].audit(action="policy_violation")[0]["extra_data"] == {
            "attempted": "authenticate",
            "reason": "tenant_access_denied",
        }

    @pytest.mark.parametrize("table", ["tenants", "partners"])
    def test_those_of_a_suspended_one_work_no_more(self, house, ada, database_url, table):
        with psycopg.connect(database_url) as connection:
            connection.execute(f"UPDATE {table} SET status = 'SUSPENDED'")
        fresh = build(house.settings, clock=house.clock)
        fresh.open()
        asked = {"headers": {"Authorization": f"Bearer {ada.token}"}}
        answer = create_app(fresh).test_client().get("/v1/auth/whoami", **asked)
        fresh.close()
        assert (answer.status_code, error(answer)) == (403, "forbidden")


class TestTrail:
    def test_making_and_revoking_leave_a_row_each(self, house, ada):
        made = mint(ada, identity_id="sa:ci", scopes=["secrets:list", "audit:read"]).json
        ada.delete(f"{TOKENS}/{made['id']}")
        [created] = ada.audit(action="token_create")
        [revoked] = ada.audit(action="token_revoke")
        assert created["extra_data"] == {
            "token_id": made["id"],
            "for_identity": "sa:ci",
            "scopes": ["audit:read", "secrets:list"],
        }
        assert revoked["extra_data"] == {"token_id": made["id"]}

    @pytest.mark.parametrize(
        ("act", "reason"),
        [
            (lambda weak: mint(weak, scopes=["admin"]), "forbidden"),
            (lambda weak: mint(weak, tenant_id="tnt_b"), "tenant_access_denied"),
            (lambda weak: mint(weak, identity_id="sa:ci"), "insufficient_scope"),
            (lambda weak: weak.post("/v1/auth/introspect", {"token": "x"}), "insufficient_scope"),
        ],
    )
    def test_every_refusal_is_a_row(self, standing, act, reason):
        house, ada = standing
        weak = house.someone("user:weak", scopes=["secrets:read"])
        answer = act(weak)
        assert answer.status_code == 403
        [row] = ada.audit(request_id=answer.headers["X-Request-ID"])
        assert (row["action"], row["success"], row["extra_data"]["reason"]) == ("policy_violation", False, reason)


def test_a_process_that_has_just_started_refuses_what_was_revoked_before(house, ada):
    """Its first request is with the token, its second too: nothing else has made it look at the tenant's authority."""
    made = mint(ada).json
    other = build(house.settings, clock=house.clock)
    other.open()
    try:
        client = create_app(other).test_client()
        asked = {"headers": {"Authorization": f"Bearer {made['token']}"}}
        ada.delete(f"{TOKENS}/{made['id']}")
        for _ in range(2):
            assert error(client.get("/v1/auth/whoami", **asked)) == "token_revoked"
    finally:
        other.close()


class TestOffspring:
    def spare(self, house, voice, **more):
        made = voice.post("/v1/auth/tokens", {"name": "spare", "scopes": ["identity:admin", "secrets:list"], **more})
        assert made.status_code == 201, made.text
        return made.json["id"], house.voice(made.json["token"])

    def status(self, house, voice):
        fresh = build(house.settings, clock=house.clock)
        fresh.open()
        asked = {"headers": {"Authorization": f"Bearer {voice.token}"}}
        answer = create_app(fresh).test_client().get("/v1/auth/whoami", **asked)
        fresh.close()
        return answer.status_code

    def test_what_somebody_made_with_a_token_for_himself_ends_with_it(self, house, ada):
        parent_id, parent = self.spare(house, ada)
        _, child = self.spare(house, parent)
        _, grandchild = self.spare(house, child)
        _, other = self.spare(house, ada)
        assert ada.delete(f"/v1/auth/tokens/{parent_id}").status_code == 204
        assert [self.status(house, each) for each in (parent, child, grandchild, other, ada)] == [
            401,
            401,
            401,
            200,
            200,
        ]

    def test_a_service_accounts_token_outlives_the_token_of_who_made_it(self, house, ada):
        parent_id, parent = self.spare(house, ada)
        _, account = self.spare(house, parent, identity_id="sa:deploy")
        assert ada.delete(f"/v1/auth/tokens/{parent_id}").status_code == 204
        assert self.status(house, account) == 200

    def test_a_token_that_is_revoked_while_it_makes_another_makes_none(self, house, ada, database_url):
        """This process still takes it for live: the epoch it knows is not half a second old."""
        parent_id, parent = self.spare(house, ada)
        assert parent.get("/v1/auth/whoami").status_code == 200
        with psycopg.connect(database_url) as connection:
            connection.execute("UPDATE tokens SET revoked_at = now() WHERE id = %s", [parent_id])
        answer = parent.post("/v1/auth/tokens", {"name": "spare", "scopes": ["secrets:list"]})
        assert (answer.status_code, error(answer)) == (401, "token_revoked")
