"""docs/webhooks.md, held to its word: its receiver is run, its table compared with what is told."""

import re
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from scaivault.features.events.model.told import ENVELOPE, HEADERS, TOLD
from scaivault.kernel.events import EventType
from tests.http.test_rotation import generator, under
from tests.http.test_rotation import policy as policy_of_rotation
from tests.http.test_webhooks import SECRET, hook, receiver, worker
from tests.receiver import Receiver
from tests.told import faults

__all__ = ["receiver", "worker"]

PAGE = (Path(__file__).parents[2] / "docs/webhooks.md").read_text()
IN_BRACKETS = re.compile(r"\(.*?\)")  # what is in brackets are values, and words
ROWS = {
    event: (happened, *(set(re.findall(r"`(\w+)`", IN_BRACKETS.sub("", cell))) for cell in cells))
    for event, happened, *cells in re.findall(r"^\| `([\w.]+)` \| (.*?) \| (.*?) \| (.*?) ?\|$", PAGE, re.MULTILINE)
}


class Heard:
    """The page's receiver, at work."""

    def __init__(self, secret, monkeypatch):
        monkeypatch.setenv("WEBHOOK_SECRET", secret)
        [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        self.names = {"__name__": "receiver"}
        exec(compile(code, "docs/webhooks.md", "exec"), self.names)  # noqa: S102 - what the page says is what is tried
        self.events, self.answers, self._news = [], [], threading.Condition()
        heard = self

        class Handler(self.names["Handler"]):
            def handle_event(self, event):
                heard.note(heard.events, event)

            def log_request(self, code="-", size="-"):
                heard.note(heard.answers, int(code))

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def note(self, where, what):
        with self._news:
            where.append(what)
            self._news.notify_all()

    def await_answers(self, count):
        with self._news:
            assert self._news.wait_for(lambda: len(self.answers) >= count, 60), self.answers
            return self.answers

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def heard(monkeypatch):
    made = Heard(SECRET, monkeypatch)
    yield made
    made.close()


@pytest.mark.usefixtures("worker")
def test_its_receiver_takes_deliveries_also_while_a_secret_is_replaced_and_nothing_else(ada, heard):
    webhook = hook(ada, heard)
    ada.write("app/db")
    assert heard.await_answers(1) == [204]
    assert [event["event_type"] for event in heard.events] == ["secret.created"]
    [row] = ada.get(f"/v1/webhooks/{webhook}/deliveries").json["deliveries"]
    assert ada.post(f"/v1/webhooks/{webhook}/deliveries/{row['id']}/redeliver").status_code == 202
    assert heard.await_answers(2) == [204, 204]
    assert len(heard.events) == 1
    assert ada.patch(f"/v1/webhooks/{webhook}", {"secret": "another-secret-of-thirty-two-bytes"}).status_code == 200
    ada.write("app/db")
    assert heard.await_answers(3) == [204] * 3
    assert len(heard.events) == 2
    assert ada.patch(f"/v1/webhooks/{webhook}", {"secret": "a-third-secret-of-thirty-two-bytes"}).status_code == 200
    ada.write("app/db")
    assert heard.await_answers(4)[3] == 401
    assert len(heard.events) == 2


def test_its_receiver_refuses_what_is_old_altered_or_nonsense(ada, heard):
    real = Receiver(SECRET)
    try:
        ada.post(f"/v1/webhooks/{hook(ada, real)}/test")
        [received] = real.await_count(1)
        assert faults(received.event) == []
    finally:
        real.close()
    headers = {
        name.replace("x-scaivault", "X-ScaiVault").title().replace("Scaivault", "ScaiVault"): value
        for name, value in received.headers.items()
    }
    verified = heard.names["verified"]
    assert verified(headers, received.body)["event_type"] == "webhook.test"
    assert verified(headers, received.body + b" ") is None
    for change in ({"X-ScaiVault-Timestamp": "1"}, {"X-ScaiVault-Timestamp": "²"}, {"X-ScaiVault-Signature": "ä"}):
        assert verified(headers | change, received.body) is None
    assert verified({}, received.body) is None


def test_it_names_every_event_there_is():
    [to_come] = re.findall(r"still to come: (.*?)\.\n\n", PAGE, re.DOTALL)
    named = {*ROWS, *re.findall(r"`([\w.]+)`", to_come)}
    assert named == {*(kind.value for kind in EventType), "webhook.test"}
    assert not set(ROWS) & set(re.findall(r"`([\w.]+)`", to_come))


def test_its_table_is_the_codes():
    told = {kind: (each.happened, set(each.always), set(each.sometimes)) for kind, each in TOLD.items()}
    assert told == ROWS


def two_columns(heading):
    """The rows of the table that begins so."""
    [table] = re.findall(rf"^\| {heading} \| \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return {
        name: says
        for names, says in re.findall(r"^\| (.*?) \| (.*?) \|$", table, re.MULTILINE)
        for name in re.findall(r"`(.*?)`", names)
    }


def test_its_headers_and_its_envelope_are_the_codes():
    assert two_columns("Header") == {header.name: header.says for header in HEADERS}
    assert two_columns("Field") == ENVELOPE


def test_the_openapi_document_tells_receivers_the_same(house):
    document = house.client.get("/v1/openapi.json").json
    assert set(document["webhooks"]) == set(ROWS)
    for kind, item in document["webhooks"].items():
        sent = item["post"]
        headers = {each["name"]: (each["description"], each["required"]) for each in sent["parameters"]}
        named = {header.name: (header.says, header.is_always_sent) for header in HEADERS}
        assert headers == {name: says for name, says in named.items() if name != "Content-Type"}
        reference = sent["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        schema = document["components"]["schemas"][reference.rsplit("/", 1)[-1]]
        happened, always, sometimes = ROWS[kind]
        assert sent["summary"] == happened
        assert schema["properties"]["event_type"] == {"const": kind}
        assert set(schema["properties"]["data"]["required"]) == always
        assert set(schema["properties"]["data"]["properties"]) == always | sometimes
        assert {*schema["properties"]} | {"path"} == set(ENVELOPE)


@pytest.mark.usefixtures("worker")
def test_its_table_is_what_is_told(house, ada, receiver):
    hook(ada, receiver, events=[kind.value for kind in EventType])
    rules = [{"path_pattern": "app/**", "permissions": ["read"]}]
    policy = ada.post("/v1/policies", {"name": "page", "rules": rules}).json["id"]
    ada.patch(f"/v1/policies/{policy}", {"description": "other"})
    somebody = {"identity_type": "user", "identity_id": "user:x@a.example"}
    binding = ada.post(f"/v1/policies/{policy}/bindings", somebody).json["id"]
    ada.delete(f"/v1/policies/{policy}/bindings/{binding}")
    ada.delete(f"/v1/policies/{policy}")
    house.someone("user:carol@a.example").get("/v1/secrets/app/db")
    ada.write("app/db")
    ada.get("/v1/secrets/app/db")
    ada.patch("/v1/secrets/app/db:metadata", {"metadata": {"owner": "team:a"}})
    ada.write("app/db")
    ada.post("/v1/secrets/app/db:rollback", {"version": 1})
    ada.post("/v1/secrets/app/db:destroy", {"versions": [2]})
    ada.delete("/v1/secrets/app/db")
    ada.post("/v1/secrets/app/db:recover")
    ada.delete("/v1/secrets/app/db?permanent=true")
    rotating = policy_of_rotation(ada, secret_policy_id=generator(ada))
    under(ada, "app/rotating", rotating)
    ada.post("/v1/secrets/app/rotating:rotate")
    by_time = {"secret.expiring", "secret.expired", "rotation.due", "rotation.overdue", "rotation.failed"}
    wanted = set(ROWS) - by_time - {"webhook.disabled", "webhook.test"}
    received = receiver.await_true(
        lambda received: (
            wanted <= {each.event["event_type"] for each in received}
            and "destroyed_versions" in str([each.body for each in received])
        ),
        60,
    )
    assert [fault for each in received for fault in faults(each.event)] == []
