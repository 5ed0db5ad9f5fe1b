"""What the exporter's pages say and what it leaves in Redis: of the catalogue, of this term, and no more."""

import json
import threading

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from exporter.itself import Itself
from exporter.publication import Publisher, TooLarge
from exporter.server import Pages
from exporter.snapshot import INTERVALS_TO_KEEP, Collector, Watch
from scaivault.observability.catalogue import CATALOGUE
from scaivault.observability.catalogue.dependencies import KMS_KEY_LAST_ROTATION, KMS_KEY_USABLE
from scaivault.observability.catalogue.features import (
    BACKGROUND_WORKERS,
    ROTATION_OLDEST_DUE_SECONDS,
    ROTATION_QUEUE_DEPTH,
    SECRETS,
    SECRETS_ROTATION_FAILING,
    SECRETS_ROTATION_OVERDUE,
    SECRETS_TOTAL,
    SUBSCRIPTIONS_SUSPENDED,
    TOP_READERS,
    WEBHOOK_OLDEST_PENDING_SECONDS,
    WEBHOOK_QUEUE_DEPTH,
)
from scaivault.observability.catalogue.requests import RATE_LIMIT_BUCKET_FILL
from scaivault.observability.catalogue.series import Maker, Scope
from scaivault.observability.catalogue.vocabulary import BUCKETS_SECONDS, COLLECTORS
from scaivault.observability.exposition import gauge
from scaivault.observability.published import KEY, decode
from tests.exporter.clocks import HandClock

INTERVAL = 15.0
WALL = 1_800_000_000.0
MADE_HERE = {series.name: series for series in CATALOGUE if Maker.EXPORTER in series.made_by}
LOOKS = {
    "secrets": lambda: [gauge(series, [(("tnt_a",), 7.0)]) for series in (SECRETS_TOTAL, SECRETS)],
    "readers": lambda: [gauge(TOP_READERS, [(("tnt_a/user:x",), 3.0)])],
    "limits": lambda: [gauge(RATE_LIMIT_BUCKET_FILL, [(("read", "tnt_a/user:x"), 0.5)])],
    "kms": lambda: [gauge(KMS_KEY_USABLE, [((), 1.0)]), gauge(KMS_KEY_LAST_ROTATION, [((), 0.0)])],
    "webhooks": lambda: [
        gauge(series, [((), 2.0)])
        for series in (WEBHOOK_QUEUE_DEPTH, WEBHOOK_OLDEST_PENDING_SECONDS, SUBSCRIPTIONS_SUSPENDED)
    ],
    "workers": lambda: [gauge(BACKGROUND_WORKERS, [(("live",), 2.0), (("missing",), 0.0)])],
    "rotation": lambda: [
        gauge(series, [((), 1.0)])
        for series in (
            ROTATION_QUEUE_DEPTH,
            ROTATION_OLDEST_DUE_SECONDS,
            SECRETS_ROTATION_FAILING,
            SECRETS_ROTATION_OVERDUE,
        )
    ],
}


class Term:
    """1, until it is asked so often; then nobody leads."""

    def __init__(self):
        self.asked = 0
        self.ends_after = None

    def __call__(self):
        self.asked += 1
        return 1 if self.ends_after is None or self.asked <= self.ends_after else None


class Board:
    def __init__(self):
        self.written = []

    def write(self, key, content, seconds):
        self.written.append((key, content, seconds))


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def term():
    return Term()


@pytest.fixture
def board():
    return Board()


@pytest.fixture
def watches(clock, term):
    return [
        Watch(Collector(name, look), INTERVAL, term, lambda: None, print, clock, lambda: WALL)
        for name, look in LOOKS.items()
    ]


@pytest.fixture
def pages(watches, term):
    def stuck():
        return [watch.collector.name for watch in watches if watch.is_stuck()]

    return Pages(Itself(), watches, term, stuck, leads=lambda: term() is not None)


@pytest.fixture
def publisher(board, watches, term):
    return Publisher(board, watches, term, print, lambda: WALL)


def look(watches):
    assert all(watch.look(1) for watch in watches)


@pytest.mark.parametrize(
    ("accept", "parse"), [("", text_families), ("application/openmetrics-text; version=1.0.0", openmetrics_families)]
)
def test_it_tells_every_series_that_is_its_own_as_declared_and_no_other(pages, watches, accept, parse):
    look(watches)
    found = {family.name: family for family in parse(pages.metrics(accept).body.decode())}
    assert found.keys() <= MADE_HERE.keys()
    assert {name for name, series in MADE_HERE.items() if series.is_here} - found.keys() <= {
        "scaivault_rate_limit_bucket_fill"
    }
    for name, family in found.items():
        series = MADE_HERE[name]
        assert (family.type, family.documentation) == (series.kind.value, series.help)
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == series.labels.keys()
            assert all(
                isinstance(bound, int) or sample.labels[label] in bound for label, bound in series.labels.items()
            )
    assert set(LOOKS) == set(COLLECTORS)


def test_its_own_calls_are_timed_in_the_catalogue_s_buckets():
    itself = Itself()
    for seconds in (0.001, 0.0011, 3.0, 99.0):
        itself.database.observe(seconds)
    counts = {sample.labels.get("le"): sample.value for sample in itself.database.family().samples}
    bounds = [bound for bound in counts if bound]
    assert [float(bound) for bound in bounds] == [*BUCKETS_SECONDS, float("inf")]
    assert (counts["0.001"], counts["0.0025"], counts["5.0"], counts["+Inf"]) == (1, 2, 3, 4)


def told(page):
    return {sample.name for family in text_families(page.body.decode()) for sample in family.samples}


def test_what_is_withdrawn_leaves_its_age_behind(pages, watches, clock):
    look(watches)
    clock.forward(INTERVALS_TO_KEEP * INTERVAL + 1)
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_families(pages.metrics("").body.decode())
        for sample in family.samples
    }
    assert not any(MADE_HERE[name].scope is Scope.CLUSTER for name, *_ in found if name in MADE_HERE)
    assert found["scaivault_exporter_up", "secrets"] == 0
    assert found["scaivault_exporter_last_success_timestamp_seconds", "secrets"] == WALL


def test_a_leader_that_ceases_to_lead_while_it_writes_tells_nothing(pages, watches, term):
    look(watches)
    assert "scaivault_secrets" in told(pages.metrics(""))
    term.ends_after = term.asked + 1
    page = pages.metrics("")
    assert "scaivault_secrets" not in told(page)
    assert b"scaivault_exporter_leader 0.0" in page.body


def test_health_names_who_is_stuck(clock, term):
    gate, entered = threading.Event(), threading.Event()

    def hang():
        entered.set()
        gate.wait(10)
        return []

    watch = Watch(Collector("kms", hang), INTERVAL, term, lambda: None, lambda *_: None, clock, lambda: WALL)
    pages = Pages(Itself(), [watch], term, lambda: [watch.collector.name] * watch.is_stuck(), leads=lambda: True)
    watch.open()
    assert entered.wait(10)
    assert (pages.health().status, json.loads(pages.health().body)) == (200, {"status": "healthy"})
    clock.forward(watch.collector.deadline_seconds + 0.1)
    assert (pages.health().status, json.loads(pages.health().body)) == (503, {"status": "stuck", "stuck": ["kms"]})
    watch.close()
    gate.set()


def test_what_is_fresh_is_left_in_redis_with_its_time(publisher, watches, board):
    look(watches)
    publisher.publish()
    ((key, content, seconds),) = board.written
    assert (key, seconds) == (KEY, INTERVALS_TO_KEEP * INTERVAL)
    parts = decode(content)
    assert {part.good_until for part in parts} == {WALL + INTERVALS_TO_KEEP * INTERVAL}
    assert len([family for part in parts for family in part.families]) == 14


@pytest.mark.parametrize("asked_before_it_ends", [0, 1])
def test_who_does_not_lead_leaves_nothing(publisher, watches, board, term, asked_before_it_ends):
    look(watches)
    term.ends_after = term.asked + asked_before_it_ends
    publisher.publish()
    assert board.written == []


def test_nothing_to_tell_is_nothing_to_leave(publisher, board):
    publisher.publish()
    assert board.written == []


def test_what_no_reader_would_read_is_not_written(board, clock, term):
    def look():
        return [gauge(SECRETS, [((f"{number:0400}",), 1.0) for number in range(3_000)])]

    watch = Watch(Collector("secrets", look), INTERVAL, term, lambda: None, print, clock, lambda: WALL)
    assert watch.look(1)
    with pytest.raises(TooLarge):
        Publisher(board, [watch], term, print, lambda: WALL).publish()
    assert board.written == []
