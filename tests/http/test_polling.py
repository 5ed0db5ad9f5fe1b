"""Waiting for events over the whole API: who is woken, by what, and what is decided after the wait."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from scaivault.kernel.caller import Scope
from tests.house import Voice
from tests.http.test_subscriptions import LISTENER, ack, code, dispatch, paths, poll, subscribe
from tests.waiting import await_true

LONG = 60  # seconds that nobody is to wait for


@pytest.fixture
def lena(house, ada):
    house.allow(ada, "user:lena@a.example", ("app/**", ["list"]))
    return house.someone("user:lena@a.example", scopes=LISTENER)


@pytest.fixture
def threads():
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def listen(house, threads):
    """Polls in a thread of its own; returns when the poll waits."""

    def listen(voice, subscription_id, timeout=LONG, waiting=None):
        client = Voice(house.client.application.test_client(), voice.token)
        before = number_waiting(house)
        polled = threads.submit(client.get, f"/v1/subscriptions/{subscription_id}/poll?timeout={timeout}")
        await_waiting(house, before + 1 if waiting is None else waiting, polled)
        return polled

    yield listen
    house.services.room.close()  # or a test that fails would wait for those who wait


def sample(house, name):
    text = house.services.instruments.render("")[0].decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def number_waiting(house):
    return sample(house, "scaivault_waiting_requests")


def await_waiting(house, number, *polled):
    await_true(lambda: number_waiting(house) == number or any(each.done() for each in polled))


def test_an_event_ends_the_wait(house, ada, lena, listen):
    mine = subscribe(lena)
    polled = listen(lena, mine)
    ada.write("app/db")
    dispatch(house)
    answer = polled.result(LONG)
    assert (answer.status_code, paths(answer.json)) == (200, ["app/db"])
    assert number_waiting(house) == 0


def test_an_event_for_somebody_else_does_not(house, ada, lena, listen):
    mine, other = subscribe(lena), subscribe(lena, paths=["app/other/*"])
    first, second = listen(lena, mine), listen(lena, other)
    ada.write("app/db")
    dispatch(house)
    assert paths(first.result(LONG).json) == ["app/db"]
    assert not second.done()
    ada.write("app/other/db")
    dispatch(house)
    assert paths(second.result(LONG).json) == ["app/other/db"]


def test_when_nothing_happens_the_answer_is_empty(lena):
    answer = lena.get(f"/v1/subscriptions/{subscribe(lena)}/poll?timeout=1")
    assert answer.json == {"events": [], "has_more": False}


def test_a_wait_is_no_part_of_how_long_we_took(house, lena):
    name = 'scaivault_request_duration_seconds_sum{method="GET",path_category="subscriptions"}'
    assert poll(lena, subscribe(lena), timeout=4)["events"] == []
    assert sample(house, name) < 3.5


def test_a_token_that_is_revoked_hears_nothing_any_more(house, ada, lena, listen):
    mine = subscribe(lena)
    polled = listen(lena, mine)
    tokens = ada.get("/v1/auth/tokens?limit=1000").json["tokens"]
    [token] = [each for each in tokens if each["identity_id"] == "user:lena@a.example"]
    assert ada.delete(f"/v1/auth/tokens/{token['id']}").status_code == 204
    await_true(lambda: lena.get("/v1/auth/whoami").status_code == 401)  # what was decided before may hold for a moment
    ada.write("app/db")
    dispatch(house)
    assert code(polled.result(LONG)) == (401, "token_revoked")


def test_a_permission_that_is_taken_away_meanwhile_is_gone_when_the_event_comes(house, ada, listen):
    nina = house.someone("user:nina@a.example", scopes=LISTENER)
    policy = house.allow(ada, "user:nina@a.example", ("app/*", ["list"]))
    kept = house.allow(ada, "user:nina@a.example", ("app/b*", ["list"]))
    assert kept != policy
    polled = listen(nina, subscribe(nina))
    ada.write("app/a")
    assert ada.delete(f"/v1/policies/{policy}?force=true").status_code == 204
    ada.write("app/b")
    dispatch(house)
    assert paths(polled.result(LONG).json) == ["app/b"]


def test_what_is_deleted_is_not_waited_for(house, lena, listen):
    mine = subscribe(lena)
    polled = listen(lena, mine)
    assert lena.delete(f"/v1/subscriptions/{mine}").status_code == 204
    assert code(polled.result(LONG)) == (404, "subscription_not_found")


def test_who_asks_again_takes_the_place_of_who_asked_before(house, ada, lena, listen):
    """A client that lost its connection would otherwise wait twice, and the old one take the events away unheard."""
    mine = subscribe(lena)
    first = listen(lena, mine)
    second = listen(lena, mine, waiting=1)
    assert first.result(LONG).json == {"events": [], "has_more": False}
    ada.write("app/db")
    dispatch(house)
    assert paths(second.result(LONG).json) == ["app/db"]


def test_what_waits_is_answered_at_once_when_the_house_closes(house, lena, listen):
    mine = subscribe(lena)
    polled = listen(lena, mine)
    house.services.leave(is_replaced=False)
    assert polled.result(LONG).json == {"events": [], "has_more": False}
    assert poll(lena, mine, timeout=LONG) == {"events": [], "has_more": False}


def test_nobody_works_on_a_request_that_waits(house, lena, listen):
    active = 'scaivault_active_requests{path_category="subscriptions"}'
    listen(lena, subscribe(lena))
    assert (number_waiting(house), sample(house, active)) == (1, 0)
    house.services.room.close()
    await_true(lambda: number_waiting(house) == 0)
    await_true(lambda: sample(house, active) == 0)


def test_no_connection_is_held_by_those_who_wait(house, ada, lena, listen):
    mine = subscribe(lena)
    polled = listen(lena, mine)
    database = house.services.database
    await_true(lambda: database.available == database.size)
    ada.write("app/db")
    dispatch(house)
    assert polled.result(LONG).status_code == 200


def test_a_poll_costs_one_unit_however_often_it_looks(house, ada, lena, listen):
    mine = subscribe(lena)
    polled = listen(lena, mine)
    ada.write("app/db")  # and a policy, which makes everybody look again
    house.allow(ada, "user:x@a.example", ("x", ["list"]))
    dispatch(house)
    before = int(polled.result(LONG).headers["X-RateLimit-Remaining"])
    after = lena.get(f"/v1/subscriptions/{mine}/poll?timeout=0")
    assert int(after.headers["X-RateLimit-Remaining"]) >= before - 1
    assert code(lena.get(f"/v1/subscriptions/{mine}/poll?timeout=0&x=1"))[0] == 422
    assert ack(lena, mine, [each["event_id"] for each in after.json["events"]]) == 1


def test_a_token_without_the_scope_does_not_wait(house, ada):
    mute = house.someone("user:mute@a.example", scopes={Scope.SUBSCRIPTIONS_WRITE})
    mine = subscribe(mute)
    assert code(mute.get(f"/v1/subscriptions/{mine}/poll?timeout=60")) == (403, "insufficient_scope")
