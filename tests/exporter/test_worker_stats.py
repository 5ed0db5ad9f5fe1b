"""How many workers there are and how many are missed, by rows that they leave in a real database."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.storage.reading import Reading
from scaivault.workers.stats import Record, collect, count_missed
from tests.exporter.furnishing import run

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def reading(database_url):
    reading = Reading(database_url, lambda _seconds: None)
    yield reading
    reading.close()


def add_worker(url, name, *, started_ago, seen_ago):
    run(
        url,
        "INSERT INTO workers VALUES (%s, now() - make_interval(secs => %s), now() - make_interval(secs => %s))",
        name,
        started_ago,
        seen_ago,
    )


def told(reading, expected=0):
    with reading.session() as session:
        [family] = collect(session, expected)
    return {sample.labels["state"]: sample.value for sample in family.samples}


def test_nobody_is_missed_where_nobody_ever_was(reading):
    assert told(reading) == {"live": 0, "missing": 0}


def test_who_went_without_a_word_is_missed_until_another_comes(database_url, reading):
    add_worker(database_url, "stays", started_ago=500, seen_ago=1)
    add_worker(database_url, "killed", started_ago=400, seen_ago=200)
    assert told(reading) == {"live": 1, "missing": 1}
    add_worker(database_url, "comes", started_ago=100, seen_ago=1)
    assert told(reading) == {"live": 2, "missing": 0}


def test_a_worker_is_silent_for_six_heartbeats_before_it_is_missed(database_url, reading):
    add_worker(database_url, "slow", started_ago=500, seen_ago=20)
    assert told(reading) == {"live": 1, "missing": 0}
    run(database_url, "UPDATE workers SET seen_at = seen_at - interval '20 seconds'")
    assert told(reading) == {"live": 0, "missing": 1}


@pytest.mark.parametrize(("expected", "missing"), [(1, 0), (2, 1), (5, 4)])
def test_a_declared_number_is_the_only_measure(database_url, reading, expected, missing):
    add_worker(database_url, "live", started_ago=500, seen_ago=1)
    add_worker(database_url, "killed", started_ago=400, seen_ago=200)
    assert told(reading, expected) == {"live": 1, "missing": missing}


def gone(started, seen):
    return Record(NOON + timedelta(seconds=started), NOON + timedelta(seconds=seen), is_live=False)


def live(started):
    return Record(NOON + timedelta(seconds=started), NOON + timedelta(days=1), is_live=True)


def test_who_is_killed_before_its_second_heartbeat_was_there_first():
    assert count_missed([gone(0, 0)]) == 1


@given(st.lists(st.integers(0, 1_000), min_size=2, max_size=40, unique=True).map(sorted))
def test_one_that_is_restarted_over_and_over_is_one(instants):
    lives = [gone(started + 0.5, seen) for started, seen in pairwise(instants)]
    assert count_missed(lives) == 1
    assert count_missed([*lives, live(instants[-1] + 1)]) == 0


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(501, 1_000)), max_size=20))
def test_all_that_went_are_missed_and_each_that_comes_is_one_less(lives):
    records = [gone(*each) for each in lives]
    assert count_missed(records) == len(records)
    for comers in range(len(records) + 2):
        assert count_missed([*records, *map(live, range(2_000, 2_000 + comers))]) == max(0, len(records) - comers)
