"""The documented endpoint is whole: what the exporter left in Redis is told by the API, and never at its expense."""

import http.client
import os
import signal
import time

import pytest
import redis
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from scaivault.observability.catalogue.features import SECRETS, SECRETS_TOTAL
from scaivault.observability.exposition import gauge
from scaivault.observability.published import KEY, MOST_BYTES, Part, encode
from tests.house import opened

PATIENCE_SECONDS = 10


@pytest.fixture
def house(database_url, redis_url, tmp_path):
    with opened(database_url, redis_url, tmp_path, METRICS_AUTH="none") as opened_house:
        yield opened_house


@pytest.fixture
def lying_there(redis_url):
    """Put something where the exporter leaves what it knows."""
    with redis.Redis.from_url(redis_url) as client:
        yield lambda content: client.set(KEY, content)


def published(seconds=45):
    families = [gauge(series, [(("tnt_a",), 7.0)]) for series in (SECRETS_TOTAL, SECRETS)]
    return encode([Part(time.time() + seconds, families)])


def families(house, query="", accept="", parse=text_families):
    answer = house.client.get(f"/v1/metrics{query}", headers={"Accept": accept})
    assert answer.status_code == 200
    return {family.name: family for family in parse(answer.text)}


@pytest.mark.parametrize(
    ("accept", "parse"), [("", text_families), ("application/openmetrics-text; version=1.0.0", openmetrics_families)]
)
def test_it_is_told_in_either_format(house, lying_there, accept, parse):
    lying_there(published())
    found = families(house, accept=accept, parse=parse)
    assert found["scaivault_secrets"].samples[0].value == 7
    assert found["scaivault_secrets_total"].type == "gauge"
    assert "scaivault_db_latency_seconds" in found


def test_a_scraper_of_pods_leaves_it_out(house, lying_there):
    lying_there(published())
    found = families(house, "?scope=pod")
    assert "scaivault_db_latency_seconds" in found
    assert "scaivault_secrets" not in found


@pytest.mark.parametrize("query", ["?scope=cluster", "?scope=", "?scop=pod", "?scope=pod&scope=pod", "?scope=pod&x=1"])
def test_any_other_query_is_refused(house, query):
    assert house.client.get(f"/v1/metrics{query}").status_code in {400, 422}


@pytest.mark.parametrize("content", [b"rubbish", b"x" * (MOST_BYTES + 1), published(-1), published(10_000), b""])
def test_what_is_unsound_too_large_or_too_old_is_left_out(house, lying_there, content):
    lying_there(content)
    found = families(house)
    assert "scaivault_db_latency_seconds" in found
    assert "scaivault_secrets" not in found


def test_a_redis_that_does_not_answer_costs_the_page_nothing_but_this(house, redis_server, lying_there):
    lying_there(published())
    os.kill(redis_server.process.pid, signal.SIGSTOP)
    try:
        found = families(house)
    finally:
        os.kill(redis_server.process.pid, signal.SIGCONT)
    assert "scaivault_db_latency_seconds" in found
    assert "scaivault_secrets" not in found


def test_the_internal_listener_tells_the_same(house, lying_there):
    lying_there(published())

    def ask(path):
        address = house.services.internal._server.server_address
        connection = http.client.HTTPConnection(*address[:2], timeout=PATIENCE_SECONDS)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    assert 'scaivault_secrets{tenant="tnt_a"} 7.0' in ask("/v1/metrics")[1]
    status, body = ask("/v1/metrics?scope=pod")
    assert (status, "scaivault_secrets{" in body) == (200, False)
    assert ask("/v1/metrics?scope=pot")[0] == 400
