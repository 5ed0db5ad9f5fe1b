"""The trail over HTTP: everything that is done leaves its row, and every row is found again."""

import itertools
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from scaivault.kernel.caller import Role
from tests.house import Voice, furnish, opened

LOGS = "/v1/audit/logs"
DB = "/v1/secrets/app/db"
PATIENCE_SECONDS = 30


def error(answer):
    return answer.json["error"]["code"]


@pytest.fixture(scope="module")
def standing(module_database_url, redis_server, tmp_path_factory):
    with opened(module_database_url, redis_server.url(), tmp_path_factory.mktemp("house")) as house:
        furnish(house)
        yield house


@pytest.fixture
def house(standing):
    """The standing house, its clock where it was."""
    instant = standing.clock.instant
    yield standing
    standing.clock.instant = instant


class Tenant:
    """A tenant of the test's own: an administrator, and Dave, who may do nothing."""

    numbers = itertools.count(1)

    def __init__(self, house):
        self.house = house
        self.id = f"tnt_{next(self.numbers)}"
        house.services.installer.add_tenant("ptn_test", self.id, self.id)
        self.admin = house.someone("user:ann", roles=[Role.TENANT_ADMIN], tenant_id=self.id)
        house.allow(self.admin, "user:ann", ("**", ["admin"]))
        self.dave = house.someone("user:dave", tenant_id=self.id)
        house.clock.forward(seconds=1)
        self.born = house.clock.now()

    def trail(self, **query):
        """The rows since it was furnished, oldest first, as fast as one may ask."""
        answer = self.admin.get(LOGS, query_string={"from": spelt(self.born), "limit": 1_000, **query})
        assert answer.status_code == 200, answer.text
        return answer.json["logs"][::-1]

    def tick(self, **span):
        self.house.clock.forward(**(span or {"seconds": 1}))


@pytest.fixture
def tenant(house):
    return Tenant(house)


@pytest.fixture
def ann(tenant):
    return tenant.admin


@pytest.fixture
def dave(tenant):
    return tenant.dave


def spelt(instant):
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def make_policy(voice, name="p", **more):
    return voice.post("/v1/policies", {"name": name, "rules": [{"path_pattern": "x", "permissions": ["read"]}], **more})


def policy_of(voice):
    return "/v1/policies/" + make_policy(voice).json["id"]


SUBJECT = {"identity_type": "user", "identity_id": "user:x"}

# Each begins with a secret at app/db of two versions: what is done, and the one row that it leaves.
DEEDS = {
    "read": (lambda ann: ann.get(DB), "read", "app/db", {}),
    "read old": (lambda ann: ann.get(f"{DB}?version=1"), "read", "app/db", {"version": 1}),
    "write": (lambda ann: ann.put(DB, {"data": {"n": 3}}), "write", "app/db", {"version": 3}),
    "roll back": (
        lambda ann: ann.post(f"{DB}:rollback", {"version": 1}),
        "write",
        "app/db",
        {"version": 3, "rollback_to": 1},
    ),
    "describe": (
        lambda ann: ann.patch(f"{DB}:metadata", {"metadata": {"owner": "x"}}),
        "write",
        "app/db",
        {"changed": "metadata", "fields": ["owner"]},
    ),
    "look": (lambda ann: ann.get(f"{DB}:metadata"), "list", "app/db", {"view": "metadata"}),
    "look back": (lambda ann: ann.get(f"{DB}:versions"), "list", "app/db", {"view": "versions"}),
    "list": (lambda ann: ann.get("/v1/secrets?prefix=app/"), "list", None, {"prefix": "app/", "count": 1}),
    "delete": (lambda ann: ann.delete(DB), "delete", "app/db", {"permanent": False}),
    "delete for good": (lambda ann: ann.delete(f"{DB}?permanent=true"), "delete", "app/db", {"permanent": True}),
    "destroy": (
        lambda ann: ann.post(f"{DB}:destroy", {"versions": [1]}),
        "delete",
        "app/db",
        {"destroyed": [1], "permanent": True},
    ),
    "make a policy": (make_policy, "policy_create", None, {"revision": 1, "rule_count": 1}),
}


class TestOneRow:
    @pytest.mark.parametrize("deed", DEEDS)
    def test_each_operation_leaves_one_row_that_says_what_it_was(self, tenant, ann, deed):
        ann.write("app/db", {"n": 1})
        ann.write("app/db", {"n": 2})
        before = {row["id"] for row in tenant.trail()}
        act, action, path, told = DEEDS[deed]
        answer = act(ann)
        assert answer.status_code < 300, answer.text
        [row] = [row for row in tenant.trail() if row["id"] not in before]
        assert (row["action"], row["secret_path"], row["success"]) == (action, path, True)
        assert told.items() <= {key: value for key, value in row["extra_data"].items() if value is not None}.items()
        assert (row["identity_id"], row["identity_type"]) == ("user:ann", "user")
        assert row["request_id"] == answer.headers["X-Request-ID"]

    def test_recovering_too(self, tenant, ann):
        ann.write("app/db")
        ann.delete(DB)
        ann.post(f"{DB}:recover")
        [row] = [row for row in tenant.trail(action="write") if row["extra_data"].get("changed")]
        assert row["extra_data"] == {"changed": "recovered"}

    def test_a_policys_life_is_a_row_for_each_change(self, tenant, ann):
        policy = policy_of(ann)
        ann.patch(policy, {"description": "x"})
        binding = ann.post(f"{policy}/bindings", SUBJECT).json["id"]
        ann.delete(f"{policy}/bindings/{binding}")
        ann.post(f"{policy}/bindings", SUBJECT)
        ann.delete(f"{policy}?force=true")
        rows = {row["action"]: row["extra_data"] for row in tenant.trail()}
        assert sorted(row["action"] for row in tenant.trail()) == sorted(
            ["policy_create", "policy_update", "policy_bind", "policy_unbind", "policy_bind", "policy_delete"]
        )
        assert {extra["policy_id"] for extra in rows.values()} == {policy.rpartition("/")[2]}
        assert rows["policy_update"]["revision"] == 2
        assert rows["policy_bind"]["bound_identity_id"] == "user:x"
        assert rows["policy_delete"]["bindings_removed"] == 1

    @pytest.mark.parametrize(
        ("act", "action", "code"),
        [
            (lambda ann: ann.get(DB), "read", "secret_not_found"),
            (lambda ann: ann.get(f"{DB}:metadata"), "list", "secret_not_found"),
            (lambda ann: ann.get(f"{DB}:versions"), "list", "secret_not_found"),
            (lambda ann: ann.delete(DB), "delete", "secret_not_found"),
            (lambda ann: ann.delete(f"{DB}?permanent=true"), "delete", "secret_not_found"),
            (lambda ann: ann.post(f"{DB}:recover"), "write", "secret_not_found"),
            (lambda ann: ann.post(f"{DB}:rollback", {"version": 1}), "write", "secret_not_found"),
            (lambda ann: ann.post(f"{DB}:destroy", {"versions": [1]}), "delete", "secret_not_found"),
            (lambda ann: ann.put(DB, {"data": {}, "options": {"expected_version": 7}}), "write", "version_conflict"),
        ],
    )
    def test_what_comes_to_nothing_is_a_row_without_success(self, tenant, ann, act, action, code):
        answer = act(ann)
        assert error(answer) == code
        [row] = tenant.trail()
        assert (row["action"], row["secret_path"], row["success"]) == (action, "app/db", False)
        assert row["request_id"] == answer.headers["X-Request-ID"]

    def test_a_read_of_a_version_that_is_gone_is_one(self, tenant, ann):
        ann.write("app/db")
        assert error(ann.get(f"{DB}?version=9")) == "version_not_found"
        [row] = tenant.trail(action="read")
        assert (row["success"], row["extra_data"]) == (False, {"version": 9})

    def test_a_batch_is_a_row_for_each_path(self, tenant, ann):
        for path in ("app/a", "app/b"):
            ann.write(path)
        ann.post("/v1/secrets/batch", {"paths": ["app/a", "app/b", "app/a", "app/none", "../x"]})
        rows = tenant.trail(action="read")
        assert sorted((row["secret_path"], row["success"]) for row in rows) == [
            ("app/a", True),
            ("app/b", True),
            ("app/none", False),
        ]
        assert len({row["request_id"] for row in rows}) == 1

    def test_a_batch_of_metadata_is_a_row_for_each_path_and_each_pattern(self, tenant, ann):
        for path in ("app/a", "app/b"):
            ann.write(path)
        body = {"paths": ["app/*", "app/a", "gone"], "expand_wildcards": True}
        ann.post("/v1/secrets/batch/metadata", body)
        rows = tenant.trail(action="list")
        assert sorted((row["secret_path"] or "", row["success"]) for row in rows) == [
            ("", True),
            ("app/a", True),
            ("gone", False),
        ]

    @pytest.mark.parametrize(
        "act",
        [
            lambda ann: ann.get(LOGS),
            lambda ann: ann.get("/v1/audit/summary"),
            lambda ann: ann.get("/v1/auth/whoami"),
            lambda ann: ann.get("/v1/policies"),
            lambda ann: ann.get("/v1/health"),
            lambda ann: ann.get("/v1/nowhere"),
        ],
    )
    def test_questions_about_the_vault_leave_none(self, tenant, ann, act):
        act(ann)
        assert tenant.trail() == []

    @pytest.mark.parametrize(
        ("act", "path", "reason"),
        [
            (lambda ann: ann.put(DB, {"data": "no object"}), "app/db", "validation_error"),
            (lambda ann: ann.put("/v1/secrets/..", {"data": {}}), None, "invalid_path"),
            (lambda ann: ann.get("/v1/secrets?cursor=x"), None, "invalid_cursor"),
            (lambda ann: ann.delete(DB, headers={"If-Match": "x"}), "app/db", "invalid_request"),
        ],
    )
    def test_what_a_known_caller_asked_wrongly_is_refused_on_the_record(self, tenant, ann, act, path, reason):
        act(ann)
        (row,) = tenant.trail()
        assert (row["action"], row["success"], row["secret_path"]) == ("request_refused", False, path)
        assert row["extra_data"]["reason"] == reason

    def test_no_value_is_in_any_row(self, tenant, ann):
        planted = "hunter2-planted"
        ann.write("app/db", {"password": planted}, metadata={"description": planted, "tags": [planted]})
        ann.get(DB)
        ann.patch(f"{DB}:metadata", {"metadata": {"owner": planted}})
        ann.post("/v1/secrets/batch", {"paths": ["app/db"]})
        assert len(tenant.trail()) == 4
        assert planted not in repr(tenant.trail())


class TestDenials:
    @pytest.mark.parametrize(
        ("act", "attempted", "path"),
        [
            (lambda dave: dave.get(DB), "read", "app/db"),
            (lambda dave: dave.put(DB, {"data": {}}), "write", "app/db"),
            (lambda dave: dave.delete(DB), "delete", "app/db"),
            (lambda dave: dave.get(f"{DB}:metadata"), "list", "app/db"),
            (make_policy, "tenant_admin", None),
        ],
    )
    def test_a_denial_is_a_row_that_says_what_was_tried_and_why_not(self, tenant, dave, act, attempted, path):
        answer = act(dave)
        assert error(answer) == "access_denied"
        [row] = tenant.trail()
        assert (row["action"], row["success"], row["secret_path"]) == ("policy_violation", False, path)
        assert row["identity_id"] == "user:dave"
        assert row["extra_data"] == {"attempted": attempted, "reason": "access_denied", "failed_condition": None}

    @pytest.mark.parametrize(
        ("scope", "act"),
        [
            ("secrets:read", lambda weak: weak.get(DB)),
            ("secrets:list", lambda weak: weak.get("/v1/secrets")),
            ("policies:read", lambda weak: weak.get("/v1/policies")),
            ("policies:write", make_policy),
            ("audit:read", lambda weak: weak.get(LOGS)),
            ("audit:read", lambda weak: weak.get("/v1/audit/summary")),
            ("audit:read", lambda weak: weak.get("/v1/audit/secrets/app/db")),
            ("audit:read", lambda weak: weak.get("/v1/audit/identities/user:ann")),
            ("admin", lambda weak: weak.get("/v1/health/detailed")),
            ("admin", lambda weak: weak.get("/v1/metrics")),
        ],
    )
    def test_a_missing_scope_is_one_too(self, tenant, scope, act):
        weak = tenant.house.someone("user:weak", scopes=["subscriptions:read"], tenant_id=tenant.id)
        assert error(act(weak)) == "insufficient_scope"
        [row] = tenant.trail()
        assert row["action"] == "policy_violation"
        assert (row["extra_data"]["attempted"] in {scope, scope.partition(":")[2]}, row["extra_data"]["reason"]) == (
            True,
            "insufficient_scope",
        )

    def test_in_a_batch_each_path_has_its_own(self, tenant, dave):
        dave.post("/v1/secrets/batch", {"paths": ["app/a", "app/b"]})
        assert sorted(row["secret_path"] for row in tenant.trail()) == ["app/a", "app/b"]


class TestTraces:
    def test_rows_carry_the_answers_request_id_and_the_trace(self, tenant, ann):
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        answer = ann.get(DB, headers={"X-Request-ID": "mine-1", "traceparent": parent})
        assert answer.headers["X-Request-ID"] == "mine-1"
        assert answer.json["error"]["request_id"] == "mine-1"
        [row] = tenant.trail()
        assert (row["request_id"], row["trace_id"]) == ("mine-1", "4bf92f3577b34da6a3ce929d0e0e4736")

    def test_a_clients_uuid_is_the_trace(self, tenant, ann):
        ann.get(DB, headers={"X-Request-ID": "0193e7a0-1111-7222-8333-444455556666"})
        assert tenant.trail()[0]["trace_id"] == "0193e7a0111172228333444455556666"

    @pytest.mark.parametrize("sent", ["a b", "x" * 129, "<script>"])
    def test_a_bad_request_id_is_replaced_in_answer_and_row_alike(self, tenant, ann, sent):
        answer = ann.get(DB, headers={"X-Request-ID": sent})
        minted = answer.headers["X-Request-ID"]
        assert re.fullmatch("req_[0-9a-f]{32}", minted)
        [row] = tenant.trail()
        assert row["request_id"] == answer.json["error"]["request_id"] == minted

    def test_address_and_agent_are_the_callers(self, tenant, ann):
        ann.get(
            DB,
            headers={"User-Agent": "curl/8 'quoted' \x1b[31m"},
            environ_overrides={"REMOTE_ADDR": "::ffff:192.0.2.7"},
        )
        [row] = tenant.trail()
        assert row["source_ip"] == "192.0.2.7"
        assert row["user_agent"] == "curl/8 'quoted' \ufffd[31m"

    def test_instants_are_utc_to_the_microsecond(self, tenant, ann):
        tenant.house.clock.instant = tenant.house.clock.instant.replace(microsecond=42)
        ann.get(DB)
        [row] = tenant.trail(**{"from": spelt(tenant.house.clock.now())})
        assert row["timestamp"] == spelt(tenant.house.clock.now())
        assert row["timestamp"].endswith(".000042Z")

    def test_it_says_how_long_it_took(self, tenant, ann):
        ann.get(DB)
        [row] = tenant.trail()
        assert 0 < row["duration_ms"] < 60_000
        assert row["id"].startswith("log_")


FILTERS = {
    "action": ({"action": "read"}, lambda row: row["action"] == "read"),
    "actions": ({"action": "policy_violation,list"}, lambda row: row["action"] in {"policy_violation", "list"}),
    "identity": ({"identity_id": "sa:ci"}, lambda row: row["identity_id"] == "sa:ci"),
    "identity_type": ({"identity_type": "service_account"}, lambda row: row["identity_type"] == "service_account"),
    "path_prefix": ({"path_prefix": "app/db"}, lambda row: (row["secret_path"] or "").startswith("app/db")),
    "folder": ({"path_prefix": "app/"}, lambda row: (row["secret_path"] or "").startswith("app/")),
    "success": ({"success": "true"}, lambda row: row["success"]),
    "failure": ({"success": "false"}, lambda row: not row["success"]),
    "ipv4": ({"source_ip": "192.0.2.1"}, lambda row: row["source_ip"] == "192.0.2.1"),
    "ipv6": ({"source_ip": "2001:0db8:0::0001"}, lambda row: row["source_ip"] == "2001:db8::1"),
    "nothing": ({"action": "pki_issue"}, lambda row: False),
}
TOGETHER = [
    (one, other)
    for one, other in itertools.combinations(FILTERS, 2)
    if FILTERS[one][0].keys().isdisjoint(FILTERS[other][0])
]


class TestFilters:
    """Twelve rows that differ in each respect, and every filter against the same in Python."""

    @pytest.fixture(scope="class")
    @staticmethod
    def busy(standing):
        instant = standing.clock.instant
        tenant = Tenant(standing)
        tenant.admin.write("app/db")
        tenant.tick()
        robot = standing.someone("sa:ci", tenant_id=tenant.id)
        for path in ("app/db", "app/db-2", "ops/x", "app/none"):
            for voice in (tenant.admin, tenant.dave, robot):
                voice.get(
                    f"/v1/secrets/{path}",
                    headers={
                        "X-Request-ID": f"{voice.token[-6:].replace('-', 'x').replace('_', 'x')}-{path.replace('/', '.')}"
                    },
                    environ_overrides={"REMOTE_ADDR": "192.0.2.1" if path < "app/e" else "2001:db8::1"},
                )
                tenant.tick()
        tenant.admin.get("/v1/secrets")
        yield tenant
        standing.clock.instant = instant

    @pytest.fixture
    def rows(self, busy):
        return busy.trail()

    @pytest.mark.parametrize("names", [*((name,) for name in FILTERS), *TOGETHER], ids="+".join)
    def test_filters_find_what_they_say_alone_and_together(self, busy, rows, names):
        query = {key: value for name in names for key, value in FILTERS[name][0].items()}
        assert busy.trail(**query) == [row for row in rows if all(FILTERS[name][1](row) for name in names)]

    def test_each_request_is_found_by_its_id(self, busy, rows):
        for row in rows:
            assert row in busy.trail(request_id=row["request_id"])
        assert busy.trail(request_id="unheard-of") == []

    @pytest.mark.parametrize(("start", "end"), [(0, None), (3, None), (0, 3), (3, 9), (5, 5), (5, 6)])
    def test_a_window_has_its_beginning_and_not_its_end(self, busy, rows, start, end):
        query = {"from": rows[start]["timestamp"]} | ({} if end is None else {"to": rows[end]["timestamp"]})
        assert busy.trail(**query) == rows[start:end]

    def test_offsets_are_understood(self, busy, rows):
        instant = datetime.fromisoformat(rows[4]["timestamp"])
        elsewhere = (instant + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.%f+02:00")
        assert busy.trail(**{"from": elsewhere}) == rows[4:]

    @pytest.mark.parametrize("limit", [1, 2, 5, 1_000])
    @pytest.mark.parametrize("name", [None, "action", "identity", "folder", "failure", "ipv4"])
    def test_pages_follow_each_other_without_gap_or_overlap(self, busy, rows, name, limit):
        query = {"from": spelt(busy.born), "limit": limit} | (FILTERS[name][0] if name else {})
        wanted = [row for row in rows if name is None or FILTERS[name][1](row)]
        assert list(pages(busy.admin, query))[::-1] == wanted

    def test_a_stranger_sees_none_of_it(self, busy, rows, house):
        seen = Tenant(house).trail(**{"from": spelt(busy.born)})
        assert {row["id"] for row in seen}.isdisjoint(row["id"] for row in rows)
        assert "sa:ci" not in {row["identity_id"] for row in seen}

    def test_the_summary_adds_up(self, busy, rows):
        query = {"from": spelt(busy.born)}
        summary = busy.admin.get("/v1/audit/summary", query_string=query).json
        assert summary["total_events"] == len(rows)
        assert summary["successful_events"] == sum(row["success"] for row in rows)
        assert summary["failed_events"] == sum(not row["success"] for row in rows)
        assert summary["unique_identities"] == 3
        assert summary["unique_secrets"] == 4
        assert summary["by_action"] == {
            action: sum(row["action"] == action for row in rows) for action in {row["action"] for row in rows}
        }
        assert (summary["from"], summary["is_complete"]) == (spelt(busy.born), True)

    def test_the_trail_of_one_secret(self, busy, rows):
        answer = busy.admin.get("/v1/audit/secrets/app/db", query_string={"from": spelt(busy.born)}).json
        mine = [row for row in rows if row["secret_path"] == "app/db"]
        assert answer["logs"][::-1] == mine
        assert answer["summary"]["total_events"] == len(mine)
        assert answer["summary"]["unique_secrets"] == 1

    def test_the_trail_of_one_identity(self, busy, rows):
        answer = busy.admin.get("/v1/audit/identities/sa:ci").json
        mine = [row for row in rows if row["identity_id"] == "sa:ci"]
        assert answer["logs"][::-1] == mine
        assert answer["summary"]["by_action"] == {"policy_violation": len(mine)}

    def test_trails_come_in_pages_too(self, busy, rows):
        for address, mine in (
            ("/v1/audit/secrets/app/db", [row for row in rows if row["secret_path"] == "app/db"]),
            ("/v1/audit/identities/user:dave", [row for row in rows if row["identity_id"] == "user:dave"]),
        ):
            seen = list(pages(busy.admin, {"limit": 1, "from": spelt(busy.born)}, address))
            assert seen[::-1] == mine

    @pytest.mark.parametrize(
        "address",
        ["/v1/audit/secrets/..", "/v1/audit/secrets/app//db", "/v1/audit/secrets/app%2Fdb", "/v1/audit/secrets/"],
    )
    def test_the_trail_of_what_is_no_path_is_refused(self, busy, address):
        assert error(busy.admin.get(address)) == "invalid_path"


def pages(voice, query, address=LOGS):
    cursor = None
    while True:
        answer = voice.get(address, query_string=query | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        assert len(answer.json["logs"]) <= query["limit"]
        yield from answer.json["logs"]
        cursor = answer.json["cursor"]
        assert answer.json["has_more"] is (cursor is not None)
        if cursor is None:
            return


class TestWhileItGrows:
    def test_pages_miss_and_repeat_nothing_that_was_there_when_they_began(self, tenant, ann):
        """Writers go on while a reader walks: what is new is beyond the beginning, what is old comes once."""
        for _ in range(40):
            ann.get(DB)
            tenant.tick(milliseconds=1)
        there = {row["id"] for row in tenant.trail()}
        stop = threading.Event()

        def go_on():
            voice = Voice(tenant.house.client.application.test_client(), ann.token)
            while not stop.is_set():
                voice.get(DB)
                tenant.tick(milliseconds=1)

        with ThreadPoolExecutor(2) as pool:
            working = [pool.submit(go_on) for _ in range(2)]
            try:
                walks = [[row["id"] for row in pages(ann, {"limit": 3})] for _ in range(2)]
            finally:
                stop.set()
            for each in working:
                each.result(PATIENCE_SECONDS)
        for walk in walks:
            assert len(walk) == len(set(walk))
            assert there <= set(walk)

    def test_rows_of_one_instant_are_kept_apart(self, tenant, ann):
        for _ in range(7):
            ann.get(DB)
        assert len({row["timestamp"] for row in tenant.trail()}) == 1
        seen = [row["id"] for row in pages(ann, {"limit": 2, "path_prefix": "app/db"})]
        assert len(seen) == len(set(seen)) == 7


@pytest.mark.parametrize(
    "query",
    [
        {"from": "yesterday"},
        {"to": "2026-01-01"},
        {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        {"action": "raed"},
        {"identity_type": "robot"},
        {"success": "1"},
        {"source_ip": "here"},
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "many"},
        {"colour": "red"},
    ],
)
def test_a_bad_question_is_told_its_fault_by_name(ann, query):
    answer = ann.get(LOGS, query_string=query)
    assert (answer.status_code, error(answer)) == (422, "validation_error")
    assert set(answer.json["error"]["details"]["fields"]) <= set(query)


def test_a_filter_twice_is_refused(ann):
    assert error(ann.get(f"{LOGS}?action=read&action=write")) == "invalid_request"


@pytest.mark.parametrize("prefix", ["/app", "app//", "a b", "..", "app/*"])
def test_a_prefix_that_begins_no_path_is_refused(ann, prefix):
    assert error(ann.get(LOGS, query_string={"path_prefix": prefix})) == "invalid_path"


def test_a_cursor_is_good_for_its_own_query_only(tenant, ann):
    for _ in range(3):
        ann.get(DB)
    cursor = ann.get(f"{LOGS}?limit=1&action=read").json["cursor"]
    stranger = Tenant(tenant.house).admin
    for voice, query in ((ann, {}), (ann, {"action": "write"}), (stranger, {"action": "read"})):
        answer = voice.get(LOGS, query_string={"cursor": cursor, **query})
        assert (answer.status_code, error(answer)) == (400, "invalid_cursor")
    assert ann.get(LOGS, query_string={"cursor": cursor, "action": "read", "limit": 100}).status_code == 200
