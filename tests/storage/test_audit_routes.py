"""Questions to the trail as their views answer them, from query string to JSON."""

import json
import secrets
from datetime import UTC, datetime

import pytest

from scaivault.crypto.cursors import CursorSigner
from scaivault.crypto.keys import Key
from scaivault.edge.bodies import validate
from scaivault.edge.pages import Cursors
from scaivault.features.audit import service as audit
from scaivault.features.audit.routes import routes
from scaivault.features.audit.routes.messages import LogsQuery
from scaivault.features.audit.service import AuditJournal, AuditService, make_months_ahead
from scaivault.kernel.caller import Scope
from scaivault.kernel.errors import InsufficientScope, InvalidCursor, InvalidPath, InvalidRequest, ValidationFailed
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.paths import SecretPath
from scaivault.storage.database import Database
from tests.storage.audit_house import HandClock, ScopeGuard, caller

NOON = datetime(2031, 5, 20, 12, 0, 0, 123_456, tzinfo=UTC)
LOGS = "/v1/audit/logs"
SECRET = "/v1/audit/secrets/<secret:path>"
IDENTITY = "/v1/audit/identities/<identity_id>"
SUMMARY = "/v1/audit/summary"


class House:
    def __init__(self, database):
        self.clock = HandClock(NOON)
        self.guard = ScopeGuard()
        self.service = AuditService(database, self.guard, self.clock)
        make_months_ahead(database, self.clock)
        self.journal = AuditJournal(database, self.clock, lambda *_: None)
        signer = CursorSigner(Key(secrets.token_bytes(32)))
        self.routes = {route.rule: route for route in routes(self.service, Cursors(lambda: signer)).table}

    def ask(self, rule, query=None, by=None, **variables):
        """The answer as a client reads it."""
        route = self.routes[rule]
        reply = route.view(caller=by or caller(), query=validate(route.query, query or {}), **variables)
        assert isinstance(reply, route.reply)
        return json.loads(reply.model_dump_json())

    def happen(self, count, action=Action.READ, path="app/db", *, success=True, by=None):
        for _ in range(count):
            self.clock.forward(seconds=1)
            entry = Entry.of(action, by or caller(), SecretPath(path), success=success)
            self.journal.record_alone(entry)


@pytest.fixture
def house(database_url):
    database = Database(database_url, 2, lambda seconds: None)
    database.open()
    yield House(database)
    database.close()


def test_an_entry_has_the_documented_form(house):
    house.journal.record_alone(Entry.of(Action.WRITE, caller(), SecretPath("app/db"), version=3))
    answer = house.ask(LOGS)
    [entry] = answer.pop("logs")
    assert answer == {"cursor": None, "has_more": False}
    assert entry.pop("id").startswith("log_")
    assert entry.pop("duration_ms") > 0
    assert entry == {
        "timestamp": "2031-05-20T12:00:00.123456Z",
        "action": "write",
        "identity_type": "service_account",
        "identity_id": "sa:billing",
        "secret_path": "app/db",
        "source_ip": "10.0.0.7",
        "user_agent": "scaivault-python/1.0",
        "success": True,
        "request_id": "req_1",
        "trace_id": "a" * 32,
        "extra_data": {"version": 3},
    }


@pytest.mark.parametrize("rule", [LOGS, SECRET, IDENTITY, SUMMARY])
def test_every_question_needs_the_scope(house, rule):
    variables = {SECRET: {"path": "app/db"}, IDENTITY: {"identity_id": "sa:billing"}}.get(rule, {})
    with pytest.raises(InsufficientScope):
        house.ask(rule, by=caller(scopes=()), **variables)
    assert house.guard.asked == [Scope.AUDIT_READ]
    assert house.routes[rule].scope is Scope.AUDIT_READ


def test_asking_leaves_no_entry(house):
    house.ask(LOGS)
    assert house.ask(LOGS)["logs"] == []


def test_a_collection_comes_in_pieces(house):
    house.happen(7)
    seen, cursor = [], None
    for _ in range(4):
        query = {"limit": "2", "action": "read,write"} | ({"cursor": cursor} if cursor else {})
        answer = house.ask(LOGS, query)
        seen += [entry["timestamp"] for entry in answer["logs"]]
        cursor = answer["cursor"]
        assert answer["has_more"] is (cursor is not None)
    assert cursor is None
    assert len(set(seen)) == 7
    assert seen == sorted(seen, reverse=True)


def test_a_cursor_is_good_for_its_query_only(house):
    house.happen(3)
    cursor = house.ask(LOGS, {"limit": "1", "action": "read"})["cursor"]
    assert house.ask(LOGS, {"limit": "2", "action": "read", "cursor": cursor})["has_more"] is False
    for query in ({"action": "write"}, {}, {"action": "read", "success": "true"}):
        with pytest.raises(InvalidCursor):
            house.ask(LOGS, query | {"cursor": cursor})
    with pytest.raises(InvalidCursor):
        house.ask(LOGS, {"action": "read", "cursor": cursor}, by=caller(tenant_id="tnt_other"))
    with pytest.raises(InvalidCursor):
        house.ask(SECRET, {"cursor": cursor}, path="app/db")


def test_the_trail_of_a_secret_and_its_sum(house):
    house.happen(1)
    house.clock.forward(days=31)
    house.happen(2)
    house.happen(1, Action.POLICY_VIOLATION, success=False, by=caller(identity_id="sa:ci"))
    house.happen(5, path="app/db-2")
    answer = house.ask(SECRET, {"limit": "3"}, path="app/db")
    assert [entry["action"] for entry in answer["logs"]] == ["policy_violation", "read", "read"]
    assert answer["has_more"] is True
    summary = answer["summary"]
    assert summary.pop("by_action") == {"read": 2, "policy_violation": 1}
    assert summary == {
        "from": "2031-05-21T12:00:09.123456Z",
        "to": "2031-06-20T12:00:09.123456Z",
        "is_complete": True,
        "total_events": 3,
        "successful_events": 2,
        "failed_events": 1,
        "unique_identities": 2,
        "unique_secrets": 1,
    }


def test_the_trail_of_an_identity(house):
    house.happen(2)
    house.happen(1, by=caller(identity_id="user:ann@example.com"))
    answer = house.ask(IDENTITY, identity_id="user:ann@example.com")
    assert [entry["identity_id"] for entry in answer["logs"]] == ["user:ann@example.com"]
    assert answer["summary"]["total_events"] == 1
    with pytest.raises(InvalidRequest):
        house.ask(IDENTITY, identity_id="sa:\0")


def test_what_never_was_has_an_empty_trail(house):
    assert house.ask(SECRET, path="no/such")["summary"]["total_events"] == 0
    with pytest.raises(InvalidPath):
        house.ask(SECRET, path="../etc")


def test_a_summary_says_what_it_is_of(house):
    house.happen(1)
    house.clock.forward(days=2)
    house.happen(2)
    answer = house.ask(SUMMARY)
    assert (answer["from"], answer["to"]) == ("2031-05-21T12:00:03.123456Z", "2031-05-22T12:00:03.123456Z")
    assert (answer["total_events"], answer["is_complete"]) == (2, True)
    answer = house.ask(SUMMARY, {"from": "2031-05-20T14:00:00+02:00"})
    assert answer["from"] == "2031-05-20T12:00:00.000000Z"
    assert answer["total_events"] == 3
    assert house.ask(SUMMARY, {"to": "2031-05-21T00:00:00Z"})["total_events"] == 1
    assert house.ask(SUMMARY, {"to": "0001-01-01T00:00:00Z"})["total_events"] == 0


def test_a_summary_that_stopped_counting_shows_where(house, monkeypatch):
    monkeypatch.setattr(audit, "MOST_SUMMARISED", 2)
    house.happen(5)
    answer = house.ask(SUMMARY)
    assert (answer["total_events"], answer["is_complete"]) == (2, False)
    assert answer["from"] == "2031-05-20T12:00:04.123456Z"


def test_the_window_has_its_beginning_and_not_its_end(house):
    house.happen(3)
    window = {"from": "2031-05-20T12:00:01.123456Z", "to": "2031-05-20T12:00:03.123456Z"}
    assert len(house.ask(LOGS, window)["logs"]) == 2


def test_documented_actions_of_features_to_come_are_known(house):
    assert house.ask(LOGS, {"action": "pki_issue,rotate,dynamic_generate"})["logs"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2031-05-20T12:00:00"}, "from"),
        ({"from": "2031-05-20"}, "from"),
        ({"from": "1700000000"}, "from"),
        ({"from": "2031-05-20T12:00:00 02:00"}, "from"),
        ({"to": "2031-02-30T12:00:00Z"}, "to"),
        ({"to": "0001-01-01T00:00:00+14:00"}, "to"),
        ({"from": "2031-05-21T00:00:00Z", "to": "2031-05-20T00:00:00Z"}, "to"),
        ({"action": "read,raed"}, "action"),
        ({"action": ""}, "action"),
        ({"identity_id": ""}, "identity_id"),
        ({"identity_id": "sa:\0"}, "identity_id"),
        ({"identity_type": "robot"}, "identity_type"),
        ({"success": "yes"}, "success"),
        ({"source_ip": "10.0.0"}, "source_ip"),
        ({"source_ip": "fe80::1%eth0"}, "source_ip"),
        ({"request_id": "a b"}, "request_id"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"since": "2031-05-20T12:00:00Z"}, "since"),
        ({"acton": "read"}, "acton"),
    ],
)
def test_a_bad_question_is_refused_by_name(query, field):
    with pytest.raises(ValidationFailed) as refusal:
        validate(LogsQuery, query)
    assert list(refusal.value.details["fields"]) == [field]


def test_an_unknown_action_is_told_the_known_ones():
    with pytest.raises(ValidationFailed) as refusal:
        validate(LogsQuery, {"action": "raed"})
    assert "read, " in refusal.value.details["fields"]["action"]
    assert "policy_violation" in refusal.value.details["fields"]["action"]


def test_a_prefix_is_the_beginning_of_a_path(house):
    house.happen(1, path="app/db")
    house.happen(1, path="app2/db")
    assert len(house.ask(LOGS, {"path_prefix": "app"})["logs"]) == 2
    assert len(house.ask(LOGS, {"path_prefix": "app/"})["logs"]) == 1
    with pytest.raises(InvalidPath):
        house.ask(LOGS, {"path_prefix": "/app"})


def test_a_mapped_address_is_its_ipv4_address(house):
    house.happen(1)
    assert len(house.ask(LOGS, {"source_ip": "::ffff:10.0.0.7"})["logs"]) == 1


def test_the_default_piece_is_a_hundred():
    assert validate(LogsQuery, {}).limit == 100
    assert LogsQuery.model_json_schema()["properties"].keys() >= {"from", "to", "action", "limit", "cursor"}
