"""Subscriptions over the whole API: what is listened for, what is heard, and what nobody else may know."""

import pytest

from scaivault.bootstrap.base import base_of, root_key_service
from scaivault.features.events.service.dispatch import Dispatcher
from scaivault.kernel.caller import Scope
from scaivault.kernel.calls import Listeners
from scaivault.observability.catalogue.vocabulary import WORKER

LISTENER = frozenset({Scope.SUBSCRIPTIONS_READ, Scope.SUBSCRIPTIONS_WRITE})
CHANGES = ["secret.created", "secret.updated", "secret.deleted"]


def dispatch(house):
    """What a worker does, now: one that has just begun, and knows all that is committed."""
    base = base_of(house.settings, house.clock, root_key_service(house.settings), Listeners(), WORKER)
    base.database.open()
    try:
        dispatcher = Dispatcher(base.database, base.guard, house.clock, lambda: None)
        while dispatcher.run():
            pass
    finally:
        base.database.close()


def subscribe(voice, *, paths=("app/**",), events=CHANGES, buffer_size=1000, **more):
    made = voice.post(
        "/v1/subscriptions",
        {
            "name": "listening",
            "paths": list(paths),
            "events": list(events),
            "delivery": {"type": "polling", "buffer_size": buffer_size},
            **more,
        },
    )
    assert made.status_code == 201, made.text
    return made.json["id"]


def poll(voice, subscription_id, **query):
    answer = voice.get(f"/v1/subscriptions/{subscription_id}/poll", query_string={"timeout": 0, **query})
    assert answer.status_code == 200, answer.text
    return answer.json


def paths(polled):
    return [each["path"] for each in polled["events"]]


def ids(polled):
    return [each["event_id"] for each in polled["events"]]


def ack(voice, subscription_id, event_ids):
    answer = voice.post(f"/v1/subscriptions/{subscription_id}/ack", {"event_ids": event_ids})
    assert answer.status_code == 200, answer.text
    return answer.json["acknowledged"]


def code(answer):
    return answer.status_code, answer.json["error"]["code"]


@pytest.fixture
def lena(house, ada):
    """Who may list what is below app, and listen."""
    house.allow(ada, "user:lena@a.example", ("app/**", ["list"]))
    return house.someone("user:lena@a.example", scopes=LISTENER)


class TestHearing:
    def test_what_happens_is_heard_in_order_until_it_is_acknowledged(self, house, ada, lena):
        listening = subscribe(lena)
        ada.write("app/db")
        ada.write("app/db")
        ada.delete("/v1/secrets/app/db")
        dispatch(house)
        heard = poll(lena, listening)
        assert [each["event_type"] for each in heard["events"]] == CHANGES
        assert heard["has_more"] is False
        assert poll(lena, listening) == heard
        assert ack(lena, listening, ids(heard)[:2]) == 2
        assert ids(poll(lena, listening)) == ids(heard)[2:]
        assert ack(lena, listening, ids(heard)) == 1
        assert ack(lena, listening, ids(heard)) == 0
        assert poll(lena, listening) == {"events": [], "has_more": False}
