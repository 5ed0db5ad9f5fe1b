"""The room where requests wait: who has a seat, who is woken, and who asks the database."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from scaivault.features.events.errors import TooManyWait
from scaivault.features.events.service import waiting
from scaivault.features.events.service.waiting import WaitingRoom
from scaivault.features.events.store.buffers import Awaited
from scaivault.kernel.errors import Unavailable

PATIENCE_SECONDS = 60


class Lookout:
    """Stands for the database: stirs whom it is told to, and counts the questions."""

    def __init__(self):
        self.stirred = set()
        self.asked = []
        self.news = threading.Event()

    def look(self, awaited):
        self.asked.append([each.subscription_id for each in awaited])
        self.news.set()
        return [number for number, each in enumerate(awaited) if each.subscription_id in self.stirred]


@pytest.fixture
def lookout():
    return Lookout()


@pytest.fixture
def told():
    return []


@pytest.fixture
def room(lookout, told):
    made = WaitingRoom(lookout.look, told.append)
    yield made
    made.close()


@pytest.fixture
def threads(room):
    with ThreadPoolExecutor(16) as pool:
        yield pool
        room.close()  # before the pool waits for its threads


def wait(room, subscription_id, tenant_id="tnt_a", seconds=PATIENCE_SECONDS):
    with room.seat(tenant_id, subscription_id) as seat:
        if not seat.is_over:
            seat.wait(Awaited(tenant_id, subscription_id, 0, 0), time.monotonic() + seconds)
        return seat.is_over


def test_whoever_should_look_again_is_woken_and_nobody_else(room, lookout, threads):
    lookout.stirred = {"sub_1"}
    first, second = threads.submit(wait, room, "sub_1"), threads.submit(wait, room, "sub_2")
    assert first.result(PATIENCE_SECONDS) is False
    assert not second.done()
    lookout.stirred = {"sub_2"}
    assert second.result(PATIENCE_SECONDS) is False


def test_one_question_is_asked_for_all_who_wait(room, lookout, threads, told):
    waits = [threads.submit(wait, room, f"sub_{number}") for number in range(8)]
    pause = threading.Event()
    while not any(len(asked) == 8 for asked in lookout.asked):
        pause.wait(0.01)
    lookout.stirred = {f"sub_{number}" for number in range(8)}
    for each in waits:
        each.result(PATIENCE_SECONDS)
    assert max(told) == 8
    assert told[-1] == 0


def test_none_is_asked_where_nobody_waits(room, lookout, threads):
    assert wait(room, "sub_1", seconds=0.0) is False
    lookout.stirred = {"sub_1"}
    assert threads.submit(wait, room, "sub_1").result(PATIENCE_SECONDS) is False
    asked = len(lookout.asked)
    lookout.news.clear()
    assert not lookout.news.wait(3 * waiting.LOOK_SECONDS)
    assert len(lookout.asked) == asked


def test_a_question_that_fails_is_asked_again(lookout, told):
    failed = threading.Event()

    def look(awaited):
        if not failed.is_set():
            failed.set()
            raise Unavailable
        return lookout.look(awaited)

    lookout.stirred = {"sub_1"}
    room = WaitingRoom(look, told.append)
    assert wait(room, "sub_1") is False
    assert failed.is_set()
    room.close()


def test_there_are_so_many_seats(room):
    with pytest.raises(TooManyWait) as refused:
        take(room, [("tnt_a", f"sub_{number}") for number in range(waiting.MOST_OF_A_TENANT + 1)])
    assert refused.value.retry_after_seconds == waiting.RETRY_SECONDS
    half = waiting.MOST_OF_A_TENANT
    places = [(f"tnt_{number // half}", f"sub_{number}") for number in range(waiting.MOST_WAITING)]
    take(room, places)
    with pytest.raises(TooManyWait):
        take(room, [*places, ("tnt_z", "sub_z")])
    take(room, places)  # all were given back


def take(room, places, taken=0):
    """One seat within another."""
    if taken < len(places):
        with room.seat(*places[taken]):
            take(room, places, taken + 1)


def test_the_newest_of_a_subscription_has_its_seat(room, lookout, threads):
    first = threads.submit(wait, room, "sub_1")
    pause = threading.Event()
    while not lookout.asked:
        pause.wait(0.01)
    second = threads.submit(wait, room, "sub_1")
    assert first.result(PATIENCE_SECONDS) is True
    lookout.stirred = {"sub_1"}
    assert second.result(PATIENCE_SECONDS) is False


def test_the_end_of_the_house_ends_every_wait(room, lookout, threads):
    waits = [threads.submit(wait, room, f"sub_{number}") for number in range(5)]
    pause = threading.Event()
    while not lookout.asked:
        pause.wait(0.01)
    room.close()
    assert [each.result(PATIENCE_SECONDS) for each in waits] == [True] * 5
    assert wait(room, "sub_9") is True
