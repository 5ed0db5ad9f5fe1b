"""What is secret is planted everywhere it can come in, every route is run, well and badly, and every trace is read.

One story, told once by a gunicorn of its own: the log that is read is the log that operators get.
"""

import base64
import contextlib
import hashlib
import json
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, is_dataclass

import psycopg
import pytest
import redis
from pydantic import BaseModel

from scaivault.crypto.generation import KeyPair
from scaivault.crypto.tokens import new_token
from scaivault.features.generators.routes.messages import Preview
from scaivault.features.identity.model import Exchanged, Installed, NewToken
from scaivault.features.identity.routes import CreatedToken, ExchangeBody, ExchangeReply, IntrospectBody
from scaivault.features.identity.service.exchange import Offer
from scaivault.features.secrets.routes.messages import BatchItem, SecretReply, WriteBody
from scaivault.kernel.errors import VaultError
from scaivault.kernel.plaintext import Plaintext
from tests.contract.operations import ONE_SECRET_POLICY, OPERATIONS, SECRET_POLICIES, SUBSCRIPTION, TRUST, WEBHOOK
from tests.contract.standing import stand
from tests.otlp import Span, collecting
from tests.security.wire import request, serving

READS = {("GET", "/v1/secrets/<secret:path>"), ("POST", "/v1/secrets/batch")}
PREVIEWS = {("POST", f"{SECRET_POLICIES}/preview"), ("POST", f"{ONE_SECRET_POLICY}/preview")}
MINTS = {("POST", "/v1/auth/tokens")}

# All that a preview can show, but for literal texts, which are no secrets.
GENERATED = [
    {"name": "password", "generator": "random", "config": {"length": 24, "require_symbol": True}},
    {"name": "hex", "generator": "hex", "config": {"length": 24}},
    {"name": "uuid", "generator": "uuid"},
    {"name": "template", "generator": "template", "config": {"template": "{{random:20}}"}},
    {"name": "rsa", "generator": "rsa_keypair"},
    {"name": "ec", "generator": "ec_keypair"},
    {"name": "ssh", "generator": "ssh_keypair"},
    {"name": "hashed", "generator": "bcrypt_hash", "config": {"rounds": 10}},
]


@dataclass
class Plants:
    """What must not be found, by what it is."""

    values: dict[str, str] = field(default_factory=dict)

    def new(self, what, spelled="{}"):
        """A new planted value; `spelled` is how it is written where it is planted."""
        value = secrets.token_hex(12)
        self.values[f"{what} {len(self.values)}"] = value
        return spelled.format(value)

    def add(self, what, value):
        self.values[what] = value

    def found_in(self, text):
        """What of it is in the text, as it is or as base64, hexadecimal or escapes would show it."""
        return {what for what, value in self.values.items() for form in forms(value) if form in text}


def forms(value):
    raw = value.encode()
    yield value
    yield raw.hex()
    # Base64 of something that begins one or two bytes earlier looks different: all three, without their ends.
    for shift in range(3):
        yield base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")[4 if shift else 0 : -2]


@dataclass
class Story:
    """What was planted, and every trace there is."""

    plants: Plants
    answers: list[tuple[str, str, str]] = field(default_factory=list)  # method and rule, what was done, body and head
    statuses: set[int] = field(default_factory=set)
    traces: dict[str, str] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)


@pytest.fixture(scope="module")
def story(postgres_server, template_database, redis_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    with stand(postgres_server, template_database, redis_server, folder) as standing, collecting() as collector:
        environ = {"KEY_CACHE_SECONDS": "0", "WEB_THREADS": "8", "DATABASE_POOL_SIZE": "8"}
        environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "TRACES_SAMPLE_RATIO": "1"}
        with serving(standing.house, standing.ada.token, folder, **environ) as vault:
            teller = Teller(standing, vault)
            teller.plant_what_is_there(folder)
            teller.run_all()
            teller.run_all_badly()
            teller.speak_no_http()
            teller.tamper()
            teller.without_kms(folder)
            teller.collect_metrics()
            teller.without_database(postgres_server)
        teller.collect(postgres_server)
        teller.story.spans = collector.spans
        teller.story.traces["the collector"] = b"".join(collector.raw).decode("latin-1")
    return teller.story


class Teller:
    def __init__(self, standing, vault):
        self.standing, self.vault = standing, vault
        self.story = Story(Plants())
        self.new = self.story.plants.new
        self.variables = {"path": "planted/db"}

    def ask(self, operation, what, body=None, headers=(), target=None, **options):
        raw = json.dumps(body).encode() if isinstance(body, dict | list) else body
        if target is None:  # what waits for events is to wait for none
            target = operation.address(**self.variables) + ("?timeout=0" if operation.rule.endswith("/poll") else "")
        answer = self.vault.ask(operation.method, target, raw, headers, **options)
        self.note(operation, what, answer)
        return answer

    def note(self, operation, what, answer):
        self.story.statuses.add(answer.status)
        shown = answer.body.decode("utf-8", "replace")
        if answer.status == 200 and (operation.method, operation.rule) in READS:
            shown = "(a value, read)"
        if answer.status == 200 and (operation.method, operation.rule) in PREVIEWS:
            self.plant_previewed(what, answer.json["data"])
            shown = "(values, previewed)"
        if answer.status == 201 and (operation.method, operation.rule) in MINTS:
            self.story.plants.add(f"a token of {what}", answer.json["token"].removeprefix("skt_"))
            shown = json.dumps({**answer.json, "token": "(a token, shown once)"})
        self.story.answers.append((operation.name, what, shown + json.dumps(answer.headers)))

    def plant_previewed(self, what, data):
        """Line by line: a trace may have a key's text in one piece or broken."""
        for name, value in data.items():
            for number, line in enumerate(value.splitlines()):
                if len(line) > 15 and not line.startswith("-----"):
                    self.story.plants.add(f"{name} of a preview, {what} {number} {len(self.story.answers)}", line)

    def plant_what_is_there(self, folder):
        """What the house itself keeps secret."""
        settings, plants = self.standing.house.settings, self.story.plants
        plants.add("ada's token", self.standing.ada.token.removeprefix("skt_"))
        plants.add("bob's token", self.standing.bob.token.removeprefix("skt_"))
        for name, url in (("database", settings.database_url), ("redis", settings.redis_url)):
            plants.add(f"the {name}'s password", re.search(r":([^:@/]+)@", url.get_secret_value())[1])
        plants.add("the root key", (folder / "kms.key").read_text().split()[-1].rstrip("="))
        ada = self.standing.ada
        ada.write(self.variables["path"], {"key": self.new("data"), self.new("a key in data"): 1})
        policy = ada.post(
            "/v1/policies", {"name": "planted", "rules": [{"path_pattern": "x/*", "permissions": ["read"]}]}
        )
        bound = {"identity_type": "user", "identity_id": "user:x"}
        self.variables["policy_id"] = policy.json["id"]
        binding = ada.post(f"/v1/policies/{policy.json['id']}/bindings", bound)
        self.variables["binding_id"] = binding.json["id"]
        token = ada.post("/v1/auth/tokens", {"name": "planted", "scopes": ["secrets:list"]})
        plants.add("a token made before", token.json["token"].removeprefix("skt_"))
        self.variables["token_id"] = token.json["id"]
        policy = ada.post(SECRET_POLICIES, {"name": "planted", "fields": GENERATED})
        self.variables["secret_policy_id"] = policy.json["id"]
        self.variables["trust_id"] = ada.post("/v1/auth/trusts", {**TRUST, "name": "planted"}).json["id"]

        hook = {
            **WEBHOOK,
            "url": "http://127.0.0.1:9/hook",
            "secret": self.new("a webhook's secret", "{}-to-sign-with"),
        }
        self.variables["webhook_id"] = ada.post("/v1/webhooks", hook).json["id"]
        tried = ada.post(f"/v1/webhooks/{self.variables['webhook_id']}/test").json
        self.variables["delivery_id"] = tried["delivery_id"]
        self.variables["subscription_id"] = ada.post("/v1/subscriptions", SUBSCRIPTION).json["id"]
        delivery = {"type": "webhook", "url": hook["url"], "secret": self.new("a subscription's", "{}-to-sign-with")}
        ada.post("/v1/subscriptions", {**SUBSCRIPTION, "delivery": delivery})

    def run_all(self):
        """Every route as it is meant; what deletes comes last."""
        for operation in sorted(OPERATIONS, key=lambda each: each.method == "DELETE"):
            body = operation.body_for(**self.variables)
            if body and "data" in body:
                body = {"data": {"key": self.new("data"), "nested": [{self.new("a key"): self.new("data")}]}}
            if body and "fields" in body:
                body = {**body, "fields": GENERATED}
            if body and "subject_token" in body:
                body = {**body, "subject_token": self.new("a foreign token", "eyJhbGciOiJFUzI1NiJ9.{}.x")}
            if body and "secret" in body:
                body = {**body, "secret": self.new("a webhook's secret", "{}-to-sign-with")}
            if body and "token" in body:
                body = {"token": self.new("a token looked into", "skt_{}")}
            self.ask(operation, "as it is meant", body)
        # What was deleted is put back: the rest of the story needs it.
        self.standing.ada.delete(f"/v1/secrets/{self.variables['path']}?permanent=true")
        self.standing.ada.write(self.variables["path"], {"key": self.new("data")})

    def run_all_badly(self):
        self.ask(
            OPERATIONS[0], "no address", None, target=self.new("an address", "/v1/{}") + self.new("a query", "?a={}")
        )
        for operation in OPERATIONS:
            self.ask(operation, "a forged token", operation.body, token=self.new("a forged token", "skt_{}" + "A" * 19))
            self.ask(operation, "a JWT", operation.body, token=self.new("a JWT", "eyJhbGciOiJub25lIn0.{}.x"))
            basic = base64.b64encode(self.new("Basic", "ada:{}").encode()).decode()
            self.ask(operation, "Basic", operation.body, [f"Authorization: Basic {basic}"], token=None)
            self.ask(
                operation, "a bare header", operation.body, [self.new("a header", "Authorization: {}")], token=None
            )
            cookie = self.new("a cookie", "Cookie: session={}; token=skt_x")
            self.ask(operation, "a cookie", operation.body, [cookie, self.new("a header", "X-Api-Key: {}")], token=None)
            target = operation.address(**self.variables) + self.new("a query", "?access_token={}")
            self.ask(operation, "a query", operation.body, target=target)
            self.ask(operation, "If-Match", operation.body, [self.new("If-Match", 'If-Match: "{}"')])
            self.ask(operation, "traceparent", operation.body, [self.new("trace", "traceparent: 00-{}")], token="skt_x")
            for what, body in self.bad_bodies():
                if operation.body is not None or what == "text":  # the others take no body at all
                    self.ask(operation, what, body)

    def bad_bodies(self):
        yield "an unknown field", {"unknown": self.new("a field")}
        yield (
            "fields of the wrong type",
            {
                name: self.new("a field")
                for name in (
                    "data",
                    "options",
                    "metadata",
                    "paths",
                    "versions",
                    "version",
                    "rules",
                    "scopes",
                    "context",
                    "secret",
                    "fields",
                    "policy_type",
                )
            },
        )
        yield (
            "odd words",
            {
                "data": {},
                "secret_type": self.new("a type"),
                "options": {"expires_in": self.new("a duration")},
            },
        )
        yield (
            "odd fields",
            {
                "name": "odd",
                "policy_type": self.new("a type"),
                "fields": [
                    {"name": "x", "generator": self.new("a generator")},
                    {"name": self.new("a name", "{} !"), "generator": "hex"},
                    {"name": "x", "generator": "hex", "config": {"length": self.new("a length")}},
                    {"name": "x", "generator": "random", "config": {"charset": self.new("a charset")}},
                    {"name": "x", "generator": "template", "config": {"template": self.new("a template", "{{{{{}")}},
                ],
            },
        )
        yield "text", json.dumps(self.new("text")).encode()
        yield "unfinished JSON", self.new("JSON", '{{"data":{{"key":"{}').encode()
        yield "bare words", self.new("words", '{{"data": {} }}').encode()
        yield "a key twice", self.new("a key", '{{"{0}":1,"{0}":2}}').encode()
        yield "no UTF-8", self.new("bytes", '{{"key":"{}').encode() + b'\xff"}'
        yield "a surrogate", self.new("surrogate", '{{"key":"{}\\ud800"}}').encode()
        yield "a NUL", self.new("NUL", '{{"{}\\u0000":1}}').encode()
        yield "a huge number", self.new("a number", '{{"{}":1e999}}').encode()
        yield "far too deep", self.new("depths", '{{"{}":').encode() + b"[" * 50 + b"]" * 50 + b"}"
        yield "far too much", self.new("a mass", '{{"key":"{}').encode() + b"x" * 2_000_000 + b'"}'

    def speak_no_http(self):
        """What never becomes a request."""
        put = OPERATIONS[4]
        body = self.new("a body", '{{"data":{{"key":"{}"}}}}').encode()
        whole = request("PUT", "/v1/secrets/planted/x", body, (), self.vault.token)
        shorter = whole.replace(b"Content-Length: %d" % len(body), b"Content-Length: 5")
        with self.vault.connected() as connection:  # the rest of the body is taken for the next request
            connection.sendall(shorter.replace(b"Connection: close\r\n", b"") + b"\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(65_536):
                    pass
        for raw in (
            self.new("a request line", "{} / HTTP/1.1\r\n\r\n").encode(),
            self.new("a target", "GET /\x01{} HTTP/1.1\r\n\r\n").encode(),
            self.new("a version", "GET / HTTP/{}\r\n\r\n").encode(),
            self.new("a header", "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n").encode(),
            self.new("a header", "GET / HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {}\r\n\r\n").encode(),
            self.new("a header", "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \x01{}\r\n\r\n").encode(),
            self.new("an expectation", "GET / HTTP/1.1\r\nHost: x\r\nExpect: {}\r\n\r\n").encode(),
            self.new("a coding", "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {}\r\n\r\n").encode(),
            self.new("a length", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n").encode(),
            request("GET", "/" + "x" * 9_000 + self.new("a long target"), None),
            request("PUT", "/v1/secrets/planted/x", None, ["Transfer-Encoding: chunked"], self.vault.token)
            + self.new("a chunk", "{}\r\n").encode(),
        ):
            answer = self.vault.send(raw, then_close=True)
            assert 400 <= answer.status < 600
            self.note(put, "no HTTP", answer)

    def tamper(self):
        """A row that does not open, and a statement that fails: 500s with tracebacks to be told without their values."""
        with psycopg.connect(self.standing.database_url, autocommit=True) as connection:
            connection.execute("UPDATE secret_versions SET sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1)")
            for operation in OPERATIONS:
                if (operation.method, operation.rule) in READS:
                    assert self.ask(operation, "a tampered row", operation.body_for(**self.variables)).status == 500
            connection.execute("ALTER TABLE secret_tags RENAME TO away")
            connection.execute("ALTER TABLE secret_versions RENAME COLUMN created_by TO nobody")
            body = {"data": {"key": self.new("data")}, "metadata": {"tags": ["x"], "owner": "x"}}
            for operation in OPERATIONS:
                if "<secret:path>" in operation.rule:
                    given = body if operation.method == "PUT" else operation.body
                    self.ask(operation, "a broken schema", given)
            connection.execute("ALTER TABLE secret_versions RENAME COLUMN nobody TO created_by")
            connection.execute("ALTER TABLE away RENAME TO secret_tags")

    def without_kms(self, folder):
        key = folder / "kms.key"
        away = key.rename(folder / "away")
        for operation in OPERATIONS:
            if "/secrets" in operation.rule:
                body = operation.body_for(**self.variables)
                if body and "data" in body:
                    body = {"data": {"key": self.new("data")}}
                self.ask(operation, "no KMS", body)
        for operation in OPERATIONS:
            if "/health" in operation.rule:
                self.ask(operation, "no KMS", None)
        away.rename(key)

    def collect_metrics(self):
        headers = ["Accept: application/openmetrics-text"]
        self.story.traces["/v1/metrics"] = self.vault.ask("GET", "/v1/metrics", None, headers).body.decode()
        internal = type(self.vault)(self.vault.ops_port, 0, "", self.vault.log, self.vault.process)
        for page in ("/v1/metrics", "/v1/health", "/v1/health/ready", "/v1/x"):
            answer = internal.send(
                request("GET", page + self.new("a query", "?x={}"), None, [self.new("a header", "X: {}")])
            )
            self.story.traces[f"{page} inside"] = answer.body.decode() + json.dumps(answer.headers)

    def without_database(self, server):
        """Gone, as when it is being restarted: a few of each kind at once, since each waits for it a while."""
        name = self.standing.database_url.rpartition("/")[2]
        with psycopg.connect(server.url("postgres", "postgres"), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            chosen = [OPERATIONS[number] for number in (0, 1, 3, 4, 13, 25, 27)]
            chosen += [operation for operation in OPERATIONS if "/health" in operation.rule]

            def one(operation):
                body = operation.body_for(**self.variables)
                self.ask(
                    operation, "no database", {"data": {"key": self.new("data")}} if body and "data" in body else body
                )

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(one, chosen))
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    def collect(self, server):
        """What is left when it is over."""
        self.story.traces["the log"] = self.vault.log.read_text()
        self.story.traces["PostgreSQL's log"] = (server.folder / "postgres.log").read_text()
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename !~ 'yoyo|audit_log_'"
        with psycopg.connect(self.standing.database_url) as connection:
            for (table,) in connection.execute(tables).fetchall():
                rows = connection.execute(f'SELECT t::text FROM "{table}" AS t').fetchall()
                self.story.traces[f"table {table}"] = "\n".join(text for (text,) in rows)
        with redis.Redis.from_url(self.standing.redis_url) as client:
            self.story.traces["Redis"] = repr([(key, client.dump(key)) for key in client.scan_iter()])


WHERE = [
    "the log",
    "PostgreSQL's log",
    "Redis",
    "the collector",
    "/v1/metrics",
    "/v1/metrics inside",
    "/v1/health inside",
    "/v1/health/ready inside",
    "/v1/x inside",
    "table audit_log",
    "table authority_clock",
    "table buffered_events",
    "table directory_events",
    "table directory_syncs",
    "table events",
    "table group_members",
    "table groups",
    "table identities",
    "table key_rotations",
    "table partner_keys",
    "table partners",
    "table policies",
    "table policy_bindings",
    "table rotation_history",
    "table rotation_policies",
    "table secret_counts",
    "table secret_policies",
    "table secret_rotations",
    "table secret_tags",
    "table secret_versions",
    "table secrets",
    "table subscription_buffers",
    "table subscriptions",
    "table system_keys",
    "table tenant_keys",
    "table tenants",
    "table tokens",
    "table trusts",
    "table untold_users",
    "table users",
    "table webhook_deliveries",
    "table webhook_hours",
    "table webhook_lanes",
    "table webhook_secrets",
    "table webhooks",
    "table workers",
]


def test_every_trace_is_read(story):
    assert set(story.traces) == set(WHERE)


@pytest.mark.parametrize("where", WHERE)
def test_nothing_that_was_planted_is_found(story, where):
    assert story.plants.found_in(story.traces[where]) == set()


def test_no_answer_but_a_read_shows_anything(story):
    if story.plants.found_in("".join(text for *_, text in story.answers)):
        shown = {(name, what): story.plants.found_in(text) for name, what, text in story.answers}
        assert {place: found for place, found in shown.items() if found} == {}


def test_the_story_was_eventful_enough(story):
    assert story.statuses >= {200, 201, 204, 400, 401, 404, 409, 413, 422, 500, 503}
    assert len(story.plants.values) > 400
    assert story.traces["table audit_log"].count("\n") > 50


def test_every_line_of_the_log_is_one_json_object_of_known_fields(story):
    known = {"timestamp", "level", "logger", "event", "pid", "error_type", "caused_by", "frames", "sqlstate", "errno"}
    known |= {
        "request_id",
        "trace_id",
        "span_id",
        "tenant_id",
        "identity_id",
        "method",
        "route",
        "path_category",
        "status",
    }
    known |= {"duration_ms", "error", "job", "address", "count", "version", "issuer", "trust_id"}
    lines = [json.loads(line) for line in story.traces["the log"].splitlines()]
    assert {name for line in lines for name in line} <= known
    failures = [line for line in lines if line["event"] == "request_failed"]
    assert {line["error_type"].rpartition(".")[2] for line in failures} >= {"SecretUnreadable"}
    assert all(line["frames"] for line in failures)


def test_the_collector_is_told_no_path_and_no_client(story):
    """Routes it gets, and statements with placeholders; what stands in for a part of them it does not."""
    told = story.traces["the collector"]
    assert "/v1/secrets/<secret:path>" in told
    assert "%(path)s" in told
    for never in ("planted/", "127.0.0.1", "Bearer", "skt_", "Traceback", "postgresql://", "redis://"):
        assert never not in told


def test_the_collector_is_told_of_every_kind_of_call_and_of_failures(story):
    names = {span.name for span in story.spans}
    assert names >= {"BEGIN", "COMMIT", "KMS decrypt", "EVALSHA", "GET unmatched", "GET /v1/secrets/<secret:path>"}
    assert {span.error for span in story.spans if span.is_server and span.failed} >= {"service_unavailable"}
    assert sum(span.is_server for span in story.spans) > 300
    assert {span.events for span in story.spans} == {0}


def test_a_search_would_find_it(story):
    """The search itself, tried on what is known to hold something."""
    what, value = next(iter(story.plants.values.items()))
    assert story.plants.found_in(f"… {value} …") == {what}
    assert story.plants.found_in(base64.b64encode(f"xy{value}z".encode()).decode()) == {what}
    assert story.plants.found_in(value.encode().hex()) == {what}


PLANTED = "the-planted-value"
MOMENT = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "holder",
    [
        Plaintext(PLANTED.encode()),
        WriteBody(data={"key": PLANTED, PLANTED: 1}),
        WriteBody(data={"key": PLANTED}).to_model(None),
        IntrospectBody(token=PLANTED),
        NewToken(None, PLANTED),
        Installed("ptn_x", "tnt_x", PLANTED),
        Exchanged(60, [], PLANTED),
        KeyPair(PLANTED, PLANTED),
        Preview(data={"key": PLANTED}),
        Offer("tnt_x", None, None, None, PLANTED),
        ExchangeBody(subject_token=PLANTED, tenant_id="tnt_x"),
        ExchangeReply(access_token=PLANTED, expires_in=60, scope=""),
        CreatedToken(
            id="tok_x",
            name="n",
            identity_id="user:x",
            scopes=[],
            created_at=MOMENT,
            expires_at=MOMENT,
            revoked_at=None,
            token=PLANTED,
        ),
        BatchItem(data={"key": PLANTED}, version=1, secret_type="kv"),
        SecretReply(
            path="a",
            secret_type="kv",
            version=1,
            data={"key": PLANTED},
            metadata={},
            created_at=MOMENT,
            updated_at=MOMENT,
            version_created_at=MOMENT,
            expires_at=None,
            last_accessed_at=None,
        ),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_what_holds_a_value_does_not_show_it(holder):
    assert PLANTED not in f"{holder!r} {holder!s} {holder}"
    assert PLANTED not in repr([holder, {"within": holder}])


def test_the_services_and_the_settings_show_nothing_however_deep_one_looks(standing):
    """Every object that can be reached, by its repr: what a debugger, a crash report or a careless log line would show."""
    settings, plants = standing.house.settings, Plants()
    plants.add("ada's token", standing.ada.token.removeprefix("skt_"))
    plants.add("bob's token", standing.bob.token.removeprefix("skt_"))
    for name, url in (("database", settings.database_url), ("redis", settings.redis_url)):
        plants.add(f"the {name}'s password", re.search(r":([^:@/]+)@", url.get_secret_value())[1])
    plants.add("the root key", (standing.folder / "kms.key").read_text().split()[-1].rstrip("="))
    standing.ada.write("services/db", {"key": plants.new("data")})
    standing.ada.get("/v1/secrets/services/db")
    seen = {}
    for thing in reachable([standing.house.services, settings, standing.house.client.application]):
        seen.setdefault(type(thing).__name__, set()).update(plants.found_in(repr(thing)))
    assert len(seen) > 60
    assert {kind: found for kind, found in seen.items() if found} == {}


def reachable(things):
    """Our own objects that hang on these, and what hangs on those."""
    known, ahead = set(), list(things)
    while ahead:
        thing = ahead.pop()
        if id(thing) in known or isinstance(thing, str | bytes | int | float | type):
            continue
        known.add(id(thing))
        if is_ours(thing):
            yield thing
        ahead += parts(thing)


def is_ours(thing):
    return type(thing).__module__.startswith("scaivault.")


def parts(thing):
    if isinstance(thing, dict):
        return [*thing.keys(), *thing.values()]
    if isinstance(thing, list | tuple | set | frozenset):
        return list(thing)
    if not is_ours(thing) and type(thing).__name__ not in {"Flask", "function", "method", "partial", "cell"}:
        return []
    inside = list(getattr(thing, "__dict__", {}).values())
    if is_dataclass(thing):
        inside += [getattr(thing, each.name) for each in fields(thing)]
    if isinstance(thing, BaseModel):
        inside += [getattr(thing, name) for name in type(thing).model_fields]
    for name in ("__self__", "__func__", "func", "args", "keywords", "__closure__", "cell_contents", "__wrapped__"):
        with contextlib.suppress(AttributeError, ValueError, VaultError):
            inside.append(getattr(thing, name))
    return inside


def test_a_token_can_not_be_read_back_out_of_what_is_stored(standing):
    """Its digest is keyed: neither the token nor any plain hash of it is in the database."""
    token = standing.ada.token
    with psycopg.connect(standing.database_url) as connection:
        digests = {row[0] for row in connection.execute("SELECT digest FROM tokens").fetchall()}
    assert all(len(digest) == 32 for digest in digests)
    for name in ("sha256", "sha3_256", "blake2s"):
        for text in (token, token.removeprefix("skt_")):
            assert hashlib.new(name, text.encode()).digest() not in digests
    assert new_token() != new_token()
