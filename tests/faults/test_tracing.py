"""Tracing in the running server: every worker sends, whatever becomes of the collector, and no request waits for it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from scaivault.observability.traces.tracing import FLUSH_SECONDS, QUEUE_SPANS
from tests.contract.standing import standing
from tests.faults.test_dependencies import free_port
from tests.otlp import collecting
from tests.security.wire import serving
from tests.waiting import await_true

__all__ = ["standing"]

CHECKOUT = Path(__file__).parents[2]
SPAN = "00f067aa0ba902b7"
PLANTED = "hunter2-planted"
EXIT_SECONDS = FLUSH_SECONDS + 5  # the library's shutdown would take thirty
WHAT_IS_LOADED = """
import json, sys, threading
from scaivault import wsgi
wsgi.services.start()
answer = wsgi.app.test_client().get("/v1/auth/whoami", headers={"Authorization": "Bearer " + sys.stdin.read()})
modules = sorted(name for name in sys.modules if name.split(".")[0] == "opentelemetry")
print(json.dumps([answer.status_code, modules, [thread.name for thread in threading.enumerate()]]))
wsgi.services.stop()
"""


@pytest.fixture
def collector():
    with collecting() as started:
        yield started


@pytest.fixture(scope="module")
def start(standing, tmp_path_factory):
    """Starts a gunicorn that traces every request to this address."""

    def started(url, **environ):
        folder = tmp_path_factory.mktemp("traced")
        usual = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "TRACES_SAMPLE_RATIO": "1",
            "SHUTDOWN_SECONDS": "10",
            "DRAIN_SECONDS": "0",
        }
        return serving(standing.house, standing.ada.token, folder, **usual | environ)

    return started


@pytest.fixture(scope="module")
def shared():
    """A collector for those tests that do it no harm."""
    with collecting() as started:
        yield started


@pytest.fixture(scope="module")
def vault(start, shared):
    """What sends to it, in an environment that tells the libraries all kinds of things."""
    told = {
        "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{PLANTED},X-Org=a",
        "OTEL_TRACES_SAMPLER": "always_off",
        "OTEL_RESOURCE_ATTRIBUTES": f"service.name={PLANTED},more={PLANTED}",
        "OTEL_PYTHON_FLASK_EXCLUDED_URLS": ".*",
        "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": ".*",
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": ".*",
        "OTEL_BSP_SCHEDULE_DELAY": "3600000",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces",
        "OTEL_PROPAGATORS": "none",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    with start(shared.url, **told) as started:
        yield started


def ask(vault, path="/v1/auth/whoami", **headers):
    """A good answer's trace, by the request id that it was sent with."""
    request_id = str(uuid.uuid4())
    sent = [f"X-Request-ID: {request_id}", *(f"{name}: {value}" for name, value in headers.items())]
    answer = vault.ask("GET", path, None, sent)
    assert answer.status == 200
    return request_id.replace("-", "")


def root_of(spans):
    [root] = [span for span in spans if span.is_server]
    return root


def logged(vault, event):
    return [line for line in vault.logged() if line["event"] == event]


def workers(vault):
    children = f"/proc/{vault.process.pid}/task/{vault.process.pid}/children"
    return set(Path(children).read_text().split())


def ended_in_time(vault):
    vault.process.send_signal(signal.SIGTERM)
    return vault.process.wait(EXIT_SECONDS) == 0


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:1"], ids=["without a collector", "with one"])
def test_what_is_loaded(standing, endpoint):
    """Nothing of OpenTelemetry, and no thread, where there is no collector. With one the same look finds both."""
    settings = standing.house.settings
    environ = {
        "PATH": os.defpath,
        "PYTHONPATH": str(CHECKOUT),
        "SCAIVAULT_ENV": "development",
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "BASE_URL": "http://localhost",
        "OPS_BIND_ADDRESS": f"127.0.0.1:{free_port()}",
        "KMS_PROVIDER": "local",
        "KMS_LOCAL_KEY_FILE": str(settings.kms_local_key_file),
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint or "",
    }
    ran = subprocess.run(
        [sys.executable, "-c", WHAT_IS_LOADED],
        input=standing.ada.token,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    status, modules, threads = json.loads(ran.stdout)
    assert status == 200
    assert bool(modules) is bool(endpoint)
    assert any("Otel" in name for name in threads) is bool(endpoint)


def test_log_line_audit_row_span_and_header_agree(vault, standing, shared):
    standing.ada.write("traced/db")
    known, continued, hashed = uuid.uuid4().hex, uuid.uuid4().hex, hashlib.sha256(b"mine-1").hexdigest()[:32]
    sent = {
        known: [f"X-Request-ID: {known}"],
        continued: [f"traceparent: 00-{continued}-{SPAN}-01", "X-Request-ID: mine-2"],
        hashed: ["X-Request-ID: mine-1"],
    }
    told = {
        trace_id: vault.ask("GET", "/v1/secrets/traced/db", None, headers).headers["x-request-id"]
        for trace_id, headers in sent.items()
    }
    assert list(told.values()) == [known, "mine-2", "mine-1"]
    roots = {trace_id: root_of(shared.await_trace(trace_id)) for trace_id in sent}
    assert [root.parent_id for root in roots.values()] == ["", SPAN, ""]
    lines = {line["trace_id"]: line for line in logged(vault, "request") if "trace_id" in line}
    rows = {row["trace_id"]: row for row in standing.ada.audit(limit="50")}
    for trace_id, root in roots.items():
        line, row = lines[trace_id], rows[trace_id]
        assert line["span_id"] == root.span_id
        assert line["request_id"] == row["request_id"] == root.attributes["scaivault.request_id"] == told[trace_id]
        assert line["identity_id"] == row["identity_id"] == root.attributes["scaivault.identity_id"]


def test_a_request_whose_trace_is_not_kept_has_no_span_in_its_line(vault, shared):
    trace_id = uuid.uuid4().hex
    ask(vault, traceparent=f"00-{trace_id}-{SPAN}-00")
    shared.await_trace(ask(vault))
    [line] = [line for line in logged(vault, "request") if line.get("trace_id") == trace_id]
    assert "span_id" not in line
    assert shared.of(trace_id) == []


def test_what_the_environment_tells_the_libraries_changes_nothing(vault, shared):
    spans = shared.await_trace(ask(vault, **{"User-Agent": PLANTED, "X-Forwarded-Host": PLANTED}))
    assert root_of(spans).attributes.keys() == {
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "scaivault.request_id",
        "scaivault.tenant_id",
        "scaivault.identity_id",
    }
    assert not any(PLANTED.encode() in raw for raw in shared.raw)


def test_the_collectors_password_is_told_to_nobody_else(vault, shared):
    shared.await_trace(ask(vault))
    assert {headers["authorization"] for headers in shared.headers} == {f"Bearer {PLANTED}"}
    shared.behave = "refuse"
    ask(vault)
    await_true(lambda: logged(vault, "spans_lost"))
    shared.behave = "take"
    assert PLANTED not in vault.log.read_text()


def test_every_worker_sends_until_its_end_also_those_that_come_with_a_reload(start, collector):
    with start(collector.url, WEB_CONCURRENCY="2") as vault:

        def seen(pids):
            """Whether spans of all these processes have come; asks until each of them was asked."""
            ask(vault)
            return pids <= {span.resource["service.instance.id"].rpartition("-")[2] for span in collector.spans}

        first = await_true(lambda: workers(vault) if len(workers(vault)) == 2 else None)
        await_true(lambda: seen(first))
        vault.process.send_signal(signal.SIGHUP)
        second = await_true(lambda: workers(vault) if workers(vault).isdisjoint(first) else None)
        await_true(lambda: seen(second))
        asked = {ask(vault) for _ in range(20)}
        assert ended_in_time(vault)
    assert asked <= {span.trace_id for span in collector.spans}


@pytest.mark.parametrize("behave", ["hang", "refuse"])
def test_a_bad_collector_costs_no_request_and_one_line(start, standing, behave):
    standing.ada.write("traced/db")
    with collecting(behave) as collector, start(collector.url) as vault:
        for _ in range(QUEUE_SPANS // 2 + 50):  # each of them two spans at least
            ask(vault, "/v1/secrets/traced/db")
        assert collector.paths
        await_true(lambda: logged(vault, "spans_lost"))
        assert ended_in_time(vault)
        [line] = logged(vault, "spans_lost")
        assert (line["level"], line["logger"]) == ("warn", "scaivault.traces")
        assert collector.url.rpartition(":")[2] not in vault.log.read_text()


def test_a_collector_that_dies_and_another_in_its_place(start, collector):
    with start(collector.url) as vault:
        collector.await_trace(ask(vault))
        collector.stop()
        for _ in range(50):
            ask(vault)
        await_true(lambda: logged(vault, "spans_lost"))
        with collecting(port=int(collector.url.rpartition(":")[2])) as another:
            another.await_true(lambda: ask(vault) and another.spans)
        assert len(logged(vault, "spans_lost")) == 1
