"""Workloads sign in with tokens of their own: whose, as whom, for what and for how long."""

import hmac
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from scaivault.app import create_app
from scaivault.bootstrap.api import build
from scaivault.crypto.kms.local import write_key_file
from scaivault.features.identity.service import exchange as exchange_service
from scaivault.kernel.caller import Role, Scope
from tests.house import OTHER_TENANT, TENANT, House, furnish, opened
from tests.issuer import JWKS, Provider, as_json, b64, compact, rsa_key
from tests.issuer import answer as issuer_answer
from tests.waiting import await_true

TRUSTS = "/v1/auth/trusts"
EXCHANGE = "/v1/auth/exchange"
KUBERNETES_SUB = "system:serviceaccount:payments:api"
GITHUB_SUB = "repo:acme/app:ref:refs/heads/main"
SUSPEND_IDENTITY = "UPDATE identities SET status = 'SUSPENDED' WHERE id = 'sa:payments'"


def error(answer):
    return answer.status_code, answer.json["error"]["code"]


@pytest.fixture
def people(house):
    return furnish(house)


@pytest.fixture
def ada(people):
    return people[0]


@pytest.fixture
def bob(people):
    return people[1]


@pytest.fixture
def cluster(provider, house):
    provider.now = lambda: house.clock.now().timestamp()
    return provider


def trust(trusted, /, **said):
    usual = {
        "name": "payments",
        "issuer": trusted.url,
        "audience": "scaivault",
        "claims": {"sub": "system:serviceaccount:payments:*"},
        "identity_id": "sa:payments",
        "scopes": ["secrets:read", "secrets:list"],
        "lifetime_seconds": 600,
    }
    return {name: value for name, value in {**usual, **said}.items() if value is not ...}


def kubernetes(issuer, **said):
    """As a cluster signs for a service account: no `typ`, a list for `aud`, and an object."""
    now = int(issuer.now())
    claims = {
        "aud": ["scaivault"],
        "exp": now + 3607,
        "iat": now,
        "iss": issuer.url,
        "jti": "1b6a0c1e-6c9f-4a9e-a7b6-1f2d3c4b5a69",
        "kubernetes.io": {
            "namespace": "payments",
            "node": {"name": "node-1", "uid": "u1"},
            "pod": {"name": "api-0", "uid": "u2"},
            "serviceaccount": {"name": "api", "uid": "u3"},
        },
        "nbf": now,
        "sub": KUBERNETES_SUB,
    }
    said = {"email": ..., "tenant_id": ..., "scope": ..., **claims, **said}
    return issuer.token("rsa-1", **said)


def exchange(house, token, tenant_id=TENANT, **more):
    return house.voice().post(EXCHANGE, {"subject_token": token, "tenant_id": tenant_id, **more})


def test_a_service_account_of_a_cluster_reads_what_its_identity_may(house, ada, cluster):
    assert ada.post(TRUSTS, trust(cluster)).status_code == 201
    ada.write("payments/db", {"password": "hunter2"})
    house.allow(ada, "sa:payments", ("payments/*", ["read"]), identity_type="service_account")
    given = exchange(house, kubernetes(cluster))
    assert given.status_code == 200, given.text
    assert {name: value for name, value in given.json.items() if name != "access_token"} == {
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 600,
        "scope": "secrets:list secrets:read",
    }
    workload = house.voice(given.json["access_token"])
    assert workload.get("/v1/secrets/payments/db").json["data"] == {"password": "hunter2"}
    assert workload.get("/v1/auth/whoami").json["identity_id"] == "sa:payments"
    house.clock.forward(seconds=600)
    assert error(workload.get("/v1/auth/whoami")) == (401, "token_expired")


def github(issuer, **said):
    """As GitHub signs for a job: with a thumbprint in the header, and texts only."""
    now = int(issuer.now())
    claims = {
        "jti": "example-id",
        "sub": GITHUB_SUB,
        "aud": "scaivault",
        "ref": "refs/heads/main",
        "sha": "0" * 40,
        "repository": "acme/app",
        "repository_owner": "acme",
        "run_attempt": "2",
        "ref_protected": "true",
        "job_workflow_ref": "acme/app/.github/workflows/deploy.yml@refs/heads/main",
        "iss": issuer.url,
        "nbf": now - 300,
        "iat": now,
        "exp": now + 300,
    }
    said = issuer.claims(**{"email": ..., "tenant_id": ..., "scope": ..., **claims, **said})
    return compact(issuer.header("rsa-1", x5t="yrRRx0Jk"), said, issuer.keys["rsa-1"])


def trusting_github(issuer, **said):
    claims = {"sub": GITHUB_SUB, "repository_owner": "acme", "job_workflow_ref": "acme/app/.github/workflows/*"}
    return trust(issuer, name="deploy", claims=claims, identity_id="sa:deploy", **said)


def refusals(ada):
    return [row["extra_data"] for row in ada.audit(action="policy_violation") if row["extra_data"].get("issuer")]


def test_the_trust_says_how_long_not_the_token(house, ada, cluster):
    """GitHub's tokens are good for minutes, its jobs go on for hours."""
    assert ada.post(TRUSTS, trusting_github(cluster, lifetime_seconds=7_200)).status_code == 201
    given = exchange(house, github(cluster, exp=int(cluster.now()) + 120))
    assert given.status_code == 200, given.text
    assert given.json["expires_in"] == 7_200
    job = house.voice(given.json["access_token"])
    house.clock.forward(seconds=7_199)
    assert job.get("/v1/auth/whoami").status_code == 200
    house.clock.forward(seconds=1)
    assert error(job.get("/v1/auth/whoami")) == (401, "token_expired")


def test_what_is_made_with_what_was_given_ends_with_it(house, ada, cluster):
    ada.post(TRUSTS, trust(cluster))
    workload = house.voice(exchange(house, kubernetes(cluster)).json["access_token"])
    ends_at = workload.get("/v1/auth/whoami").json["token_expires_at"]
    order = {"name": "n", "scopes": ["secrets:list"]}
    assert workload.post("/v1/auth/tokens", order).json["expires_at"] == ends_at
    assert error(workload.post("/v1/auth/tokens", {**order, "expires_in": "1h"})) == (403, "forbidden")


def whose(house, token, **more):
    given = exchange(house, token, **more)
    return house.voice(given.json["access_token"]).get("/v1/auth/whoami").json["identity_id"]


class TestSeveralTrusts:
    WIDE = {"sub": "system:serviceaccount:payments:*"}
    NARROW = {"sub": KUBERNETES_SUB}

    def made(self, ada, cluster, **trusts):
        """Trusts by the name of their identity, and the claims of each."""
        for name, claims in trusts.items():
            answer = ada.post(TRUSTS, trust(cluster, name=name, identity_id=f"sa:{name}", claims=claims))
            assert answer.status_code == 201, answer.text

    @pytest.mark.parametrize("order", [1, -1])
    def test_the_most_specific_counts_whenever_it_was_made(self, house, ada, cluster, order):
        made = {"wide": self.WIDE, "narrow": self.NARROW}
        self.made(ada, cluster, **dict(list(made.items())[::order]))
        assert whose(house, kubernetes(cluster)) == "sa:narrow"
        assert whose(house, kubernetes(cluster, sub="system:serviceaccount:payments:other")) == "sa:wide"

    def test_more_claims_are_more_specific_than_more_characters(self, house, ada, cluster):
        self.made(ada, cluster, long=self.NARROW, two={**self.WIDE, "env": "prod"})
        assert whose(house, kubernetes(cluster, env="prod")) == "sa:two"
        assert whose(house, kubernetes(cluster)) == "sa:long"

    def test_the_request_may_say_which(self, house, ada, cluster):
        self.made(ada, cluster, wide=self.WIDE, narrow=self.NARROW)
        assert whose(house, kubernetes(cluster), identity_id="sa:wide") == "sa:wide"
        assert error(exchange(house, kubernetes(cluster), identity_id="sa:other")) == (401, "token_invalid")
        assert refusals(ada)[0]["reason"] == "no_trust"

    @pytest.mark.parametrize("identity_id", ["user:ada@a.example", "", "sa:x y", None])
    def test_by_the_id_of_a_service_account(self, house, ada, cluster, identity_id):
        self.made(ada, cluster, wide=self.WIDE)
        status = exchange(house, kubernetes(cluster), identity_id=identity_id).status_code
        assert status == (200 if identity_id is None else 422)

    def test_equals_of_different_identities_are_none(self, house, ada, cluster):
        self.made(ada, cluster, one=self.NARROW, two=self.NARROW, wide=self.WIDE)
        refused(house, ada, kubernetes(cluster), reason="ambiguous_trusts")
        assert whose(house, kubernetes(cluster), identity_id="sa:two") == "sa:two"

    def test_equals_of_one_identity_count_by_age(self, house, ada, cluster):
        for number, seconds in enumerate((600, 900)):
            ada.post(TRUSTS, trust(cluster, name=f"t{number}", claims=self.NARROW, lifetime_seconds=seconds))
        assert exchange(house, kubernetes(cluster)).json["expires_in"] == 600

    def test_a_refusal_tells_of_the_one_that_it_came_furthest_with(self, house, ada, cluster):
        self.made(ada, cluster, nearly={**self.NARROW, "env": "prod"})
        ada.post(TRUSTS, trust(cluster, name="else", audience="elsewhere"))
        refused(house, ada, kubernetes(cluster, env="test"), reason="claims_do_not_match")
        [nearly] = [each["id"] for each in ada.get(TRUSTS).json["trusts"] if each["name"] == "nearly"]
        assert refusals(ada)[0]["trust_id"] == nearly


def test_a_refusal_is_explained_in_the_log_without_the_token(house, ada, cluster, caplog):
    made = ada.post(TRUSTS, trust(cluster)).json
    token = kubernetes(cluster, sub="system:serviceaccount:other:x")
    exchange(house, token)
    exchange(house, token, "tnt_nowhere")
    exchange(house, "not.a.token")
    told = [
        (line.levelname, line.error, line.tenant_id, line.issuer, line.trust_id)
        for line in caplog.records
        if line.message == "exchange_refused"
    ]
    assert told == [
        ("WARNING", "claims_do_not_match", TENANT, cluster.url, made["id"]),
        ("WARNING", "no_trust", None, cluster.url, None),
        ("WARNING", "malformed", None, None, None),
    ]
    assert not any(part in str(vars(line)) for line in caplog.records for part in token.split("."))


def test_a_token_within_its_leeway_has_no_life_left_to_give(house, ada, cluster):
    ada.post(TRUSTS, trust(cluster))
    assert error(exchange(house, kubernetes(cluster, exp=int(cluster.now()) - 5))) == (401, "token_invalid")
    assert [row["reason"] for row in refusals(ada)] == ["token_expired"]


def test_what_it_is_told_is_in_the_trail_and_the_token_is_not(house, ada, cluster):
    made = ada.post(TRUSTS, trust(cluster)).json
    token = kubernetes(cluster)
    given = exchange(house, token).json
    [row] = ada.audit(identity_id="sa:payments")
    assert (row["action"], row["success"], row["identity_type"]) == ("token_create", True, "service_account")
    [shown] = [each for each in ada.get("/v1/auth/tokens").json["tokens"] if each["identity_id"] == "sa:payments"]
    assert row["extra_data"] == {
        "token_id": shown["id"],
        "for_identity": "sa:payments",
        "scopes": ["secrets:list", "secrets:read"],
        "trust_id": made["id"],
        "subject": KUBERNETES_SUB,
    }
    trail = str(ada.audit())
    assert not any(part in trail for part in (*token.split("."), given["access_token"]))


def test_the_same_token_can_be_exchanged_again(house, ada, cluster):
    """Nothing is kept of it: a workload that starts twice within its token's hour signs in twice."""
    ada.post(TRUSTS, trust(cluster))
    token = kubernetes(cluster)
    first, second = (exchange(house, token).json["access_token"] for _ in range(2))
    assert first != second
    assert {house.voice(each).get("/v1/auth/whoami").status_code for each in (first, second)} == {200}


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"scope": "secrets:list"}, "secrets:list"),
        ({"scope": "secrets:read secrets:list"}, "secrets:list secrets:read"),
        ({"audience": "scaivault"}, "secrets:list secrets:read"),
        (
            {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            },
            "secrets:list secrets:read",
        ),
    ],
)
def test_the_words_of_rfc_8693_are_understood_and_a_scope_asks_for_less(house, ada, cluster, asked, given):
    ada.post(TRUSTS, trust(cluster))
    answer = exchange(house, kubernetes(cluster), **asked)
    assert (answer.status_code, answer.json.get("scope")) == (200, given)
    who = house.voice(answer.json["access_token"]).get("/v1/auth/whoami").json
    assert " ".join(who["scopes"]) == given


@pytest.mark.parametrize("asked", ["secrets:write", "secrets:read admin", "identity:admin"])
def test_a_scope_can_not_ask_for_more(house, ada, cluster, asked):
    ada.post(TRUSTS, trust(cluster))
    assert error(exchange(house, kubernetes(cluster), scope=asked)) == (401, "token_invalid")
    assert [row["reason"] for row in refusals(ada)] == ["scope_beyond_trust"]


@pytest.mark.parametrize("asked", ["", "everything", "secrets:read  secrets:list", ["secrets:read"] * 30, 7])
def test_a_scope_that_is_none_is_a_malformed_request(house, ada, cluster, asked):
    ada.post(TRUSTS, trust(cluster))
    assert error(exchange(house, kubernetes(cluster), scope=asked)) == (422, "validation_error")


def test_those_that_ended_a_day_ago_are_forgotten(house, ada, cluster):
    ada.post(TRUSTS, trust(cluster))
    for _ in range(3):
        exchange(house, kubernetes(cluster))
    house.clock.forward(days=1, seconds=500)
    exchange(house, kubernetes(cluster))
    assert count_of(ada, "sa:payments") == 4
    house.clock.forward(seconds=200)
    exchange(house, kubernetes(cluster))
    assert count_of(ada, "sa:payments") == 2


def count_of(ada, identity_id):
    return [each["identity_id"] for each in ada.get("/v1/auth/tokens").json["tokens"]].count(identity_id)


def test_there_is_an_end_to_how_many_are_in_force(house, ada, cluster, monkeypatch):
    """Told to whom the trust speaks for; and another's tokens, made by hand, are not counted with them."""
    monkeypatch.setattr(exchange_service, "MAX_LIVE_EXCHANGED", 2)
    ada.post(TRUSTS, trust(cluster))
    assert [exchange(house, kubernetes(cluster)).status_code for _ in range(3)] == [200, 200, 409]
    assert error(exchange(house, kubernetes(cluster))) == (409, "too_many_tokens")
    assert error(exchange(house, kubernetes(cluster, aud="x"))) == (401, "token_invalid")
    house.clock.forward(seconds=601)
    assert exchange(house, kubernetes(cluster)).status_code == 200


def test_a_deleted_trust_takes_what_it_gave_with_it_and_what_was_made_with_that(house, ada, cluster):
    made = ada.post(TRUSTS, trust(cluster)).json
    token = kubernetes(cluster)
    workload = house.voice(exchange(house, token).json["access_token"])
    spare = workload.post("/v1/auth/tokens", {"name": "spare", "scopes": ["secrets:list"]}).json["token"]
    other = ada.post(TRUSTS, trusting_github(cluster)).json
    job = house.voice(exchange(house, github(cluster)).json["access_token"])
    assert ada.delete(f"{TRUSTS}/{made['id']}").status_code == 204
    until_known(house)
    for each in (workload, house.voice(spare)):
        assert error(each.get("/v1/auth/whoami")) == (401, "token_revoked")
    assert error(exchange(house, token)) == (401, "token_invalid")
    assert job.get("/v1/auth/whoami").status_code == 200
    assert [each["id"] for each in ada.get(TRUSTS).json["trusts"]] == [other["id"]]


def until_known(house):
    """Epochs are asked for anew at once, and not after half a second."""
    house.services.authenticator._personal_tokens._epochs._checked_at = float("-inf")


def test_a_trust_that_is_deleted_while_it_gives_gives_nothing_that_stays(house, ada, cluster, database_url):
    """The deletion waits for the exchange, and then revokes what came of it."""
    made = ada.post(TRUSTS, trust(cluster)).json
    exchange(house, kubernetes(cluster))
    with psycopg.connect(database_url) as holder, ThreadPoolExecutor(2) as pool:
        holder.execute("LOCK TABLE tokens IN SHARE ROW EXCLUSIVE MODE")
        given = pool.submit(exchange, house, kubernetes(cluster))
        until_waiting(database_url, 1)
        ended = pool.submit(ada.delete, f"{TRUSTS}/{made['id']}")
        until_waiting(database_url, 2)
        holder.rollback()
        assert (given.result().status_code, ended.result().status_code) == (200, 204)
    until_known(house)
    workload = house.voice(given.result().json["access_token"])
    assert error(workload.get("/v1/auth/whoami")) == (401, "token_revoked")


def until_waiting(url, count):
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with psycopg.connect(url, autocommit=True) as connection:
        await_true(lambda: connection.execute(waiting).fetchone()[0] >= count)


@pytest.mark.parametrize("change", ["UPDATE tenants SET status = 'SUSPENDED' WHERE id = 'tnt_a'", SUSPEND_IDENTITY])
def test_who_is_suspended_exchanges_nothing(house, ada, cluster, database_url, change):
    ada.post(TRUSTS, trust(cluster))
    exchange(house, kubernetes(cluster))
    with psycopg.connect(database_url) as connection:
        connection.execute(change)
    assert error(exchange(house, kubernetes(cluster))) == (401, "token_invalid")


def test_no_trust_speaks_for_an_administrator_of_more_than_the_tenant(house, ada, cluster, database_url):
    house.someone("sa:root", roles=[Role.PARTNER_ADMIN])
    assert error(ada.post(TRUSTS, trust(cluster, identity_id="sa:root"))) == (400, "invalid_trust")
    ada.post(TRUSTS, trust(cluster))
    house.someone("sa:payments", roles=[Role.SUPER_ADMIN])
    assert error(exchange(house, kubernetes(cluster))) == (401, "token_invalid")
    assert [row["reason"] for row in refusals(ada)] == ["beyond_tenants"]


class TestRefusals:
    """One answer, whatever is wrong."""

    CLAIMS = {
        "another audience": {"aud": "another"},
        "an audience that contains ours": {"aud": "scaivault-staging"},
        "a list without ours": {"aud": ["https://kubernetes.default.svc"]},
        "no audience": {"aud": ...},
        "an expired token": {"exp": 1_700_000_000},
        "no end": {"exp": ...},
        "a token of tomorrow": {"nbf": 4_000_000_000},
        "another namespace": {"sub": "system:serviceaccount:other:api"},
        "a namespace that begins the same": {"sub": "system:serviceaccount:payments-test:api"},
        "no name": {"sub": "system:serviceaccount:payments:"},
        "only the prefix": {"sub": "system:serviceaccount:payments"},
        "another case": {"sub": "System:ServiceAccount:Payments:api"},
        "a text before": {"sub": " system:serviceaccount:payments:api"},
        "a prefix before": {"sub": "x:system:serviceaccount:payments:api"},
        "a full-width letter": {"sub": "system:serviceaccount:\uff50ayments:api"},
        "a cyrillic letter": {"sub": "system:serviceaccount:p\u0430yments:api"},
        "a combining mark": {"sub": "system:serviceaccount:payments:\u0301api"},
        "a zero-width space": {"sub": "system:serviceaccount:payments:\u200bapi"},
        "a line's end": {"sub": "system:serviceaccount:payments:api\n"},
        "a NUL": {"sub": "system:serviceaccount:payments:api\x00"},
        "an endless subject": {"sub": "system:serviceaccount:payments:" + "a" * 500},
        "a list of subjects": {"sub": [KUBERNETES_SUB]},
        "an object for a subject": {"sub": {"system": KUBERNETES_SUB}},
        "no subject": {"sub": ...},
        "the pattern itself in another place": {"sub": "*", "subject": KUBERNETES_SUB},
        "an issuer that is longer": {"iss": "{url}/"},
        "an issuer of a tenant": {"iss": "{url}/tenants/tnt_a", "tenant_id": "tnt_a"},
        "a list of issuers": {"iss": ["{url}"]},
        "no issuer": {"iss": ...},
    }

    @pytest.mark.parametrize("said", CLAIMS.values(), ids=CLAIMS.keys())
    def test_a_token_that_says_another_thing(self, house, ada, cluster, said):
        ada.post(TRUSTS, trust(cluster))
        if isinstance(said.get("iss"), str):
            said = said | {"iss": said["iss"].replace("{url}", cluster.url)}
        if isinstance(said.get("iss"), list):
            said = said | {"iss": [cluster.url]}
        refused(house, ada, kubernetes(cluster, **said))
        assert exchange(house, kubernetes(cluster)).status_code == 200

    @pytest.mark.parametrize("alg", ["none", "None", "HS256", "RS512", "PS256", "ES256"], ids=lambda alg: f"alg {alg}")
    def test_a_token_by_another_algorithm(self, house, ada, cluster, alg):
        ada.post(TRUSTS, trust(cluster))
        _, claims, _ = kubernetes(cluster).split(".")
        public = cluster.keys["rsa-1"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        head = f"{b64(as_json(cluster.header('rsa-1', alg=alg)))}.{claims}"
        for made in (b"", hmac.digest(public, head.encode(), "sha256")):
            refused(house, ada, f"{head}.{b64(made)}")

    @pytest.mark.parametrize("name", ["jku", "x5u", "x5c", "jwk", "crit", "zip", "b64", "x5t#S256"])
    def test_a_header_that_brings_more_along(self, house, ada, cluster, name):
        ada.post(TRUSTS, trust(cluster))
        said = cluster.claims(sub=KUBERNETES_SUB)
        refused(house, ada, compact(cluster.header("rsa-1", **{name: "x"}), said, cluster.keys["rsa-1"]))

    def test_a_token_by_the_key_of_another_issuer(self, house, ada, cluster):
        """Of one that the same tenant trusts in too, under the same kid."""
        other = Provider()
        try:
            other.now, other.keys = cluster.now, {"rsa-1": rsa_key("another")}
            ada.post(TRUSTS, trust(cluster))
            ada.post(TRUSTS, trust(other, name="other", claims={"sub": "system:serviceaccount:other:*"}))
            refused(house, ada, kubernetes(other, iss=cluster.url), reason="token_invalid")
            refused(house, ada, kubernetes(other), reason="claims_do_not_match")
            assert exchange(house, kubernetes(other, sub="system:serviceaccount:other:x")).status_code == 200
        finally:
            other.close()

    def test_a_tenant_that_has_no_trust_in_it(self, house, ada, bob, cluster):
        ada.post(TRUSTS, trust(cluster))
        for tenant_id in (OTHER_TENANT, "tnt_nowhere", "ptn_test"):
            refused(house, ada, kubernetes(cluster), tenant_id=tenant_id)
        assert refusals(bob) == refusals(ada) == []

    def test_another_claim_than_the_subject(self, house, ada, cluster):
        ada.post(TRUSTS, trusting_github(cluster))
        for said in (
            {"repository_owner": "acme2"},
            {"repository_owner": ["acme"]},
            {"repository_owner": True},
            {"repository_owner": ...},
            {"job_workflow_ref": "acme/app/.github/workflows-of-another/deploy.yml@refs/heads/main"},
            {"sub": "repo:acme/app:ref:refs/heads/main2"},
            {"sub": "repo:acme/app:pull_request"},
        ):
            refused(house, ada, github(cluster, **said), reason="claims_do_not_match")

    def test_keys_that_can_not_be_fetched(self, house, ada, cluster):
        """Not even a 503, which would tell a stranger in whom the tenant trusts."""
        cluster.instead[JWKS] = lambda handler: issuer_answer(handler, b"{}", 500)
        ada.post(TRUSTS, trust(cluster))
        refused(house, ada, kubernetes(cluster), reason="issuer_keys_unavailable")


def refused(house, ada, token, *, tenant_id=TENANT, reason=None):
    """As everybody else is, and once in the trail of a tenant that has a trust in the issuer."""
    before = len(refusals(ada))
    answer = exchange(house, token, tenant_id)
    stranger = exchange(house, "not.a.token", "tnt_nowhere")
    assert {**answer.json["error"], "request_id": ""} == {**stranger.json["error"], "request_id": ""}
    assert error(answer) == (401, "token_invalid")
    assert answer.headers["WWW-Authenticate"] == stranger.headers["WWW-Authenticate"]
    after = refusals(ada)
    assert len(after) <= before + 1
    if reason is not None:
        assert len(after) == before + 1
        assert after[0]["reason"] == reason
    assert ada.audit(action="token_create", identity_id="sa:payments", success="true") == []


# Loopback is not among them: it is open in development, which the tests are.
INSIDE = (
    "10.1.2.3",
    "192.168.0.1:6443",
    "169.254.169.254",
    "168.63.129.16",
    "[fd00::1]",
    "[fe80::1]",
    "[::ffff:10.0.0.1]",
    "[fd00:ec2::254]",
)


class TestAdministration:
    @pytest.mark.parametrize(
        "sub",
        [
            "*",
            "**",
            "repo:*",
            "repo:acme/*",
            "repo:acme/app*",
            "system:serviceaccount:*",
            "system:serviceaccount:pay*",
            "system:*:payments:api",
            "*:payments:api",
            "system:::*",
            ":/:/:/*",
            "a//b:*",
            "repo:acme/app:**",
            "repo:acme/app:*:x",
            " repo:acme/app:*",
            "repo:acme/app:ref ",
            "repo:acme/\u0430pp:*",
            "repo:acme/app:\n*",
        ],
    )
    def test_a_subject_that_is_not_bound_is_refused(self, ada, cluster, sub):
        answer = ada.post(TRUSTS, trust(cluster, claims={"sub": sub}))
        assert error(answer) == (400, "invalid_trust")
        assert "three parts" in answer.json["error"]["message"]

    @pytest.mark.parametrize(
        "sub",
        ["repo:acme/app:*", "spiffe://prod.example/ns/payments/*", "system:serviceaccount:a:*", "repo:a/b", "a b"],
    )
    def test_one_that_is_bound_is_taken(self, ada, cluster, sub):
        assert ada.post(TRUSTS, trust(cluster, claims={"sub": sub})).status_code == 201

    @pytest.mark.parametrize(
        "more",
        [
            {"claims": {"repository": "acme/app"}},
            {"claims": {"sub": GITHUB_SUB, "repository": "*"}},
            {"claims": {"sub": GITHUB_SUB, "repository": "acme/a*"}},
            {"claims": {"sub": GITHUB_SUB, "aud": "x"}},
            {"claims": {"sub": GITHUB_SUB, "iss": "x"}},
            {"claims": {"sub": GITHUB_SUB, "a name": "x"}},
            {"issuer": "ftp://issuer.example"},
            {"issuer": "issuer.example"},
            {"issuer": "https://"},
            {"issuer": "https://user@issuer.example"},
            {"issuer": "https://issuer.example?x"},
            {"issuer": "https://issuer.example#x"},
            {"issuer": "https://issuer.example:99999"},
            {"issuer": "https://[::1"},
            {"jwks_url": "file:///etc/passwd"},
            *({name: f"https://{host}/x"} for name in ("issuer", "jwks_url") for host in INSIDE),
        ],
        ids=str,
    )
    def test_what_could_vouch_for_nobody_is_refused(self, ada, cluster, more):
        assert error(ada.post(TRUSTS, trust(cluster, **more))) == (400, "invalid_trust")

    @pytest.mark.parametrize(
        "more",
        [
            {"audience": ...},
            {"audience": ""},
            {"claims": {}},
            {"claims": {"sub": ["a"]}},
            {"lifetime_seconds": 59},
            {"lifetime_seconds": 43_201},
            {"scopes": []},
            {"scopes": ["everything"]},
            {"identity_id": "user:ada@a.example"},
            {"unknown": 1},
        ],
        ids=str,
    )
    def test_what_has_not_the_form_is_refused(self, ada, cluster, more):
        assert error(ada.post(TRUSTS, trust(cluster, **more))) == (422, "validation_error")

    def test_no_more_than_its_maker_holds(self, house, ada, cluster):
        narrow = house.someone("user:eve@a.example", [Scope.IDENTITY_ADMIN, Scope.SECRETS_LIST], roles=["tenant_admin"])
        answer = narrow.post(TRUSTS, trust(cluster))
        assert error(answer) == (403, "forbidden")
        assert answer.json["error"]["details"] == {"scopes": ["secrets:read"]}
        [row] = ada.audit(identity_id="user:eve@a.example")
        assert (row["action"], row["extra_data"]["attempted"]) == ("policy_violation", "trust_create")

    def test_nobody_but_an_administrator(self, house, ada, bob, cluster):
        made = ada.post(TRUSTS, trust(cluster)).json
        one = f"{TRUSTS}/{made['id']}"
        user = house.someone("user:eve@a.example")
        for act in (user.get, user.delete):
            assert error(act(one)) == (403, "access_denied")
        assert error(user.get(TRUSTS)) == (403, "access_denied")
        assert error(user.post(TRUSTS, trust(cluster))) == (403, "access_denied")
        for act in (bob.get, bob.delete):
            assert error(act(one)) == (404, "trust_not_found")
        assert bob.get(TRUSTS).json["trusts"] == []
        assert ada.get(one).json == made

    def test_they_are_listed_in_pieces_and_their_making_and_end_are_in_the_trail(self, ada, cluster):
        made = [ada.post(TRUSTS, trust(cluster, name=f"trust {number}")).json for number in range(3)]
        first = ada.get(f"{TRUSTS}?limit=2").json
        rest = ada.get(f"{TRUSTS}?limit=2&cursor={first['cursor']}").json
        assert first["trusts"] + rest["trusts"] == made[::-1]
        assert (first["has_more"], rest["has_more"], rest["cursor"]) == (True, False, None)
        ada.delete(f"{TRUSTS}/{made[0]['id']}")
        actions = [(row["action"], row["extra_data"]["trust_id"]) for row in ada.audit() if "trust" in row["action"]]
        assert actions == [("trust_delete", made[0]["id"])] + [("trust_create", each["id"]) for each in made[::-1]]


def test_in_production_an_issuer_inside_is_not_asked(database_url, redis_url, tmp_path, provider):
    """Loopback stands for all that is inside: the fetch is refused by address, before a connection."""
    with opened(database_url, redis_url, tmp_path) as house:
        write_key_file(tmp_path / "safe.key", development=False)
    settings = house.settings.model_copy(
        update={"scaivault_env": "production", "kms_local_key_file": tmp_path / "safe.key"}
    )
    assert settings.egress_allow == ()
    services = build(settings, clock=house.clock)
    services.start()
    try:
        made = House(services, create_app(services).test_client(), house.clock, settings)
        ada, _ = furnish(made)
        provider.now = lambda: made.clock.now().timestamp()
        assert error(ada.post(TRUSTS, trust(provider))) == (400, "invalid_trust")
        by_name = provider.url.replace("127.0.0.1", "localhost")
        assert ada.post(TRUSTS, trust(provider, issuer=by_name)).status_code == 201
        refused(made, ada, kubernetes(provider, iss=by_name), reason="issuer_keys_unavailable")
        assert provider.asked == []
    finally:
        services.stop()
