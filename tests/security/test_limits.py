"""Nobody gets a second bucket by looking like somebody else, and no number of faces fills any memory."""

import itertools

import pytest
import redis

from scaivault.kernel.limits import RateCategory
from scaivault.ratelimit.buckets import RedisBuckets, key_of
from scaivault.ratelimit.local import MOST_REMEMBERED, LocalBuckets
from scaivault.ratelimit.stats import bucket_fill
from scaivault.ratelimit.surviving import SurvivingBuckets
from scaivault.settings import RATE_LIMIT_PREFIX
from scaivault.storage.redis import RedisCalls
from tests.house import TENANT, furnish, opened
from tests.security.conftest import TRUSTED, UNTRUSTED
from tests.security.wire import serving

WHOAMI = "/v1/auth/whoami"
FORGED = "skt_" + "B" * 43
FACES = 100_000
MANY = RateCategory.READ


@pytest.fixture(scope="module")
def guarded(standing, tmp_path_factory):
    """gunicorn with a handful of failures and of open calls for each address, and a proxy that it trusts."""
    limits = {f"{RATE_LIMIT_PREFIX}{name}": "4" for name in ("FAILED_AUTH", "OPEN")}
    folder = tmp_path_factory.mktemp("guarded")
    with serving(standing.house, standing.ada.token, folder, TRUSTED_PROXIES=f"{TRUSTED}/32", **limits) as started:
        yield started


@pytest.fixture
def fresh(redis_server):
    """Nobody has used anything up."""
    with redis.Redis.from_url(redis_server.url()) as client:
        client.flushall()


class TestAddresses:
    """The numbers in the addresses are a test's own: this process remembers who it has seen out of units."""

    @pytest.mark.parametrize(
        "header",
        [
            "X-Forwarded-For: 203.0.113.{}",
            "X-Real-IP: 203.0.113.{}",
            "Forwarded: for=203.0.113.{}",
            "X_Forwarded_For: 203.0.113.{}",
            "True-Client-IP: 203.0.113.{}",
        ],
    )
    @pytest.mark.parametrize(
        ("address", "token", "usual"), [("/v1/version", None, 200), (WHOAMI, FORGED, 401)], ids=["open", "failed"]
    )
    def test_a_stranger_has_one_bucket_whatever_he_says_of_himself(self, guarded, fresh, header, address, token, usual):
        lines = [f"Authorization: Bearer {token}"] if token else []
        statuses = [
            guarded.ask("GET", address, None, [*lines, header.format(number)], UNTRUSTED, token=None).status
            for number in range(1, 9)
        ]
        assert statuses.count(429) >= 4
        assert set(statuses) <= {usual, 429}

    def test_a_proxy_that_is_trusted_speaks_for_each_of_its_clients(self, guarded, fresh):
        def ask(client):
            header = f"X-Forwarded-For: {client}"
            return guarded.ask("GET", "/v1/version", None, [header], TRUSTED, token=None).status

        assert [ask("198.51.100.1") for _ in range(5)] == [200] * 4 + [429]
        assert ask("198.51.100.2") == 200
        assert ask("198.51.100.9, 198.51.100.1") == 429

    def test_no_address_is_in_any_metric_or_log_line_of_it(self, guarded, fresh):
        for _ in range(6):
            guarded.ask("GET", "/v1/version", None, ["X-Forwarded-For: 198.51.100.77"], TRUSTED, token=None)
        assert "198.51.100.77" not in guarded.log.read_text()


def test_another_spelling_of_an_identity_is_no_other_bucket(database_url, redis_url, tmp_path):
    with opened(database_url, redis_url, tmp_path, RATE_LIMIT_AUTH="5") as house:
        furnish(house)
        spellings = ("user:Eve@A.example", "user:eve@a.example", "user:EVE@A.EXAMPLE")
        voices = [house.someone(each) for each in spellings]
        left = [int(each.get(WHOAMI).headers["X-RateLimit-Remaining"]) for each in voices]
        assert left == [4, 3, 2]


def test_a_tenants_name_can_not_be_made_to_run_into_an_identitys(database_url, redis_url, tmp_path):
    """`<tenant>/<identity>` has one reading: a tenant's id has no slash."""
    with opened(database_url, redis_url, tmp_path) as house:
        furnish(house)
        house.someone("user:a/b@a.example").get(WHOAMI)
        with redis.Redis.from_url(redis_url) as client:
            members = client.zrange(key_of(RateCategory.AUTH), 0, -1)
        assert f"{TENANT}/user:a/b@a.example".encode() in members


def test_no_token_is_in_redis(database_url, redis_url, tmp_path):
    with opened(database_url, redis_url, tmp_path) as house:
        ada, _ = furnish(house)
        ada.write("app/db", {"password": "hunter2-planted"})
        ada.get("/v1/secrets/app/db")
        house.voice(FORGED).get(WHOAMI)
        with redis.Redis.from_url(redis_url) as client:
            keys = client.keys()
            members = b" ".join(itertools.chain.from_iterable(client.zrange(key, 0, -1) for key in keys))
        assert keys
        assert all(key.startswith(b"scaivault:limit:") for key in keys)
        for secret in (ada.token, FORGED, "hunter2", "app/db", "skt_"):
            assert secret.encode() not in members


@pytest.fixture(scope="module")
def crowd(redis_server):
    """A hundred thousand identities, each of which has asked once."""
    with redis.Redis.from_url(redis_server.url()) as client:
        client.flushall()
        calls = RedisCalls(redis_server.url(), 1, lambda _seconds: None)
        calls.open()
        local = LocalBuckets({MANY: 1_000})
        buckets = SurvivingBuckets(RedisBuckets(calls, {MANY: 1_000}), local, lambda _category: None)
        before = client.info("memory")["used_memory"]
        for number in range(FACES):
            buckets.take(MANY, f"tnt_crowd/user:someone-{number:06}@crowd.example")
        yield client, local, client.info("memory")["used_memory"] - before
        calls.close()


class TestManyFaces:
    def test_redis_holds_those_of_the_last_minute_only(self, crowd):
        client, _, grown = crowd
        # A unit of a thousand a minute is back after 60 ms, and then its bucket may go.
        assert client.zcard(key_of(MANY)) < FACES / 10
        assert grown < 10_000_000

    def test_a_process_holds_a_fixed_number(self, crowd):
        _, local, _ = crowd
        assert local.remembered == MOST_REMEMBERED

    def test_the_exporter_shows_a_few(self, crowd):
        client, *_ = crowd
        [family] = bucket_fill(client)
        assert len(family.samples) <= 21
