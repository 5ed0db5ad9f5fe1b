"""What a subscription that is delivered tells of itself: as much as a webhook does, to its owner too."""

from scaivault.kernel.caller import Role
from tests.house import TENANT
from tests.http.test_subscription_webhooks import subscribe
from tests.http.test_subscriptions import LISTENER, code
from tests.http.test_subscriptions import subscribe as poll_for
from tests.http.test_webhooks import await_deliveries, receiver, worker
from tests.receiver import status

__all__ = ["receiver", "worker"]


class Log:
    """A subscription's address in the place of a webhook's, for who waits for its deliveries."""

    def __init__(self, voice):
        self._voice = voice

    def get(self, path, **options):
        return self._voice.get(path.replace("/v1/webhooks/", "/v1/subscriptions/"), **options)


def test_before_anything_was_delivered_there_is_nothing_to_tell(ada, receiver):
    shown = ada.get(f"/v1/subscriptions/{subscribe(ada, receiver)}").json
    assert shown["statistics"] == {"deliveries_24h": 0, "success_rate_24h": None, "avg_latency_ms": None}
    assert shown["last_delivery"] is None


def test_it_tells_what_became_of_each_delivery(ada, worker, receiver):
    mine = subscribe(ada, receiver)
    ada.write("app/a")
    [row] = await_deliveries(Log(ada), mine, lambda found: found and found[0]["status"] == "success")
    assert (row["event_type"], row["response_code"], row["attempts"]) == ("secret.created", 200, 1)
    shown = ada.get(f"/v1/subscriptions/{mine}").json
    assert (shown["statistics"]["deliveries_24h"], shown["statistics"]["success_rate_24h"]) == (1, 1.0)
    assert (shown["last_delivery"]["id"], shown["last_delivery"]["status"]) == (row["id"], "success")
    failed = ada.get(f"/v1/subscriptions/{mine}/deliveries", query_string={"status": "failed"})
    assert failed.json["deliveries"] == []


def test_its_pages_are_its_own(ada, worker, receiver):
    mine, other = subscribe(ada, receiver), subscribe(ada, receiver)
    for path in ("app/a", "app/b"):
        ada.write(path)
    await_deliveries(Log(ada), mine, lambda found: len(found) == 2)
    first = ada.get(f"/v1/subscriptions/{mine}/deliveries?limit=1").json
    second = ada.get(f"/v1/subscriptions/{mine}/deliveries?limit=1&cursor={first['cursor']}").json
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert first["deliveries"][0]["id"] != second["deliveries"][0]["id"]
    foreign = ada.get(f"/v1/subscriptions/{other}/deliveries?limit=1&cursor={first['cursor']}")
    assert code(foreign) == (400, "invalid_cursor")


def test_an_event_is_delivered_once_more_and_the_trail_knows_for_whom(ada, worker, receiver):
    mine = subscribe(ada, receiver)
    ada.write("app/a")
    [row] = await_deliveries(Log(ada), mine, lambda found: found and found[0]["status"] == "success")
    again = ada.post(f"/v1/subscriptions/{mine}/deliveries/{row['id']}/redeliver")
    assert (again.status_code, again.json["status"]) == (202, "pending")
    first, second = receiver.await_count(2)
    assert first.event_id == second.event_id
    [noted] = ada.audit(action="webhook_redeliver")
    assert noted["extra_data"] == {"webhook_id": mine, "delivery_id": again.json["id"], "redelivery_of": row["id"]}
    nothing = ada.post(f"/v1/subscriptions/{mine}/deliveries/del_{'0' * 32}/redeliver")
    assert code(nothing) == (404, "delivery_not_found")


def test_what_is_polled_has_no_log(ada):
    mine = poll_for(ada)
    shown = ada.get(f"/v1/subscriptions/{mine}").json
    assert (shown["statistics"], shown["last_delivery"]) == (None, None)
    assert code(ada.get(f"/v1/subscriptions/{mine}/deliveries")) == (400, "invalid_request")
    again = ada.post(f"/v1/subscriptions/{mine}/deliveries/del_{'0' * 32}/redeliver")
    assert code(again) == (400, "invalid_request")


def test_it_is_its_owners_and_the_administrators(house, ada, bob, receiver):
    eve = house.someone("user:eve@a.example", roles=[Role.TENANT_ADMIN])
    mine = subscribe(eve, receiver)
    eve = house.someone("user:eve@a.example", scopes=LISTENER)  # who administers no more
    log, again = f"/v1/subscriptions/{mine}/deliveries", f"/v1/subscriptions/{mine}/deliveries/del_1/redeliver"
    assert (ada.get(log).status_code, eve.get(log).status_code) == (200, 200)
    assert code(eve.post(again)) == (403, "access_denied")
    lena = house.someone("user:lena@a.example", scopes=LISTENER)
    for stranger in (lena, bob):
        assert code(stranger.get(log)) == (404, "subscription_not_found")
    assert code(bob.post(again)) == (404, "subscription_not_found")
    reader = house.someone("user:ada@a.example", scopes=frozenset(), roles=[Role.TENANT_ADMIN], tenant_id=TENANT)
    assert code(reader.get(log)) == code(reader.post(again)) == (403, "insufficient_scope")


def test_what_its_receiver_has_disabled_is_switched_on_again(house, database_url, ada, worker, receiver):
    """The way back: what waited goes, and it counts as one that has never failed."""
    mine = subscribe(ada, receiver)
    assert ada.patch(f"/v1/subscriptions/{mine}", {"enabled": False}).json["status"] == "disabled"
    receiver.behave = status(500)
    assert ada.patch(f"/v1/subscriptions/{mine}", {"enabled": True}).json["status"] == "active"
    ada.write("app/a")
    await_deliveries(Log(ada), mine, lambda found: found and found[0]["attempts"] == 1)
    assert ada.get(f"/v1/subscriptions/{mine}").json["status"] == "failing"
    assert ada.patch(f"/v1/subscriptions/{mine}", {"enabled": False}).json["status"] == "disabled"
    assert ada.patch(f"/v1/subscriptions/{mine}", {"enabled": True}).json["status"] == "active"
