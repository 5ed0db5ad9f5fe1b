"""What a span may say, and what is said of spans that are lost."""

import time

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags

from scaivault.observability.traces import statements
from scaivault.observability.traces.export import ATTRIBUTES, Cleared, Losses, Queue, Sender
from scaivault.observability.traces.sampling import Sampling
from scaivault.observability.traces.tracing import Collector, Service, Tracing
from scaivault.outbound.errors import NoDocument
from scaivault.outbound.sessions import plain_session
from tests.otlp import collecting

PLANTED = "hunter2-planted"


class Kept(SpanProcessor):
    def __init__(self):
        self.spans = []

    def on_end(self, span):
        self.spans.append(span)


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def tracer(kept):
    provider = TracerProvider(resource=Resource({"host.name": PLANTED}), shutdown_on_exit=False)
    queue = Queue(100, Losses(lambda *_, **__: None))
    provider.add_span_processor(Cleared(kept, queue, Resource({"service.name": "scaivault"})))
    return provider.get_tracer("test")


def test_what_is_not_on_the_list_does_not_leave(tracer, kept):
    other = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))
    span = tracer.start_span(f"GET /v1/secrets/{PLANTED}", kind=SpanKind.SERVER, links=[Link(other, {"link": PLANTED})])
    for name in (
        "http.target",
        "url.path",
        "url.query",
        "http.url",
        "http.user_agent",
        "net.peer.ip",
        "client.address",
        "server.address",
    ):
        span.set_attribute(name, PLANTED)
    span.set_attribute("http.request.header.authorization", [PLANTED])
    span.set_attribute("http.request.method", "GET")
    span.record_exception(ValueError(PLANTED), {"more": PLANTED})
    span.add_event(PLANTED)
    span.set_status(StatusCode.ERROR, f"ValueError: {PLANTED}")
    span.end()
    [cleared] = kept.spans
    assert PLANTED not in cleared.to_json()
    assert cleared.name == "GET unmatched"
    assert dict(cleared.attributes) == {"http.request.method": "GET"}
    assert (cleared.status.status_code, cleared.status.description) == (StatusCode.ERROR, None)


def test_an_error_code_of_ours_does(tracer, kept):
    span = tracer.start_span("x")
    span.set_status(StatusCode.ERROR, "service_unavailable")
    span.end()
    assert kept.spans[0].status.description == "service_unavailable"


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in ATTRIBUTES.items() for name in sorted(names)]
)
def test_a_credential_is_masked_wherever_it_stands(tracer, kept, kind, name):
    span = tracer.start_span("x", kind=kind)
    span.set_attribute(name, f"skt_{PLANTED} Bearer {PLANTED} https://user:{PLANTED}@host/")
    span.end()
    assert PLANTED not in kept.spans[0].to_json()
    assert "***" in kept.spans[0].attributes[name]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("\n  SELECT a\n    FROM secrets\n   WHERE path = %(path)s", "SELECT secrets"),
        ("INSERT INTO audit_log (a) VALUES (%(a)s)", "INSERT audit_log"),
        ("UPDATE tenants SET a = %(a)s", "UPDATE tenants"),
        ("DELETE FROM tokens WHERE a = %(a)s", "DELETE tokens"),
        ("WITH found AS (SELECT a FROM secrets) SELECT a FROM found", "WITH secrets"),
        ("COMMIT", "COMMIT"),
        ("", ""),
    ],
)
def test_a_statement_is_named_by_verb_and_table(query, name):
    assert statements.summary(query) == name


def test_a_statement_is_shown_on_one_line_and_bounded():
    shown = statements.attributes("SELECT a\n      FROM b" + " " * 9 + "WHERE x" * 1_000)
    assert shown["db.query.text"].startswith("SELECT a FROM b WHERE x")
    assert len(shown["db.query.text"]) == statements.MOST_CHARACTERS


class TestSender:
    @pytest.fixture
    def told(self):
        return []

    @pytest.fixture
    def clock(self):
        return [1_000.0]

    @pytest.fixture
    def send(self, tracer, kept, told, clock):
        """Sends one span to a collector that behaves so; the result."""

        def log(level, event, _failure=None, /, **fields):
            told.append((level, event, fields))

        with collecting() as collector:
            headers = {"Authorization": f"Bearer {PLANTED}"}
            queue = Queue(100, Losses(log, lambda: clock[0]))
            sender = Sender(collector.url + "/", headers, None, plain_session(), queue)

            def send(behave):
                collector.behave = behave
                tracer.start_span("x").end()
                return sender.export([kept.spans[-1]])

            send.collector = collector
            yield send
            sender.shutdown()

    def test_spans_go_where_the_protocol_says_with_what_the_collector_knows_us_by(self, send, told):
        assert send("take") is SpanExportResult.SUCCESS
        assert send.collector.paths == ["/v1/traces"]
        assert send.collector.headers[0]["authorization"] == f"Bearer {PLANTED}"
        assert [span.name for span in send.collector.spans] == ["x"]
        assert told == []

    def test_a_collector_that_refuses_is_told_of_once_a_minute(self, send, told, clock):
        for _ in range(5):
            assert send("refuse") is SpanExportResult.FAILURE
        assert told == [("warn", "spans_lost", {"count": 1})]
        clock[0] += 60
        send("refuse")
        assert told[1:] == [("warn", "spans_lost", {"count": 5})]
        send("take")
        assert len(told) == 2


class TestQueue:
    @pytest.fixture
    def told(self):
        return []

    @pytest.fixture
    def queue(self, told):
        return Queue(3, Losses(lambda *_, count: told.append(count), lambda: 1_000.0))

    def test_who_finds_no_place_is_lost_and_told_of_once(self, queue, told):
        assert [queue.enter() for _ in range(5)] == [True, True, True, False, False]
        assert told == [1]

    def test_there_is_room_again_for_as_many_as_have_left(self, queue, told):
        for _ in range(3):
            queue.enter()
        queue.leave(2, arrived=True)
        assert [queue.enter() for _ in range(3)] == [True, True, False]
        assert told == [1]

    def test_a_span_without_a_place_is_not_passed_on(self, kept, queue):
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(Cleared(kept, queue, Resource({})))
        for _ in range(5):
            provider.get_tracer("test").start_span("x").end()
        assert len(kept.spans) == 3


class TestCalls:
    @pytest.fixture
    def collector(self):
        with collecting() as started:
            yield started

    @pytest.fixture
    def tracing(self, collector):
        made = Tracing(
            Service("of tests", "1"),
            Collector(collector.url, {}, None),
            Sampling(1),
            plain_session,
            lambda *_, **__: None,
        )
        made.open()
        yield made
        made.close()

    def test_one_to_another_system_that_no_request_waits_for_is_a_trace_of_its_own(self, tracing, collector):
        details = {"server.address": "idp.example", "http.response.status_code": 503}
        tracing.outbound("GET", time.perf_counter(), NoDocument(PLANTED), **details)
        tracing.close()
        [span] = collector.spans
        assert (span.name, span.kind, span.parent_id, span.failed, span.error) == ("GET", "CLIENT", "", True, "")
        assert span.attributes == {"http.request.method": "GET", "error.type": "NoDocument", **details}
        assert not any(PLANTED.encode() in raw for raw in collector.raw)

    def test_any_other_that_belongs_to_no_request_is_not_told(self, tracing, collector):
        for tell in (tracing.database, tracing.redis, tracing.kms):
            tell("SELECT 1", time.perf_counter())
        tracing.close()
        assert collector.spans == []

    def test_a_span_lasts_as_long_as_the_call_did(self, tracing, collector):
        tracing.outbound("GET", time.perf_counter() - 3)
        tracing.close()
        [span] = collector.spans
        assert 3e9 <= span.ended - span.started < 60e9

    def test_what_is_closed_may_be_closed_again(self, tracing):
        tracing.close()
        tracing.close()
