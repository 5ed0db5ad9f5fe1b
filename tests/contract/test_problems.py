"""Errors as clients meet them: one envelope, one status for each class, every documented code within reach."""

import importlib
import pkgutil

import psycopg
import pytest

import scaivault
from scaivault.crypto.envelope import Envelope
from scaivault.edge import problems
from scaivault.kernel.caller import Role
from scaivault.kernel.errors import VaultError
from scaivault.kernel.limits import RateCategory
from scaivault.ratelimit.local import LocalBuckets
from tests.contract.operations import FOREIGN, SUBSCRIPTION, TRUST, WEBHOOK

# By class, with the status and the code that clients see.
ANSWERED = {
    "InvalidRequest": (400, "invalid_request"),
    "InvalidPath": (400, "invalid_path"),
    "InvalidGlob": (400, "invalid_glob"),
    "InvalidDuration": (400, "invalid_duration"),
    "InvalidCursor": (400, "invalid_cursor"),
    "InvalidPolicy": (400, "invalid_policy"),
    "InvalidSecretType": (400, "invalid_secret_type"),
    "InvalidTrust": (400, "invalid_trust"),
    "InvalidWebhook": (400, "invalid_webhook"),
    "BodyTooLarge": (413, "invalid_request"),
    "ValidationFailed": (422, "validation_error"),
    "Unauthenticated": (401, "authentication_required"),
    "TokenInvalid": (401, "token_invalid"),
    "ExchangeRefused": (401, "token_invalid"),
    "TokenExpired": (401, "token_expired"),
    "TokenRevoked": (401, "token_revoked"),
    "Forbidden": (403, "forbidden"),
    "AccessDenied": (403, "access_denied"),
    "InsufficientScope": (403, "insufficient_scope"),
    "TenantAccessDenied": (403, "tenant_access_denied"),
    "TenantSuspended": (403, "forbidden"),
    "IdentityNotFound": (404, "identity_not_found"),
    "InvalidRole": (400, "invalid_role"),
    "RoleBeyondGrantor": (403, "forbidden"),
    "TenantNotFound": (404, "tenant_not_found"),
    "MfaRequired": (403, "mfa_required"),
    "IpNotAllowed": (403, "ip_not_allowed"),
    "TimeWindowViolation": (403, "time_window_violation"),
    "TokenExceedsMaker": (403, "forbidden"),
    "NotFound": (404, "not_found"),
    "SecretNotFound": (404, "secret_not_found"),
    "VersionNotFound": (404, "version_not_found"),
    "PolicyNotFound": (404, "policy_not_found"),
    "BindingNotFound": (404, "binding_not_found"),
    "SecretPolicyNotFound": (404, "secret_policy_not_found"),
    "RotationPolicyNotFound": (404, "rotation_policy_not_found"),
    "AssignmentNotFound": (404, "assignment_not_found"),
    "TokenNotFound": (404, "token_not_found"),
    "TrustNotFound": (404, "trust_not_found"),
    "WebhookNotFound": (404, "webhook_not_found"),
    "DeliveryNotFound": (404, "delivery_not_found"),
    "SubscriptionNotFound": (404, "subscription_not_found"),
    "TooManySubscriptions": (409, "too_many_subscriptions"),
    "TooManyWait": (429, "rate_limited"),
    "Conflict": (409, "conflict"),
    "SecretExists": (409, "secret_exists"),
    "VersionConflict": (409, "version_conflict"),
    "PolicyExists": (409, "policy_exists"),
    "PolicyInUse": (409, "policy_in_use"),
    "BindingExists": (409, "binding_exists"),
    "RevisionConflict": (409, "version_conflict"),
    "SecretPolicyExists": (409, "secret_policy_exists"),
    "SecretPolicyInactive": (409, "secret_policy_inactive"),
    "SecretPolicyInUse": (409, "secret_policy_in_use"),
    "NoSecretPolicy": (409, "no_secret_policy"),
    "RotationPolicyExists": (409, "rotation_policy_exists"),
    "TooManyRotationPolicies": (409, "too_many_rotation_policies"),
    "TooManySecrets": (409, "too_many_secrets"),
    "TooManySecretPolicies": (409, "too_many_secret_policies"),
    "TooManyTokens": (409, "too_many_tokens"),
    "TooManyTrusts": (409, "too_many_trusts"),
    "TooManyWebhooks": (409, "too_many_webhooks"),
    "TrustExists": (409, "trust_exists"),
    "SyncNotConfigured": (409, "sync_not_configured"),
    "RateLimited": (429, "rate_limited"),
    "TestsAreBusy": (429, "rate_limited"),
    "PreviewsAreBusy": (429, "rate_limited"),
    "Unavailable": (503, "service_unavailable"),
    "KeyServiceAway": (503, "service_unavailable"),
    "NoDocument": (503, "service_unavailable"),
    "NothingThere": (503, "service_unavailable"),
}
# A bare internal_error on purpose: clients can do nothing about them.
INTERNAL = {
    "VaultError",  # the root of the tree says nothing in particular
    "ConstraintViolated",  # a constraint that no service expected
    "TamperedCiphertext",  # told apart from an unreadable secret by the service above
    "RetiredKeyVersion",  # the key ring reads the newer version and tries again
    "UnknownKeyVersion",  # a row that names a key which is not there
    "UnsafeKeyFile",  # the operator's: a key file that others can read
    "ReassignmentForbidden",  # nobody hears it: whoever meets it asks for the leave
    "SecretUnreadable",  # a row that is not what was written: ours to look into
    "AlreadyInstalled",  # for the command line only
}


def test_every_error_of_the_package_has_its_answer_or_is_internal_on_purpose():
    for module in pkgutil.walk_packages(scaivault.__path__, "scaivault."):
        if module.name not in {"scaivault.wsgi", "scaivault.gunicorn_conf"}:  # these read the environment
            importlib.import_module(module.name)
    found = {kind.__name__: (problems.status_of(kind), kind.code) for kind in family(VaultError)}
    answered = {name: answer for name, answer in found.items() if name not in INTERNAL}
    assert answered == ANSWERED
    assert {name for name, (status, _) in found.items() if status is None} == INTERNAL


def family(kind):
    return {kind}.union(*(family(child) for child in kind.__subclasses__()))


def test_every_error_speaks_for_itself():
    """A class without a docstring would answer with an empty message."""
    assert [kind.__name__ for kind in family(VaultError) if not kind("").message.strip()] == []


# Each reaches one documented code by a real request. `scene` has ada, a fresh path, and what else it takes.


def no_token(scene):
    return scene.house.voice().get("/v1/auth/whoami")


def expired_token(scene):
    short = scene.token(expires_in="15m")
    scene.house.clock.forward(minutes=16)
    return short.get("/v1/auth/whoami")


def forged_token(scene):
    return scene.house.voice("skt_" + "A" * 43).get("/v1/auth/whoami")


def revoked_token(scene):
    made = scene.ada.post("/v1/auth/tokens", {"name": scene.room, "scopes": ["secrets:list"]}).json
    scene.ada.delete(f"/v1/auth/tokens/{made['id']}")
    return scene.house.voice(made["token"]).get("/v1/auth/whoami")


def no_policy(scene):
    return scene.house.someone(f"user:{scene.room}").get(scene.secret)


def no_scope(scene):
    return scene.token(scopes=["secrets:list"]).get(scene.secret)


def no_mfa(scene):
    return scene.conditional({"require_mfa": True}).get(scene.secret)


def elsewhere(scene):
    return scene.conditional({"ip_ranges": ["203.0.113.0/24"]}).get(scene.secret)


def another_time(scene):
    """A window that lies on other days than today, wherever today is."""
    today = scene.house.clock.now().weekday()
    days = [day for number, day in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun")) if number != today]
    window = {"days": days, "start": "00:00", "end": "24:00", "timezone": "UTC"}
    return scene.conditional({"time_window": window}).get(scene.secret)


def foreign_tenant(scene):
    return scene.ada.get(scene.secret, headers={"X-Tenant-ID": "tnt_b"})


def empty_bucket(scene):
    one_each = LocalBuckets(dict.fromkeys(RateCategory, 1))
    scene.monkeypatch.setattr(scene.house.services.limits, "_buckets", one_each)
    scene.ada.get("/v1/auth/whoami")
    return scene.ada.get("/v1/auth/whoami")


def token_beyond_its_maker(scene):
    narrow = scene.token(scopes=["secrets:list"])
    return narrow.post("/v1/auth/tokens", {"name": scene.room, "scopes": ["admin"]})


def malformed_json(scene):
    return scene.ada.put(scene.secret, data=b'{"data":', content_type="application/json")


def dotted_path(scene):
    return scene.ada.get("/v1/secrets/app/../db")


def unknown_type(scene):
    return scene.ada.put(scene.secret, {"data": {}, "secret_type": "diary"})


def odd_duration(scene):
    return scene.ada.put(scene.secret, {"data": {}, "options": {"expires_in": "a while"}})


def foreign_cursor(scene):
    return scene.ada.get("/v1/secrets?cursor=AAAA")


def policy_without_rules(scene):
    return scene.ada.post("/v1/policies", {"name": scene.room, "rules": []})


def odd_glob(scene):
    rules = [{"path_pattern": "app/**x", "permissions": ["read"]}]
    return scene.ada.post("/v1/policies", {"name": scene.room, "rules": rules})


def wrong_field_type(scene):
    return scene.ada.put(scene.secret, {"data": "text"})


def no_secret(scene):
    return scene.ada.get(scene.secret)


def no_version(scene):
    scene.ada.write(scene.path)
    return scene.ada.get(f"{scene.secret}?version=7")


def no_policy_there(scene):
    return scene.ada.get(f"/v1/policies/pol_{'0' * 32}")


def no_binding(scene):
    return scene.ada.delete(f"/v1/policies/{scene.policy()}/bindings/bnd_{'0' * 32}")


def no_secret_policy_there(scene):
    return scene.ada.get(f"/v1/secret-policies/sp_{'0' * 32}")


def secret_policy(scene, number=0):
    return scene.ada.post("/v1/secret-policies", {"name": f"{scene.room} {number}", "policy_type": "password"})


def secret_policy_of_a_taken_name(scene):
    secret_policy(scene)
    return secret_policy(scene)


def too_many_secret_policies(scene):
    answers = [secret_policy(scene, number) for number in range(201)]
    for made in answers:
        if made.status_code == 201:  # the house is full for everybody else
            scene.ada.delete(f"/v1/secret-policies/{made.json['id']}")
    return answers[-1]


def secret_policy_in_use(scene):
    made = secret_policy(scene).json["id"]
    scene.ada.write(scene.path, options={"secret_policy_id": made})
    return scene.ada.delete(f"/v1/secret-policies/{made}")


def secret_policy_that_rests(scene):
    body = {"name": scene.room, "policy_type": "password", "is_active": False}
    made = scene.ada.post("/v1/secret-policies", body).json["id"]
    scene.ada.write(scene.path, options={"secret_policy_id": made})
    return scene.ada.post(f"{scene.secret}:rotate")


def nothing_to_make_it_by(scene):
    scene.ada.write(scene.path)
    return scene.ada.post(f"{scene.secret}:rotate")


def rotation_policy(scene, number=0):
    return scene.bob.post("/v1/rotation/policies", {"name": f"{scene.room} {number}", "interval": "1d"})


def rotation_policy_of_a_taken_name(scene):
    rotation_policy(scene)
    return rotation_policy(scene)


def no_rotation_policy_there(scene):
    return scene.ada.get(f"/v1/rotation/policies/rot_{'0' * 32}")


def too_many_rotation_policies(scene):
    answers = [rotation_policy(scene, number) for number in range(201)]
    for made in answers:
        if made.status_code == 201:
            scene.bob.delete(f"/v1/rotation/policies/{made.json['id']}")
    return answers[-1]


def not_under_that_policy(scene):
    scene.bob.write(scene.path)
    return scene.bob.delete(f"/v1/rotation/policies/{rotation_policy(scene).json['id']}/secrets/{scene.path}")


def more_secrets_than_at_once(scene):
    made = rotation_policy(scene).json["id"]
    for number in range(101):
        scene.bob.write(f"{scene.path}/{number}", options={"rotation_policy_id": made})
    return scene.bob.post(f"/v1/rotation/policies/{made}/rotate")


def no_such_token(scene):
    return scene.ada.delete(f"/v1/auth/tokens/tok_{'0' * 32}")


def trust(scene, number=0, **said):
    body = {**TRUST, "name": f"{scene.room} {number}", **said}
    return scene.bob.post("/v1/auth/trusts", body)


def trust_in_everybody(scene):
    return trust(scene, claims={"sub": "*"})


def no_such_trust(scene):
    return scene.ada.get(f"/v1/auth/trusts/trs_{'0' * 32}")


def trust_of_a_taken_name(scene):
    trust(scene)
    return trust(scene)


def too_many_key_sets(scene):
    for number in range(4):
        issuer = f"https://{scene.room}.example"
        made = trust(scene, number, issuer=issuer, jwks_url=f"https://keys-{number}.example")
        assert made.status_code == 201
    return trust(scene, 4, issuer=issuer)


def webhook_to_inside(scene):
    return scene.bob.post("/v1/webhooks", {**WEBHOOK, "url": "https://169.254.169.254/latest"})


def no_such_webhook(scene):
    return scene.ada.get(f"/v1/webhooks/wh_{'0' * 32}")


def no_such_delivery(scene):
    made = scene.bob.post("/v1/webhooks", WEBHOOK).json["id"]
    answer = scene.bob.post(f"/v1/webhooks/{made}/deliveries/del_{'0' * 32}/redeliver")
    assert scene.bob.delete(f"/v1/webhooks/{made}").status_code == 204
    return answer


def no_such_subscription(scene):
    return scene.ada.get(f"/v1/subscriptions/sub_{'0' * 32}")


def too_many_subscriptions(scene):
    made = scene.bob.post("/v1/subscriptions", SUBSCRIPTION).json["id"]
    more = """
        INSERT INTO subscriptions
        SELECT tenant_id, id || '_' || number, name, owner_id, owner_type, owner_groups, paths, events, path_prefix,
               secret_type, tags, delivery_type, buffer_size, created_at, updated_at
          FROM subscriptions, generate_series(1, 50) AS number WHERE id = %s
    """
    with psycopg.connect(scene.database_url, autocommit=True) as connection:
        connection.execute(more, [made])
        answer = scene.bob.post("/v1/subscriptions", SUBSCRIPTION)
        connection.execute("DELETE FROM subscriptions WHERE id LIKE %s", [f"{made}%"])
    return answer


def too_many_webhooks(scene):
    """In the rows: each one that is made by a request waits until everybody has heard of it."""
    made = scene.bob.post("/v1/webhooks", WEBHOOK).json["id"]
    more = """
        INSERT INTO webhooks (tenant_id, id, name, url, events, path_prefix, secret_type, tags, is_enabled, created_by,
                              created_at, updated_at)
        SELECT tenant_id, id || number, name, url, events, path_prefix, secret_type, tags, is_enabled, created_by,
               created_at, updated_at
          FROM webhooks, generate_series(1, 100) AS number WHERE id = %s
    """
    with psycopg.connect(scene.database_url, autocommit=True) as connection:
        connection.execute(more, [made])
        answer = scene.bob.post("/v1/webhooks", WEBHOOK)
        connection.execute("DELETE FROM webhooks WHERE id LIKE %s", [f"{made}%"])
    return answer


def foreign_token_of_nobody(scene):
    return scene.house.voice().post("/v1/auth/exchange", FOREIGN)


def bound_policy(scene):
    policy = scene.policy()
    scene.bind(policy)
    return scene.ada.delete(f"/v1/policies/{policy}")


def bound_twice(scene):
    policy = scene.policy()
    scene.bind(policy)
    return scene.bind(policy)


def name_taken(scene):
    scene.policy()
    return scene.ada.post("/v1/policies", {"name": scene.room, "rules": scene.RULES})


def deleted_secret(scene):
    scene.ada.write(scene.path)
    scene.ada.delete(scene.secret)
    return scene.ada.put(scene.secret, {"data": {}})


def stale_write(scene):
    return scene.ada.put(scene.secret, {"data": {}, "options": {"expected_version": 3}})


def stale_policy(scene):
    return scene.ada.patch(f"/v1/policies/{scene.policy()}", {"is_active": False}, headers={"If-Match": '"9"'})


def too_many_tokens(scene):
    hoarder = scene.house.someone(f"user:{scene.room}")
    for _ in range(99):
        assert hoarder.post("/v1/auth/tokens", {"name": "n", "scopes": ["admin"]}).status_code == 201
    return hoarder.post("/v1/auth/tokens", {"name": "n", "scopes": ["admin"]})


def no_such_address(scene):
    return scene.ada.get("/v1/nowhere")


def no_such_method(scene):
    return scene.ada.post(scene.secret)


def body_too_large(scene):
    return scene.ada.put(scene.secret, data=b" " * 2_000_000, content_type="application/json")


def no_such_identity(scene):
    return scene.ada.get("/v1/identity/resolve/user/user:nobody")


def no_directory(scene):
    return scene.ada.post("/v1/identity/sync")


def odd_role(scene):
    pat = scene.house.someone(f"user:{scene.room}", roles=[Role.PARTNER_ADMIN])
    return pat.put("/v1/identity/users/usr_there/roles", {"roles": ["root"]})


def no_such_tenant(scene):
    root = scene.house.someone(f"user:{scene.room}", roles=[Role.SUPER_ADMIN])
    return root.get("/v1/t/tnt_nowhere/auth/whoami")


def suspended_tenant(scene):
    return scene.while_suspended(lambda: scene.bob.get("/v1/auth/whoami"))


def no_room_for_the_audit_row(scene):
    """The trail can not be written where its month has no table: the operation fails, and leaves nothing."""
    scene.house.clock.forward(days=800)
    return scene.later_ada().get("/v1/secrets")


def bug_within(scene):
    scene.monkeypatch.setattr(Envelope, "seal", lambda *_: 1 / 0)
    return scene.ada.put(scene.secret, {"data": {"password": "hunter2"}})


REACHED = [
    (401, "authentication_required", no_token),
    (401, "token_expired", expired_token),
    (401, "token_invalid", forged_token),
    (401, "token_invalid", foreign_token_of_nobody),
    (401, "token_revoked", revoked_token),
    (429, "rate_limited", empty_bucket),
    (403, "access_denied", no_policy),
    (403, "insufficient_scope", no_scope),
    (403, "mfa_required", no_mfa),
    (403, "ip_not_allowed", elsewhere),
    (403, "time_window_violation", another_time),
    (403, "tenant_access_denied", foreign_tenant),
    (403, "forbidden", token_beyond_its_maker),
    (403, "forbidden", suspended_tenant),
    (400, "invalid_request", malformed_json),
    (413, "invalid_request", body_too_large),
    (400, "invalid_path", dotted_path),
    (400, "invalid_secret_type", unknown_type),
    (400, "invalid_duration", odd_duration),
    (400, "invalid_cursor", foreign_cursor),
    (400, "invalid_policy", policy_without_rules),
    (400, "invalid_glob", odd_glob),
    (400, "invalid_trust", trust_in_everybody),
    (400, "invalid_webhook", webhook_to_inside),
    (422, "validation_error", wrong_field_type),
    (404, "tenant_not_found", no_such_tenant),
    (404, "identity_not_found", no_such_identity),
    (400, "invalid_role", odd_role),
    (404, "secret_not_found", no_secret),
    (404, "version_not_found", no_version),
    (404, "policy_not_found", no_policy_there),
    (404, "binding_not_found", no_binding),
    (404, "secret_policy_not_found", no_secret_policy_there),
    (404, "token_not_found", no_such_token),
    (404, "trust_not_found", no_such_trust),
    (404, "webhook_not_found", no_such_webhook),
    (404, "subscription_not_found", no_such_subscription),
    (404, "delivery_not_found", no_such_delivery),
    (404, "not_found", no_such_address),
    (405, "method_not_allowed", no_such_method),
    (409, "policy_in_use", bound_policy),
    (409, "policy_exists", name_taken),
    (409, "binding_exists", bound_twice),
    (409, "secret_exists", deleted_secret),
    (409, "version_conflict", stale_write),
    (409, "version_conflict", stale_policy),
    (409, "too_many_tokens", too_many_tokens),
    (409, "secret_policy_exists", secret_policy_of_a_taken_name),
    (409, "too_many_secret_policies", too_many_secret_policies),
    (409, "secret_policy_in_use", secret_policy_in_use),
    (409, "secret_policy_inactive", secret_policy_that_rests),
    (409, "no_secret_policy", nothing_to_make_it_by),
    (409, "sync_not_configured", no_directory),
    (404, "rotation_policy_not_found", no_rotation_policy_there),
    (409, "rotation_policy_exists", rotation_policy_of_a_taken_name),
    (409, "too_many_rotation_policies", too_many_rotation_policies),
    (404, "assignment_not_found", not_under_that_policy),
    (409, "too_many_secrets", more_secrets_than_at_once),
    (409, "trust_exists", trust_of_a_taken_name),
    (409, "too_many_trusts", too_many_key_sets),
    (409, "too_many_webhooks", too_many_webhooks),
    (409, "too_many_subscriptions", too_many_subscriptions),
    (503, "service_unavailable", no_room_for_the_audit_row),
    (500, "internal_error", bug_within),
]
# What the contract's section 2 documents of the features that are there; the rest comes with its features.
DOCUMENTED = frozenset(
    [
        "authentication_required",
        "token_expired",
        "token_invalid",
        "token_revoked",
        "access_denied",
        "insufficient_scope",
        "mfa_required",
        "ip_not_allowed",
        "time_window_violation",
        "tenant_access_denied",
        "forbidden",
        "invalid_request",
        "invalid_path",
        "invalid_secret_type",
        "invalid_duration",
        "invalid_cursor",
        "invalid_policy",
        "invalid_glob",
        "validation_error",
        "tenant_not_found",
        "identity_not_found",
        "invalid_role",
        "secret_not_found",
        "version_not_found",
        "policy_not_found",
        "binding_not_found",
        "rotation_policy_not_found",
        "secret_policy_not_found",
        "webhook_not_found",
        "subscription_not_found",
        "policy_in_use",
        "secret_exists",
        "version_conflict",
        "rate_limited",
        "service_unavailable",
        "internal_error",
    ]
)


def test_every_code_that_is_documented_or_answered_is_reached_below():
    reached = {code for _, code, _ in REACHED}
    assert reached >= DOCUMENTED
    abstract = {"conflict"}  # never raised as such
    assert reached >= {code for _, code in ANSWERED.values()} - abstract


class Scene:
    RULES = ({"path_pattern": "nowhere/*", "permissions": ["read"]},)

    def __init__(self, standing, room, monkeypatch):
        self.house, self.ada, self.bob = standing.house, standing.ada, standing.bob
        self.room, self.monkeypatch = room, monkeypatch
        self.path = f"{room}/db"
        self.secret = f"/v1/secrets/{self.path}"
        self._url = self.database_url = standing.database_url

    def token(self, scopes=("secrets:read",), **more):
        # By a maker of its own: the house stands for many tests, and an identity may have a hundred tokens.
        maker = self.house.someone(f"user:maker-{self.room}", roles=[Role.TENANT_ADMIN])
        made = maker.post("/v1/auth/tokens", {"name": self.room, "scopes": list(scopes), **more})
        return self.house.voice(made.json["token"])

    def later_ada(self):
        """Ada with a token of the clock's day: an administrator's token lives for a year."""
        return self.house.someone("user:ada@a.example", roles=[Role.TENANT_ADMIN])

    def conditional(self, conditions):
        """Somebody who may read the secret under these conditions only."""
        self.ada.write(self.path)
        somebody = f"user:{self.room}"
        self.house.allow(self.ada, somebody, (f"{self.room}/*", ["read"], {"conditions": conditions}))
        return self.house.someone(somebody)

    def policy(self):
        return self.ada.post("/v1/policies", {"name": self.room, "rules": list(self.RULES)}).json["id"]

    def bind(self, policy):
        body = {"identity_type": "user", "identity_id": f"user:{self.room}"}
        return self.ada.post(f"/v1/policies/{policy}/bindings", body)

    def while_suspended(self, act):
        """What `act` comes to while tenant B is suspended, which moves its epoch as every change of authority does."""
        change = (
            "WITH tick AS (UPDATE authority_clock SET epoch = epoch + 1 RETURNING epoch)"
            " UPDATE tenants SET status = %s, authority_epoch = tick.epoch FROM tick WHERE id = 'tnt_b'"
        )
        epochs = self.house.services.authenticator._personal_tokens._epochs
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(change, ["SUSPENDED"])
            epochs._checked_at = float("-inf")
            try:
                return act()
            finally:
                connection.execute(change, ["ACTIVE"])
                epochs._checked_at = float("-inf")


@pytest.fixture
def scene(house, standing, room, monkeypatch):
    return Scene(standing, room, monkeypatch)


@pytest.mark.parametrize(
    ("status", "code", "cause"), REACHED, ids=[f"{code}-{cause.__name__}" for _, code, cause in REACHED]
)
def test_the_code_is_reached_and_its_envelope_is_the_documented_one(scene, status, code, cause):
    answer = cause(scene)
    assert (answer.status_code, answer.json["error"]["code"]) == (status, code), answer.text
    assert answer.content_type == "application/json"
    assert list(answer.json) == ["error"]
    body = answer.json["error"]
    assert {"code", "message", "request_id"} <= set(body) <= {"code", "message", "request_id", "details"}
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert body["message"].endswith((".", ")."))
    assert body.get("details", {"not": "empty"})
    assert answer.headers["Cache-Control"] == "no-store"
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    ("cause", "condition"), [(no_mfa, "require_mfa"), (elsewhere, "ip_ranges"), (another_time, "time_window")]
)
def test_a_failed_condition_is_named(scene, cause, condition):
    assert cause(scene).json["error"]["details"] == {"failed_condition": condition}


def test_a_503_says_when_to_come_back_and_a_401_how_to_come_in(scene):
    assert int(no_room_for_the_audit_row(scene).headers["Retry-After"]) >= 1
    assert no_token(scene).headers["WWW-Authenticate"] == 'Bearer realm="scaivault"'


def test_a_write_that_fails_within_leaves_nothing(scene):
    bug_within(scene)
    scene.monkeypatch.undo()
    assert scene.ada.get(scene.secret).json["error"]["code"] == "secret_not_found"
    assert [row["action"] for row in scene.ada.audit(path_prefix=scene.path) if row["success"]] == []
