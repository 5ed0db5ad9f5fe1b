"""Rate limits as clients meet them: what costs what, the headers before it is too much, and the answer when it is."""

import time

import psycopg
import pytest

from scaivault.kernel.caller import Role, Scope
from scaivault.kernel.limits import PER_MINUTE, RateCategory
from scaivault.ratelimit.local import LocalBuckets
from scaivault.settings import RATE_LIMIT_PREFIX, RATE_LIMITS
from tests.house import OTHER_TENANT, furnish, opened, partner_admin

WHOAMI = "/v1/auth/whoami"
FORGED = "skt_" + "A" * 43
ONE = "203.0.113.1"
ANOTHER = "203.0.113.2"
DEFAULTS = {RATE_LIMIT_PREFIX + name: str(limit) for name, limit in RATE_LIMITS.items()}


@pytest.fixture
def limited(database_url, redis_url, tmp_path):
    """Opens a house with these limits; the others are plenty."""
    opening = []

    def limited(**limits):
        named = {RATE_LIMIT_PREFIX + name.upper(): str(limit) for name, limit in limits.items()}
        opening.append(opened(database_url, redis_url, tmp_path, **named))
        return opening[-1].__enter__()

    yield limited
    for each in opening:
        each.__exit__(None, None, None)


def level(answer):
    """Limit, remaining, and seconds until it is full by the house's clock."""
    return int(answer.headers["X-RateLimit-Limit"]), int(answer.headers["X-RateLimit-Remaining"])


def counted(house, name, **labels):
    """What a counter stands at."""
    wanted = "".join(sorted(f'{label}="{value}"' for label, value in labels.items()))
    text = house.services.instruments.render("")[0].decode()
    found = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(f"{name}{{{wanted}}}")]
    return sum(map(float, found))


def forged(house, address, token=FORGED):
    return house.voice(token).get(WHOAMI, environ_base={"REMOTE_ADDR": address})


class TestTheDefaults:
    @pytest.fixture
    def usual(self, database_url, redis_url, tmp_path):
        with opened(database_url, redis_url, tmp_path, **DEFAULTS) as house:
            yield house

    def test_each_category_has_its_own_bucket_of_the_documented_size(self, usual):
        ada, _ = furnish(usual)
        ada.write("app/db")
        asked = {
            "read": ada.get("/v1/secrets/app/db"),
            "write": ada.put("/v1/secrets/app/db", {"data": {}}),
            "delete": ada.delete("/v1/secrets/app/none"),
            "list": ada.get("/v1/secrets"),
            "batch_read": ada.post("/v1/secrets/batch", {"paths": ["app/db"]}),
            "batch_metadata": ada.post("/v1/secrets/batch/metadata", {"paths": ["app/db"]}),
            "audit_query": ada.get("/v1/audit/summary"),
            "policy": ada.get("/v1/policies"),
            "identity_read": ada.get("/v1/identity/roles"),
            "identity_sync": ada.post("/v1/identity/sync"),
            "auth": ada.get(WHOAMI),
            "open": usual.voice().get("/v1/version"),
            "failed_auth": forged(usual, ONE),
        }
        documented = {name: PER_MINUTE[RateCategory(name)] for name in asked}
        assert {name: level(answer)[0] for name, answer in asked.items()} == documented

    def test_the_thousand_and_first_read_of_a_burst_is_one_too_many(self, usual):
        reader = furnish(usual)[0]
        answers = [reader.get("/v1/secrets/none/such").status_code for _ in range(1_000)]
        assert set(answers) == {404}
        while (answer := reader.get("/v1/secrets/none/such")).status_code == 404:
            assert len(answers) < 1_000 + 17 * 60, "a thousand come back in a minute"
            answers.append(404)
        assert answer.json["error"]["code"] == "rate_limited"

    def test_health_and_metrics_have_none(self, usual):
        ada, _ = furnish(usual)
        for address in ("/v1/health", "/v1/health/ready", "/v1/health/detailed", "/v1/metrics"):
            answer = ada.get(address)
            assert answer.status_code == 200
            assert not [name for name, _ in answer.headers if name.startswith("X-RateLimit")]


class TestHeaders:
    def test_they_count_down_and_say_when_all_is_back(self, limited):
        house = limited(auth=6)
        ada, _ = furnish(house)
        first, second = ada.get(WHOAMI), ada.get(WHOAMI)
        assert [level(first), level(second)] == [(6, 5), (6, 4)]
        resets = [int(each.headers["X-RateLimit-Reset"]) - house.clock.now().timestamp() for each in (first, second)]
        assert 9 <= resets[0] <= 11
        assert 18 <= resets[1] <= 21

    def test_they_come_with_refusals_of_the_view_too(self, limited):
        house = limited(read=5, write=5, policy=5)
        ada, _ = furnish(house)
        stranger = house.someone("user:stranger")
        assert level(ada.get("/v1/secrets/none")) == (5, 4)
        assert level(stranger.get("/v1/secrets/none")) == (5, 4)
        malformed = ada.put("/v1/secrets/none", {"datum": {}})
        assert (malformed.status_code, level(malformed)) == (422, (5, 4))

    def test_too_much_is_said_with_when_to_come_back(self, limited):
        house = limited(auth=3)
        ada, _ = furnish(house)
        for _ in range(3):
            assert ada.get(WHOAMI).status_code == 200
        refused = ada.get(WHOAMI)
        assert (refused.status_code, refused.json["error"]["code"]) == (429, "rate_limited")
        assert refused.json["error"]["details"] == {"category": "auth", "limit": 3}
        assert 18 <= int(refused.headers["Retry-After"]) <= 20
        assert level(refused) == (3, 0)
        assert counted(house, "scaivault_rate_limit_hits_total", category="auth") == 1
        assert counted(house, "scaivault_rate_limit_local_total", category="auth") == 0

    def test_what_comes_back_can_be_used(self, limited):
        house = limited(auth=60)
        ada, _ = furnish(house)
        while (refused := ada.get(WHOAMI)).status_code == 200:
            pass
        deadline = time.monotonic() + int(refused.headers["Retry-After"]) + 1
        while ada.get(WHOAMI).status_code == 429:
            assert time.monotonic() < deadline
            time.sleep(0.02)


class TestWhoIsCounted:
    def test_an_identity_whatever_token_it_uses(self, limited):
        house = limited(auth=4)
        furnish(house)
        first, second = (house.someone("user:carol@a.example") for _ in range(2))
        assert [level(each.get(WHOAMI))[1] for each in (first, second, first)] == [3, 2, 1]

    def test_not_another_one_and_not_its_namesake_in_another_tenant(self, limited):
        house = limited(auth=2)
        ada, _ = furnish(house)
        twin = house.someone("user:ada@a.example", tenant_id=OTHER_TENANT)
        dave = house.someone("user:dave@a.example")
        assert [level(each.get(WHOAMI))[1] for each in (ada, twin, dave)] == [1, 1, 1]

    def test_who_acts_elsewhere_at_home(self, limited):
        house = limited(read=5, auth=5)
        ada, _ = furnish(house)
        pat = partner_admin(house, ada)
        here, there = pat.get(WHOAMI), pat.get(WHOAMI, headers={"X-Tenant-ID": OTHER_TENANT})
        assert there.json["tenant_id"] == OTHER_TENANT
        assert pat.get(f"/v1/t/{OTHER_TENANT}/auth/whoami").status_code == 200
        assert [level(here)[1], level(there)[1], level(pat.get(WHOAMI))[1]] == [4, 3, 1]
        assert [level(pat.get(f"/v1/{room}secrets/none"))[1] for room in ("", "partner/")] == [4, 3]

    def test_who_may_not_act_there_is_counted_all_the_same(self, limited):
        house = limited(auth=2)
        ada, _ = furnish(house)
        statuses = [ada.get(WHOAMI, headers={"X-Tenant-ID": OTHER_TENANT}).status_code for _ in range(4)]
        assert statuses == [403, 403, 429, 429]

    def test_a_refused_call_costs_a_unit_and_leaves_no_row(self, limited, database_url):
        """A denial is journalled; a 429 is counted, and nothing of it is written."""
        house = limited(read=3)
        furnish(house)
        stranger = house.someone("user:stranger")
        assert [stranger.get("/v1/secrets/a/b").status_code for _ in range(6)] == [403] * 3 + [429] * 3
        with psycopg.connect(database_url) as connection:
            query = "SELECT count(*) FROM audit_log WHERE identity_id = 'user:stranger'"
            assert connection.execute(query).fetchone() == (3,)
        assert counted(house, "scaivault_rate_limit_hits_total", category="read") == 3


class TestBatches:
    PATHS = ("app/a", "app/b", "app/c")

    def read(self, voice, paths=PATHS, **options):
        return voice.post("/v1/secrets/batch", {"paths": list(paths), "options": options})

    def left(self, voice):
        """What is left of the reads, which costs one of them."""
        return level(voice.get("/v1/secrets/none/such"))[1] + 1

    @pytest.fixture
    def house(self, limited):
        return limited(read=20, batch_read=5)

    @pytest.fixture
    def ada(self, house):
        ada, _ = furnish(house)
        for path in self.PATHS:
            ada.write(path)
        return ada

    def test_one_costs_a_unit_of_its_own_and_one_read_a_path(self, ada):
        answer = self.read(ada)
        assert (answer.status_code, level(answer)) == (200, (5, 4))
        assert self.left(ada) == 17

    def test_a_path_that_is_named_twice_is_one_and_one_that_fails_is_one_too(self, ada):
        self.read(ada, ("app/a", "app/a", "none/such", "in valid"))
        assert self.left(ada) == 17

    def test_what_was_not_looked_at_is_given_back(self, ada):
        answer = self.read(ada, ("app/a", "none/such", "app/b", "app/c"), fail_fast=True)
        assert len(answer.json["secrets"]) + len(answer.json["errors"]) == 2
        assert self.left(ada) == 18

    def test_if_not_all_fit_nothing_is_read_and_no_read_is_spent(self, ada, house):
        for number in range(18):
            ada.get(f"/v1/secrets/none/{number}")
        before = len(ada.audit())
        refused = self.read(ada)
        assert (refused.status_code, refused.json["error"]["code"]) == (429, "rate_limited")
        assert refused.json["error"]["details"] == {"category": "read", "limit": 20}
        assert level(refused)[0] == 20
        assert 1 <= int(refused.headers["Retry-After"]) <= 3
        assert len(ada.audit()) == before
        assert self.read(ada, ("app/a", "app/b")).status_code == 200
        assert counted(house, "scaivault_rate_limit_hits_total", category="read") == 1
        assert counted(house, "scaivault_rate_limit_hits_total", category="batch_read") == 0

    def test_one_that_never_fits_is_told_so(self, ada):
        answer = self.read(ada, [f"app/{number}" for number in range(21)])
        assert (answer.status_code, answer.json["error"]["code"]) == (400, "invalid_request")
        assert answer.json["error"]["details"] == {"category": "read", "limit": 20}
        assert self.left(ada) == 20

    def test_there_are_only_so_many_of_them(self, ada):
        assert [self.read(ada, ("app/a",)).status_code for _ in range(6)] == [200] * 5 + [429]


class TestWithoutAToken:
    def test_a_guesser_is_sent_away_for_a_while(self, limited):
        house = limited(failed_auth=3)
        furnish(house)
        answers = [forged(house, ONE, f"skt_{number:043}") for number in range(5)]
        assert [each.status_code for each in answers] == [401, 401, 401, 429, 429]
        assert [level(each) for each in answers] == [(3, 2), (3, 1), (3, 0), (3, 0), (3, 0)]
        assert answers[-1].json["error"]["details"] == {"category": "failed_auth", "limit": 3}
        assert "WWW-Authenticate" not in answers[-1].headers
        assert counted(house, "scaivault_rate_limit_hits_total", category="failed_auth") == 2
        assert forged(house, ANOTHER).status_code == 401

    def test_whatever_was_wrong_with_it(self, limited):
        house = limited(failed_auth=3)
        ada, _ = furnish(house)
        made = ada.post("/v1/auth/tokens", {"name": "short", "scopes": ["secrets:list"]}).json
        ada.delete(f"/v1/auth/tokens/{made['id']}")
        there = {"environ_base": {"REMOTE_ADDR": ONE}}
        ways = [
            house.voice().get(WHOAMI, **there),
            house.voice().get(WHOAMI, headers={"Authorization": "Basic YTpi"}, **there),
            house.voice("eyJhbGciOiJub25lIn0.e30.x").get(WHOAMI, **there),
            house.voice(made["token"]).get(WHOAMI, **there),
        ]
        assert [each.status_code for each in ways] == [401, 401, 401, 429]

    def test_whoever_shares_the_address_gets_in_known_or_new(self, limited):
        house = limited(failed_auth=2)
        ada, _ = furnish(house)
        there = {"environ_base": {"REMOTE_ADDR": ONE}}
        assert ada.get(WHOAMI, **there).status_code == 200
        for number in range(50):
            forged(house, ONE, f"skt_{number:043}")
        assert forged(house, ONE).status_code == 429
        assert ada.get(WHOAMI, **there).status_code == 200
        assert house.someone("user:new@a.example").get(WHOAMI, **there).status_code == 200

    def test_a_flood_costs_no_look_up_each(self, limited):
        house = limited(failed_auth=2)
        furnish(house)
        house.services.limits._second_looks = LocalBuckets({RateCategory.FAILED_AUTH: 10})
        for number in range(12):
            forged(house, ONE, f"skt_{number:043}")
        before = self.statements(house)
        assert {forged(house, ONE, f"skt_x{number:042}").status_code for number in range(200)} == {429}
        assert self.statements(house) - before < 20  # readiness is looked at now and then

    def statements(self, house):
        text = house.services.instruments.render("")[0].decode()
        return next(
            float(line.split()[1])
            for line in text.splitlines()
            if line.startswith("scaivault_db_latency_seconds_count")
        )

    @pytest.mark.parametrize(
        ("method", "address", "body"),
        [
            ("GET", "/v1/version", None),
            ("GET", "/v1/openapi.json", None),
            ("POST", "/v1/auth/exchange", {"subject_token": "x.y.z", "tenant_id": "tnt_a"}),
            ("POST", "/v1/identity/webhooks/scaikey", {"event_id": "evt_x"}),
        ],
    )
    def test_what_is_open_is_limited_by_address(self, limited, method, address, body):
        house = limited(open=2)

        def ask(source):
            return house.voice().call(method, address, body, environ_base={"REMOTE_ADDR": source})

        answers = [ask(ONE) for _ in range(3)]
        assert 429 not in {each.status_code for each in answers[:2]}
        assert [level(each) for each in answers] == [(2, 1), (2, 0), (2, 0)]
        assert (answers[2].status_code, answers[2].json["error"]["details"]["category"]) == (429, "open")
        assert ask(ANOTHER).status_code != 429

    def test_an_ipv6_client_is_its_network(self, limited):
        house = limited(open=2)

        def ask(source):
            return house.voice().get("/v1/version", environ_base={"REMOTE_ADDR": source}).status_code

        assert [ask(f"2001:db8:1:2::{number}") for number in range(1, 4)] == [200, 200, 429]
        assert ask("2001:db8:1:3::1") == 200
        assert ask("::ffff:203.0.113.9") == ask("203.0.113.9") == 200
        assert ask("::ffff:203.0.113.9") == 429


def test_no_role_and_no_scope_is_above_the_limits(limited):
    house = limited(auth=1)
    furnish(house)
    root = house.someone("user:root", scopes=frozenset(Scope), roles=[Role.SUPER_ADMIN])
    assert [root.get(WHOAMI).status_code for _ in range(2)] == [200, 429]
