"""Values that take long to make hold up nothing that is due beside them: what is looked at is the order, not the time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.features.rotation.model import LEASE, Schedule, Scheduled, State, Terms
from scaivault.features.rotation.service.costly import COSTLY, PLACES, PLACES_OF_A_TENANT, CostlyQueue, Weighed
from tests.workers.scheduling import POLICIES, site_of

NOW = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
HASHED = [{"name": "password", "generator": "bcrypt_hash", "config": {"rounds": 10}}]
TERMS = Terms(timedelta(days=30), timedelta(days=2), (), auto_generate=True, is_active=True)


@pytest.fixture
def site(house, ada):
    with site_of(house, ada) as made:
        yield made


def furnish(site, voice, count, *, fields=None, name="costly"):
    """So many secrets under an automatic policy of this voice's tenant."""
    more = {} if fields is None else {"fields": fields}
    made = voice.post("/v1/secret-policies", {"name": name, "policy_type": "password", **more})
    assert made.status_code == 201, made.text
    body = {"name": name, "interval": "1d", "auto_generate": True, "secret_policy_id": made.json["id"]}
    policy = voice.post(POLICIES, body).json["id"]
    for number in range(count):
        voice.write(f"{name}/{number}", {"a": "1"}, options={"rotation_policy_id": policy})


def renewed(site):
    """How many by the first part of their paths."""
    rows = site.rows(
        "SELECT split_part(path, '/', 1), count(*) FROM secrets WHERE current_version > 1 GROUP BY 1 ORDER BY 1"
    )
    return dict(rows)


def due(site, **span):
    site.clock.forward(**span)
    while site.scheduler.run():
        pass


def test_what_is_cheap_goes_first_its_own_tenants_and_others(site, ada, bob):
    furnish(site, ada, 6, fields=HASHED)
    furnish(site, ada, 3, name="cheap")
    furnish(site, bob, 3, name="others")
    due(site, days=1)
    assert renewed(site) == {"cheap": 3, "others": 3}
    assert site.scheduler.run_costly() == 1
    assert renewed(site) == {"cheap": 3, "costly": 1, "others": 3}


def test_what_finds_no_place_comes_again_and_each_is_done_once(site, ada):
    furnish(site, ada, PLACES_OF_A_TENANT * 2 + 1, fields=HASHED)
    due(site, days=1)
    done = []
    while not done or done[-1] < PLACES_OF_A_TENANT * 2 + 1:
        while site.scheduler.run_costly():
            pass
        done.append(renewed(site)["costly"])
        assert len(done) <= 20
        due(site, seconds=2)
    assert done[0] == PLACES_OF_A_TENANT
    assert site.rows("SELECT DISTINCT current_version FROM secrets") == [(2,)]
    assert site.scheduler.run_costly() == 0


def test_what_waits_is_due_again_if_its_worker_is_gone(site, ada):
    furnish(site, ada, 2, fields=HASHED)
    due(site, days=1)
    another = site.another_scheduler()
    assert another.run() == another.run_costly() == 0
    site.clock.forward(seconds=LEASE.total_seconds() + 1)
    site.work(another)
    assert renewed(site) == {"costly": 2}
    assert site.scheduler.run_costly() == 0
    assert site.rows("SELECT DISTINCT current_version FROM secrets") == [(2,)]


def test_what_is_written_meanwhile_is_left_alone(site, ada):
    furnish(site, ada, 1, fields=HASHED)
    due(site, days=1)
    ada.write("costly/0", {"a": "mine"})
    assert site.scheduler.run_costly() == 1
    assert ada.get("/v1/secrets/costly/0").json["data"] == {"a": "mine"}


def secret(number, tenant="tnt_a"):
    schedule = Schedule(NOW, State.SCHEDULED, NOW, NOW)
    return Scheduled(
        "ptn_a", tenant, f"app/{number}", "kv", {}, 1, "sp_a", "rot_a", "monthly", TERMS, schedule, history_id=None
    )


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(51, 3_000)), max_size=60),
    st.integers(0, 20),
)
def test_nobody_has_more_than_his_places_and_nobody_is_lost(offered, taken):
    waiting = CostlyQueue()
    weighed = [
        Weighed(secret(number, tenant), timedelta(milliseconds=cost)) for number, (tenant, cost) in enumerate(offered)
    ]
    left_out = waiting.put(weighed, NOW)
    seated = []
    while (each := waiting.take(NOW)) is not None:
        seated.append(each)
        if len(seated) > taken:
            break
    rest = []
    while (each := waiting.take(NOW)) is not None:
        rest.append(each)
    inside = [*seated, *rest]
    assert {each.path for each in inside} | {path for path, _ in left_out} == {each.secret.path for each in weighed}
    assert len(inside) + len(left_out) == len(weighed)
    assert len(inside) <= PLACES
    for tenant in "abc":
        assert sum(each.tenant_id == tenant for each in inside) <= PLACES_OF_A_TENANT
    waits = [wait for _, wait in left_out]
    assert waits == sorted(waits)
    assert all(timedelta(seconds=1) <= wait <= LEASE for wait in waits)


def test_what_has_waited_for_longer_than_its_lease_is_not_begun():
    waiting = CostlyQueue()
    waiting.put([Weighed(secret(0), COSTLY * 2)], NOW)
    assert waiting.take(NOW + LEASE) is None
    waiting.put([Weighed(secret(1), COSTLY * 2)], NOW)
    assert waiting.take(NOW + LEASE - timedelta(seconds=1)) == secret(1)


def test_the_last_that_waits_is_begun_within_its_lease():
    """At what a secret policy may take at the most, and as slow a machine as four times what was measured."""
    assert PLACES * timedelta(seconds=3) * 4 < LEASE
