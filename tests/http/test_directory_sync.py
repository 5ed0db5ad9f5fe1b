"""The directory as a whole, read from a real server: what comes of it, and what does not when that server misbehaves."""

import base64
import contextlib
import json
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from scaivault.bootstrap import api
from scaivault.kernel.caller import Role, Scope
from scaivault.outbound import http
from tests.house import OTHER_TENANT, TENANT, furnish, opened
from tests.http.test_directory import SECRET, ScaiKey, error
from tests.issuer import answer
from tests.waiting import PATIENCE_SECONDS, await_in_force, await_true

SYNC, HISTORY = "/v1/identity/sync", "/v1/identity/sync/history"
CLIENT, CLIENT_SECRET = "vault:client", "s3cret/of+the tests"
TOKEN = "directory-token-of-the-tests"


class Directory:
    """Serves what its attributes hold, in pages, to who has the token. `instead` answers in a path's place."""

    def __init__(self):
        self.partners = [{"id": "prt_test", "name": "Partner"}]
        self.tenants = [{"id": TENANT, "partner_id": "prt_test", "name": "Tenant A"}]
        self.users, self.groups, self.members = {}, {}, {}
        self.instead, self.asked, self.grants = {}, [], []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def people(self, *numbers, tenant_id=TENANT, **said):
        self.users[tenant_id] = [
            {"id": f"usr_{number:04}", "email": f"u{number}@a.example", "display_name": f"User {number}", **said}
            for number in numbers
        ]

    def listing(self, path, query):
        match path.strip("/").split("/")[2:]:
            case ["partners"]:
                return self.partners
            case ["tenants"]:
                return [each for each in self.tenants if query.get("partner_id") in {None, each["partner_id"]}]
            case ["tenants", tenant_id, "users"]:
                return self.users.get(tenant_id, [])
            case ["tenants", tenant_id, "groups"]:
                return self.groups.get(tenant_id, [])
            case ["groups", group_id, "members"]:
                return self.members.get(group_id, [])

    def page(self, path, query):
        rows, number, size = self.listing(path, query), int(query["page"]), int(query["page_size"])
        return {"items": rows[(number - 1) * size : number * size], "total": len(rows), "page": number}

    def document(self, path, query):
        match path.strip("/").split("/")[2:]:
            case ["tenants", tenant_id]:
                return next((each for each in self.tenants if each["id"] == tenant_id), None)
            case _:
                return self.page(path, query)

    def _handler(self):
        directory = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                directory.asked.append(self.path)
                with contextlib.suppress(OSError):
                    if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                        answer(self, b"{}", 401)
                    elif parts.path in directory.instead:
                        directory.instead[parts.path](self)
                    else:
                        found = directory.document(parts.path, query)
                        answer(self, json.dumps(found).encode(), 404 if found is None else 200)

            def do_POST(self):
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                directory.grants.append((self.headers.get("Authorization"), form))
                with contextlib.suppress(OSError):
                    directory.instead.get(self.path, grant)(self)

            def log_message(self, *_):
                pass

        return Handler


def grant(handler):
    answer(handler, json.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}).encode())


@pytest.fixture
def directory():
    made = Directory()
    yield made
    made.close()


def reading(directory):
    return {
        "SCAIKEY_URL": directory.url,
        "SCAIKEY_CLIENT_ID": CLIENT,
        "SCAIKEY_CLIENT_SECRET": CLIENT_SECRET,
        "SCAIKEY_WEBHOOK_SECRET": SECRET,
    }


@pytest.fixture
def house(database_url, redis_url, tmp_path, directory, monkeypatch):
    monkeypatch.setattr(api, "SYNC_SECONDS", 0.02)
    with opened(database_url, redis_url, tmp_path, **reading(directory)) as house:
        yield house


@pytest.fixture
def root(house, ada):
    return house.someone("user:root@a.example", roles=[Role.SUPER_ADMIN])


def synced(voice, query=""):
    """The sync that is asked for, once it is over, as its history tells it."""
    started = voice.post(SYNC + query)
    assert started.status_code == 202, started.text
    assert set(started.json) == {"sync_id", "status", "started_at"}
    return finished(voice, started.json["sync_id"])


def finished(voice, sync_id):
    def found():
        return next(each for each in voice.get(HISTORY).json["syncs"] if each["sync_id"] == sync_id)

    await_true(lambda: found()["finished_at"])
    return found()


def users_of(voice, query="", tenant_id=TENANT):
    return voice.get(f"/v1/identity/tenants/{tenant_id}/users?page_size=500{query}").json["users"]


def failure(sync):
    return sync["status"], sync["error_code"]


class TestWhatComesOfIt:
    def test_users_groups_and_members_are_as_the_directory_has_them(self, directory, ada):
        directory.people(1, 2, mfa_enabled=True)
        directory.groups[TENANT] = [{"id": "grp_sre", "name": "sre"}]
        directory.members["grp_sre"] = [{"user_id": "usr_0002", "membership_type": "DIRECT"}]
        sync = synced(ada)
        assert failure(sync) == ("succeeded", None)
        assert sync["counts"] == {
            "tenants": 1,
            "users": 2,
            "groups": 1,
            "members": 1,
            "changed": 4,
            "deleted": 0,
            "refused": 0,
        }
        assert [(each["id"], each["mfa_enabled"], each["groups"]) for each in users_of(ada)] == [
            ("usr_0001", True, []),
            ("usr_0002", True, ["group:sre"]),
        ]
        assert ada.get("/v1/identity/resolve/user/usr_0002").json["groups"] == ["group:sre"]

    def test_it_asks_with_its_own_client_credentials_once(self, directory, ada):
        directory.people(1)
        synced(ada)
        [(authorization, form)] = directory.grants
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        assert pair == "vault%3Aclient:s3cret%2Fof%2Bthe+tests"
        assert form == {"grant_type": ["client_credentials"], "scope": ["directory:read"]}

    def test_many_pages_are_read(self, directory, ada):
        directory.people(*range(250))
        assert synced(ada)["counts"]["users"] == 250
        assert len(users_of(ada)) == 250
        pages = [path for path in directory.asked if "/users?" in path]
        assert [parse_qs(urlsplit(path).query)["page"] for path in pages] == [["1"], ["2"], ["3"]]

    def test_what_has_not_changed_counts_for_nothing_and_voids_nothing(self, directory, ada, database_url):
        directory.people(1, 2)
        synced(ada)
        with psycopg.connect(database_url) as connection:
            before = connection.execute("SELECT epoch FROM authority_clock").fetchone()
        again = synced(ada)
        assert (again["counts"]["users"], again["counts"]["changed"]) == (2, 0)
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT epoch FROM authority_clock").fetchone() == before

    def test_who_is_suspended_there_is_out_within_a_second(self, directory, house, ada):
        directory.people(1)
        synced(ada)
        one = house.someone("user:u1@a.example")
        assert one.get("/v1/auth/whoami").status_code == 200
        directory.people(1, status="SUSPENDED")
        synced(ada)
        shut_out = await_in_force(lambda: one.get("/v1/auth/whoami"), lambda answer: answer.status_code == 403)
        assert error(shut_out) == (403, "forbidden")

    def test_a_newer_event_wins(self, directory, house, ada):
        directory.people(1)
        synced(ada)
        scaikey = ScaiKey(house)
        later = (house.clock.now() + timedelta(minutes=1)).isoformat()
        event = scaikey.event("user.suspended", "usr_0001") | {"timestamp": later}
        assert scaikey.send(event).json["success"] is True
        synced(ada)
        assert [each["status"] for each in users_of(ada)] == ["SUSPENDED"]
        house.clock.forward(minutes=2)
        synced(ada)
        assert [each["status"] for each in users_of(ada)] == ["ACTIVE"]

    def test_and_an_older_one_that_comes_late_does_not(self, directory, house, ada):
        directory.people(1)
        synced(ada)
        ScaiKey(house).tell("user.suspended", "usr_0001")
        assert [each["status"] for each in users_of(ada)] == ["ACTIVE"]

    def test_who_is_not_listed_any_more_is_deleted_and_leaves_the_groups(self, directory, house, ada):
        directory.people(1, 2)
        directory.groups[TENANT] = [{"id": "grp_a", "name": "a"}, {"id": "grp_b", "name": "b"}]
        directory.members |= {"grp_a": [{"user_id": "usr_0001"}, {"user_id": "usr_0002"}], "grp_b": []}
        synced(ada)
        two = house.someone("user:u2@a.example")
        directory.people(1)
        directory.groups[TENANT].pop()
        directory.members["grp_a"] = []
        sync = synced(ada)
        assert (failure(sync), sync["counts"]["deleted"]) == (("succeeded", None), 2)
        assert [each["id"] for each in users_of(ada, "&status=ACTIVE")] == ["usr_0001"]
        assert ada.get("/v1/identity/resolve/user/usr_0001").json["groups"] == []
        assert [
            each["name"] for each in ada.get(f"/v1/identity/tenants/{TENANT}/groups?status=ACTIVE").json["groups"]
        ] == ["a"]
        assert await_in_force(lambda: two.get("/v1/auth/whoami"), lambda answer: answer.status_code == 403)

    def test_the_name_of_who_is_deleted_goes_to_who_was_given_it(self, directory, ada):
        directory.people(1)
        synced(ada)
        directory.users[TENANT] = [{"id": "usr_0002", "email": "u1@a.example"}]
        sync = synced(ada)
        assert (sync["status"], sync["counts"]["refused"]) == ("succeeded", 0)
        assert ada.get("/v1/identity/resolve/user/user:u1@a.example").json["user_id"] == "usr_0002"

    def test_whom_the_directory_never_told_of_stays(self, directory, ada):
        directory.people(1)
        synced(ada)
        assert ada.get("/v1/auth/whoami").status_code == 200

    @pytest.mark.parametrize(
        ("known", "left", "is_refused"), [(10, 0, False), (12, 6, False), (12, 5, True), (40, 0, True)]
    )
    def test_more_than_half_of_many_are_not_deleted_at_once(self, directory, ada, known, left, is_refused):
        directory.people(*range(known))
        synced(ada)
        directory.people(*range(left))
        sync = synced(ada)
        assert failure(sync) == (("failed", "too_many_deletions") if is_refused else ("succeeded", None))
        assert len(users_of(ada, "&status=ACTIVE")) == (known if is_refused else left)

    def test_newcomers_do_not_hide_that_everybody_else_is_gone(self, directory, ada):
        directory.people(*range(20))
        synced(ada)
        directory.people(*range(100, 150))
        assert failure(synced(ada)) == ("failed", "too_many_deletions")

    def test_what_can_not_be_here_is_refused_and_the_rest_taken(self, directory, ada):
        directory.people(1, 2)
        directory.users[TENANT][0]["email"] = "no address"
        sync = synced(ada)
        assert (sync["status"], sync["counts"]["refused"], sync["counts"]["changed"]) == ("succeeded", 1, 1)

    def test_the_trails_tell_who_asked_and_what_came_of_it(self, directory, ada):
        directory.people(1)
        sync = synced(ada)
        told, asked = ada.audit(action="identity_sync")
        assert (asked["identity_id"], asked["extra_data"]["sync_id"]) == ("user:ada@a.example", sync["sync_id"])
        assert (told["identity_id"], told["extra_data"]["changed"]) == ("system:scaikey", 1)
        assert "u1@a.example" not in json.dumps([told, asked])


def hang(handler):
    handler.server.over = threading.Event()
    handler.server.over.wait(5)


USERS = f"/api/v1/tenants/{TENANT}/users"
LIES = {
    "a server error": (lambda handler: answer(handler, b"{}", 500), "directory_unavailable"),
    "a redirect": (lambda handler: answer(handler, b"", 302, Location="/elsewhere"), "directory_unavailable"),
    "no JSON": (lambda handler: answer(handler, b"<html>"), "directory_malformed"),
    "no object": (lambda handler: answer(handler, b"[]"), "directory_malformed"),
    "no items": (lambda handler: answer(handler, b'{"total": 0}'), "directory_malformed"),
    "no total": (lambda handler: answer(handler, b'{"items": []}'), "directory_malformed"),
    "a total that is none": (lambda handler: answer(handler, b'{"items": [], "total": true}'), "directory_malformed"),
    "fewer than it says": (lambda handler: answer(handler, b'{"items": [], "total": 5}'), "directory_malformed"),
    "more than it says": (lambda handler: answer(handler, b'{"items": [{}], "total": 0}'), "directory_malformed"),
    "no id": (lambda handler: answer(handler, b'{"items": [{}], "total": 1}'), "directory_malformed"),
    "another tenant's": (
        lambda handler: answer(handler, b'{"items": [{"id": "usr_1", "tenant_id": "tnt_b"}], "total": 1}'),
        "directory_malformed",
    ),
    "twice the same": (
        lambda handler: answer(handler, b'{"items": [{"id": "usr_1"}, {"id": "usr_1"}], "total": 2}'),
        "directory_changed_meanwhile",
    ),
    "far too much": (lambda handler: answer(handler, b'{"x":"' + b"x" * 2_000_000 + b'"}'), "directory_unavailable"),
    "nothing": (lambda handler: answer(handler, b"{}", 404), "not_in_directory"),
    "silence": (hang, "directory_unavailable"),
}


class TestADirectoryThatMisbehaves:
    @pytest.mark.parametrize("lie", LIES)
    def test_fails_the_sync_and_costs_nobody_anything(self, directory, ada, monkeypatch, lie):
        monkeypatch.setattr(http, "READ_SECONDS", 0.5)
        directory.people(1)
        synced(ada)
        before = users_of(ada)
        directory.instead[USERS], code = LIES[lie]
        assert failure(synced(ada)) == ("failed", code)
        assert users_of(ada) == before

    @pytest.mark.parametrize(
        ("document", "code"),
        [
            ({}, "directory_malformed"),
            ({"access_token": 5, "expires_in": 60}, "directory_malformed"),
            ({"access_token": "two\r\nlines", "expires_in": 60}, "directory_malformed"),
            ({"access_token": "another", "expires_in": 60}, "directory_unavailable"),
        ],
    )
    def test_so_does_one_that_gives_no_token(self, directory, ada, document, code):
        directory.instead["/oauth/token"] = lambda handler: answer(handler, json.dumps(document).encode())
        assert failure(synced(ada)) == ("failed", code)

    def test_it_recovers_with_the_next_one(self, directory, ada):
        directory.people(1)
        directory.instead[USERS] = LIES["a server error"][0]
        assert synced(ada)["status"] == "failed"
        directory.instead.clear()
        assert synced(ada)["status"] == "succeeded"

    def test_a_tenant_it_claims_for_another_partner_is_not_moved(self, directory, root):
        directory.tenants = [{"id": TENANT, "partner_id": "prt_evil", "name": "Taken"}]
        directory.people(1)
        sync = synced(root)
        assert (sync["status"], sync["counts"]["refused"], sync["counts"]["users"]) == ("succeeded", 1, 0)
        assert users_of(root) == []


class TestWhoMay:
    def test_each_syncs_what_he_administers(self, directory, ada, pat, root):
        directory.tenants += [
            {"id": OTHER_TENANT, "partner_id": "prt_test", "name": "B"},
            {"id": "tnt_x", "partner_id": "prt_x", "name": "X"},
        ]
        counts = [synced(voice)["counts"]["tenants"] for voice in (ada, pat, root)]
        assert counts == [1, 2, 3]
        assert synced(pat, f"?tenant_id={OTHER_TENANT}")["tenant_id"] == OTHER_TENANT
        assert synced(root, "?partner_id=ptn_x")["counts"]["tenants"] == 1

    @pytest.mark.parametrize(
        "query", [f"?tenant_id={OTHER_TENANT}", "?tenant_id=tnt_none", "?partner_id=ptn_test", "?partner_id=ptn_x"]
    )
    def test_a_tenant_admin_syncs_no_other_tenant(self, ada, query):
        assert error(ada.post(SYNC + query)) == (403, "tenant_access_denied")

    @pytest.mark.parametrize("query", ["?tenant_id=tnt_none", "?partner_id=ptn_x"])
    def test_a_partner_admin_no_other_partner(self, pat, query):
        assert error(pat.post(SYNC + query)) == (403, "tenant_access_denied")

    def test_a_tenant_is_its_partners(self, root):
        assert error(root.post(f"{SYNC}?tenant_id=tnt_none")) == (404, "tenant_not_found")
        assert error(root.post(f"{SYNC}?tenant_id={TENANT}&partner_id=ptn_x")) == (404, "tenant_not_found")

    @pytest.mark.parametrize("query", ["?tenant_id=x", "?partner_id=%27", "?tenant=tnt_a"])
    def test_what_can_not_be_one_is_refused(self, root, query):
        assert root.post(SYNC + query).status_code in {400, 422}

    def test_it_takes_a_role_besides_the_scope(self, house, ada):
        assert error(house.someone("user:nobody@a.example").post(SYNC)) == (403, "access_denied")

    def test_each_sees_the_history_of_what_he_may_act_in(self, directory, ada, bob, pat, root):
        mine, partners, all_of_it = (synced(voice)["sync_id"] for voice in (ada, pat, root))

        def seen(voice, query=""):
            page = voice.get(HISTORY + query).json
            return [each["sync_id"] for each in page["syncs"]], page["total"]

        assert seen(ada) == ([mine], 1)
        assert seen(bob) == ([], 0)
        assert seen(pat) == ([partners, mine], 2)
        assert seen(root) == ([all_of_it, partners, mine], 3)
        assert seen(root, "?page_size=2&page=2") == ([mine], 3)

    def test_without_a_directory_to_read_nothing_is_queued(self, database_url, redis_url, tmp_path):
        with opened(database_url, redis_url, tmp_path) as house:
            ada, _ = furnish(house)
            refused = ada.post(SYNC)
            assert error(refused) == (409, "sync_not_configured")
            assert "SCAIKEY_CLIENT_ID" in refused.json["error"]["message"]
            assert ada.get(HISTORY).json == {"syncs": [], "total": 0}

    def test_it_takes_the_scope(self, house, ada):
        lacking = frozenset(Scope) - {Scope.IDENTITY_ADMIN}
        assert error(house.someone("user:x@a.example", lacking, roles=[Role.TENANT_ADMIN]).post(SYNC)) == (
            403,
            "insufficient_scope",
        )


def waiting(database_url, **columns):
    """A sync of tenant A that somebody has begun, or is yet to begin."""
    row = {
        "id": "sync_w",
        "partner_id": "ptn_test",
        "only_tenant_id": TENANT,
        "requested_by": "user:ada@a.example",
        "status": "queued",
        "started_at": "2026-01-01T00:00:00Z",
        **columns,
    }
    with psycopg.connect(database_url, autocommit=True) as connection:
        names, places = ", ".join(row), ", ".join(f"%({name})s" for name in row)
        connection.execute(f"INSERT INTO directory_syncs ({names}) VALUES ({places})", row)


class TestProcesses:
    def test_a_sync_whose_process_died_is_taken_over_when_its_lease_is_over(self, directory, house, ada, database_url):
        directory.people(1)
        alive = house.clock.now() + timedelta(seconds=30)
        waiting(database_url, status="running", attempts=1, leased_until=alive)
        assert synced(ada)["status"] == "succeeded"  # others are done meanwhile
        assert [each["status"] for each in ada.get(HISTORY).json["syncs"]] == ["succeeded", "running"]
        house.clock.forward(seconds=31)
        assert failure(finished(ada, "sync_w")) == ("succeeded", None)

    def test_but_not_for_ever(self, house, ada, database_url):
        waiting(database_url, status="running", attempts=3, leased_until=house.clock.now())
        assert failure(finished(ada, "sync_w")) == ("failed", "abandoned")

    def test_who_comes_back_after_another_took_over_changes_nothing_more(self, directory, house, ada, database_url):
        directory.people(1)
        arrived, released = threading.Event(), threading.Event()

        def stall(handler):
            del directory.instead[USERS]
            arrived.set()
            released.wait(PATIENCE_SECONDS)
            page = {"items": [{"id": "usr_0009", "email": "late@a.example"}], "total": 200}
            answer(handler, json.dumps(page).encode())

        directory.instead[USERS] = stall
        sync_id = ada.post(SYNC).json["sync_id"]
        assert arrived.wait(PATIENCE_SECONDS)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE directory_syncs SET attempts = attempts + 1, leased_until = 'infinity'")
        released.set()
        assert synced(ada)["status"] == "succeeded"
        [other] = [each for each in ada.get(HISTORY).json["syncs"] if each["sync_id"] == sync_id]
        assert other["status"] == "running"
        assert [each["id"] for each in users_of(ada)] == ["usr_0001"]

    def test_of_many_processes_one_does_it(self, directory, ada, database_url, redis_url, tmp_path):
        directory.people(1)
        with contextlib.ExitStack() as others:
            for _ in range(3):
                others.enter_context(opened(database_url, redis_url, tmp_path, **reading(directory)))
            for _ in range(5):
                synced(ada)
        assert len([path for path in directory.asked if "/users?" in path]) == 5

    def test_whoever_asks_while_one_waits_is_told_of_that_one(self, directory, ada, bob):
        arrived, released = threading.Event(), threading.Event()

        def stall(handler):
            arrived.set()
            released.wait(PATIENCE_SECONDS)
            answer(handler, b"{}", 500)

        directory.instead[USERS] = stall
        ada.post(SYNC)
        assert arrived.wait(PATIENCE_SECONDS)
        asked = {ada.post(SYNC).json["sync_id"] for _ in range(3)}
        others = bob.post(SYNC).json["sync_id"]
        released.set()
        assert len(asked) == 1
        assert others not in asked


class TestSchedule:
    def test_everything_is_read_once_an_interval_by_however_many_processes(
        self, directory, database_url, redis_url, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(api, "SYNC_SECONDS", 0.02)
        monkeypatch.setattr(api, "SYNC_SCHEDULE_SECONDS", 0.02)
        environment = reading(directory) | {"IDENTITY_SYNC_INTERVAL": "6h"}
        with opened(database_url, redis_url, tmp_path) as first:
            furnish(first)  # before the first sync, which would make the tenants itself
        with contextlib.ExitStack() as houses:
            house, other = (
                houses.enter_context(opened(database_url, redis_url, tmp_path, **environment)) for _ in range(2)
            )
            root = house.someone("user:root@a.example", roles=[Role.SUPER_ADMIN])

            def syncs(number):
                await_true(lambda: root.get(HISTORY).json["total"] >= number)
                for each in root.get(HISTORY).json["syncs"]:
                    finished(root, each["sync_id"])
                return [each["requested_by"] for each in root.get(HISTORY).json["syncs"]]

            assert syncs(1) == ["system:schedule"]
            for each in (house, other):
                each.clock.forward(hours=5)
            synced(root, f"?tenant_id={TENANT}")
            assert syncs(2) == ["user:root@a.example", "system:schedule"]
            for each in (house, other):
                each.clock.forward(hours=2)
            assert syncs(3) == ["system:schedule", "user:root@a.example", "system:schedule"]
