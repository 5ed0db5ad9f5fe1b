"""What is another tenant's is as if it were not there: by status, by code, by message, by length, by trace."""

import gc
import re

import psycopg
import pytest

from scaivault.crypto.keyring import KeyRing
from tests.contract.operations import CLOSED, NOBODY, OPERATIONS, SUBSCRIPTION, TRUST, WEBHOOK, by_name
from tests.contract.test_schema import TENANT_TABLES

# Bodies that would do something, if they reached anything.
REACHING = {
    ("PUT", "/v1/secrets/<secret:path>"): {"data": {"whose": "bob"}},
    ("PATCH", "/v1/secrets/<secret:path>:metadata"): {"metadata": {"owner": "bob"}},
}


@pytest.fixture(scope="module")
def adas(standing):
    """Something of every kind in tenant A, by the names of the operations' variables; and what shows it."""
    ada = standing.ada
    ada.write("isolated/db", {"key": "the-value-of-ada"}, metadata={"owner": "owner-of-ada", "tags": ["tag-of-ada"]})
    ada.write("isolated/db", {"key": "the-value-of-ada"})
    ada.write("isolated/gone")
    ada.write("isolated/more")
    ada.delete("/v1/secrets/isolated/gone")
    rules = [{"path_pattern": "pattern-of-ada/*", "permissions": ["read"]}]
    policy = ada.post("/v1/policies", {"name": "policy-of-ada", "rules": rules}).json
    bound = {"identity_type": "user", "identity_id": "user:of-ada"}
    binding = ada.post(f"/v1/policies/{policy['id']}/bindings", bound).json
    made = ada.post("/v1/auth/tokens", {"name": "token-of-ada", "scopes": ["secrets:list"]}).json
    ada.post("/v1/auth/trusts", {**TRUST, "name": "another-trust-of-ada"})
    trust = ada.post("/v1/auth/trusts", {**TRUST, "name": "trust-of-ada"}).json
    hook = {**WEBHOOK, "name": "webhook-of-ada", "url": "http://127.0.0.1:9/hook-of-ada"}
    ada.post("/v1/webhooks", hook)
    webhook = ada.post("/v1/webhooks", hook).json["id"]
    tried = ada.post(f"/v1/webhooks/{webhook}/test").json["delivery_id"]
    listening = {**SUBSCRIPTION, "name": "subscription-of-ada", "paths": ["glob-of-ada/*"]}
    ada.post("/v1/subscriptions", listening)
    subscription = ada.post("/v1/subscriptions", listening).json["id"]
    static = [{"name": "user", "generator": "static", "config": {"value": "literal-of-ada"}}]
    ada.post("/v1/secret-policies", {"name": "another-generator-of-ada", "fields": static})
    secret_policy = ada.post("/v1/secret-policies", {"name": "generator-of-ada", "fields": static}).json
    return {
        "subscription_id": subscription,
        "webhook_id": webhook,
        "delivery_id": tried,
        "path": "isolated/db",
        "policy_id": policy["id"],
        "binding_id": binding["id"],
        "token_id": made["id"],
        "trust_id": trust["id"],
        "secret_policy_id": secret_policy["id"],
        "identity_id": "user:ada@a.example",
        "identity_type": "user",
        "tenant_id": "tnt_a",
        "group_id": "grp_there",
        "user_id": "usr_there",
        "token": made["token"],
    }


# The same kind of names, of what nobody has. The path is as long as ada's: an answer's length must not tell either.
NOTHING = {**NOBODY, "tenant_id": "tnt_nowhere", "path": "isolated/no", "token": "skt_" + "A" * 43}


def call(voice, operation, variables):
    body = REACHING.get((operation.method, operation.rule)) or operation.body_for(**variables)
    if body and "token" in body:
        body = {"token": variables["token"]}
    return voice.call(operation.method, operation.address(**variables), body)


def told(answer, variables):
    """Everything an answer tells, without the names that the question was asked with and without times and ids."""
    names = sorted((text for name, text in variables.items() if name != "identity_type"), key=len, reverse=True)
    text = answer.text
    for name in names:
        text = text.replace(name, "…")
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "…", text)
    text = re.sub(r"\b(req|log|pol|sp|bnd|tok|trs|wh|del)_[0-9a-f]{32}\b|\b[0-9a-f]{32}\b|skt_[\w-]{43}", "…", text)
    text = re.sub(r'"(duration_ms|uptime_seconds|latency_ms|memory_used_mb)": ?[\d.]+', "…", text)
    headers = {name: value for name, value in answer.headers if name not in {"X-Request-ID", "Content-Length"}}
    return answer.status_code, text, headers


def rows_of(url, tenant_id):
    """Every row of a tenant but its trail and what is noted, later on, about ada's own reading."""
    with psycopg.connect(url) as connection:
        return {
            table: sorted(text for (text,) in connection.execute(ROWS.format(table), [tenant_id]))
            for table in TENANT_TABLES - {"audit_log"}
        }


ROWS = "SELECT (to_jsonb(t) - 'last_accessed_at' - 'last_accessed_by')::text FROM {} AS t WHERE tenant_id = %s"

SPEAKING_OF_ONE = [each for each in CLOSED if "<" in each.rule or each.rule.endswith(("/test", "/introspect"))]
SPEAKING_OF_ONE += [each for each in CLOSED if "batch" in each.rule]


@pytest.mark.parametrize("operation", SPEAKING_OF_ONE, ids=by_name)
def test_what_is_another_tenants_is_answered_like_what_is_not_there(house, bob, adas, room, operation):
    """A fresh administrator of tenant B for each: what one question leaves behind must not answer the next."""
    asked = told(call(bob, operation, adas), adas)
    nothing = told(call(bob, operation, NOTHING), NOTHING)
    clean(bob)
    assert asked == nothing


def clean(bob):
    for path in ("isolated/db", "isolated/no"):
        bob.delete(f"/v1/secrets/{path}?permanent=true")


@pytest.mark.parametrize("path", ["isolated/db", "isolated/gone", "isolated/no"])
def test_a_live_a_deleted_and_an_absent_secret_are_one_to_a_stranger(bob, adas, path):
    answers = {
        (answer.status_code, answer.json["error"]["code"], answer.json["error"]["message"])
        for answer in (
            bob.get(f"/v1/secrets/{path}"),
            bob.get(f"/v1/secrets/{path}:metadata"),
            bob.get(f"/v1/secrets/{path}:versions"),
            bob.delete(f"/v1/secrets/{path}"),
            bob.post(f"/v1/secrets/{path}:rollback", {"version": 1}),
            bob.post(f"/v1/secrets/{path}:destroy", {"versions": [1]}),
        )
    }
    assert answers == {(404, "secret_not_found", "There is no secret at this path.")}


@pytest.mark.parametrize("operation", CLOSED, ids=by_name)
def test_no_operation_shows_or_changes_anything_of_another_tenant(standing, bob, adas, operation):
    before = rows_of(standing.database_url, "tnt_a")
    answer = call(bob, operation, adas)
    assert answer.status_code < 500
    for shown in (
        "the-value-of-ada",
        "owner-of-ada",
        "tag-of-ada",
        "policy-of-ada",
        "pattern-of-ada",
        "token-of-ada",
        "trust-of-ada",
        "generator-of-ada",
        "literal-of-ada",
        "webhook-of-ada",
        "hook-of-ada",
        "subscription-of-ada",
        "glob-of-ada",
    ):
        assert shown not in answer.text
    for name in (
        *(
            "policy_id",
            "binding_id",
            "token_id",
            "trust_id",
            "secret_policy_id",
            "webhook_id",
            "delivery_id",
            "subscription_id",
            "token",
        ),
    ):
        assert adas[name] not in answer.text
    assert rows_of(standing.database_url, "tnt_a") == before
    clean(bob)


def test_no_trail_tells_of_another_tenant(standing, ada, bob, adas):
    """Not even that somebody of the other tenant asked."""
    call(bob, OPERATIONS[3], adas)
    for voice, own, other in (
        (ada, "user:ada@a.example", "user:bob@b.example"),
        (bob, "user:bob@b.example", "user:ada@a.example"),
    ):
        assert voice.audit(identity_id=other) == []
        assert voice.audit(identity_id=own)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("/v1/secrets?limit=1", "secrets"),
        ("/v1/policies?limit=1", "policies"),
        ("/v1/secret-policies?limit=1", "secret_policies"),
        ("/v1/auth/tokens?limit=1", "tokens"),
        ("/v1/auth/trusts?limit=1", "trusts"),
        ("/v1/webhooks?limit=1", "webhooks"),
        ("/v1/subscriptions?limit=1", "subscriptions"),
        ("/v1/audit/logs?limit=1", "logs"),
        ("/v1/audit/secrets/isolated/db?limit=1", "logs"),
    ],
)
def test_a_cursor_is_good_in_its_own_tenant_only(ada, bob, adas, address, key):
    ada.post(
        "/v1/policies",
        {"name": f"more {key} {address}"[:60], "rules": [{"path_pattern": "x", "permissions": ["read"]}]},
    )
    page = ada.get(address).json
    assert page[key]
    assert page["cursor"]
    answer = bob.get(f"{address}&cursor={page['cursor']}")
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "invalid_cursor")
    assert ada.get(f"{address}&cursor={page['cursor']}").status_code == 200


def test_the_same_names_are_free_in_every_tenant(ada, bob, adas):
    """A conflict would tell that another tenant has taken it."""
    rules = [{"path_pattern": "x/*", "permissions": ["read"]}]
    made = bob.post("/v1/policies", {"name": "policy-of-ada", "rules": rules})
    assert made.status_code == 201
    assert bob.delete(f"/v1/policies/{made.json['id']}").status_code == 204
    assert bob.put("/v1/secrets/isolated/gone", {"data": {}}).status_code == 201
    assert bob.delete("/v1/secrets/isolated/gone?permanent=true").status_code == 204


def test_bindings_and_groups_of_one_tenant_mean_nothing_in_another(house, ada, bob, room):
    """The same identity, the same group, the same path: each tenant decides for itself."""
    for voice in (ada, bob):
        voice.write(f"{room}/db")
    name, group = f"user:{room}", f"group:{room}"
    house.allow(ada, name, (f"{room}/*", ["read"]))
    house.allow(ada, group, (f"{room}/*", ["read"]), identity_type="group")
    here = house.someone(name, groups=[group])
    there = house.someone(name, groups=[group], tenant_id="tnt_b")
    assert here.get(f"/v1/secrets/{room}/db").status_code == 200
    answer = there.get(f"/v1/secrets/{room}/db")
    assert (answer.status_code, answer.json["error"]["code"]) == (403, "access_denied")


def test_a_ciphertext_carried_into_another_tenant_does_not_open(standing, ada, bob, room):
    """Whoever may write to the database, and no more, can not read one tenant's secrets as another."""
    ada.write(f"{room}/db", {"key": "the-value-of-ada"})
    bob.write(f"{room}/db", {"key": "the-value-of-bob"})
    with psycopg.connect(standing.database_url, autocommit=True) as connection:
        connection.execute(
            """
            UPDATE secret_versions AS bobs
               SET sealed = adas.sealed, wrapped_key = adas.wrapped_key
              FROM secret_versions AS adas
             WHERE bobs.tenant_id = 'tnt_b' AND adas.tenant_id = 'tnt_a'
               AND bobs.path = %(path)s AND adas.path = %(path)s
            """,
            {"path": f"{room}/db"},
        )
    answer = bob.get(f"/v1/secrets/{room}/db")
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "internal_error")
    assert "unreadable" in [entry["extra_data"].get("reason") for entry in bob.audit(path_prefix=room)]


def test_tenant_keys_carried_along_do_not_help(standing, ada, bob, room):
    """A key unwraps for its own tenant alone: another process, which has no keys in memory, refuses the row."""
    ada.write(f"{room}/db", {"key": "the-value-of-ada"})
    bob.write(f"{room}/db")
    with psycopg.connect(standing.database_url, autocommit=True) as connection:
        kept = connection.execute("SELECT wrapped FROM tenant_keys WHERE tenant_id = 'tnt_b'").fetchone()[0]
        carry = "UPDATE tenant_keys SET wrapped = %s WHERE tenant_id = 'tnt_b'"
        adas_key = connection.execute("SELECT wrapped FROM tenant_keys WHERE tenant_id = 'tnt_a'").fetchone()[0]
        connection.execute(carry, [adas_key])
        try:
            forget_keys()
            answer = bob.get(f"/v1/secrets/{room}/db")
        finally:
            connection.execute(carry, [kept])
            forget_keys()
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "internal_error")
    assert bob.get(f"/v1/secrets/{room}/db").status_code == 200


def forget_keys():
    """As after a restart."""
    for ring in [each for each in gc.get_objects() if isinstance(each, KeyRing)]:
        ring.forget("tnt_b")
