"""What is told only when its time has come is as the table says, too: of the rest tests/http knows from receivers."""

import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from scaivault.features.events.model.told import ENVELOPE, HEADERS, TOLD, WITHOUT_A_PATH, envelope_of
from scaivault.features.events.model.webhooks import DueDelivery, envelope
from scaivault.features.events.service.postman import Postman
from scaivault.features.events.service.secrets import SigningSecrets
from scaivault.features.rotation.model import Schedule, Scheduled, State, Terms
from scaivault.features.rotation.service import telling as of_rotations
from scaivault.features.secrets.model import Notice
from scaivault.features.secrets.service import telling as of_secrets
from scaivault.kernel.caller import Caller, Origin, Principal
from scaivault.kernel.events import EventType
from scaivault.kernel.plaintext import Plaintext
from scaivault.outbound.posts import Answer
from tests.told import faults

NOW = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
CALLER = Caller(
    Principal.of_system("system:a", "A", "ptn_a", "tnt_a", NOW), Origin(ip_address("::1"), "", "req_a", "0" * 32, 0.0)
)
TERMS = Terms(timedelta(days=30), timedelta(days=2), (timedelta(days=1),), auto_generate=True, is_active=True)
SECRET = Scheduled(
    partner_id="ptn_a",
    tenant_id="tnt_a",
    path="app/db",
    secret_type="kv",
    metadata={"tags": ["prod"]},
    current_version=3,
    secret_policy_id=None,
    policy_id="rot_a",
    policy_name="monthly",
    terms=TERMS,
    schedule=Schedule(NOW, State.SCHEDULED, NOW, NOW),
    history_id=None,
)
NOTICE = Notice("ptn_a", "tnt_a", "app/db", "kv", 3, {}, NOW, None)
BY_TIME = [
    of_rotations.warned(CALLER, SECRET, NOW, timedelta(days=1)),
    of_rotations.due(CALLER, SECRET, NOW),
    of_rotations.overdue(CALLER, SECRET, NOW),
    of_rotations.failed(CALLER, SECRET, NOW, "unreadable", NOW),
    of_rotations.failed(CALLER, SECRET, NOW, "unreadable", None),
    of_secrets.ending(CALLER, NOTICE, NOW),
    of_secrets.ending(CALLER, NOTICE, NOW - timedelta(hours=1)),
]


class Poster:
    def __init__(self):
        self.headers = None

    def post(self, _url, _body, headers):
        self.headers = headers
        return Answer(200, None, 0.001)


class Clock:
    def now(self):
        return NOW


@pytest.mark.parametrize("event", BY_TIME, ids=lambda event: event.kind.value)
def test_what_is_told_in_its_time_is_in_the_table(event):
    assert faults(envelope("evt_a", event, NOW)) == []


def test_the_check_finds_what_is_missing_unknown_or_of_another_form():
    sound = json.loads(envelope("evt_a", BY_TIME[1], NOW))
    assert faults(sound) == []
    for wrong in ({"due_now": "yes"}, {"due_at": None}, {"value": "planted"}):
        assert faults({**sound, "data": {**sound["data"], **wrong}})
    assert faults({name: value for name, value in sound.items() if name != "path"})
    assert faults({**sound, "data": {}})


def test_every_event_of_the_table_is_one_that_can_be_listened_for_or_the_test():
    assert set(TOLD) <= {*EventType, "webhook.test"}
    assert WITHOUT_A_PATH - set(TOLD) == {EventType.FEDERATION_SYNC_COMPLETED, EventType.FEDERATION_SYNC_FAILED}


def test_the_envelope_has_these_fields_in_this_order():
    assert list(json.loads(envelope("evt_a", BY_TIME[0], NOW))) == list(ENVELOPE) == envelope_of("rotation.due")


@pytest.mark.parametrize("previous", [None, Plaintext(b"the one before")])
def test_the_headers_are_those_of_the_table(previous):
    poster = Poster()
    delivery = DueDelivery("del_a", "evt_a", "secret.created", "req_a", None, None, 0, "{}")
    Postman(poster, Clock()).attempt("https://a.example", SigningSecrets(Plaintext(b"secret"), previous), delivery)
    wanted = {header.name for header in HEADERS if header.is_always_sent or previous is not None}
    assert set(poster.headers) == wanted
