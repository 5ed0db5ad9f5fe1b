"""Workloads sign in with tokens of their own: whose, as whom, for what and for how long."""

import pytest

from tests.house import TENANT, furnish

TRUSTS = "/v1/auth/trusts"
EXCHANGE = "/v1/auth/exchange"
KUBERNETES_SUB = "system:serviceaccount:payments:api"
GITHUB_SUB = "repo:acme/app:ref:refs/heads/main"


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


def trust(issuer, **said):
    usual = {
        "name": "payments",
        "issuer": issuer.url,
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
