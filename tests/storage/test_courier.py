"""Whose turn it is: receivers that hang, and those that answer beside them."""

import threading

import psycopg
import pytest

from scaivault.features.events.model.webhooks import Outcome, Trouble
from scaivault.features.events.service.courier import MOST_FAILING_LANES_OF_A_TENANT, Courier, Hearers
from scaivault.features.events.service.secrets import SigningSecrets
from scaivault.features.events.store import lanes
from scaivault.kernel.plaintext import Plaintext
from tests.storage.test_webhook_queue import NOW, TENANT, add_hook, database, queue_up

__all__ = ["database"]

PATIENCE_SECONDS = 60


class Standing:
    def now(self):
        return NOW


class OneSecret:
    def open(self, *_whose):
        return SigningSecrets(Plaintext(b"s" * 32), None)


class Receivers:
    """In the place of the postman: who is sent to, none of whom answers before it is let go."""

    def __init__(self):
        self.heard = []
        self.let_go = threading.Event()
        self.news = threading.Condition()

    def attempt(self, _url, _secrets, delivery):
        hook = delivery.event_id.removeprefix("evt_").rpartition("_")[0]
        with self.news:
            self.heard.append(hook)
            self.news.notify_all()
        assert self.let_go.wait(PATIENCE_SECONDS)
        return Outcome(None, Trouble.TIMEOUT, 10_000.0)

    def await_heard(self, count):
        with self.news:
            assert self.news.wait_for(lambda: len(self.heard) >= count, PATIENCE_SECONDS), self.heard


class NoLedger:
    """Writes nothing down: what was attempted stays due, and its lane too."""

    def note(self, *_what):
        pass


@pytest.fixture
def receivers():
    made = Receivers()
    yield made
    made.let_go.set()


@pytest.fixture
def courier(database, receivers):
    hearers = Hearers(lambda *_: None, lambda *_: None, lambda *_: None, lambda *_: None)
    made = Courier(database, OneSecret(), receivers, NoLedger(), Standing(), hearers)
    yield made
    receivers.let_go.set()
    made.close()


def test_however_many_hang_one_that_answers_finds_a_place(database, database_url, courier, receivers):
    for hook in [f"wh_hangs_{number}" for number in range(40)]:
        add_hook(database, hook)
        queue_up(database, 0, hook=hook)
        with database.transaction() as tx:
            lanes.change_attempted(tx, TENANT, hook, 0, "del_0000", has_failed=True)
    with psycopg.connect(database_url) as connection:  # they have been due for longer
        connection.execute("UPDATE webhook_lanes SET due_at = due_at - interval '1 minute'")
    add_hook(database, "wh_good")
    queue_up(database, 0, hook="wh_good")
    begun = 0
    while courier.run():
        begun += 1
    assert begun == MOST_FAILING_LANES_OF_A_TENANT + 1
    receivers.await_heard(begun)
    assert receivers.heard.count("wh_good") == 1
