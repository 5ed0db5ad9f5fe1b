"""Which tenant a request acts in, and what a partner's tenants share."""

import psycopg
import pytest

from scaivault.features.identity.model import Identity
from scaivault.kernel.caller import Role, Scope
from tests.house import OTHER_TENANT, TENANT

STRANGER = "tnt_strange"
DENIED = (403, "tenant_access_denied")


def error(answer):
    return answer.status_code, answer.json["error"]["code"]


@pytest.fixture
def strange(house, database_url, ada):
    """The administrator of a tenant of another partner."""
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO partners (id, name) VALUES ('ptn_strange', 'Strange')")
        connection.execute(
            "INSERT INTO tenants (id, partner_id, name, is_shared_space) VALUES ('ptn_strange', 'ptn_strange', 's', true)"
        )
    house.services.installer.add_tenant("ptn_strange", STRANGER, "Stranger")
    return house.someone("user:eve@strange.example", roles=[Role.TENANT_ADMIN], tenant_id=STRANGER)


def by_header(voice, tenant_id, method, address, body=None):
    return voice.call(method, f"/v1/{address}", body, headers={"X-Tenant-ID": tenant_id})


def by_address(voice, tenant_id, method, address, body=None):
    return voice.call(method, f"/v1/t/{tenant_id}/{address}", body)


@pytest.fixture(params=[by_header, by_address], ids=["header", "address"])
def ask(request):
    """One way or the other of naming the tenant."""
    return request.param


class TestResolution:
    def test_a_partner_admin_acts_in_another_tenant_of_the_partner(self, ask, pat, bob):
        told = ask(pat, OTHER_TENANT, "GET", "auth/whoami").json
        assert (told["tenant_id"], told["partner_id"]) == (OTHER_TENANT, "ptn_test")
        rules = [{"path_pattern": "by-pat/*", "permissions": ["admin"]}]
        made = ask(pat, OTHER_TENANT, "POST", "policies", {"name": "by pat", "rules": rules})
        assert made.status_code == 201
        assert [each["name"] for each in bob.get("/v1/policies").json["policies"] if each["name"] == "by pat"]

    def test_there_too_nobody_reads_a_value_without_a_rule(self, ask, pat, bob):
        bob.write("app/db", {"key": "the-value-of-bob"})
        answer = ask(pat, OTHER_TENANT, "GET", "secrets/app/db")
        assert error(answer) == (403, "access_denied")

    def test_a_rule_of_that_tenant_is_one(self, ask, house, pat, bob):
        bob.write("app/db", {"key": "the-value-of-bob"})
        house.allow(bob, "user:pat@partner.example", ("app/*", ["read"]))
        assert ask(pat, OTHER_TENANT, "GET", "secrets/app/db").json["data"] == {"key": "the-value-of-bob"}

    def test_rules_and_groups_of_ones_own_tenant_are_none_there(self, ask, house, ada, bob):
        bob.write("app/db")
        house.allow(ada, "group:ops", ("**", ["admin"]), identity_type="group")
        house.allow(bob, "group:ops", ("**", ["admin"]), identity_type="group")
        pat = house.someone("user:pat@partner.example", roles=[Role.PARTNER_ADMIN], groups=["group:ops"])
        assert pat.get("/v1/secrets").status_code == 200
        assert error(ask(pat, OTHER_TENANT, "GET", "secrets/app/db")) == (403, "access_denied")

    def test_the_trail_there_says_where_one_is_from(self, ask, pat, bob):
        ask(pat, OTHER_TENANT, "GET", "secrets/app/db")
        [entry] = bob.audit(identity_id="user:pat@partner.example")
        assert entry["extra_data"]["home_tenant_id"] == TENANT
        assert pat.audit(identity_id="user:pat@partner.example", path_prefix="app/") == []

    def test_the_address_wins_over_the_header(self, pat):
        told = pat.get(f"/v1/t/{OTHER_TENANT}/auth/whoami", headers={"X-Tenant-ID": TENANT}).json
        assert told["tenant_id"] == OTHER_TENANT

    @pytest.mark.parametrize("tenant_id", [OTHER_TENANT, STRANGER, "tnt_nowhere", "ptn_test", "TNT_A", "tnt_b "])
    def test_a_tenant_admin_enters_no_other(self, ask, ada, strange, tenant_id):
        if not (ask is by_address and tenant_id.endswith(" ")):
            assert error(ask(ada, tenant_id, "GET", "auth/whoami")) == DENIED

    @pytest.mark.parametrize("tenant_id", [STRANGER, "tnt_nowhere", "ptn_strange", "x" * 500])
    def test_what_is_not_the_partners_is_one_to_its_admin_whether_it_is_there_or_not(
        self, ask, pat, strange, tenant_id
    ):
        answer = ask(pat, tenant_id, "GET", "auth/whoami")
        assert error(answer) == DENIED
        assert answer.json["error"]["message"] == "This identity may not act in that tenant."

    def test_a_super_admin_enters_any_and_is_told_of_none(self, ask, house, strange):
        root = house.someone("user:root@a.example", roles=[Role.SUPER_ADMIN])
        told = ask(root, STRANGER, "GET", "auth/whoami").json
        assert (told["tenant_id"], told["partner_id"]) == (STRANGER, "ptn_strange")
        assert error(ask(root, "tnt_nowhere", "GET", "auth/whoami")) == (404, "tenant_not_found")

    @pytest.mark.parametrize("table", ["tenants", "partners"])
    def test_a_suspended_one_is_entered_by_nobody(self, ask, house, database_url, strange, table):
        root = house.someone("user:root@a.example", roles=[Role.SUPER_ADMIN])
        with psycopg.connect(database_url) as connection:
            connection.execute(f"UPDATE {table} SET status = 'SUSPENDED' WHERE id LIKE '%strange'")
            connection.execute("UPDATE tenants SET status = 'ACTIVE' WHERE partner_id <> 'ptn_strange'")
        assert error(ask(root, STRANGER, "GET", "auth/whoami")) == (403, "forbidden")

    def test_whom_it_is_refused_is_in_the_trail_at_home(self, ask, ada):
        ask(ada, OTHER_TENANT, "GET", "auth/whoami")
        [entry] = ada.audit(action="policy_violation")
        assert entry["extra_data"] == {"attempted": "authenticate", "reason": "tenant_access_denied"}

    def test_a_visitor_makes_tokens_for_service_accounts_and_not_for_himself(self, ask, house, pat):
        order = {"name": "n", "scopes": ["secrets:list"]}
        assert error(ask(pat, OTHER_TENANT, "POST", "auth/tokens", order)) == (403, "forbidden")
        made = ask(pat, OTHER_TENANT, "POST", "auth/tokens", {**order, "identity_id": "sa:first"})
        assert made.status_code == 201
        assert house.voice(made.json["token"]).get("/v1/auth/whoami").json["tenant_id"] == OTHER_TENANT

    def test_every_spelling_of_a_path_but_one_is_refused_there_too(self, pat):
        for path in ("a/../b", "a//b", "/a", "a/%62"):
            answer = pat.get(f"/v1/t/{TENANT}/secrets/{path}")
            assert error(answer) in {(400, "invalid_path"), (404, "not_found")}, path

    def test_no_address_needs_no_token_by_naming_a_tenant(self, house):
        assert error(house.voice().get(f"/v1/t/{TENANT}/health")) == (404, "not_found")
        assert error(house.voice().get(f"/v1/t/{TENANT}/auth/whoami")) == (401, "authentication_required")


BOB = "user:bob@b.example"
KEY = "/v1/partner/secrets/shared/webhook-signing-key"
WRITERS = [
    ("PUT", KEY, {"data": {"key": "other"}}),
    ("PATCH", f"{KEY}:metadata", {"metadata": {"owner": "me"}}),
    ("DELETE", KEY, None),
    ("DELETE", f"{KEY}?permanent=true", None),
    ("POST", f"{KEY}:rollback", {"version": 1}),
    ("POST", f"{KEY}:destroy", {"versions": [1]}),
    ("POST", f"{KEY}:recover", None),
]


class TestSharedSecrets:
    @pytest.fixture(autouse=True)
    def key(self, pat):
        assert pat.put(KEY, {"data": {"key": "the-shared-value"}}).status_code == 201

    def test_every_tenant_of_the_partner_reads_them_as_its_policies_allow(self, house, ada, bob):
        for admin, tenant_id in ((ada, TENANT), (bob, OTHER_TENANT)):
            house.allow(admin, "user:dev", ("shared/*", ["read"]))
            dev = house.someone("user:dev", tenant_id=tenant_id)
            assert dev.get(KEY).json["data"] == {"key": "the-shared-value"}

    def test_without_a_rule_they_are_not_read(self, house, ada):
        nobody = house.someone("user:nobody")
        assert error(nobody.get(KEY)) == (403, "access_denied")
        [entry] = ada.audit(identity_id="user:nobody")
        assert (entry["action"], entry["secret_path"]) == ("policy_violation", "shared/webhook-signing-key")

    def test_without_the_scope_they_are_not_read(self, house, ada):
        house.allow(ada, "user:dev", ("**", ["admin"]))
        dev = house.someone("user:dev", scopes=frozenset(Scope) - {Scope.SECRETS_READ})
        assert error(dev.get(KEY)) == (403, "insufficient_scope")

    @pytest.mark.parametrize(("method", "address", "body"), WRITERS)
    def test_only_a_partner_admin_changes_them(self, ada, pat, method, address, body):
        assert error(ada.call(method, address, body)) == (403, "access_denied")
        assert pat.get(KEY).json["data"] == {"key": "the-shared-value"}
        assert pat.get(KEY).json["version"] == 1

    @pytest.mark.parametrize(("method", "address", "body"), WRITERS)
    def test_a_partner_admin_too_needs_the_scope(self, house, method, address, body):
        reading = frozenset({Scope.SECRETS_READ, Scope.SECRETS_LIST})
        lacking = house.someone("user:pat@partner.example", reading, roles=[Role.PARTNER_ADMIN])
        assert error(lacking.call(method, address, body)) == (403, "insufficient_scope")

    def test_other_partners_do_not_see_them(self, house, strange):
        house.allow(strange, "user:eve@strange.example", ("**", ["admin"]))
        assert error(strange.get(KEY)) == (404, "secret_not_found")
        assert strange.get("/v1/partner/secrets").json["secrets"] == []

    def test_a_tenants_own_secret_of_the_same_path_is_another(self, ada, bob):
        ada.write("shared/webhook-signing-key", {"key": "ada's own"})
        assert ada.get("/v1/secrets/shared/webhook-signing-key").json["data"] == {"key": "ada's own"}
        assert ada.get(KEY).json["data"] == {"key": "the-shared-value"}
        assert bob.get("/v1/secrets/shared/webhook-signing-key").status_code == 404

    def test_lists_and_batches_show_what_ones_policies_let_one_see(self, house, ada, pat):
        pat.put("/v1/partner/secrets/hidden/key", {"data": {}})
        house.allow(ada, "user:dev", ("shared/**", ["read", "list"]))
        dev = house.someone("user:dev")
        paths = ["shared/webhook-signing-key", "hidden/key"]
        assert [each["path"] for each in dev.get("/v1/partner/secrets").json["secrets"]] == paths[:1]
        batch = dev.post("/v1/partner/secrets/batch", {"paths": paths}).json
        assert set(batch["secrets"]) == {paths[0]}
        assert batch["errors"][paths[1]]["code"] == "access_denied"
        found = dev.post("/v1/partner/secrets/batch/metadata", {"paths": ["**"], "expand_wildcards": True}).json
        assert set(found["secrets"]) == {paths[0]}

    def test_the_partners_trail_tells_of_every_reader_and_where_they_are_from(self, bob, pat):
        bob.get(KEY)
        logs = by_header(pat, "ptn_test", "GET", "audit/logs?action=read").json["logs"]
        assert [(each["identity_id"], each["extra_data"]["home_tenant_id"]) for each in logs] == [
            ("user:bob@b.example", OTHER_TENANT)
        ]

    def test_the_readers_own_trail_has_a_row_of_each_use(self, house, ada, bob, pat):
        name = "shared/webhook-signing-key"
        assert bob.get(KEY).status_code == 200
        assert bob.get("/v1/partner/secrets/shared/none").status_code == 404
        bob.get(f"{KEY}:metadata")
        bob.get("/v1/partner/secrets")
        bob.post("/v1/partner/secrets/batch", {"paths": [name]})
        at_home = [row for row in bob.audit() if row["extra_data"].get("shared_space") == "ptn_test"]
        assert [(row["action"], row["secret_path"], row["success"]) for row in reversed(at_home)] == [
            ("read", name, True),
            ("read", "shared/none", False),
            ("list", name, True),
            ("list", None, True),
            ("read", name, True),
        ]
        assert at_home[-1]["extra_data"] == {"version": 1, "shared_space": "ptn_test"}
        there = by_header(pat, "ptn_test", "GET", f"audit/logs?identity_id={BOB}").json["logs"]
        assert [row["request_id"] for row in there] == [row["request_id"] for row in at_home]
        assert {row["id"] for row in there}.isdisjoint(row["id"] for row in at_home)
        assert not [row for row in ada.audit() if row["identity_id"] == BOB]

    def test_so_has_the_partner_admins_of_each_change(self, ada, pat):
        pat.put(KEY, {"data": {"key": "next"}})
        pat.delete(KEY)
        rows = [row for row in ada.audit() if row["extra_data"].get("shared_space")]
        assert [row["action"] for row in rows] == ["delete", "write", "write"]

    def test_a_visitors_is_told_at_home_and_not_where_he_visits(self, ada, bob, pat):
        assert pat.get(f"/v1/t/{OTHER_TENANT}/partner/secrets/shared/webhook-signing-key").status_code == 200
        assert [row["action"] for row in ada.audit(action="read")] == ["read"]
        assert bob.audit(action="read") == []

    def test_a_refusal_is_told_at_home_alone_and_once(self, house, ada, pat):
        house.someone("user:nobody").get(KEY)
        assert len(ada.audit(identity_id="user:nobody")) == 1
        there = by_header(pat, "ptn_test", "GET", "audit/logs?identity_id=user:nobody").json["logs"]
        assert there == []

    def test_without_room_in_the_trail_at_home_nothing_is_shown(self, bob, pat, database_url):
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("ALTER TABLE audit_log ADD CONSTRAINT full_house CHECK (tenant_id <> 'tnt_b') NOT VALID")
        assert error(bob.get(KEY)) == (503, "service_unavailable")
        assert by_header(pat, "ptn_test", "GET", f"audit/logs?identity_id={BOB}").json["logs"] == []

    def test_they_are_sealed_under_a_key_of_their_own(self, pat, database_url):
        with psycopg.connect(database_url) as connection:
            keys = connection.execute("SELECT tenant_id FROM tenant_keys").fetchall()
        assert ("ptn_test",) in keys

    def test_cursors_of_shared_and_own_secrets_are_not_each_others(self, ada, pat):
        pat.put("/v1/partner/secrets/shared/more", {"data": {}})
        ada.write("shared/a")
        ada.write("shared/b")
        cursor = ada.get("/v1/secrets?limit=1").json["cursor"]
        assert error(ada.get(f"/v1/partner/secrets?limit=1&cursor={cursor}")) == (400, "invalid_cursor")

    def test_they_go_on_when_a_visitor_asks(self, pat):
        assert pat.get(f"/v1/t/{OTHER_TENANT}/partner/secrets/shared/webhook-signing-key").status_code == 200


def test_a_new_partner_has_its_space_from_the_start(house, ada, database_url):
    with psycopg.connect(database_url) as connection:
        spaces = connection.execute("SELECT id, partner_id FROM tenants WHERE is_shared_space").fetchall()
    assert spaces == [("ptn_test", "ptn_test")]


def test_the_space_is_no_tenant_that_counts_as_an_installation(house, database_url):
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO partners (id, name) VALUES ('ptn_only', 'p')")
        connection.execute(
            "INSERT INTO tenants (id, partner_id, name, is_shared_space) VALUES ('ptn_only', 'ptn_only', 's', true)"
        )
    admin = Identity("user:ada@a.example", "Ada", roles=frozenset({Role.TENANT_ADMIN}))
    assert house.services.installer.install("P", "T", admin).token.startswith("skt_")
