"""What a worker does as a collector sees it: in the trace of what caused it, and without a word that could be a secret."""

import uuid

import pytest

from tests.house import furnish, opened
from tests.http.test_rotation import generator, policy, under
from tests.http.test_webhooks import hook, receiver, working
from tests.otlp import collecting
from tests.receiver import status

__all__ = ["receiver"]

INTERNAL = {
    "error.type",
    "http.response.status_code",
    "scaivault.attempt",
    "scaivault.count",
    "scaivault.event_type",
    "scaivault.job",
    "scaivault.request_id",
    "scaivault.tenant_id",
    "scaivault.webhook_id",
}


class Site:
    def __init__(self, house, ada, worker, collector):
        self.house, self.ada, self.worker, self.collector = house, ada, worker, collector

    def await_work(self, check):
        """The worker's spans once `check` is content with them."""

        def there():
            spans = [span for span in self.collector.spans if span.kind == "INTERNAL" and span.name in NAMES]
            return spans if check(spans) else None

        return self.collector.await_true(there)


NAMES = {"job", "delivery", "rotation"}


def named(spans, name):
    return [span for span in spans if span.name == name]


@pytest.fixture
def collector():
    with collecting() as made:
        yield made


@pytest.fixture
def site(database_url, redis_url, tmp_path, collector):
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "TRACES_SAMPLE_RATIO": "1"}
    with opened(database_url, redis_url, tmp_path, **settings) as house:
        ada, _ = furnish(house)
        with working(house) as worker:
            yield Site(house, ada, worker, collector)


def test_a_delivery_is_in_the_trace_of_the_request_that_caused_it(site, receiver):
    webhook, trace_id = hook(site.ada, receiver), uuid.uuid4()
    body = {"data": {"password": "planted"}}
    site.ada.put("/v1/secrets/planted/db", body, headers={"X-Request-ID": str(trace_id)})
    [span] = named(site.await_work(lambda spans: named(spans, "delivery")), "delivery")
    assert (span.trace_id, span.parent_id, span.failed) == (trace_id.hex, "", False)
    assert span.attributes == {
        "scaivault.tenant_id": "tnt_a",
        "scaivault.webhook_id": webhook,
        "scaivault.event_type": "secret.created",
        "scaivault.request_id": str(trace_id),
        "scaivault.attempt": 1,
        "http.response.status_code": 200,
    }
    assert 0 < span.ended - span.started < 60e9


def test_one_that_fails_says_so_in_a_word(site, receiver):
    receiver.behave = status(503)
    hook(site.ada, receiver)
    site.ada.write("app/db")
    [span] = named(site.await_work(lambda spans: named(spans, "delivery")), "delivery")
    assert (span.failed, span.error, span.attributes["error.type"]) == (True, "", "rejected")
    assert span.attributes["http.response.status_code"] == 503


def test_a_rotation_its_events_and_their_deliveries_are_one_trace(site, receiver):
    hook(site.ada, receiver, events=["secret.rotated"])
    one = policy(site.ada, secret_policy_id=generator(site.ada), auto_generate=True)
    under(site.ada, "app/db", one)
    site.house.clock.forward(days=30, seconds=1)
    site.worker.crew.wake("rotation")
    spans = site.await_work(lambda spans: named(spans, "delivery") and named(spans, "rotation"))
    [rotation], [delivery] = named(spans, "rotation"), named(spans, "delivery")
    assert rotation.trace_id == delivery.trace_id
    [row] = [each for each in site.ada.audit(action="rotate") if each["identity_id"] == "system:rotation-scheduler"]
    assert rotation.attributes == {
        "scaivault.tenant_id": "tnt_a",
        "scaivault.request_id": row["request_id"],
        "scaivault.count": 1,
    }


def test_a_rotation_that_fails_says_why_by_a_code(site):
    one = policy(site.ada, auto_generate=True)
    under(site.ada, "app/db", one)
    site.house.clock.forward(days=30, seconds=1)
    site.worker.crew.wake("rotation")
    [span] = named(site.await_work(lambda spans: named(spans, "rotation")), "rotation")
    assert (span.failed, span.attributes["error.type"]) == (True, "no_secret_policy")


def test_a_duty_is_a_span_where_it_did_something_and_else_none(site, receiver):
    hook(site.ada, receiver)
    site.ada.write("app/db")
    spans = site.await_work(
        lambda spans: {"event_dispatch", "webhook_delivery"} <= {each.attributes.get("scaivault.job") for each in spans}
    )
    jobs = named(spans, "job")
    assert all(each.attributes["scaivault.count"] > 0 for each in jobs)
    assert not {"heartbeat", "rotation", "secret_expiry"} & {each.attributes["scaivault.job"] for each in jobs}


def test_nothing_that_is_sent_tells_of_paths_addresses_or_values(site, receiver):
    hook(site.ada, receiver, url=f"{receiver.url}?token=planted-token", name="planted-name")
    site.ada.write("planted-path/db", {"password": "planted-value"})
    spans = site.await_work(lambda spans: named(spans, "delivery"))
    assert {name for span in spans for name in span.attributes} <= INTERNAL
    sent = b"".join(raw for raw in site.collector.raw)
    assert b"planted" not in sent
    assert str(receiver.port).encode() not in sent


def test_a_receiver_hears_of_no_trace(site, receiver):
    """It is somebody else's: what we trace is not his to continue, and `request_id` leads back to it."""
    hook(site.ada, receiver)
    site.ada.write("app/db")
    [received] = receiver.await_count(1)
    assert not {"traceparent", "tracestate", "baggage"} & set(received.headers)


def test_without_a_collector_a_worker_traces_nothing(house):
    with working(house) as worker:
        assert worker.tracing is None
