"""The queues as SQL keeps them: who may go, who waits behind whom, whose a lane is, and how deep it all is."""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from scaivault.features.events import stats
from scaivault.features.events.model.webhooks import (
    DeliveryStatus,
    Interest,
    Outcome,
    StoredEvent,
    Trouble,
    Webhook,
    step_after,
)
from scaivault.features.events.store import deliveries, lanes, outbox, webhooks
from scaivault.features.events.store.deliveries import NewDelivery
from scaivault.storage import migrate
from scaivault.storage.database import Database

FOLDER = Path(migrate.__file__).with_name("migrations")
TENANT, HOOK = "tnt_a", "wh_a"
NOW = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=20)


@pytest.fixture
def database(database_url):
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO partners (id, name) VALUES ('ptn_a', 'A')")
        connection.execute("INSERT INTO tenants (id, partner_id, name) VALUES ('tnt_a', 'ptn_a', 'A')")
    made = Database(database_url, 4, lambda _seconds: None)
    made.open()
    add_hook(made, HOOK)
    yield made
    made.close()


def add_hook(database, hook, *, is_enabled=True):
    webhook = Webhook(hook, hook, "https://a.example", ["secret.created"], "", None, [], is_enabled, "user:a", NOW, NOW)
    with database.transaction() as tx:
        webhooks.add_webhook(tx, TENANT, webhook)
        lanes.add_lane(tx, TENANT, hook)


def queue_up(database, number, path="app/db", hook=HOOK):
    """An event, dispatched to the hook."""
    event = StoredEvent(f"evt_{hook}_{number:04}", "secret.created", NOW, "req_x", path, "kv", [], "{}")
    fresh = NewDelivery(TENANT, hook, f"del_{number:04}", event.id, number, path, may_go=True)
    with database.transaction() as tx:
        outbox.add_event(tx, TENANT, event, is_dispatched=True)
        lanes.claim_lanes(tx, [TENANT], [hook])
        deliveries.add_deliveries(tx, [fresh], NOW)
        lanes.change_due(tx, [TENANT], [hook], NOW)


def due(database, now=NOW, hook=HOOK):
    with database.session() as session:
        return deliveries.list_due(session, TENANT, hook, now, 100)


def claim(database, lease="lease_1", now=NOW, until=LATER, **no_room):
    with database.session() as session:
        return lanes.claim_due_lane(session, lease, now, until, lanes.NoRoom(**no_room))


def attempt(database, delivery, outcome):
    step = step_after(outcome, delivery.attempts, NOW)
    with database.transaction() as tx:
        return deliveries.change_attempted(tx, TENANT, HOOK, delivery, outcome, step, NOW)


OK = Outcome(200, None, 1.0)
BAD = Outcome(None, Trouble.TIMEOUT, 10_000.0)


class TestPaths:
    def test_the_first_of_a_path_goes_and_the_next_waits_for_it(self, database):
        for number in range(3):
            queue_up(database, number)
        queue_up(database, 3, "app/other")
        queue_up(database, 4, None)
        assert [each.id for each in due(database)] == ["del_0000", "del_0003", "del_0004"]
        with database.transaction() as tx:
            deliveries.change_followers(tx, TENANT, HOOK, ["app/db"], NOW)
        assert [each.id for each in due(database)] == ["del_0000", "del_0001", "del_0003", "del_0004"]

    def test_what_is_about_no_path_has_its_order_by_what_it_is_about(self, database):
        for number in range(2):
            queue_up(database, number, "policy:pol_a")
        queue_up(database, 2, "policy:pol_b")
        assert [(each.id, each.order_key) for each in due(database)] == [
            ("del_0000", "policy:pol_a"),
            ("del_0002", "policy:pol_b"),
        ]

    def test_what_waited_for_something_that_was_forgotten_is_not(self, database):
        for number in range(3):
            queue_up(database, number)
        with database.session() as session:
            session.run("DELETE FROM events WHERE id LIKE '%%_0000'")
        assert due(database) == []
        with database.transaction() as tx:
            assert deliveries.change_left_behind(tx, TENANT, HOOK, NOW) == 1
        assert [each.id for each in due(database)] == ["del_0001"]

    def test_behind_one_that_has_failed_for_long_nobody_waits(self, database, database_url):
        queue_up(database, 0)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE webhook_deliveries SET attempts = 4, next_attempt_at = 'infinity'")
        queue_up(database, 1)
        assert [each.id for each in due(database)] == ["del_0001"]


class TestAttempts:
    def test_of_two_workers_that_did_the_same_one_is_believed(self, database):
        queue_up(database, 0)
        [delivery] = due(database)
        assert attempt(database, delivery, OK)
        assert not attempt(database, delivery, BAD)
        with database.session() as session:
            assert deliveries.find_delivery(session, TENANT, HOOK, "del_0000").status == "success"

    def test_the_pauses_are_the_documented_ones(self):
        waits = [step_after(BAD, attempts, NOW).next_attempt_at - NOW for attempts in range(5)]
        for wait, pause in zip(waits, (30, 120, 600, 1_800, 7_200), strict=True):
            assert 0.9 * pause <= wait.total_seconds() <= 1.1 * pause
        assert step_after(BAD, 5, NOW).status is DeliveryStatus.FAILED
        assert [step_after(BAD, attempts, NOW).frees_its_key for attempts in range(6)] == [
            *[False] * 3,
            True,
            *[False] * 2,
        ]
        assert step_after(OK, 0, NOW).frees_its_key
        assert step_after(OK, 3, NOW).frees_its_key
        assert not step_after(OK, 4, NOW).frees_its_key
        for code, is_success in ((199, False), (200, True), (204, True), (299, True), (302, False), (500, False)):
            assert Outcome(code, None, 1.0).is_success is is_success


def test_what_was_attempted_before_it_was_noted_is_found_again(database, database_url):
    for hook in ("wh_well", "wh_ill", "wh_new"):
        add_hook(database, hook)
    for number in range(4):
        queue_up(database, number, f"app/{number}", "wh_well")
    queue_up(database, 4, hook="wh_ill")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """
            UPDATE webhook_deliveries SET next_attempt_at = NULL, status = CASE id
                   WHEN 'del_0000' THEN 'failed' WHEN 'del_0001' THEN 'success' WHEN 'del_0004' THEN 'failed'
                   ELSE 'pending' END
            """
        )
        connection.execute("UPDATE webhook_lanes SET consecutive_failures = 1 WHERE webhook_id = 'wh_ill'")
        connection.execute((FOLDER / "0020_webhook_attempts_before.sql").read_text())
        found = connection.execute("SELECT webhook_id, last_attempt_failed, last_delivery_id FROM webhook_lanes")
        assert {row[0]: row[1:] for row in found.fetchall()} == {
            HOOK: (False, None),
            "wh_well": (False, "del_0001"),
            "wh_ill": (True, "del_0004"),
            "wh_new": (False, None),
        }


class TestLanes:
    def test_a_lane_is_one_workers_until_its_lease_ends(self, database):
        queue_up(database, 0)
        assert claim(database).webhook_id == HOOK
        assert claim(database, "lease_2") is None
        assert claim(database, "lease_2", LATER, LATER + timedelta(seconds=20)).webhook_id == HOOK
        with database.session() as session:
            lane = lanes.Lane("ptn_a", TENANT, HOOK, "", last_attempt_failed=False)
            assert lanes.change_lease(session, TENANT, lane, "lease_1", LATER) is None
            assert lanes.change_lease(session, TENANT, lane, "lease_2", LATER).url == "https://a.example"

    def test_it_comes_back_with_what_is_due_next(self, database):
        queue_up(database, 0)
        claim(database)
        with database.transaction() as tx:
            lanes.change_released(tx, TENANT, HOOK, "another", None)
        assert claim(database, "lease_2") is None
        with database.transaction() as tx:
            lanes.change_released(tx, TENANT, HOOK, "lease_1", lanes.find_next_attempt(tx, TENANT, HOOK))
        assert claim(database, "lease_2").webhook_id == HOOK

    def test_what_is_disabled_or_of_a_busy_tenant_is_left(self, database):
        add_hook(database, "wh_off", is_enabled=False)
        queue_up(database, 0, hook="wh_off")
        assert claim(database) is None
        queue_up(database, 1)
        assert claim(database, of_tenants=[TENANT]) is None
        assert claim(database).webhook_id == HOOK

    @pytest.mark.parametrize("no_room", [{"for_failing_of": [TENANT]}, {"for_any_failing": True}])
    def test_one_that_has_failed_leaves_room_for_those_that_have_not(self, database, no_room):
        add_hook(database, "wh_good")
        queue_up(database, 0)
        queue_up(database, 1, hook="wh_good")
        with database.transaction() as tx:
            lanes.change_attempted(tx, TENANT, HOOK, 0, "del_0000", has_failed=True)
        assert claim(database, **no_room).webhook_id == "wh_good"
        assert claim(database, **no_room) is None
        assert claim(database, for_failing_of=["tnt_other"]).webhook_id == HOOK

    def test_one_that_somebody_holds_is_not_waited_for(self, database, database_url):
        queue_up(database, 0)
        with psycopg.connect(database_url) as other:
            other.execute("SELECT FROM webhook_lanes FOR UPDATE")
            assert claim(database) is None

    def test_one_dispatches_at_a_time(self, database):
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(database.transaction())
            assert outbox.claim_dispatch(first)
            second = stack.enter_context(database.transaction())
            assert not outbox.claim_dispatch(second)


class TestStats:
    def test_depth_and_age_are_of_what_is_due(self, database, database_url):
        with database.session() as session:
            assert stats.find_queue(session) == stats.Queue(0, 0.0)
        with psycopg.connect(database_url, autocommit=True) as connection:
            for number in range(3):
                queue_up(database, number, f"app/{number}")
            connection.execute("UPDATE webhook_deliveries SET next_attempt_at = now() - interval '30 s'")
            connection.execute(
                "UPDATE webhook_deliveries SET next_attempt_at = now() + interval '1 h' WHERE id = 'del_0002'"
            )
            connection.execute("UPDATE webhook_lanes SET due_at = now()")
            connection.execute("UPDATE events SET is_dispatched = false, occurred_at = now() WHERE id LIKE '%%_0002'")
        with database.session() as session:
            depth, oldest, suspended = stats.collect(session)
        assert (depth.name, depth.samples[0].value) == ("scaivault_webhook_queue_depth", 3)
        assert oldest.name == "scaivault_webhook_oldest_pending_seconds"
        assert 29 <= oldest.samples[0].value <= 60
        assert (suspended.name, suspended.samples[0].value) == ("scaivault_subscriptions_suspended", 0)

    def test_what_it_costs_does_not_grow_with_what_is_done(self, database, database_url):
        """By indexes alone: nothing of what is done, or not due, is looked at."""
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                """
                INSERT INTO events (tenant_id, id, event_type, occurred_at, request_id, tags, body, is_dispatched)
                SELECT 'tnt_a', 'evt_' || number, 'secret.created', now(), '', '{}', '', true
                  FROM generate_series(1, 20000) AS number
                """
            )
            connection.execute("ANALYZE events")
            plan = connection.execute(
                "EXPLAIN SELECT occurred_at FROM events WHERE NOT is_dispatched ORDER BY sequence LIMIT 10"
            ).fetchall()
        assert "events_undispatched_idx" in str(plan)


class TestInterest:
    @pytest.mark.parametrize(
        ("filters", "about", "is_covered"),
        [
            ({}, {}, True),
            ({"events": ["secret.deleted"]}, {}, False),
            ({"path_prefix": "app/"}, {}, True),
            ({"path_prefix": "app/x"}, {}, False),
            ({"path_prefix": "app/"}, {"path": None}, False),
            ({"secret_type": "kv"}, {}, True),
            ({"secret_type": "kv"}, {"secret_type": None}, False),
            ({"tags": ["b", "c"]}, {}, True),
            ({"tags": ["c"]}, {}, False),
        ],
    )
    def test_all_filters_must_hold(self, filters, about, is_covered):
        interest = Interest(
            **{"events": ["secret.created"], "path_prefix": "", "secret_type": None, "tags": []} | filters
        )
        event = {"event_type": "secret.created", "path": "app/db", "secret_type": "kv", "tags": frozenset("ab")} | about
        assert interest.covers(**event) is is_covered
