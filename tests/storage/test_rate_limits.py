"""The buckets, in Redis and in memory: one behaviour, checked against a model that counts."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaivault.kernel.limits import PER_MINUTE, RateCategory
from scaivault.ratelimit.buckets import TAKE, RedisBuckets, key_of
from scaivault.ratelimit.local import LocalBuckets
from scaivault.ratelimit.sizes import MINUTE, SECOND
from scaivault.ratelimit.stats import bucket_fill
from scaivault.ratelimit.surviving import SurvivingBuckets
from scaivault.storage.redis import RedisCalls, Script

READ, WRITE = RateCategory.READ, RateCategory.WRITE
EPOCH = 1_795_000_000
TIME = b"redis.call('TIME')"
HAND_TIME = b"redis.call('LRANGE', 'hand:clock', 0, 1)"
# The same script by a clock that the test moves.
BY_HAND = Script(TAKE.text.replace(TIME, HAND_TIME), arguments=6)
# A few of a kind with nothing in common: those that divide a minute, those that do not, the least and the greatest.
LIMITS = st.sampled_from([1, 2, 7, 60, 97, 1_000, 999_983, 1_000_000_000])


def calls_to(url, connections=1):
    calls = RedisCalls(url, connections, lambda _seconds: None)
    calls.open()
    return calls


class InMemory:
    """Buckets by a clock of the test's own."""

    def __init__(self):
        self.now = EPOCH * SECOND

    def buckets(self, limits):
        return LocalBuckets(limits, lambda: Fraction(self.now, SECOND))

    def forward(self, microseconds):
        self.now += microseconds

    def close(self):
        pass


class InRedis:
    def __init__(self, url):
        self.calls = calls_to(url, connections=8)
        self.client = redis.Redis.from_url(url)
        self.now = EPOCH * SECOND
        self.forward(0)

    def buckets(self, limits):
        self.client.delete(*(key_of(category) for category in limits))
        return RedisBuckets(self.calls, limits, BY_HAND)

    def forward(self, microseconds):
        self.now += microseconds
        self.client.delete("hand:clock")
        self.client.rpush("hand:clock", *divmod(self.now, SECOND))

    def close(self):
        self.calls.close()
        self.client.close()


@pytest.fixture(params=["in Redis", "in memory"])
def place(request, redis_url):
    made = InRedis(redis_url) if request.param == "in Redis" else InMemory()
    yield made
    made.close()


def test_the_clock_that_is_replaced_is_the_only_one():
    assert TAKE.text.count(TIME) == 1


def test_a_full_bucket_gives_its_limit_at_once_and_no_more(place):
    buckets = place.buckets({READ: 3})
    assert [buckets.take(READ, "a").remaining for _ in range(3)] == [2, 1, 0]
    refused = buckets.take(READ, "a")
    assert not refused.is_granted
    assert (refused.limit, refused.remaining, refused.full_in_seconds, refused.retry_in_seconds) == (3, 0, 60, 20)


def test_units_come_back_evenly_and_not_before_their_time(place):
    buckets = place.buckets({READ: 3})
    for _ in range(3):
        buckets.take(READ, "a")
    place.forward(20 * SECOND - 1)
    refused = buckets.take(READ, "a")
    assert (refused.is_granted, refused.retry_in_seconds) == (False, 0.000001)
    place.forward(1)
    assert buckets.take(READ, "a").is_granted
    assert not buckets.take(READ, "a").is_granted


def test_a_refusal_takes_nothing(place):
    buckets = place.buckets({READ: 10})
    assert buckets.take(READ, "a", 8).is_granted
    for _ in range(5):
        assert not buckets.take(READ, "a", 3).is_granted
    assert buckets.take(READ, "a", 2).is_granted


def test_more_than_a_bucket_holds_is_never_granted(place):
    buckets = place.buckets({READ: 10})
    place.forward(10 * MINUTE)
    assert not buckets.take(READ, "a", 11).is_granted
    assert buckets.take(READ, "a", 10).is_granted


def test_what_is_given_back_is_there_again_and_never_makes_more_than_a_bucket(place):
    buckets = place.buckets({READ: 10})
    buckets.take(READ, "a", 10)
    assert buckets.take(READ, "a", -4).remaining == 4
    assert buckets.take(READ, "a", 4).is_granted
    assert buckets.take(READ, "a", -100).remaining == 10
    assert not buckets.take(READ, "a", 11).is_granted


def test_identities_and_categories_have_buckets_of_their_own(place):
    buckets = place.buckets({READ: 1, WRITE: 1})
    for category, whose in itertools.product((READ, WRITE), ("a", "b")):
        assert buckets.take(category, whose).is_granted
    assert not any(buckets.take(category, whose).is_granted for category in (READ, WRITE) for whose in ("a", "b"))


def test_many_at_once_get_no_more_than_there_is(place):
    buckets = place.buckets({READ: 50})
    with ThreadPoolExecutor(8) as threads:
        granted = list(threads.map(lambda _: buckets.take(READ, "a").is_granted, range(400)))
    assert granted.count(True) == 50


def test_a_clock_that_is_set_back_costs_a_minute_at_most(redis_url):
    place = InRedis(redis_url)
    buckets = place.buckets({READ: 60})
    buckets.take(READ, "a")
    place.forward(-3_600 * SECOND)
    assert buckets.take(READ, "a").retry_in_seconds == 1
    place.forward(SECOND)
    assert buckets.take(READ, "a").is_granted
    place.forward(MINUTE)
    assert buckets.take(READ, "a").remaining == 59
    place.close()


class Counting:
    """A token bucket as it is told of: so many units, some of which come back as time goes by. In fractions."""

    def __init__(self, limit):
        self.limit = self.units = Fraction(limit)
        self.unit_seconds = Fraction(-(-MINUTE // limit), SECOND)

    def forward(self, microseconds):
        self.units = min(self.limit, self.units + Fraction(microseconds, SECOND) / self.unit_seconds)

    def take(self, units):
        if units > self.units:
            return False
        self.units = min(self.limit, self.units - units)
        return True


class TestAgainstAModel:
    steps = st.lists(
        st.one_of(
            st.tuples(st.just("take"), st.integers(1, 4)),
            st.tuples(st.just("take share"), st.integers(1, 120)),  # of the whole bucket, in percent
            st.tuples(st.just("give back"), st.integers(1, 3)),
            st.tuples(st.just("wait"), st.integers(0, 3 * MINUTE)),
            st.tuples(st.just("wait"), st.integers(0, 3)),
            st.tuples(st.just("wait units"), st.integers(0, 3)),
        ),
        max_size=40,
    )

    @settings(
        max_examples=150,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(limit=LIMITS, steps=steps)
    def test_every_answer_is_the_models(self, place, limit, steps):
        buckets, model = place.buckets({READ: limit}), Counting(limit)
        for what, amount in steps:
            if what.startswith("wait"):
                passed = amount * (-(-MINUTE // limit)) if what == "wait units" else amount
                place.forward(passed)
                model.forward(passed)
                continue
            units = max(1, limit * amount // 100) if what == "take share" else amount
            if what == "give back":
                units = -units
            level = buckets.take(READ, "a", units)
            assert level.is_granted is model.take(units)
            assert level.remaining == int(model.units)
            assert level.full_in_seconds == pytest.approx(
                float((model.limit - model.units) * model.unit_seconds), abs=2e-6
            )

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(limit=st.integers(1, 2_000), waits=st.lists(st.integers(0, 2 * SECOND), min_size=5, max_size=200))
    def test_no_window_sees_more_than_a_bucket_and_what_comes_back_in_it(self, limit, waits):
        place = InMemory()
        buckets = place.buckets({READ: limit})
        granted = []
        for wait in waits:
            place.forward(wait)
            granted += [place.now] * sum(buckets.take(READ, "a").is_granted for _ in range(25))
        for first, last in itertools.combinations(range(0, len(granted), 7), 2):
            window = Fraction(granted[last] - granted[first], MINUTE)
            assert last - first + 1 <= limit + limit * window


class TestInRedis:
    @pytest.fixture
    def client(self, redis_url):
        with redis.Redis.from_url(redis_url) as client:
            yield client

    def test_time_is_its_own(self, redis_url, client):
        calls = calls_to(redis_url)
        RedisBuckets(calls, {READ: 60}).take(READ, "a")
        seconds, microseconds = client.time()
        assert 0 < client.zscore(key_of(READ), "a") - (seconds * SECOND + microseconds) <= SECOND
        calls.close()

    def test_many_processes_share_one_bucket(self, redis_url):
        several = [calls_to(redis_url) for _ in range(3)]
        buckets = [RedisBuckets(calls, {READ: 10}, BY_HAND) for calls in several]
        place = InRedis(redis_url)
        assert [each.take(READ, "a").remaining for each in buckets * 3] == list(range(9, 0, -1))
        for each in (*several, place):
            each.close()

    def test_it_respects_the_urls_database_and_the_prefix(self, redis_server, redis_url):
        url = redis_server.url(database=3)
        calls = calls_to(url)
        RedisBuckets(calls, {READ: 60}).take(READ, "a")
        with redis.Redis.from_url(url) as third, redis.Redis.from_url(redis_url) as first:
            assert third.keys() == [b"scaivault:limit:read"]
            assert first.keys() == []
            third.flushdb()
        calls.close()

    def test_it_ends_by_itself_when_nobody_asks(self, redis_url, client):
        calls = calls_to(redis_url)
        for limit in (1, 1_000, 60_000_000):
            RedisBuckets(calls, {READ: limit}).take(READ, f"of {limit}")
            assert 60_000 < client.pttl(key_of(READ)) <= 121_000
        calls.close()

    def test_it_keeps_those_who_were_active_within_a_minute_and_few_others(self, redis_url, client):
        place = InRedis(redis_url)
        buckets = place.buckets({READ: 60})
        for number in range(2_000):
            place.forward(MINUTE // 100)
            buckets.take(READ, f"a{number}", 30)
            assert client.zcard(key_of(READ)) <= 60
        place.close()

    @pytest.mark.parametrize(
        "whose",
        ["", "a b", "a\r\n$3\r\nfoo", "'); redis.call('FLUSHALL'); --", "é\x00\U0001f511", "x" * 10_000, "*3\r\n"],
    )
    def test_an_identity_is_never_anything_but_a_member(self, redis_url, client, whose):
        client.set("canary", "sings")
        calls = calls_to(redis_url)
        buckets = RedisBuckets(calls, {READ: 60})
        assert [buckets.take(READ, whose).remaining for _ in range(2)] == [59, 58]
        assert client.zrange(key_of(READ), 0, -1) == [whose.encode()]
        assert client.get("canary") == b"sings"
        calls.close()


class TestMemory:
    def test_it_forgets_who_was_not_seen_for_longest(self):
        buckets = LocalBuckets({READ: 1}, most=3)
        for whose in ("a", "b", "c", "d"):
            buckets.take(READ, whose)
        assert buckets.remembered == 3
        assert buckets.take(READ, "a").is_granted
        assert not buckets.take(READ, "d").is_granted

    def test_to_be_looked_at_costs_nothing_and_is_not_remembered(self):
        buckets = LocalBuckets({READ: 1})
        assert buckets.known(READ, "a").is_granted
        assert buckets.remembered == 0
        buckets.take(READ, "a")
        known = buckets.known(READ, "a")
        assert (known.is_granted, known.remaining) == (False, 0)


class TestWithoutRedis:
    """What became of a bucket that all shared when there is nobody left to ask."""

    @pytest.fixture
    def nobody(self):
        return RedisCalls("redis://127.0.0.1:1/0", 1, lambda _seconds: None)

    def test_an_own_bucket_goes_on_from_what_was_seen_and_is_counted(self, redis_url):
        calls, counted = calls_to(redis_url), []
        buckets = SurvivingBuckets(RedisBuckets(calls, {READ: 5}), LocalBuckets({READ: 5}), counted.append)
        assert [buckets.take(READ, "a").is_granted for _ in range(6)] == [True] * 5 + [False]
        assert counted == []
        calls.close()
        assert not buckets.take(READ, "a").is_granted
        assert [buckets.take(READ, "b").is_granted for _ in range(6)] == [True] * 5 + [False]
        assert counted == ["read"] * 7

    def test_it_decides_again_when_it_is_back(self, redis_url):
        calls, counted = calls_to(redis_url), []
        calls.close()
        buckets = SurvivingBuckets(RedisBuckets(calls, {READ: 5}), LocalBuckets({READ: 5}), counted.append)
        buckets.take(READ, "a")
        calls.open()
        assert buckets.take(READ, "a").remaining == 4
        assert counted == ["read"]
        calls.close()

    def test_a_key_that_is_something_else_is_no_matter(self, redis_url):
        calls, counted = calls_to(redis_url), []
        buckets = SurvivingBuckets(RedisBuckets(calls, {READ: 5}), LocalBuckets({READ: 5}), counted.append)
        with redis.Redis.from_url(redis_url) as client:
            client.set(key_of(READ), "something else")
            assert [buckets.take(READ, "a").remaining for _ in range(2)] == [4, 3]
            assert counted == ["read"] * 2
            client.delete(key_of(READ))
        assert buckets.take(READ, "a").remaining == 4
        assert counted == ["read"] * 2
        calls.close()

    def test_one_that_was_never_there_is_no_matter(self, nobody):
        counted = []
        buckets = SurvivingBuckets(RedisBuckets(nobody, {READ: 2}), LocalBuckets({READ: 2}), counted.append)
        nobody.open()
        assert [buckets.take(READ, "a").is_granted for _ in range(3)] == [True, True, False]
        assert counted == ["read"] * 3


class TestFill:
    @pytest.fixture
    def client(self, redis_url):
        with redis.Redis.from_url(redis_url) as client:
            yield client

    def fill(self, client):
        [family] = bucket_fill(client)
        return {(each.labels["category"], each.labels["identity"]): each.value for each in family.samples}

    def test_nobody_is_nothing(self, client):
        assert self.fill(client) == {}

    def test_it_is_the_share_that_is_left(self, redis_url, client):
        calls = calls_to(redis_url)
        buckets = RedisBuckets(calls, dict(PER_MINUTE))
        buckets.take(READ, "tnt_a/user:ada", 250)
        buckets.take(WRITE, "tnt_a/user:ada", 100)
        found = self.fill(client)
        assert found.keys() == {("read", "tnt_a/user:ada"), ("write", "tnt_a/user:ada")}
        assert found["read", "tnt_a/user:ada"] == pytest.approx(0.75, abs=0.05)
        assert found["write", "tnt_a/user:ada"] == pytest.approx(0, abs=0.05)
        calls.close()

    def test_the_emptiest_are_named_and_the_rest_is_one(self, redis_url, client):
        calls = calls_to(redis_url)
        buckets = RedisBuckets(calls, dict(PER_MINUTE))
        for number in range(1, 31):
            buckets.take(READ, f"t/i{number:02}", 30 * number)
        found = self.fill(client)
        assert len(found) == 21
        assert {identity for _, identity in found} == {f"t/i{number:02}" for number in range(11, 31)} | {"__other__"}
        assert found["read", "__other__"] == pytest.approx(0.97, abs=0.05)
        assert min(found, key=found.get) == ("read", "t/i30")
        calls.close()

    def test_no_client_address_is_ever_shown(self, redis_url, client):
        calls = calls_to(redis_url)
        buckets = RedisBuckets(calls, dict(PER_MINUTE))
        buckets.take(RateCategory.FAILED_AUTH, "203.0.113.9", 50)
        buckets.take(RateCategory.OPEN, "203.0.113.9", 50)
        assert self.fill(client) == {}
        calls.close()

    def test_one_who_was_last_seen_a_while_ago_has_a_full_bucket(self, client):
        client.zadd(key_of(READ), {"t/i": (time.time() - 5) * SECOND})
        assert self.fill(client) == {("read", "t/i"): 1.0}
