"""The whole API over real servers: two tenants, their administrators and readers, and clients that speak for them."""

import contextlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from scaivault.app import create_app
from scaivault.bootstrap.api import build
from scaivault.bootstrap.services import Services
from scaivault.crypto.kms.local import write_key_file
from scaivault.features.identity.model import Identity
from scaivault.kernel.caller import Role, Scope
from scaivault.settings import RATE_LIMIT_PREFIX, RATE_LIMITS, Address, Settings
from scaivault.storage import epochs

TENANT = "tnt_a"
OTHER_TENANT = "tnt_b"
# Limits that no test comes near, but for those about limits.
PLENTY = {RATE_LIMIT_PREFIX + category: "1000000" for category in RATE_LIMITS}


class KnownRule(Rule):
    """A rule of an application that forms its addresses as the same rule of the one before it did: to compile two
    hundred of them again takes longer than what most tests do with their house."""

    known: ClassVar = {}

    def _compile_builder(self, append_unknown=True):
        key = (self.rule, tuple(self._trace), repr(self.defaults), append_unknown)
        if key not in self.known:
            self.known[key] = super()._compile_builder(append_unknown)
        return self.known[key]


Flask.url_rule_class = KnownRule


class HandClock:
    """A clock that stands until it is moved: the real time at first, so that months and tokens fit."""

    def __init__(self):
        self.instant = datetime.now(UTC)  # noqa: TID251 - the test's clock is set by the real one
        self.forwarded_seconds = 0.0

    def now(self):
        return self.instant

    def forward(self, **span):
        self.instant += timedelta(**span)
        self.forwarded_seconds += timedelta(**span).total_seconds()

    def monotonic(self):
        """Real time, and what it was moved by."""
        return time.monotonic() + self.forwarded_seconds


@dataclass
class Voice:
    """A client that sends one token with every request, and JSON."""

    client: FlaskClient
    token: str | None = field(repr=False)

    def call(self, method, path, body=None, headers=None, **options):
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return self.client.open(path, method=method, json=body, headers=sent | (headers or {}), **options)

    def get(self, path, **options):
        return self.call("GET", path, **options)

    def put(self, path, body=None, **options):
        return self.call("PUT", path, body, **options)

    def post(self, path, body=None, **options):
        return self.call("POST", path, body, **options)

    def patch(self, path, body=None, **options):
        return self.call("PATCH", path, body, **options)

    def delete(self, path, **options):
        return self.call("DELETE", path, **options)

    def write(self, path, data=None, **more):
        answer = self.put(f"/v1/secrets/{path}", {"data": data or {"key": "value"}, **more})
        assert answer.status_code in {200, 201}, answer.text
        return answer.json

    def audit(self, **query):
        return self.get("/v1/audit/logs", query_string=query).json["logs"]


@dataclass
class House:
    services: Services
    client: FlaskClient
    clock: HandClock
    settings: Settings

    def voice(self, token=None):
        return Voice(self.client, token)

    def someone(self, identity_id, scopes=frozenset(Scope), groups=(), roles=(), tenant_id=TENANT):
        """A voice for an identity with a fresh token."""
        identity = Identity(identity_id, identity_id, frozenset(groups), frozenset(roles))
        return self.voice(self.services.installer.add_holder(tenant_id, identity, frozenset(scopes), "test"))

    def allow(self, admin, identity_id, *rules, identity_type="user"):
        """Bind a new policy of `rules`, each (pattern, permissions[, more of the rule])."""
        spelled = [
            {"path_pattern": pattern, "permissions": permissions, **(more[0] if more else {})}
            for pattern, permissions, *more in rules
        ]
        name = f"policy {self.clock.now().timestamp()} {identity_id} {len(spelled)} {spelled}"[:190]
        policy = admin.post("/v1/policies", {"name": name, "rules": spelled})
        assert policy.status_code == 201, policy.text
        bound = admin.post(
            f"/v1/policies/{policy.json['id']}/bindings",
            {"identity_type": identity_type, "identity_id": identity_id},
        )
        assert bound.status_code == 201, bound.text
        return policy.json["id"]


@contextlib.contextmanager
def opened(database_url, redis_url, folder, **environment):
    """A house over these servers; `environment` are further settings."""
    key_file = folder / "kms.key"
    if not key_file.exists():
        write_key_file(key_file, development=True)
    settings = Settings.from_env(
        {
            "SCAIVAULT_ENV": "development",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "BASE_URL": "http://localhost:8443",
            "KMS_PROVIDER": "local",
            "KMS_LOCAL_KEY_FILE": str(key_file),
            **PLENTY,
            **environment,
        }
    ).model_copy(update={"ops_bind_address": Address("127.0.0.1", 0)})
    clock = HandClock()
    services = build(settings, clock=clock, monotonic=clock.monotonic)
    services.start()
    try:
        yield House(services, create_app(services).test_client(), clock, settings)
    finally:
        services.stop()


def furnish(house):
    """Two tenants of one partner, each with an administrator who may do everything."""
    admin = Identity("user:ada@a.example", "Ada", frozenset(), frozenset({Role.TENANT_ADMIN}))
    installed = house.services.installer.install("Partner", "Tenant A", admin, partner_id="ptn_test", tenant_id=TENANT)
    house.services.installer.add_tenant("ptn_test", OTHER_TENANT, "Tenant B")
    ada = house.voice(installed.token)
    house.allow(ada, "user:ada@a.example", ("**", ["admin"]))
    bob = house.someone("user:bob@b.example", roles=[Role.TENANT_ADMIN], tenant_id=OTHER_TENANT)
    house.allow(bob, "user:bob@b.example", ("**", ["admin"]))
    return ada, bob


def partner_admin(house, ada):
    """A voice for who administers the partner, from within tenant A, and may do everything there."""
    pat = house.someone("user:pat@partner.example", roles=[Role.PARTNER_ADMIN])
    house.allow(ada, "user:pat@partner.example", ("**", ["admin"]))
    return pat


@pytest.fixture
def heard_soon(monkeypatch):
    """Knowledge of who may do what is as fresh as ever after a tenth of the time, and so long is waited for all to have it.

    For houses that no other process serves.
    """
    monkeypatch.setattr(epochs, "FRESH_SECONDS", epochs.FRESH_SECONDS / 10)


@pytest.fixture
def house(database_url, redis_url, tmp_path):
    with opened(database_url, redis_url, tmp_path) as opened_house:
        yield opened_house


@pytest.fixture
def tenants(house):
    return furnish(house)


@pytest.fixture
def ada(tenants):
    """The administrator of tenant A."""
    return tenants[0]


@pytest.fixture
def bob(tenants):
    """The administrator of tenant B."""
    return tenants[1]


@pytest.fixture
def pat(house, ada):
    """The administrator of the partner."""
    return partner_admin(house, ada)
