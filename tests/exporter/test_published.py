"""What lies in Redis is read back as it was left, or not at all."""

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from scaivault.edge.metrics import CACHE_SECONDS, ClusterSeries
from scaivault.kernel.errors import Unavailable
from scaivault.observability.catalogue.dependencies import KMS_KEY_USABLE
from scaivault.observability.catalogue.features import SECRETS, SECRETS_TOTAL, TOP_READERS
from scaivault.observability.catalogue.requests import BUILD_INFO, RATE_LIMIT_BUCKET_FILL
from scaivault.observability.catalogue.vocabulary import CAP, MOST_BUCKETS, OVERFLOW
from scaivault.observability.exposition import append, gauge, render
from scaivault.observability.published import MOST_BYTES, MOST_SECONDS, Part, Unsound, decode, encode, still_good
from tests.exporter.clocks import HandClock

NOW = 1_800_000_000.0
PATIENCE_SECONDS = 10


def samples(families):
    return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


def part(series=SECRETS, rows=((("tnt_a",), 7.0),), good_until=NOW + 45):
    return Part(good_until, [gauge(series, rows)])


@given(
    st.lists(
        st.tuples(st.text('abc_/:@.é"\\', max_size=20), st.floats(allow_nan=False, allow_infinity=False)),
        max_size=CAP,
        unique_by=lambda row: row[0],
    )
)
def test_what_goes_in_comes_out(rows):
    families = [gauge(SECRETS, [((tenant,), count) for tenant, count in rows]), gauge(KMS_KEY_USABLE, [((), 1.0)])]
    read = decode(encode([Part(NOW, families)]))
    assert [each.good_until for each in read] == [NOW]
    assert samples(read[0].families) == samples(families)
    assert [family.documentation for family in read[0].families] == [SECRETS.help, KMS_KEY_USABLE.help]


def spelled(**series):
    return json.dumps({"parts": [{"good_until": NOW, "series": series}]}).encode()


HOSTILE = {
    "nothing": b"",
    "no JSON": b"# TYPE scaivault_secrets gauge",
    "no UTF-8": b"\xff\xfe",
    "another shape": b"[]",
    "no parts": b"{}",
    "parts that are none": b'{"parts": 7}',
    "a part that is none": b'{"parts": ["x"]}',
    "series that are none": b'{"parts": [{"good_until": 1, "series": []}]}',
    "no time": b'{"parts": [{"series": {}}]}',
    "a time that is none": b'{"parts": [{"good_until": "now", "series": {}}]}',
    "a huge time": b'{"parts": [{"good_until": 1' + b"0" * 400 + b', "series": {}}]}',
    "a name twice": b'{"parts": [{"good_until": 1, "series": {"scaivault_secrets": [], "scaivault_secrets": []}}]}',
    "deep": b'{"parts": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "an unknown series": spelled(scaivault_invented=[[[], 1]]),
    "a series of a process": spelled(**{BUILD_INFO.name: [[["1", "2", "3"], 1]]}),
    "too few labels": spelled(scaivault_secrets=[[[], 1]]),
    "too many labels": spelled(scaivault_secrets=[[["a", "b"], 1]]),
    "a label that is no text": spelled(scaivault_secrets=[[[7], 1]]),
    "a line feed in a label": spelled(scaivault_secrets=[[['a"} 1\nup 1'], 1]]),
    "half a character": spelled(scaivault_secrets=[[["\ud800"], 1]]),
    "a long label": spelled(scaivault_secrets=[[["a" * 501], 1]]),
    "a value that is none": spelled(scaivault_secrets=[[["a"], "1"]]),
    "a value that is a flag": spelled(scaivault_secrets=[[["a"], True]]),
    "no value": spelled(scaivault_secrets=[[["a"]]]),
    "a sample twice": spelled(scaivault_secrets=[[["a"], 1], [["a"], 2]]),
    "an unknown category": spelled(scaivault_rate_limit_bucket_fill=[[["invented", "a"], 1]]),
    "too many tenants": spelled(scaivault_secrets=[[[str(n)], 1] for n in range(CAP + 1)]),
    "too many readers": spelled(scaivault_top_readers=[[[str(n)], 1] for n in range(21)]),
    "not a number": b'{"parts": [{"good_until": 1, "series": {"scaivault_secrets": [[["a"], NaN]]}}]}',
    "infinite": b'{"parts": [{"good_until": 1, "series": {"scaivault_secrets": [[["a"], 1e999]]}}]}',
    "too large": encode([part()]) + b" " * MOST_BYTES,
    "one series in two parts": encode([part(), part()]),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_what_no_exporter_publishes_is_nothing(raw):
    with pytest.raises(Unsound):
        decode(raw)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_whatever_lies_there_is_read_or_unsound(raw):
    try:
        parts = decode(raw)
    except Unsound:
        return
    assert still_good(parts, NOW) == []


def test_the_overflow_has_a_place_beside_the_most_there_can_be():
    rows = [((str(n),), 1.0) for n in range(CAP)]
    assert len(samples(decode(encode([part(rows=[*rows, ((OVERFLOW,), 2.0)])]))[0].families)) == CAP + 1


def test_buckets_are_bounded_by_category():
    rows = [((category, str(n)), 0.5) for category in ("read", "write") for n in range(MOST_BUCKETS)]
    assert decode(encode([part(RATE_LIMIT_BUCKET_FILL, rows)]))


def test_a_part_is_told_until_its_time_and_none_is_good_for_ever():
    parts = [part(good_until=NOW), part(TOP_READERS, good_until=NOW + MOST_SECONDS)]
    assert [family.name for family in still_good(parts, NOW)] == [SECRETS.name, TOP_READERS.name]
    assert [family.name for family in still_good(parts, NOW + 0.1)] == [TOP_READERS.name]
    assert still_good([part(good_until=NOW + MOST_SECONDS + 1)], NOW) == []


@pytest.mark.parametrize(
    ("accept", "parse"),
    [("", text_families), ("application/openmetrics-text; version=1.0.0", openmetrics_families)],
)
def test_both_formats_are_whole_with_what_is_appended(accept, parse):
    body, content_type = render([gauge(BUILD_INFO, [(("1", "2", "3"), 1.0)])], accept)
    both = [gauge(SECRETS_TOTAL, [(("tnt_a",), 7.0)]), gauge(SECRETS, [(("tnt_a",), 7.0)])]
    found = list(parse(append(body, content_type, both).decode()))
    assert [family.name for family in found] == [BUILD_INFO.name, SECRETS_TOTAL.name, SECRETS.name]
    assert append(body, content_type, []) == body


class Board:
    """A blackboard in memory: away, hanging or with anything on it."""

    def __init__(self):
        self.content = encode([part()])
        self.is_away = False
        self.reads = 0
        self.gate = threading.Event()
        self.gate.set()

    def read(self, _key, most_bytes):
        self.reads += 1
        assert self.gate.wait(PATIENCE_SECONDS)
        if self.is_away:
            raise Unavailable
        return self.content if len(self.content or b"") <= most_bytes else None

    def close(self):
        self.gate.set()


@pytest.fixture
def board():
    return Board()


@pytest.fixture
def wall():
    return HandClock(NOW)


@pytest.fixture
def monotonic():
    return HandClock()


@pytest.fixture
def cluster(board, wall, monotonic):
    cluster = ClusterSeries(board, PATIENCE_SECONDS, wall, monotonic)
    yield cluster
    cluster.close()


def names(cluster):
    return [family.name for family in cluster.families()]


def test_the_board_is_asked_once_a_second(cluster, board, monotonic):
    assert [names(cluster), names(cluster)] == [[SECRETS.name]] * 2
    assert board.reads == 1
    board.content = None
    monotonic.forward(CACHE_SECONDS)
    assert names(cluster) == []
    assert board.reads == 2


def test_what_was_kept_is_withdrawn_in_time(cluster, wall):
    assert names(cluster) == [SECRETS.name]
    wall.forward(46)
    assert names(cluster) == []


def test_a_board_that_is_away_is_no_error_and_what_is_known_is_told_while_it_is_good(cluster, board, wall, monotonic):
    assert names(cluster) == [SECRETS.name]
    board.is_away = True
    monotonic.forward(CACHE_SECONDS)
    assert names(cluster) == [SECRETS.name]
    wall.forward(46)
    monotonic.forward(CACHE_SECONDS)
    assert names(cluster) == []


@pytest.mark.parametrize("content", [b"rubbish", b"x" * (MOST_BYTES + 1)])
def test_what_is_unsound_is_left_out(cluster, board, monotonic, content):
    assert names(cluster) == [SECRETS.name]
    board.content = content
    monotonic.forward(CACHE_SECONDS)
    assert names(cluster) == []


def test_a_board_that_hangs_is_asked_once_and_waited_for_briefly(board, wall, monotonic):
    cluster = ClusterSeries(board, 0.01, wall, monotonic)
    board.gate.clear()
    for _ in range(5):
        assert cluster.families() == []
        monotonic.forward(CACHE_SECONDS)
    assert board.reads == 1
    cluster.close()
