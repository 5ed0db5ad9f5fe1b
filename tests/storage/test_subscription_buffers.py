"""What is told is heard, or owned up to: whatever is asked, acknowledged, dropped and forgotten in between.

Two listen to the same: one acknowledges what it has heard, the other remembers where it was.
"""

import contextlib
import itertools

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from scaivault.bootstrap.base import base_of, root_key_service
from scaivault.features.events.service.dispatch import Dispatcher
from scaivault.kernel.calls import Listeners
from scaivault.observability.catalogue.vocabulary import WORKER
from tests.house import furnish, opened
from tests.servers import fresh_database

GAP = "subscription.gap"
BUFFER = 4
OLDEST = """
    DELETE FROM events
     WHERE id IN (SELECT id FROM events WHERE path = %s AND is_dispatched ORDER BY sequence LIMIT %s)
"""

pytestmark = pytest.mark.usefixtures("heard_soon")


class Site:
    """A house and who dispatches in it."""

    def __init__(self, house, database_url):
        self.ada, _ = furnish(house)
        self.database_url = database_url
        self.runs = itertools.count(1)
        base = base_of(house.settings, house.clock, root_key_service(house.settings), Listeners(), WORKER)
        base.database.open()
        self.close = base.database.close
        self._dispatcher = Dispatcher(base.database, base.guard, house.clock, lambda: None)

    def dispatch(self):
        while self._dispatcher.run():
            pass

    def forget(self, path, count):
        with psycopg.connect(self.database_url) as connection:
            connection.execute(OLDEST, [path, count])

    def listen(self, path):
        body = {
            "name": path,
            "paths": [path],
            "events": ["secret.created", "secret.updated"],
            "delivery": {"type": "polling", "buffer_size": BUFFER},
        }
        return self.ada.post("/v1/subscriptions", body).json["id"]

    def poll(self, subscription, most, since=None):
        query = {"timeout": 0, "max_events": most} | ({"since_event_id": since} if since else {})
        answer = self.ada.get(f"/v1/subscriptions/{subscription}/poll", query_string=query)
        assert answer.status_code == 200, answer.text
        events = answer.json["events"]
        assert len(events) <= most
        gap = events.pop(0) if events and events[0]["event_type"] == GAP else None
        numbers = [each["data"].get("new_version", each["data"].get("version")) for each in events]
        assert numbers == sorted(set(numbers)), "out of order"
        return gap, dict(zip(numbers, events, strict=True)), answer.json["has_more"]

    def acknowledge(self, subscription, event_ids):
        answer = self.ada.post(f"/v1/subscriptions/{subscription}/ack", {"event_ids": event_ids})
        assert answer.status_code == 200, answer.text
        return answer.json["acknowledged"]


@pytest.fixture(scope="module")
def site(postgres_server, template_database, redis_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("buffers")
    with (
        fresh_database(postgres_server, template_database) as database_url,
        opened(database_url, redis_server.url(), folder) as house,
    ):
        made = Site(house, database_url)
        with contextlib.closing(made):
            yield made


class Listening(RuleBasedStateMachine):
    site: Site

    @initialize()
    def listen(self):
        self.path = f"machine/{next(self.site.runs)}"
        self.acker, self.reader = self.site.listen(self.path), self.site.listen(self.path)
        self.told = 0
        self.seen, self.acknowledged, self.heard, self.forgiven = {}, set(), 0, 0
        self.gaps = []
        self.read, self.cursor, self.is_exact = 0, None, True

    @rule(times=st.integers(1, 3))
    def tell(self, times):
        """An event's number is the version that it tells of."""
        for _ in range(times):
            self.told = self.site.ada.write(self.path)["version"]

    @rule()
    def dispatch(self):
        self.site.dispatch()

    @rule(count=st.integers(1, 3))
    def grow_old(self, count):
        self.site.forget(self.path, count)

    @rule(most=st.integers(1, 6))
    def ask(self, most):
        gap, events, _ = self.site.poll(self.acker, most)
        assert not self.acknowledged & events.keys(), "told again although it was acknowledged"
        self.seen |= events
        if gap:
            assert gap["data"]["dropped"] >= 1
            self.gaps.append(gap)

    @rule(data=st.data())
    def acknowledge(self, data):
        """Some of what was seen, early or late, once or again, and now and then what nobody was told."""
        numbers = data.draw(st.sets(st.sampled_from(sorted(self.seen)))) if self.seen else set()
        gaps = data.draw(st.lists(st.sampled_from(self.gaps), max_size=2)) if self.gaps else []
        self._acknowledge([self.seen[number] for number in numbers], gaps)
        self.acknowledged |= numbers

    @rule(most=st.integers(1, 6))
    def read_on(self, most):
        gap, events, _ = self.site.poll(self.reader, most, self.cursor)
        self._read(gap, events)

    def teardown(self):
        if not hasattr(self, "path"):
            return
        self.site.dispatch()
        self._drain()
        lost = self.told - self.read
        assert lost == 0 or not self.is_exact, "the reader was not told of all, nor that it was not"
        for subscription in (self.acker, self.reader):
            self.site.ada.delete(f"/v1/subscriptions/{subscription}")

    def _drain(self):
        """To the end, by both: then everything is accounted for."""
        while True:
            gap, events, has_more = self.site.poll(self.reader, 3, self.cursor)
            self._read(gap, events)
            if not (gap or events):
                assert not has_more
                break
        while True:
            gap, events, has_more = self.site.poll(self.acker, 3)
            if not (gap or events):
                assert not has_more
                break
            self.seen |= events
            self._acknowledge(events.values(), [gap] if gap else [])
        assert self.heard + self.forgiven == self.told, "neither heard nor missing, or both"
        assert len(self.seen) + self.forgiven >= self.told, "lost without a word"

    def _acknowledge(self, events, gaps):
        """What was gone already when it was acknowledged is missing, and stays so."""
        ids = [each["event_id"] for each in (*events, *gaps)]
        news = self.site.acknowledge(self.acker, [*ids, f"evt_{'0' * 32}"])
        known = max([self.forgiven, *(int(each["event_id"].rpartition("_")[2]) for each in gaps)])
        self.heard += news - (known > self.forgiven)
        self.forgiven = known

    def _read(self, gap, events):
        """Each event is the next one, but for as many as a gap before it says."""
        if gap:
            dropped = gap["data"]["dropped"]
            self.is_exact = self.is_exact and dropped is not None
            self.read += dropped or 0
            self.cursor = gap["event_id"]
        for number, event in events.items():
            if self.is_exact:
                assert number == self.read + 1, "lost, or told twice, without a word"
            assert number > self.read or not self.is_exact
            self.read, self.cursor = number, event["event_id"]
        if events:
            self.is_exact = True


def test_what_is_told_is_heard_in_order_or_owned_up_to(site):
    run_state_machine_as_test(
        type("Here", (Listening,), {"site": site}),
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
