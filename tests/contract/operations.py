"""Every operation of the API, literally: what it is called, what it needs, and a call that it accepts.

A route that is added, moved, opened or given another scope without a change here fails `test_url_map`.
"""

from dataclasses import dataclass, replace

OPEN = "open"  # no token needed
SIGNED = "a signature"  # no token, but a body that is signed
PROVEN = "a foreign token"  # no token of ours, but a body with one that somebody else has signed
ANY = "any token"  # a token, whatever its scopes


@dataclass(frozen=True)
class Operation:
    method: str
    rule: str
    needs: str
    category: str
    limit: str | None
    body: object = None

    @property
    def name(self):
        return f"{self.method} {self.rule}"

    @property
    def is_open(self):
        return self.needs in (OPEN, SIGNED, PROVEN)

    @property
    def scope(self):
        return None if self.needs in (OPEN, SIGNED, PROVEN, ANY) else self.needs

    def address(self, **variables):
        """The rule with its variables filled in; `path` is a secret's."""
        address = self.rule
        for spelled, name in (
            ("<secret:path>", "path"),
            ("<policy_id>", "policy_id"),
            ("<binding_id>", "binding_id"),
            ("<rotation_policy_id>", "rotation_policy_id"),
            ("<token_id>", "token_id"),
            ("<trust_id>", "trust_id"),
            ("<secret_policy_id>", "secret_policy_id"),
            ("<webhook_id>", "webhook_id"),
            ("<delivery_id>", "delivery_id"),
            ("<subscription_id>", "subscription_id"),
            ("<identity_id>", "identity_id"),
            ("<tenant_id>", "tenant_id"),
            ("<group_id>", "group_id"),
            ("<user_id>", "user_id"),
            ("<identity_type>", "identity_type"),
        ):
            address = address.replace(spelled, variables.get(name, NOBODY[name]))
        return address

    def body_for(self, **variables):
        """The body, with every mention of a variable's stand-in replaced by the variable."""
        return _filled(self.body, {NOBODY[name]: value for name, value in variables.items() if name in NOBODY})


# Well-formed names of what is not there.
NOBODY = {
    "path": "app/db",
    "policy_id": f"pol_{'0' * 32}",
    "binding_id": f"bnd_{'0' * 32}",
    "rotation_policy_id": f"rot_{'0' * 32}",
    "token_id": f"tok_{'0' * 32}",
    "trust_id": f"trs_{'0' * 32}",
    "secret_policy_id": f"sp_{'0' * 32}",
    "webhook_id": f"wh_{'0' * 32}",
    "delivery_id": f"del_{'0' * 32}",
    "subscription_id": f"sub_{'0' * 32}",
    "identity_id": "user:nobody@a.example",
    "tenant_id": "tnt_a",
    "group_id": "grp_nobody",
    "user_id": "usr_nobody",
    "identity_type": "user",
}


def _filled(body, replacements):
    if isinstance(body, str):
        return replacements.get(body, body)
    if isinstance(body, list):
        return [_filled(item, replacements) for item in body]
    if isinstance(body, dict):
        return {key: _filled(item, replacements) for key, item in body.items()}
    return body


RULES = [{"path_pattern": "nowhere/*", "permissions": ["read"]}]
POLICY = {"name": "a policy that is tried", "rules": RULES}
GENERATED = [{"name": "password", "generator": "random", "config": {"length": 20}}]
SECRET_POLICY = {"name": "a secret policy that is tried", "fields": GENERATED}
BINDING = {"identity_type": "user", "identity_id": NOBODY["identity_id"]}
TRIAL = {"identity_id": NOBODY["identity_id"], "path": NOBODY["path"], "permission": "read"}
TRUST = {
    "name": "a trust that is tried",
    "issuer": "https://issuer.example",
    "audience": "scaivault",
    "claims": {"sub": "system:serviceaccount:nowhere:*"},
    "identity_id": "sa:nobody",
    "scopes": ["secrets:list"],
}
WEBHOOK = {
    "name": "a webhook that is tried",
    "url": "https://receiver.example/hook",
    "secret": "a-secret-that-only-the-receiver-knows",
    "events": ["secret.created"],
}
ROTATION_POLICY = {"name": "a rotation policy that is tried", "interval": "30d"}
SUBSCRIPTION = {
    "name": "a subscription that is tried",
    "paths": ["app/**"],
    "events": ["secret.created"],
    "delivery": {"type": "polling"},
}
FOREIGN = {"subject_token": "eyJhbGciOiJub25lIn0.e30.x", "tenant_id": NOBODY["tenant_id"]}
SECRET = "/v1/secrets/<secret:path>"
POLICIES = "/v1/policies"
ONE_POLICY = f"{POLICIES}/<policy_id>"
SECRET_POLICIES = "/v1/secret-policies"
ONE_SECRET_POLICY = f"{SECRET_POLICIES}/<secret_policy_id>"
ROTATIONS = "/v1/rotation/policies"
ONE_ROTATION = f"{ROTATIONS}/<rotation_policy_id>"
WEBHOOKS = "/v1/webhooks"
ONE_WEBHOOK = f"{WEBHOOKS}/<webhook_id>"
ONE_DELIVERY = f"{ONE_WEBHOOK}/deliveries/<delivery_id>"
SUBSCRIPTIONS = "/v1/subscriptions"
ONE_SUBSCRIPTION = f"{SUBSCRIPTIONS}/<subscription_id>"

SECRETS = (
    Operation("GET", "/v1/secrets", "secrets:list", "secrets", "list"),
    Operation("POST", "/v1/secrets/batch", "secrets:read", "batch", "batch_read", {"paths": [NOBODY["path"]]}),
    Operation(
        "POST", "/v1/secrets/batch/metadata", "secrets:list", "batch", "batch_metadata", {"paths": [NOBODY["path"]]}
    ),
    Operation("GET", SECRET, "secrets:read", "secrets", "read"),
    Operation("PUT", SECRET, "secrets:write", "secrets", "write", {"data": {}}),
    Operation("DELETE", SECRET, "secrets:delete", "secrets", "delete"),
    Operation("GET", f"{SECRET}:metadata", "secrets:list", "secrets", "read"),
    Operation("PATCH", f"{SECRET}:metadata", "secrets:write", "secrets", "write", {"metadata": {"color": "red"}}),
    Operation("GET", f"{SECRET}:versions", "secrets:list", "secrets", "read"),
    Operation("POST", f"{SECRET}:recover", "secrets:write", "secrets", "write"),
    Operation("POST", f"{SECRET}:rollback", "secrets:write", "secrets", "write", {"version": 1}),
    Operation("POST", f"{SECRET}:destroy", "secrets:delete", "secrets", "delete", {"versions": [1]}),
)
# What a partner's tenants share answers to the same calls.
SHARED = tuple(replace(each, rule=each.rule.replace("/v1/", "/v1/partner/")) for each in SECRETS)

OPERATIONS = (
    *SECRETS,
    *SHARED,
    # Policies
    Operation("GET", POLICIES, "policies:read", "policies", "policy"),
    Operation("POST", POLICIES, "policies:write", "policies", "policy", POLICY),
    Operation("POST", f"{POLICIES}/test", "policies:read", "policies", "policy_test", TRIAL),
    Operation("GET", ONE_POLICY, "policies:read", "policies", "policy"),
    Operation("PUT", ONE_POLICY, "policies:write", "policies", "policy", POLICY),
    Operation("PATCH", ONE_POLICY, "policies:write", "policies", "policy", {"is_active": False}),
    Operation("DELETE", ONE_POLICY, "policies:write", "policies", "policy"),
    Operation("GET", f"{ONE_POLICY}/bindings", "policies:read", "policies", "policy"),
    Operation("POST", f"{ONE_POLICY}/bindings", "policies:write", "policies", "policy", BINDING),
    Operation("DELETE", f"{ONE_POLICY}/bindings/<binding_id>", "policies:write", "policies", "policy"),
    # Secret policies
    Operation("GET", SECRET_POLICIES, "policies:read", "policies", "policy"),
    Operation("POST", SECRET_POLICIES, "policies:write", "policies", "policy", SECRET_POLICY),
    Operation("POST", f"{SECRET_POLICIES}/preview", "policies:write", "policies", "policy", {"fields": GENERATED}),
    Operation("GET", ONE_SECRET_POLICY, "policies:read", "policies", "policy"),
    Operation("PUT", ONE_SECRET_POLICY, "policies:write", "policies", "policy", SECRET_POLICY),
    Operation("PATCH", ONE_SECRET_POLICY, "policies:write", "policies", "policy", {"is_active": False}),
    Operation("DELETE", ONE_SECRET_POLICY, "policies:write", "policies", "policy"),
    Operation("POST", f"{ONE_SECRET_POLICY}/preview", "policies:write", "policies", "policy"),
    # Rotation
    Operation("POST", f"{SECRET}:rotate", "secrets:rotate", "secrets", "write"),
    Operation("GET", ROTATIONS, "admin", "rotation", "policy"),
    Operation("POST", ROTATIONS, "admin", "rotation", "policy", ROTATION_POLICY),
    Operation("GET", ONE_ROTATION, "admin", "rotation", "policy"),
    Operation("PATCH", ONE_ROTATION, "admin", "rotation", "policy", {"interval": "60d"}),
    Operation("DELETE", ONE_ROTATION, "admin", "rotation", "policy"),
    Operation("POST", f"{ONE_ROTATION}/enable", "admin", "rotation", "policy"),
    Operation("POST", f"{ONE_ROTATION}/disable", "admin", "rotation", "policy"),
    Operation("GET", f"{ONE_ROTATION}/secrets", "admin", "rotation", "policy"),
    Operation("POST", f"{ONE_ROTATION}/secrets", "admin", "rotation", "policy", {"secret_path": NOBODY["path"]}),
    Operation("DELETE", f"{ONE_ROTATION}/secrets/<secret:path>", "admin", "rotation", "policy"),
    Operation("POST", f"{ONE_ROTATION}/rotate", "secrets:rotate", "rotation", "write", {}),
    Operation("GET", f"{ONE_ROTATION}/history", "audit:read", "rotation", "audit_query"),
    Operation("GET", "/v1/rotation/due", ANY, "rotation", "list"),
    Operation("GET", "/v1/rotation/pending", ANY, "rotation", "list"),
    # Identity
    Operation("GET", "/v1/auth/whoami", ANY, "auth", "auth"),
    Operation("POST", "/v1/auth/introspect", "admin", "auth", "auth", {"token": "skt_x"}),
    Operation("POST", "/v1/auth/tokens", ANY, "auth", "auth", {"name": "tried", "scopes": ["secrets:list"]}),
    Operation("GET", "/v1/auth/tokens", ANY, "auth", "auth"),
    Operation("DELETE", "/v1/auth/tokens/<token_id>", ANY, "auth", "auth"),
    Operation("POST", "/v1/auth/trusts", "identity:admin", "auth", "auth", TRUST),
    Operation("GET", "/v1/auth/trusts", "identity:admin", "auth", "auth"),
    Operation("GET", "/v1/auth/trusts/<trust_id>", "identity:admin", "auth", "auth"),
    Operation("DELETE", "/v1/auth/trusts/<trust_id>", "identity:admin", "auth", "auth"),
    Operation("POST", "/v1/auth/exchange", PROVEN, "auth", "open", FOREIGN),
    # Directory
    Operation("GET", "/v1/identity/partners", "identity:read", "identity", "identity_read"),
    Operation("GET", "/v1/identity/tenants", "identity:read", "identity", "identity_read"),
    Operation("GET", "/v1/identity/tenants/<tenant_id>/users", "identity:read", "identity", "identity_read"),
    Operation("GET", "/v1/identity/tenants/<tenant_id>/groups", "identity:read", "identity", "identity_read"),
    Operation("GET", "/v1/identity/groups/<group_id>/members", "identity:read", "identity", "identity_read"),
    Operation(
        "GET", "/v1/identity/resolve/<identity_type>/<identity_id>", "identity:read", "identity", "identity_read"
    ),
    Operation("POST", "/v1/identity/sync", "identity:admin", "identity", "identity_sync"),
    Operation("GET", "/v1/identity/sync/history", "identity:read", "identity", "identity_read"),
    Operation("GET", "/v1/identity/roles", ANY, "identity", "identity_read"),
    Operation("GET", "/v1/identity/users/<user_id>/roles", "identity:read", "identity", "identity_read"),
    Operation("PUT", "/v1/identity/users/<user_id>/roles", "identity:admin", "identity", "policy", {"roles": []}),
    Operation("POST", "/v1/identity/webhooks/scaikey", SIGNED, "identity", "open", {"event_id": "evt_x"}),
    # Webhooks
    Operation("GET", WEBHOOKS, "admin", "webhooks", "webhook"),
    Operation("POST", WEBHOOKS, "admin", "webhooks", "webhook", WEBHOOK),
    Operation("GET", ONE_WEBHOOK, "admin", "webhooks", "webhook"),
    Operation("PATCH", ONE_WEBHOOK, "admin", "webhooks", "webhook", {"name": "another name"}),
    Operation("DELETE", ONE_WEBHOOK, "admin", "webhooks", "webhook"),
    Operation("POST", f"{ONE_WEBHOOK}/test", "admin", "webhooks", "webhook"),
    Operation("GET", f"{ONE_WEBHOOK}/deliveries", "admin", "webhooks", "webhook"),
    Operation("POST", f"{ONE_DELIVERY}/redeliver", "admin", "webhooks", "webhook"),
    Operation("GET", SUBSCRIPTIONS, "subscriptions:read", "subscriptions", "subscription"),
    Operation("POST", SUBSCRIPTIONS, "subscriptions:write", "subscriptions", "subscription", SUBSCRIPTION),
    Operation("GET", ONE_SUBSCRIPTION, "subscriptions:read", "subscriptions", "subscription"),
    Operation(
        "PATCH", ONE_SUBSCRIPTION, "subscriptions:write", "subscriptions", "subscription", {"name": "another name"}
    ),
    Operation("DELETE", ONE_SUBSCRIPTION, "subscriptions:write", "subscriptions", "subscription"),
    Operation("GET", f"{ONE_SUBSCRIPTION}/poll", "subscriptions:read", "subscriptions", "subscription_poll"),
    Operation(
        "POST",
        f"{ONE_SUBSCRIPTION}/ack",
        "subscriptions:read",
        "subscriptions",
        "subscription_poll",
        {"event_ids": [f"evt_{'0' * 32}"]},
    ),
    Operation("GET", f"{ONE_SUBSCRIPTION}/deliveries", "subscriptions:read", "subscriptions", "subscription"),
    Operation(
        "POST",
        f"{ONE_SUBSCRIPTION}/deliveries/<delivery_id>/redeliver",
        "subscriptions:write",
        "subscriptions",
        "subscription",
    ),
    # Audit
    Operation("GET", "/v1/audit/logs", "audit:read", "audit", "audit_query"),
    Operation("GET", "/v1/audit/secrets/<secret:path>", "audit:read", "audit", "audit_query"),
    Operation("GET", "/v1/audit/identities/<identity_id>", "audit:read", "audit", "audit_query"),
    Operation("GET", "/v1/audit/summary", "audit:read", "audit", "audit_query"),
    # The vault about itself
    Operation("GET", "/v1/health", OPEN, "system", None),
    Operation("GET", "/v1/health/ready", OPEN, "system", None),
    Operation("GET", "/v1/health/detailed", "admin", "system", None),
    Operation("GET", "/v1/version", OPEN, "system", "open"),
    Operation("GET", "/v1/metrics", "admin", "system", None),
    Operation("GET", "/v1/openapi.json", OPEN, "system", "open"),
)
CLOSED = tuple(each for each in OPERATIONS if not each.is_open)
# Every address that takes a token is also one in a tenant that is named.
IN_TENANT = "/v1/t/<acting_tenant>"
# Those that a test can just ask, with a token or without.
ASKABLE = tuple(each for each in OPERATIONS if each.needs not in (SIGNED, PROVEN))
# What the standing house is not furnished for, as it says with a 409: it has no directory to read (tests/http has).
UNSERVED = frozenset({"POST /v1/identity/sync"})
SCOPED = tuple(each for each in OPERATIONS if each.scope)


def by_name(operation):
    """The id of a test about one operation."""
    return operation.name
