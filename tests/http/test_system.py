"""The vault about itself: alive, ready, how it feels, what it counts."""

import contextlib
import http.client
import json
import re
import socket
import threading
import time

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from scaivault.bootstrap.base import VERSION
from scaivault.edge.routes import operations
from scaivault.features.secrets import store
from scaivault.kernel.caller import Role
from scaivault.storage import database as storage
from scaivault.storage.standing import MIGRATIONS
from scaivault.workers.heartbeat import Heartbeat
from tests.house import OTHER_TENANT, TENANT, Voice, furnish, opened
from tests.waiting import await_true

HEALTH, READY, DETAILED, METRICS = "/v1/health", "/v1/health/ready", "/v1/health/detailed", "/v1/metrics"
COMPONENTS = ["database", "redis", "encryption"]
VOCABULARY = {"unreachable", "timeout", "draining", "starting", "error"}
MIGRATION_FILES = list(MIGRATIONS.glob("*.sql"))
PATIENCE_SECONDS = 10
TRACELESS = "planted-path-that-is-nobodys-business"


def error(answer):
    return answer.json["error"]["code"]


@pytest.fixture(scope="module")
def standing(module_database_url, redis_server, tmp_path_factory):
    with opened(module_database_url, redis_server.url(), tmp_path_factory.mktemp("house")) as house:
        yield house, *furnish(house)


@pytest.fixture
def house(standing):
    return standing[0]


@pytest.fixture
def ada(standing):
    return standing[1]


@pytest.fixture
def nobody(house):
    return house.voice()


@pytest.fixture
def closed_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


class TestLiveness:
    def test_it_is_alive_for_anybody(self, house, nobody):
        answer = nobody.get(HEALTH)
        assert answer.status_code == 200
        assert answer.json == {
            "status": "healthy",
            "timestamp": house.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }

    def test_whatever_is_wrong_with_what_it_depends_on(self, ailing):
        with ailing(*COMPONENTS) as sick:
            assert sick.client.get(HEALTH).json["status"] == "healthy"

    @pytest.mark.parametrize("token", ["skt_nonsense", "", "x" * 8_000])
    def test_a_bad_token_is_not_looked_at(self, house, token):
        for path in (HEALTH, READY, "/v1/version", "/v1/openapi.json"):
            assert house.client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.fixture
def ailing(database_url, redis_url, closed_port, tmp_path, monkeypatch):
    """A fresh house some of whose dependencies are not there."""
    monkeypatch.setattr(storage, "POOL_WAIT_SECONDS", 0.1)

    @contextlib.contextmanager
    def make(*absent):
        databases = {True: f"postgresql://x:hunter2@127.0.0.1:{closed_port}/x", False: database_url}
        redises = {True: f"redis://:hunter2@127.0.0.1:{closed_port}/0", False: redis_url}
        with opened(databases["database" in absent], redises["redis" in absent], tmp_path) as sick:
            if "encryption" in absent:
                (tmp_path / "kms.key").rename(tmp_path / "away")
            yield sick

    return make


class TestReadiness:
    def test_a_root_key_that_is_not_the_installation_s_is_not_well(self, database_url, redis_url, tmp_path):
        ours, foreign = tmp_path / "ours", tmp_path / "foreign"
        ours.mkdir()
        foreign.mkdir()
        with opened(database_url, redis_url, ours) as house:
            ada, _ = furnish(house)
            assert ada.get(READY).status_code == 200
        with opened(database_url, redis_url, foreign) as house:
            answer = house.client.get(READY)
            assert (answer.status_code, answer.json["errors"]) == (503, {"encryption": "unreachable"})
            refused = house.voice(ada.token).get("/v1/auth/whoami")
            assert (refused.status_code, error(refused)) == (503, "service_unavailable")

    def test_it_is_ready(self, nobody):
        answer = nobody.get(READY)
        assert (answer.status_code, answer.json) == (
            200,
            {"status": "ready", "checks": dict.fromkeys(COMPONENTS, "ok")},
        )

    @pytest.mark.parametrize("absent", [["database"], ["redis"], ["encryption"], ["redis", "encryption"], COMPONENTS])
    def test_it_says_what_is_missing_in_a_word_of_a_closed_list(self, ailing, absent):
        with ailing(*absent) as sick:
            await_true(lambda: sick.client.get(READY).json.get("errors", {}).keys() == set(absent))
            answer = sick.client.get(READY)
        assert answer.status_code == 503
        assert answer.json["status"] == "not_ready"
        assert answer.json["checks"] == {name: "error" if name in absent else "ok" for name in COMPONENTS}
        assert answer.json["errors"].keys() == set(absent)
        assert set(answer.json["errors"].values()) <= VOCABULARY
        assert set(re.findall("[a-z_]+", answer.text)) <= {
            *("status", "not_ready", "checks", "errors", "ok", "error", *COMPONENTS, *VOCABULARY)
        }

    def test_it_is_ready_again_when_all_is_back(self, ailing, tmp_path, caplog):
        """And its log says since when it was not, of what, and until when."""
        caplog.set_level("INFO")
        with ailing("encryption") as sick:
            await_true(lambda: sick.client.get(READY).status_code == 503)
            (tmp_path / "away").rename(tmp_path / "kms.key")
            await_true(lambda: sick.client.get(READY).status_code == 200)
        told = [
            (line.getMessage(), line.dependency, getattr(line, "condition", None), bool(line.exc_info))
            for line in caplog.records
            if line.getMessage().startswith("dependency_")
        ]
        assert told == [
            ("dependency_lost", "encryption", "unreachable", True),
            ("dependency_back", "encryption", None, False),
        ]

    def test_the_line_of_a_failed_request_says_what_failed_it(self, ailing, caplog):
        caplog.set_level("INFO")
        with ailing("database") as sick:
            assert sick.voice("skt_" + "A" * 43).get("/v1/auth/whoami").status_code == 503
        [line] = [line for line in caplog.records if line.getMessage() == "request"]
        assert (line.error, line.error_type) == ("service_unavailable", "psycopg.OperationalError")

    def test_one_that_is_about_to_end_says_so_and_asks_nobody(self, database_url, redis_url, tmp_path):
        with opened(database_url, redis_url, tmp_path) as leaving:
            leaving.services.leave(False)
            answer = leaving.client.get(READY)
            assert leaving.client.get(HEALTH).status_code == 200
        assert (answer.status_code, answer.json) == (
            503,
            {
                "status": "not_ready",
                "checks": {**dict.fromkeys(COMPONENTS, "ok"), "server": "error"},
                "errors": {"server": "draining"},
            },
        )

    def test_a_head_is_the_same_without_its_body(self, nobody):
        for path in (HEALTH, READY):
            answer = nobody.call("HEAD", path)
            assert (answer.status_code, answer.text) == (200, "")

    def test_the_answer_is_not_to_be_kept(self, nobody):
        assert nobody.get(READY).headers["Cache-Control"] == "no-store"


def test_one_connection_to_the_database_is_enough(database_url, redis_url, tmp_path, monkeypatch):
    """Nobody who holds one asks for another: with as many threads as connections, all would wait for each other."""
    monkeypatch.setattr(storage, "POOL_WAIT_SECONDS", 1)
    with opened(database_url, redis_url, tmp_path, DATABASE_POOL_SIZE="1", KEY_CACHE_SECONDS="0") as small:
        ada, _ = furnish(small)
        ada.write("app/db", {"n": 1}, metadata={"tags": ["a"]})
        answers = [
            ada.put("/v1/secrets/app/db", {"data": {"n": 2}, "metadata": {"tags": ["b"]}}),
            ada.get("/v1/secrets/app/db"),
            ada.get("/v1/secrets/app/db?version=1"),
            ada.get("/v1/secrets/app/db:metadata"),
            ada.patch("/v1/secrets/app/db:metadata", {"metadata": {"tags": ["c"]}}),
            ada.get("/v1/secrets/app/db:versions"),
            ada.post("/v1/secrets/app/db:rollback", {"version": 1}),
            ada.post("/v1/secrets/app/db:destroy", {"versions": [1]}),
            ada.get("/v1/secrets?limit=1&prefix=app/"),
            ada.post("/v1/secrets/batch", {"paths": ["app/db", "app/none"]}),
            ada.post("/v1/secrets/batch/metadata", {"paths": ["app/*"], "expand_wildcards": True}),
            ada.delete("/v1/secrets/app/db"),
            ada.post("/v1/secrets/app/db:recover"),
            ada.delete("/v1/secrets/app/db?permanent=true"),
            ada.post("/v1/auth/tokens", {"name": "t", "scopes": ["admin"], "identity_id": "sa:ci"}),
            ada.get("/v1/policies?limit=1"),
            ada.get("/v1/audit/secrets/app/db?limit=1"),
            ada.get("/v1/audit/summary"),
            ada.get(DETAILED),
            ada.get(READY),
        ]
        assert [answer.status_code for answer in answers if answer.status_code >= 300] == []
        assert ada.get("/v1/secrets/app/none").status_code == 404
        assert small.someone("user:nobody").get("/v1/secrets/app/db").status_code == 403


class TestDetail:
    def test_it_is_for_administrators(self, house, nobody, ada):
        assert error(nobody.get(DETAILED)) == "authentication_required"
        weak = house.someone("user:weak", scopes=["secrets:read", "audit:read"])
        answer = weak.get(DETAILED)
        assert (answer.status_code, error(answer)) == (403, "insufficient_scope")
        assert ada.get(DETAILED).status_code == 200

    def test_it_tells_how_each_component_feels(self, house, ada):
        Heartbeat(house.services.database, house.clock, "worker").beat()
        detail = ada.get(DETAILED).json
        assert (detail["status"], detail["version"]) == ("healthy", VERSION)
        assert detail["uptime_seconds"] >= 0
        checks = detail["checks"]
        assert {name: checks[name]["status"] for name in COMPONENTS} == dict.fromkeys(COMPONENTS, "ok")
        assert all(checks[name]["latency_ms"] > 0 for name in COMPONENTS)
        assert checks["s3"] == {"status": "not_configured", "latency_ms": None}
        assert checks["database"]["pool_size"] >= checks["database"]["pool_available"] >= 0
        assert checks["redis"]["memory_used_mb"] > 0
        assert checks["encryption"]["key_id"].startswith("local:")
        assert checks["encryption"]["key_status"] == "active"

    def test_it_tells_what_is_behind_them(self, house, ada):
        ada.write("app/appended")
        detail = ada.get(DETAILED).json
        assert detail["migrations"] == {"status": "ok", "applied": len(MIGRATION_FILES), "pending": 0}
        assert detail["queues"] == {"status": "ok", "directory_syncs": 0, "webhook_deliveries": 0, "rotations": 0}
        assert detail["audit"].pop("append_latency_ms") > 0
        assert detail["audit"] == {"status": "ok", "has_next_month": True}
        assert detail["jobs"].keys() == {"access_notes", "metrics"}
        assert detail["exporter"] == {"status": "unreachable", "last_seen": None}
        assert detail["workers"]["status"] == "ok"

    def test_where_no_worker_was_seen_lately_it_says_since_when_and_is_not_well(self, house, ada):
        heartbeat = Heartbeat(house.services.database, house.clock, "worker")
        heartbeat.beat()
        seen = house.clock.now()
        house.clock.forward(seconds=29)
        assert ada.get(DETAILED).json["background_workers"]["alive"] == 1
        house.clock.forward(seconds=2)
        detail = ada.get(DETAILED).json
        assert detail["background_workers"] == {
            "status": "unreachable",
            "alive": 0,
            "last_seen": seen.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        assert detail["status"] == "degraded"

    def test_a_release_that_is_ahead_of_its_schema_says_so(self, database_url, redis_url, tmp_path):
        with psycopg.connect(database_url) as superuser:
            superuser.execute("DELETE FROM _yoyo_migration WHERE migration_id LIKE '0009%'")
        with opened(database_url, redis_url, tmp_path) as behind:
            detail = furnish(behind)[0].get(DETAILED).json
        assert detail["status"] == "degraded"
        assert detail["migrations"] == {"status": "error", "applied": len(MIGRATION_FILES) - 1, "pending": 1}

    def test_a_job_that_failed_last_is_an_error_and_degrades(self, database_url, redis_url, tmp_path):
        with opened(database_url, redis_url, tmp_path) as sick:
            admin, _ = furnish(sick)
            sick.services.upkeep.records["access_notes"].last_failure = sick.clock.now()
            detail = admin.get(DETAILED).json
        assert detail["status"] == "degraded"
        assert detail["jobs"]["access_notes"] == {
            "status": "error",
            "last_success": None,
            "last_failure": sick.clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        assert detail["jobs"]["metrics"]["status"] in {"ok", "starting"}

    def test_it_says_soon_what_is_wrong(self, ailing):
        with ailing("redis") as sick:
            admin, _ = furnish(sick)
            started = time.monotonic()
            detail = admin.get(DETAILED).json
            assert time.monotonic() - started < 3
        assert detail["status"] == "degraded"
        assert {name: detail["checks"][name]["status"] == "ok" for name in COMPONENTS} == {
            "database": True,
            "redis": False,
            "encryption": True,
        }
        assert detail["checks"]["redis"]["memory_used_mb"] is None
        assert "hunter2" not in json.dumps(detail)


def test_the_version_is_no_secret(nobody):
    answer = nobody.get("/v1/version").json
    assert (answer["version"], answer["api"]) == (VERSION, "v1")
    assert set(answer) == {"version", "revision", "python", "api"}


class TestDocument:
    @pytest.fixture(scope="class")
    @staticmethod
    def document(standing):
        return standing[0].client.get("/v1/openapi.json").json

    def test_every_address_is_in_it_and_nothing_else(self, house, document):
        served = {
            (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
            for rule in house.client.application.url_map.iter_rules()
            for method in rule.methods - {"HEAD", "OPTIONS"}
            if not rule.rule.startswith("/v1/t/")  # the same addresses in a tenant that is named: said once, in words
        }
        assert served == {(path, method) for path, item in document["paths"].items() for method in item}

    def test_what_needs_no_token_says_so(self, document):
        open_ones = {
            path for path, item in document["paths"].items() for each in item.values() if each.get("security") == []
        }
        assert open_ones == {
            HEALTH,
            READY,
            "/v1/version",
            "/v1/openapi.json",
            "/v1/identity/webhooks/scaikey",
            "/v1/auth/exchange",
        }

    def test_it_is_json_of_its_version(self, house, document):
        assert document["openapi"] == "3.1.0"
        assert document["info"]["version"] == VERSION
        assert house.client.get("/v1/openapi.json").content_type == "application/json"


def series(house):
    """Every sample: name and labels to value. Asked without a request, which would be counted itself."""
    text, _ = house.services.instruments.render("")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(samples, name, **labels):
    return samples.get((name, frozenset(labels.items())), 0.0)


@pytest.fixture
def grown(house):
    """By how much a series has grown since the beginning of the test."""
    before = series(house)

    def by(name, **labels):
        return value(series(house), name, **labels) - value(before, name, **labels)

    return by


class TestMetricsDoor:
    def test_by_default_they_are_for_administrators_since_they_name_tenants(self, house, nobody, ada):
        assert error(nobody.get(METRICS)) == "authentication_required"
        assert error(house.someone("user:weak", scopes=["audit:read"]).get(METRICS)) == "insufficient_scope"
        assert ada.get(METRICS).status_code == 200

    def test_they_may_be_opened(self, database_url, redis_url, tmp_path):
        with opened(database_url, redis_url, tmp_path, METRICS_AUTH="none") as open_house:
            answer = open_house.client.get(METRICS)
        assert answer.status_code == 200
        assert "scaivault_requests_total" in answer.text

    @pytest.mark.parametrize(
        ("accept", "content_type", "end"),
        [
            ("", "text/plain; version=0.0.4", ""),
            ("*/*", "text/plain; version=0.0.4", ""),
            ("application/openmetrics-text; version=1.0.0,text/plain;q=0.5", "application/openmetrics-text", "# EOF\n"),
        ],
    )
    def test_they_come_in_the_form_that_is_asked_for(self, ada, accept, content_type, end):
        answer = ada.get(METRICS, headers={"Accept": accept})
        assert answer.content_type.startswith(content_type)
        assert answer.text.endswith(end)


class TestCounting:
    @pytest.mark.parametrize(
        ("method", "path", "body", "category", "status"),
        [
            ("GET", "/v1/secrets/app/counted", None, "secrets", 200),
            ("HEAD", "/v1/secrets/app/counted", None, "secrets", 200),
            ("PUT", "/v1/secrets/app/counted", {"data": {}}, "secrets", 200),
            ("PUT", "/v1/secrets/app/counted", {}, "secrets", 422),
            ("GET", "/v1/secrets/..", None, "secrets", 400),
            ("GET", "/v1/secrets/app/none", None, "secrets", 404),
            ("GET", "/v1/secrets", None, "secrets", 200),
            ("POST", "/v1/secrets/batch", {"paths": ["app/counted"]}, "batch", 200),
            ("POST", "/v1/secrets/batch/metadata", {"paths": ["app/counted"]}, "batch", 200),
            ("GET", "/v1/policies", None, "policies", 200),
            ("GET", "/v1/audit/logs", None, "audit", 200),
            ("GET", "/v1/auth/whoami", None, "auth", 200),
            ("GET", "/v1/health", None, "system", 200),
            ("GET", f"/v1/{TRACELESS}", None, "unmatched", 404),
            ("GET", f"/{TRACELESS}", None, "unmatched", 404),
            ("POST", "/v1/health", None, "unmatched", 405),
            ("PROPFIND", "/v1/health", None, "unmatched", 405),
        ],
    )
    def test_a_request_is_counted_once_under_its_category_and_timed(
        self, ada, grown, method, path, body, category, status
    ):
        ada.write("app/counted")
        labels = {"method": "OTHER" if method == "PROPFIND" else method, "path_category": category}
        before = grown("scaivault_requests_total", **labels, status=str(status))
        answer = ada.call(method, path, body)
        assert answer.status_code == status
        assert grown("scaivault_requests_total", **labels, status=str(status)) == before + 1
        assert grown("scaivault_request_duration_seconds_count", **labels) >= 1

    def test_a_refusal_is_counted_as_one(self, nobody, grown):
        nobody.get("/v1/secrets/app/db")
        labels = {"method": "GET", "path_category": "secrets", "status": "401"}
        assert grown("scaivault_requests_total", **labels) == 1

    def test_values_handed_out_are_counted_by_tenant_and_type(self, ada, bob_reads, grown):
        ada.write("app/key", secret_type="api_key")
        for _ in range(3):
            ada.get("/v1/secrets/app/key")
        ada.post("/v1/secrets/batch", {"paths": ["app/key", "app/none"]})
        ada.get("/v1/secrets/app/key:metadata")
        assert grown("scaivault_secret_reads_total", tenant="tnt_a", secret_type="api_key") == 4
        assert grown("scaivault_secret_reads_total", tenant="tnt_b", secret_type="api_key") == 0
        assert grown("scaivault_secret_writes_total", tenant="tnt_a") == 1

    @pytest.fixture
    def bob_reads(self, standing):
        standing[2].get("/v1/secrets/app/key")

    def test_what_comes_to_nothing_is_no_read_and_no_write(self, ada, grown):
        ada.get("/v1/secrets/app/none")
        ada.put("/v1/secrets/app/none", {"data": {}, "options": {"expected_version": 7}})
        for kind in ("kv", "json", "certificate", "ssh_key", "api_key"):
            assert grown("scaivault_secret_reads_total", tenant="tnt_a", secret_type=kind) == 0
        assert grown("scaivault_secret_writes_total", tenant="tnt_a") == 0

    def test_faults_of_all_that_is_served_are_told_before_there_are_any(self, house):
        served = operations(house.services.tables)
        assert {("GET", "secrets"), ("PUT", "secrets"), ("POST", "batch"), ("GET", "system")} <= served
        told = {
            tuple(dict(labels)[label] for label in ("method", "path_category", "status"))
            for name, labels in series(house)
            if name == "scaivault_requests_total"
        }
        faults = {found for found in told if found[2] in {"500", "503"}}
        assert faults == {(*each, status) for each in served for status in ("500", "503")}

    def test_a_tenants_refusals_are_told_before_there_are_any(self, database_url, redis_url, tmp_path):
        with opened(database_url, redis_url, tmp_path) as fresh:
            told = {("scaivault_policy_violations_total", frozenset({("tenant", name)})) for name in ("tnt_a", "tnt_b")}
            assert not told & series(fresh).keys()
            furnish(fresh)  # who sends requests that are not refused
            found = series(fresh)
            assert {name: found[name] for name in told} == dict.fromkeys(told, 0)

    def test_denials_and_audit_rows_are_counted(self, house, ada, grown):
        house.someone("user:nobody").get("/v1/secrets/app/db")
        assert grown("scaivault_policy_violations_total", tenant="tnt_a") == 1
        assert grown("scaivault_audit_entries_total", action="policy_violation", success="false") == 1
        ada.get("/v1/secrets/app/none")
        assert grown("scaivault_audit_entries_total", action="read", success="false") == 1

    def test_dependencies_are_timed_by_probes_too(self, nobody, grown):
        timed = [
            ("scaivault_db_latency_seconds_count", {}),
            ("scaivault_redis_latency_seconds_count", {}),
            ("scaivault_kms_latency_seconds_count", {"operation": "encrypt"}),
            ("scaivault_kms_latency_seconds_count", {"operation": "decrypt"}),
        ]

        def probed():
            nobody.get(READY)
            return all(grown(name, **labels) > 0 for name, labels in timed)

        await_true(probed)

    @pytest.mark.parametrize(
        "name",
        [
            "scaivault_active_requests",
            "scaivault_db_pool_size",
            "scaivault_db_pool_available",
            "scaivault_db_pool_max",
            "scaivault_db_pool_waiting",
            "scaivault_build_info",
            "scaivault_cache_requests_total",
            "scaivault_kms_errors_total",
            "scaivault_log_messages_total",
            "scaivault_audit_append_seconds_count",
        ],
    )
    def test_it_is_there_from_the_start(self, house, name):
        assert name in {sample for sample, _ in series(house)}

    def test_the_pool_is_told_as_it_is_at_each_scrape(self, house, ada):
        ada.get(METRICS)
        samples = series(house)
        assert 1 <= value(samples, "scaivault_db_pool_size") <= house.settings.database_pool_size
        assert 0 <= value(samples, "scaivault_db_pool_available") <= value(samples, "scaivault_db_pool_size")
        assert value(samples, "scaivault_db_pool_max") == house.settings.database_pool_size
        assert value(samples, "scaivault_db_pool_waiting") == 0


class TestActiveRequests:
    def active(self, house):
        samples = series(house).items()
        return {
            dict(labels)["path_category"]: n for (name, labels), n in samples if name == "scaivault_active_requests"
        }

    def test_they_come_back_to_nought_however_they_end(self, house, ada, nobody, monkeypatch):
        ada.write("app/db")
        for path in ("app/db", "app/none", "..", "a:b"):
            ada.get(f"/v1/secrets/{path}")
        ada.put("/v1/secrets/app/db", {"data": 5})
        nobody.get("/v1/secrets/app/db")
        ada.get("/nowhere")
        ada.post(HEALTH)
        monkeypatch.setattr(store, "add_version", lambda *_: 1 / 0)
        assert ada.put("/v1/secrets/app/db", {"data": {}}).status_code == 500
        assert set(self.active(house).values()) == {0}

    def test_one_under_way_is_seen(self, house, ada, module_database_url):
        ada.write("app/held")
        voice = Voice(house.client.application.test_client(), ada.token)
        answers = []
        writing = threading.Thread(target=lambda: answers.append(voice.put("/v1/secrets/app/held", {"data": {}})))
        with psycopg.connect(module_database_url) as holder:
            holder.execute("SELECT FROM secrets WHERE path = 'app/held' FOR UPDATE")
            writing.start()
            await_true(lambda: self.active(house)["secrets"] == 1)
            assert answers == []
            holder.rollback()
            writing.join(PATIENCE_SECONDS)
        assert answers[0].status_code == 200
        assert self.active(house)["secrets"] == 0


class TestLabels:
    @pytest.mark.parametrize(
        "path",
        [
            f"/{TRACELESS}",
            f"/v1/{TRACELESS}",
            f"/v1/secrets/{TRACELESS}",
            f"/v1/secrets/{TRACELESS}:nothing",
            f"/v1/secrets/{TRACELESS}%2f..",
            f"/v1/policies/{TRACELESS}",
            f"/v1/policies/{TRACELESS}/bindings/{TRACELESS}",
            f"/v1/audit/secrets/{TRACELESS}",
            f"/v1/audit/identities/{TRACELESS}",
            f"/v1/auth/tokens/{TRACELESS}",
            f"/v1/secrets?prefix={TRACELESS}",
            f"/v1/health/{TRACELESS}",
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", TRACELESS.upper()])
    def test_nothing_of_an_address_becomes_one(self, ada, method, path):
        ada.call(method, path, {"data": {}} if method == "PUT" else None)
        assert TRACELESS not in ada.get(METRICS).text.lower()

    def test_many_addresses_that_are_not_there_are_one_series(self, house, nobody):
        nobody.get("/v1/nowhere")
        before = series(house).keys()
        for number in range(300):
            nobody.get(f"/v1/nowhere/{number}")
        assert series(house).keys() == before

    def test_no_token_and_no_address_is_among_them(self, ada):
        ada.get("/v1/secrets/app/db", environ_overrides={"REMOTE_ADDR": "203.0.113.77"})
        text = ada.get(METRICS).text
        assert ada.token not in text
        assert "203.0.113.77" not in text

    def test_who_administers_a_tenant_is_told_of_no_other(self, standing):
        house, ada, bob = standing
        for voice in (ada, bob):
            voice.write("seen/by")
            voice.get("/v1/secrets/seen/by")
        root = house.someone("user:root@house.example", roles=[Role.SUPER_ADMIN])

        def tenants(voice):
            return set(re.findall(r'tenant="([^"]*)"', voice.get(METRICS).text))

        assert (tenants(ada), tenants(bob)) == ({TENANT}, {OTHER_TENANT})
        assert {TENANT, OTHER_TENANT} <= tenants(root)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/health/", "/v2/health", "/v1//health", "/v1/secret/app/db"])
def test_an_address_that_is_not_there_is_told_so_in_our_words(nobody, path):
    answer = nobody.get(path)
    assert (answer.status_code, error(answer)) == (404, "not_found")
    assert answer.json["error"]["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", HEALTH, {"GET", "HEAD"}),
        ("DELETE", "/v1/policies", {"GET", "HEAD", "POST"}),
        ("OPTIONS", HEALTH, {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(nobody, method, path, allowed):
    answer = nobody.call(method, path)
    assert (answer.status_code, error(answer)) == (405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed


class TestInternalListener:
    def ask(self, house, path, **headers):
        connection = http.client.HTTPConnection(
            *house.services.internal._server.server_address, timeout=PATIENCE_SECONDS
        )
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer, answer.read().decode()

    def test_it_gives_the_same_answers_without_asking_who_is_there(self, house, ada):
        answer, body = self.ask(house, HEALTH)
        assert (answer.status, json.loads(body)) == (200, ada.get(HEALTH).json)
        answer, body = self.ask(house, READY)
        assert (answer.status, json.loads(body)) == (200, ada.get(READY).json)
        answer, body = self.ask(house, METRICS)
        assert answer.status == 200
        assert {line for line in body.splitlines() if line.startswith("#")} == {
            line for line in ada.get(METRICS).text.splitlines() if line.startswith("#")
        }

    def test_it_speaks_openmetrics_too(self, house):
        answer, body = self.ask(house, METRICS, Accept="application/openmetrics-text")
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert body.endswith("# EOF\n")

    def test_it_is_not_ready_when_the_vault_is_not(self, ailing):
        with ailing("redis") as sick:
            answer, body = self.ask(sick, READY)
        assert (answer.status, json.loads(body)["checks"]["redis"]) == (503, "error")

    @pytest.mark.parametrize("path", [DETAILED, "/v1/secrets/app/db", "/v1/version", "/", "/metrics"])
    def test_and_nothing_else(self, house, path):
        assert self.ask(house, path)[0].status == 404
