"""One request, one trace: its span and the spans of what it called, as a collector gets them."""

import hashlib
import uuid
from importlib.metadata import version

import psycopg
import pytest

from tests.house import furnish, opened
from tests.issuer import Provider
from tests.otlp import collecting

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET_ROUTE = "/v1/secrets/<secret:path>"
UNTRACED = ["/v1/health", "/v1/health/ready", "/v1/metrics"]


class Traced:
    """A house whose every request is traced, its administrator, and what the collector has of it."""

    def __init__(self, house, ada, collector, database_url):
        self.house, self.ada, self.collector, self.database_url = house, ada, collector, database_url

    def spans(self, method="GET", path="/v1/secrets/app/db", body=None, headers=None, voice=None):
        """All spans of the trace of one request."""
        trace_id = uuid.uuid4().hex
        self.last = (voice or self.ada).call(method, path, body, {"X-Request-ID": trace_id, **(headers or {})})
        return self.of(trace_id)

    def of(self, trace_id):
        self.house.services.tracing.provider.force_flush()
        return self.collector.of(trace_id)

    def request(self, *arguments, **named):
        """The request's own span."""
        [span] = [span for span in self.spans(*arguments, **named) if span.is_server]
        return span


@pytest.fixture(scope="module")
def traced(module_database_url, redis_server, tmp_path_factory):
    with collecting() as collector:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_SERVICE_NAME": "vault-of-tests",
            "TRACES_SAMPLE_RATIO": "1",
            "KEY_CACHE_SECONDS": "0",
        }
        folder = tmp_path_factory.mktemp("house")
        with opened(module_database_url, redis_server.url(), folder, **settings) as house:
            ada, _ = furnish(house)
            ada.write("app/db", {"key": "value"})
            yield Traced(house, ada, collector, module_database_url)


def kinds(spans):
    return {span.attributes.get("db.system.name", span.name) for span in spans if not span.is_server}


class TestOneTrace:
    def test_a_read_is_one_span_with_its_calls_below_it(self, traced):
        spans = traced.spans()
        [root] = [span for span in spans if span.is_server]
        assert root.parent_id == ""
        calls = [span for span in spans if span is not root]
        assert {span.parent_id for span in calls} == {root.span_id}
        assert {span.kind for span in calls} == {"CLIENT"}
        assert kinds(spans) == {"postgresql", "redis", "KMS decrypt"}
        assert all(root.started <= span.started <= span.ended <= root.ended for span in calls)
        assert len({span.span_id for span in spans}) == len(spans)

    def test_it_says_what_was_asked_by_whom_and_how_it_ended(self, traced):
        span = traced.request()
        assert span.name == f"GET {SECRET_ROUTE}"
        assert span.attributes == {
            "http.request.method": "GET",
            "http.route": SECRET_ROUTE,
            "http.response.status_code": 200,
            "scaivault.request_id": traced.last.headers["X-Request-ID"],
            "scaivault.tenant_id": "tnt_a",
            "scaivault.identity_id": "user:ada@a.example",
        }
        assert (span.failed, span.error, span.events, span.trace_state) == (False, "", 0, "")
        assert span.scope == "opentelemetry.instrumentation.flask"

    def test_it_says_whose_it_is(self, traced):
        resource = traced.request().resource
        assert resource["service.name"] == "vault-of-tests"
        assert resource["service.version"] == version("scaivault")
        assert resource["service.instance.id"]
        assert resource["telemetry.sdk.language"] == "python"

    def test_a_write_shows_its_transaction(self, traced):
        spans = traced.spans("PUT", "/v1/secrets/app/new", {"data": {"key": "value"}})
        names = [span.name for span in sorted(spans, key=lambda span: span.started) if not span.is_server]
        transaction = names[names.index("BEGIN") :]
        assert transaction[-1] == "COMMIT"
        assert {"INSERT secrets", "INSERT secret_versions", "INSERT audit_log"} < set(transaction)

    def test_a_statement_is_shown_with_placeholders(self, traced):
        [statement] = [span.attributes["db.query.text"] for span in traced.spans() if span.name == "WITH secrets"]
        assert "secrets.path = %(path)s" in statement
        assert "app/db" not in statement

    def test_redis_is_shown_by_the_command(self, traced):
        [span] = [span for span in traced.spans() if span.name == "EVALSHA"]
        assert span.attributes == {"db.system.name": "redis", "db.operation.name": "EVALSHA"}

    def test_an_encryption_is_shown(self, traced):
        """That of the partner's first key, by the first request that needed one."""
        traced.spans()
        [span, *_] = [span for span in traced.collector.spans if span.name == "KMS encrypt"]
        assert span.attributes == {"scaivault.kms.operation": "encrypt"}
        assert span.parent_id in {each.span_id for each in traced.of(span.trace_id) if each.is_server}

    def test_a_fetch_of_keys_is_below_the_request_that_wanted_them(self, traced):
        provider = Provider()
        provider.now = lambda: traced.house.clock.now().timestamp()
        body = {
            "name": "traced",
            "issuer": provider.url,
            "audience": "scaivault",
            "claims": {"sub": "usr_1"},
            "identity_id": "sa:traced",
            "scopes": ["secrets:list"],
        }
        assert traced.ada.post("/v1/auth/trusts", body).status_code == 201
        offered = {"subject_token": provider.token(), "tenant_id": "tnt_a"}
        spans = traced.spans("POST", "/v1/auth/exchange", offered, voice=traced.house.voice())
        provider.close()
        assert traced.last.status_code == 200
        [root] = [span for span in spans if span.is_server]
        fetches = [span for span in spans if "server.address" in span.attributes]
        assert fetches
        for span in fetches:
            assert (span.name, span.kind, span.parent_id) == ("GET", "CLIENT", root.span_id)
            assert span.attributes == {
                "http.request.method": "GET",
                "http.response.status_code": 200,
                "server.address": "127.0.0.1",
            }


class TestIds:
    @pytest.mark.parametrize("spell", [str, lambda each: str(each).upper(), lambda each: each.hex])
    def test_a_uuid_sent_as_request_id_is_the_trace(self, traced, spell):
        sent = uuid.uuid4()
        answer = traced.ada.get("/v1/auth/whoami", headers={"X-Request-ID": spell(sent)})
        assert answer.headers["X-Request-ID"] == spell(sent)
        [span] = [span for span in traced.of(sent.hex) if span.is_server]
        assert span.attributes["scaivault.request_id"] == spell(sent)
        assert span.parent_id == ""

    def test_any_other_request_id_is_hashed(self, traced):
        traced.ada.get("/v1/auth/whoami", headers={"X-Request-ID": "deploy-17"})
        assert traced.of(hashlib.sha256(b"deploy-17").hexdigest()[:32])

    def test_without_one_the_trace_is_that_of_the_audit_trail(self, traced):
        answer = traced.ada.get("/v1/secrets/app/db")
        with psycopg.connect(traced.database_url) as connection:
            [[trace_id]] = connection.execute(
                "SELECT trace_id FROM audit_log WHERE request_id = %s", [answer.headers["X-Request-ID"]]
            ).fetchall()
        [span] = [span for span in traced.of(trace_id) if span.is_server]
        assert span.attributes["scaivault.request_id"] == answer.headers["X-Request-ID"]

    def test_a_traceparent_is_continued(self, traced):
        trace_id = uuid.uuid4().hex
        headers = {"traceparent": f"00-{trace_id}-{SPAN}-01", "tracestate": "x=planted", "X-Request-ID": "mine"}
        traced.ada.get("/v1/secrets/app/db", headers=headers | {"baggage": "x=planted"})
        spans = traced.of(trace_id)
        [root] = [span for span in spans if span.is_server]
        assert root.parent_id == SPAN
        assert root.attributes["scaivault.request_id"] == "mine"
        assert {span.trace_state for span in spans} == {""}
        assert {span.parent_id for span in spans if span is not root} == {root.span_id}

    def test_a_trace_that_its_caller_does_not_keep_is_not_kept(self, traced):
        trace_id = uuid.uuid4().hex
        answer = traced.ada.get("/v1/secrets/app/db", headers={"traceparent": f"00-{trace_id}-{SPAN}-00"})
        assert answer.status_code == 200
        assert traced.of(trace_id) == []

    def test_an_id_is_no_name_for_another_request(self, traced):
        """What one request was given is gone when the next one comes to the same thread."""
        first, second = (traced.request() for _ in range(2))
        assert first.trace_id != second.trace_id
        answer = traced.ada.get("/v1/auth/whoami")
        assert answer.status_code == 200
        traced.house.services.tracing.provider.force_flush()
        last = [span for span in traced.collector.spans if span.is_server][-1]
        assert last.trace_id not in {first.trace_id, second.trace_id}


class TestFailures:
    def test_a_refusal_has_its_code_and_is_no_failure_of_ours(self, traced):
        span = traced.request(path="/v1/secrets/app/none")
        assert (span.failed, span.attributes["http.response.status_code"]) == (False, 404)
        assert span.attributes["scaivault.error"] == "secret_not_found"

    def test_a_failure_is_one_by_its_code_and_no_word_more(self, traced):
        with psycopg.connect(traced.database_url, autocommit=True) as connection:
            connection.execute("ALTER TABLE secret_tags RENAME TO away")
            spans = traced.spans("PUT", "/v1/secrets/app/x", {"data": {"a": "b"}, "metadata": {"tags": ["x"]}})
            connection.execute("ALTER TABLE away RENAME TO secret_tags")
        assert traced.last.status_code == 503
        failed = {span.name: span for span in spans if span.failed}
        root = failed.pop("PUT " + SECRET_ROUTE)
        assert (root.error, root.events) == ("service_unavailable", 0)
        [statement] = failed.values()
        assert (statement.attributes["error.type"], statement.error) == ("UndefinedTable", "")

    def test_what_nobody_foresaw_is_an_internal_error(self, traced):
        traced.ada.write("app/broken")
        with psycopg.connect(traced.database_url) as connection:
            connection.execute(
                "UPDATE secret_versions SET sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1) WHERE path = 'app/broken'"
            )
        span = traced.request(path="/v1/secrets/app/broken")
        assert (span.failed, span.attributes["http.response.status_code"], span.events) == (True, 500, 0)
        assert span.error

    def test_an_address_that_nobody_knows_is_not_shown(self, traced):
        span = traced.request(path="/v1/planted/path?planted=query")
        assert span.name == "GET unmatched"
        assert "planted" not in str(span)

    def test_a_method_that_nobody_knows_is_not_shown(self, traced):
        span = traced.request("PLANTED", "/v1/auth/whoami")
        assert span.name == "_OTHER unmatched"
        assert "PLANTED" not in str(span)


@pytest.mark.parametrize("path", UNTRACED)
def test_probes_and_scrapes_leave_no_trace(traced, path):
    assert traced.spans(path=path) == []
    assert traced.last.status_code == 200


def test_what_is_done_beside_requests_leaves_none(traced):
    """Statements of the upkeep belong to no request."""
    traced.house.services.tracing.provider.force_flush()
    traces = {span.trace_id for span in traced.collector.spans}
    assert traces == {span.trace_id for span in traced.collector.spans if span.is_server}


def test_at_a_share_of_none_a_request_is_answered_and_leaves_no_trace(database_url, redis_url, tmp_path):
    with collecting() as collector:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "TRACES_SAMPLE_RATIO": "0"}
        with opened(database_url, redis_url, tmp_path, **settings) as house:
            ada, _ = furnish(house)
            ada.write("app/db")
            wished = f"00-{TRACE}-{SPAN}-01"
            assert ada.get("/v1/secrets/app/db", headers={"traceparent": wished}).status_code == 200
    assert {span.trace_id for span in collector.spans} == {TRACE}
