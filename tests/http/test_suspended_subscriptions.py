"""What is delivered goes on without anybody who asks: only for as long as its owner administers the tenant."""

import contextlib
from datetime import timedelta

import psycopg
import pytest

from scaivault.features.events import stats
from scaivault.features.events.store import lanes
from scaivault.kernel.caller import Role, Scope
from scaivault.storage.database import Database
from tests.house import furnish, opened
from tests.http.test_directory import SECRET, ScaiKey
from tests.http.test_subscription_webhooks import body, subscribe
from tests.http.test_subscriptions import code, dispatch
from tests.http.test_webhooks import receiver

__all__ = ["receiver"]

ALL = " ".join(Scope)
EVE = "user:eve@a.example"
ENDS = {
    "her role is taken": "UPDATE identities SET roles = '{}' WHERE id = 'user:eve@a.example'",
    "she is suspended": "UPDATE identities SET status = 'SUSPENDED' WHERE id = 'user:eve@a.example'",
    "she is deleted": "UPDATE identities SET status = 'DELETED' WHERE id = 'user:eve@a.example'",
    "the tenant is suspended": "UPDATE tenants SET status = 'SUSPENDED' WHERE id = 'tnt_a'",
    "the partner is suspended": "UPDATE partners SET status = 'SUSPENDED'",
}
BACK = """
    UPDATE identities SET roles = '{tenant_admin}', status = 'ACTIVE' WHERE id = 'user:eve@a.example';
    UPDATE tenants SET status = 'ACTIVE';
    UPDATE partners SET status = 'ACTIVE';
"""


@pytest.fixture
def database(database_url):
    made = Database(database_url, 2, lambda _seconds: None)
    made.open()
    yield made
    made.close()


@pytest.fixture
def eve(house, ada):
    return house.someone(EVE, roles=[Role.TENANT_ADMIN])


def execute(database_url, statement):
    with psycopg.connect(database_url) as connection:
        connection.execute(statement)


def claim(database, house, lease="lease_1"):
    now = house.clock.now()
    with database.session() as session:
        return lanes.claim_due_lane(session, lease, now, now + timedelta(seconds=20), lanes.NoRoom())


def suspended(database):
    with database.session() as session:
        return stats.count_suspended(session)


@contextlib.contextmanager
def ended(database_url, how):
    execute(database_url, ENDS[how])
    try:
        yield
    finally:
        execute(database_url, BACK)


def queued(database_url):
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "SELECT events.path FROM webhook_deliveries JOIN events ON events.id = event_id ORDER BY 1"
        ).fetchall()


@pytest.mark.parametrize("how", [how for how in ENDS if "the" not in how.split()])
def test_it_says_so_and_begins_again_with_her_authority(database, database_url, ada, eve, receiver, how):
    one = f"/v1/subscriptions/{subscribe(eve, receiver)}"
    assert (ada.get(one).json["status"], suspended(database)) == ("active", 0)
    with ended(database_url, how):
        shown = ada.get(one).json
        assert (shown["status"], shown["enabled"], suspended(database)) == ("suspended", True, 1)
        assert [each["status"] for each in ada.get("/v1/subscriptions").json["subscriptions"]] == ["suspended"]
    assert (ada.get(one).json["status"], suspended(database)) == ("active", 0)


@pytest.mark.parametrize("role", list(Role))
def test_whoever_administers_is_told(house, database_url, ada, receiver, role):
    subscribe(house.someone("user:admin@a.example", roles=[role]), receiver)
    ada.write("app/a")
    dispatch(house)
    assert queued(database_url) == [("app/a",)]


@pytest.mark.parametrize("how", ENDS)
def test_of_what_happens_meanwhile_nothing_is_kept(house, database_url, ada, eve, receiver, how):
    """Also where an event was kept before her authority was over, or by a process that had not heard of that."""
    subscribe(eve, receiver)
    ada.write("app/before")
    with ended(database_url, how):
        dispatch(house)
        assert queued(database_url) == []
    ada.write("app/after")
    dispatch(house)
    assert queued(database_url) == [("app/after",)]


@pytest.mark.parametrize("how", ENDS)
def test_what_waits_is_not_sent(house, database, database_url, ada, eve, receiver, how):
    """Neither by who would begin with its queue, nor by who has it already."""
    mine = subscribe(eve, receiver)
    ada.write("app/a")
    dispatch(house)
    with ended(database_url, how):
        assert claim(database, house) is None
    lane = claim(database, house)
    assert lane.webhook_id == mine
    with ended(database_url, how), database.session() as session:
        assert lanes.change_lease(session, "tnt_a", lane, "lease_1", house.clock.now()) is None
    with database.session() as session:
        assert lanes.change_lease(session, "tnt_a", lane, "lease_1", house.clock.now()) is not None


def test_what_waits_in_vain_is_no_queue(house, database, database_url, ada, eve, receiver):
    subscribe(eve, receiver)
    ada.write("app/a")
    dispatch(house)
    with database.session() as session:
        assert stats.find_queue(session).depth == 1
    with ended(database_url, "her role is taken"), database.session() as session:
        assert stats.find_queue(session).depth == 0


def test_a_webhook_is_the_tenants_and_goes_on(house, database, database_url, ada, eve, receiver):
    hook = {"name": "hook", "url": receiver.url, "secret": SECRET * 2, "events": ["secret.created"]}
    made = eve.post("/v1/webhooks", hook).json["id"]
    with ended(database_url, "she is deleted"):
        ada.write("app/a")
        dispatch(house)
        assert claim(database, house).webhook_id == made


class TestByTheDirectory:
    @pytest.fixture
    def house(self, database_url, redis_url, tmp_path, provider):
        environment = {"SCAIKEY_URL": provider.url, "SCAIKEY_WEBHOOK_SECRET": SECRET}
        with opened(database_url, redis_url, tmp_path, **environment) as house:
            provider.now = lambda: house.clock.now().timestamp()
            yield house

    @pytest.fixture
    def ada(self, house):
        return furnish(house)[0]

    @pytest.fixture
    def scaikey(self, house, ada):
        told = ScaiKey(house)
        told.user(1, roles=["tenant_admin"])
        return told

    @pytest.mark.parametrize("telling", [{"status": "SUSPENDED"}, {"roles": []}])
    def test_what_it_tells_of_the_owner_counts_at_once(self, house, ada, provider, receiver, scaikey, telling):
        uma = house.voice(provider.token(sub="usr_1", email="u1@a.example", scope=ALL))
        mine = subscribe(uma, receiver)
        scaikey.user(1, verb="updated", at=1, **{"roles": ["tenant_admin"], **telling})
        assert ada.get(f"/v1/subscriptions/{mine}").json["status"] == "suspended"

    def test_whom_his_token_alone_calls_an_administrator_makes_none(self, house, ada, provider, receiver):
        """His role would be over with the token, and nobody could tell."""
        sam = house.voice(provider.token(sub="usr_9", email="sam@a.example", roles=["tenant_admin"], scope=ALL))
        assert code(sam.post("/v1/subscriptions", body(receiver))) == (403, "access_denied")
        assert sam.get("/v1/subscriptions").json["subscriptions"] == []
        refused = ada.audit(action="policy_violation", identity_id="user:sam@a.example")
        assert [each["extra_data"]["attempted"] for each in refused] == ["subscription_create"]
        polled = {**body(receiver), "delivery": {"type": "polling"}}
        assert sam.post("/v1/subscriptions", polled).status_code == 201
