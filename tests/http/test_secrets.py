"""A secret's life over HTTP."""

import pytest

from tests.waiting import await_in_force

DB = "/v1/secrets/app/db"


def error(answer):
    return answer.json["error"]["code"]


def test_first_write_creates_version_1_and_never_answers_the_data(ada):
    answer = ada.put(DB, {"data": {"password": "hunter2"}, "metadata": {"owner": "team:db"}})
    assert answer.status_code == 201
    assert answer.json["path"] == "app/db"
    assert answer.json["version"] == 1
    assert answer.headers["ETag"] == '"1"'
    assert "hunter2" not in answer.text


def test_what_was_written_is_what_is_read(ada):
    data = {"ünïcode": "päss🔑", "nested": {"list": [1, 2.5, None, True, {"deep": "x"}]}, "empty": ""}
    ada.put(DB, {"data": data, "secret_type": "json", "metadata": {"tags": ["a"], "team": "x", "n": 3}})
    read = ada.get(DB).json
    assert read["data"] == data
    assert read["secret_type"] == "json"
    assert read["metadata"] == {"tags": ["a"], "team": "x", "n": 3}
    assert read["version"] == 1


def test_every_write_is_a_new_version_and_old_ones_stay_readable(ada):
    for number in range(1, 4):
        assert ada.write("app/db", {"n": number})["version"] == number
    assert ada.get(DB).json["data"] == {"n": 3}
    assert ada.get(f"{DB}?version=1").json["data"] == {"n": 1}
    history = ada.get(f"{DB}:versions").json
    assert [row["version"] for row in history["versions"]] == [3, 2, 1]
    assert [row["is_current"] for row in history["versions"]] == [True, False, False]


def test_versions_age_out_beyond_max_versions(ada):
    ada.write("app/db", options={"max_versions": 2})
    for _ in range(3):
        ada.write("app/db")
    assert error(ada.get(f"{DB}?version=2")) == "version_not_found"
    assert ada.get(f"{DB}?version=3").status_code == 200
    assert len(ada.get(f"{DB}:versions").json["versions"]) == 2


def test_metadata_type_and_options_stay_when_a_write_leaves_them_out(ada):
    ada.write("app/db", secret_type="api_key", metadata={"owner": "team:db"}, options={"max_versions": 3})
    ada.write("app/db")
    metadata = ada.get(f"{DB}:metadata").json
    assert metadata["secret_type"] == "api_key"
    assert metadata["metadata"] == {"owner": "team:db"}
    assert metadata["max_versions"] == 3
    assert "data" not in metadata


class TestCheckAndSet:
    def test_expected_version_0_creates_only(self, ada):
        assert ada.put(DB, {"data": {}, "options": {"expected_version": 0}}).status_code == 201
        answer = ada.put(DB, {"data": {}, "options": {"expected_version": 0}})
        assert answer.status_code == 409
        assert error(answer) == "version_conflict"
        assert answer.json["error"]["details"] == {"current_version": 1}

    def test_expected_version_must_be_the_current_one(self, ada):
        ada.write("app/db")
        assert ada.put(DB, {"data": {"n": 2}}, headers={"If-Match": '"1"'}).status_code == 200
        assert error(ada.put(DB, {"data": {"n": 3}}, headers={"If-Match": '"1"'})) == "version_conflict"
        assert ada.get(DB).json["data"] == {"n": 2}

    def test_expecting_a_version_of_nothing_is_a_conflict(self, ada):
        answer = ada.put(DB, {"data": {}, "options": {"expected_version": 3}})
        assert (answer.status_code, error(answer)) == (409, "version_conflict")
        assert answer.json["error"]["details"] == {"current_version": 0}

    def test_if_none_match_creates_only(self, ada):
        wanted = {"headers": {"If-None-Match": "*"}}
        assert ada.put(DB, {"data": {}}, **wanted).status_code == 201
        assert error(ada.put(DB, {"data": {}}, **wanted)) == "version_conflict"

    def test_deletes_and_rollbacks_heed_it_and_what_does_not_refuses_it(self, ada):
        ada.write("app/db")
        ada.write("app/db")
        stale = {"headers": {"If-Match": '"1"'}}
        assert error(ada.delete(DB, **stale)) == "version_conflict"
        assert error(ada.delete(f"{DB}?permanent=true", **stale)) == "version_conflict"
        assert error(ada.post(f"{DB}:rollback", {"version": 1}, **stale)) == "version_conflict"
        assert error(ada.post(f"{DB}:destroy", {"versions": [1]}, **stale)) == "invalid_request"
        assert ada.get(DB).json["version"] == 2

    @pytest.mark.parametrize("header", ["3", '"x"', "*", 'W/"3"', '"1", "2"', '""'])
    def test_a_malformed_if_match_is_refused(self, ada, header):
        ada.write("app/db")
        assert ada.put(DB, {"data": {}}, headers={"If-Match": header}).status_code == 400

    def test_two_different_expectations_are_refused(self, ada):
        body = {"data": {}, "options": {"expected_version": 0}}
        assert ada.put(DB, body, headers={"If-Match": '"1"'}).status_code == 400


def test_a_deleted_secret_whose_versions_are_all_destroyed_keeps_its_path_no_longer(ada):
    ada.write("app/db")
    ada.write("app/db")
    ada.delete(DB)
    assert ada.post(f"{DB}:destroy", {"versions": [1]}).status_code == 200
    assert error(ada.put(DB, {"data": {}})) == "secret_exists"
    assert ada.post(f"{DB}:destroy", {"versions": [2]}).status_code == 200
    assert ada.put(DB, {"data": {}}).json["version"] == 1


def test_when_a_deleted_secret_can_be_recovered_until_is_told_like_any_instant(ada):
    ada.write("app/db")
    until = ada.delete(DB).json["recoverable_until"]
    assert ada.put(DB, {"data": {}}).json["error"]["details"] == {"recoverable_until": until}


def test_the_trail_says_which_version_was_shown(ada):
    for number in (1, 2):
        ada.write("app/db", {"n": number})
    ada.get(DB)
    ada.get(f"{DB}?version=1")
    ada.get(f"{DB}?version=9")
    assert sorted(row["extra_data"]["version"] for row in ada.audit(action="read")) == [1, 2, 9]


@pytest.mark.parametrize("word", ["yes", "1", "TRUE", ""])
def test_a_hard_delete_takes_the_very_word(ada, word):
    ada.write("app/db")
    assert error(ada.delete(f"{DB}?permanent={word}")) == "validation_error"
    assert ada.get(DB).status_code == 200


def test_rollback_writes_the_old_value_as_the_next_version(ada):
    ada.write("app/db", {"n": 1})
    ada.write("app/db", {"n": 2})
    answer = ada.post(f"{DB}:rollback", {"version": 1})
    assert (answer.status_code, answer.json["version"]) == (200, 3)
    assert ada.get(DB).json["data"] == {"n": 1}
    assert error(ada.post(f"{DB}:rollback", {"version": 9})) == "version_not_found"


class TestTrash:
    def test_a_deleted_secret_is_gone_and_recoverable_for_30_days(self, house, ada):
        ada.write("app/db", {"n": 1})
        answer = ada.delete(DB)
        assert answer.status_code == 200
        assert answer.json["recoverable_until"] > answer.json["deleted_at"]
        assert error(ada.get(DB)) == "secret_not_found"
        assert error(ada.get(f"{DB}:metadata")) == "secret_not_found"
        assert error(ada.delete(DB)) == "secret_not_found"
        house.clock.forward(days=29)
        assert ada.post(f"{DB}:recover").status_code == 200
        assert ada.get(DB).json["data"] == {"n": 1}

    def test_writing_to_a_path_in_the_trash_is_refused(self, ada):
        ada.write("app/db")
        ada.delete(DB)
        answer = ada.put(DB, {"data": {}})
        assert (answer.status_code, error(answer)) == (409, "secret_exists")

    def test_after_30_days_it_is_as_if_it_had_never_been(self, house, ada):
        ada.write("app/db")
        ada.delete(DB)
        house.clock.forward(days=31)
        assert error(ada.post(f"{DB}:recover")) == "secret_not_found"
        assert ada.write("app/db")["version"] == 1

    def test_permanent_delete_removes_it_live_or_deleted(self, ada):
        for delete_first in (False, True):
            ada.write("app/db")
            if delete_first:
                ada.delete(DB)
            assert ada.delete(f"{DB}?permanent=true").status_code == 204
            assert error(ada.post(f"{DB}:recover")) == "secret_not_found"
            assert error(ada.delete(f"{DB}?permanent=true")) == "secret_not_found"

    def test_recovering_a_live_secret_is_not_found(self, ada):
        ada.write("app/db")
        assert error(ada.post(f"{DB}:recover")) == "secret_not_found"

    def test_destroyed_versions_are_erased_and_the_rest_stays(self, ada):
        ada.write("app/db", {"n": 1})
        ada.write("app/db", {"n": 2})
        answer = ada.post(f"{DB}:destroy", {"versions": [1]})
        assert answer.status_code == 200
        assert [bool(row["destroyed_at"]) for row in answer.json["versions"]] == [False, True]
        assert error(ada.get(f"{DB}?version=1")) == "version_not_found"
        assert ada.get(DB).json["data"] == {"n": 2}

    def test_destroying_is_all_or_nothing(self, ada):
        ada.write("app/db", {"n": 1})
        answer = ada.post(f"{DB}:destroy", {"versions": [1, 7]})
        assert error(answer) == "version_not_found"
        assert answer.json["error"]["details"] == {"versions": [7]}
        assert ada.get(DB).json["data"] == {"n": 1}


class TestExpiry:
    def test_an_expired_secret_can_not_be_read_and_a_write_begins_a_new_life(self, house, ada):
        ada.write("app/db", {"n": 1}, options={"expires_in": "1d"})
        house.clock.forward(hours=25)
        answer = ada.get(DB)
        assert (answer.status_code, error(answer)) == (404, "secret_not_found")
        assert "expired" in answer.json["error"]["message"]
        ada.write("app/db", {"n": 2})
        assert ada.get(DB).json["data"] == {"n": 2}

    def test_null_means_for_ever(self, house, ada):
        ada.write("app/db", options={"expires_in": "1d"})
        ada.write("app/db", options={"expires_in": None})
        assert ada.get(DB).json["expires_at"] is None

    def test_metadata_change_can_set_it_without_a_new_version(self, house, ada):
        ada.write("app/db")
        answer = ada.patch(f"{DB}:metadata", {"options": {"expires_in": "1h"}})
        assert answer.json["version"] == 1
        house.clock.forward(hours=2)
        assert error(ada.get(DB)) == "secret_not_found"


class TestMetadata:
    def test_given_keys_replace_and_null_removes(self, ada):
        ada.write("app/db", metadata={"owner": "a", "tags": ["x"], "color": "red"})
        answer = ada.patch(f"{DB}:metadata", {"metadata": {"owner": "b", "color": None, "size": 3}})
        assert answer.json["metadata"] == {"owner": "b", "tags": ["x"], "size": 3}
        assert answer.json["version"] == 1

    def test_checks_the_version_it_is_based_on(self, ada):
        ada.write("app/db")
        answer = ada.patch(f"{DB}:metadata", {"metadata": {"owner": "me"}}, headers={"If-Match": '"2"'})
        assert error(answer) == "version_conflict"

    @pytest.mark.parametrize("body", [{}, {"metadata": {}}, {"options": {}}, {"metadata": {}, "options": {}}])
    def test_what_changes_nothing_is_refused(self, ada, body):
        before = ada.write("app/db")["created_at"]
        assert error(ada.patch(f"{DB}:metadata", body)) == "validation_error"
        assert ada.get(f"{DB}:metadata").json["updated_at"] == before

    def test_needs_no_right_to_read_the_value(self, house, ada):
        ada.write("app/db")
        lister = house.someone("user:lister", scopes=["secrets:list"])
        house.allow(ada, "user:lister", ("app/*", ["list"]))
        assert lister.get(f"{DB}:metadata").status_code == 200
        assert error(lister.get(DB)) == "insufficient_scope"


class TestList:
    @pytest.fixture
    def paths(self, ada):
        made = ["app/a", "app/b", "app/sub/c", "ops/d", "z"]
        for path in made:
            ada.write(path, metadata={"owner": "team:x" if path < "b" else "team:y", "tags": [path[:3], "all"]})
        return made

    def listed(self, voice, **query):
        answer = voice.get("/v1/secrets", query_string=query)
        assert answer.status_code == 200, answer.text
        return [secret["path"] for secret in answer.json["secrets"]]

    def test_by_path_and_without_values(self, ada, paths):
        assert self.listed(ada) == paths
        assert "data" not in ada.get("/v1/secrets").json["secrets"][0]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"prefix": "app/"}, ["app/a", "app/b", "app/sub/c"]),
            ({"prefix": "ap"}, ["app/a", "app/b", "app/sub/c"]),
            ({"prefix": "app/sub/c"}, ["app/sub/c"]),
            ({"prefix": "nothing"}, []),
            ({"tag": "ops"}, ["ops/d"]),
            ({"tag": "all", "owner": "team:y"}, ["ops/d", "z"]),
            ({"type": "kv", "prefix": "z"}, ["z"]),
            ({"type": "json"}, []),
        ],
    )
    def test_filters(self, ada, paths, query, expected):
        assert self.listed(ada, **query) == expected

    def test_pages_follow_each_other_without_gap_or_overlap(self, ada, paths):
        seen, cursor = [], None
        for _ in range(len(paths)):
            query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = ada.get("/v1/secrets", query_string=query).json
            seen += [secret["path"] for secret in page["secrets"]]
            cursor = page["cursor"]
            if not page["has_more"]:
                break
        assert seen == paths
        assert cursor is None

    def test_a_cursor_is_good_for_its_own_query_only(self, ada, bob, paths):
        cursor = ada.get("/v1/secrets?limit=2").json["cursor"]
        for voice, query in ((ada, {"prefix": "app/"}), (bob, {}), (ada, {"include_deleted": "true"})):
            answer = voice.get("/v1/secrets", query_string={"cursor": cursor, **query})
            assert (answer.status_code, error(answer)) == (400, "invalid_cursor")

    @pytest.mark.parametrize("cursor", ["x", "", "AAAA", "é", "a" * 2048])
    def test_a_made_up_cursor_is_refused(self, ada, cursor):
        assert error(ada.get("/v1/secrets", query_string={"cursor": cursor})) == "invalid_cursor"

    def test_shows_only_what_the_caller_may_list(self, house, ada, paths):
        lister = house.someone("user:lister", scopes=["secrets:list"])
        assert self.listed(lister) == []
        house.allow(
            ada,
            "user:lister",
            ("app/**", ["list"]),
            ("z", ["read"]),
            ("app/b", ["list"], {"effect": "deny"}),
        )
        house.clock.forward(seconds=1)
        assert await_in_force(lambda: self.listed(lister), bool) == ["app/a", "app/sub/c"]

    def test_deleted_ones_on_request(self, ada, paths):
        ada.delete("/v1/secrets/z")
        assert "z" not in self.listed(ada)
        assert "z" in self.listed(ada, include_deleted="true")

    def test_what_expires_soon(self, ada, paths):
        ada.write("soon", options={"expires_in": "7d"})
        ada.write("late", options={"expires_in": "90d"})
        assert self.listed(ada, expiring_within="30d") == ["soon"]


class TestBatch:
    def test_each_path_is_answered_on_its_own(self, house, ada):
        ada.write("app/a", {"n": 1})
        ada.write("app/b", {"n": 2})
        answer = ada.post("/v1/secrets/batch", {"paths": ["app/a", "app/b", "app/none", "../x"]})
        assert answer.status_code == 200
        assert answer.json["secrets"]["app/a"] == {
            "data": {"n": 1},
            "version": 1,
            "secret_type": "kv",
            "metadata": None,
        }
        assert {path: fault["code"] for path, fault in answer.json["errors"].items()} == {
            "app/none": "secret_not_found",
            "../x": "invalid_path",
        }

    def test_a_path_that_policy_denies_is_an_error_of_its_own(self, house, ada):
        ada.write("app/a", {"n": 1})
        ada.write("ops/a", {"n": 1})
        reader = house.someone("user:reader", scopes=["secrets:read"])
        house.allow(ada, "user:reader", ("app/*", ["read"]))
        answer = reader.post("/v1/secrets/batch", {"paths": ["app/a", "ops/a"]}).json
        assert list(answer["secrets"]) == ["app/a"]
        assert answer["errors"]["ops/a"]["code"] == "access_denied"

    def test_fail_fast_stops_at_the_first_error_and_answers_what_was_read(self, ada):
        ada.write("app/a", {"n": 1})
        body = {"paths": ["app/a", "app/none", "app/nix"], "options": {"fail_fast": True}}
        answer = ada.post("/v1/secrets/batch", body).json
        assert list(answer["secrets"]) == ["app/a"]
        assert list(answer["errors"]) == ["app/none"]
        assert {row["secret_path"] for row in ada.audit(action="read")} == {"app/none", "app/a"}

    def test_metadata_with_wildcards(self, ada):
        for path in ("app/a/key", "app/b/key", "app/b/other", "ops/key"):
            ada.write(path)
        body = {"paths": ["app/*/key", "ops/key", "gone"], "expand_wildcards": True}
        answer = ada.post("/v1/secrets/batch/metadata", body).json
        assert sorted(answer["secrets"]) == ["app/a/key", "app/b/key", "ops/key"]
        assert list(answer["errors"]) == ["gone"]
        assert answer["truncated"] is False

    def test_a_secret_may_be_called_batch(self, ada):
        assert ada.write("batch")["version"] == 1
        assert ada.get("/v1/secrets/batch").json["path"] == "batch"


def test_last_access_is_known_within_a_minute(house, ada):
    ada.write("app/db")
    ada.get(DB)
    house.services.upkeep.close()
    metadata = ada.get(f"{DB}:metadata").json
    assert metadata["last_accessed_by"] == "user:ada@a.example"


def test_the_same_path_in_two_tenants_is_two_secrets(ada, bob):
    ada.write("app/db", {"whose": "ada"})
    assert error(bob.get(DB)) == "secret_not_found"
    bob.write("app/db", {"whose": "bob"})
    assert ada.get(DB).json["data"] == {"whose": "ada"}
    assert bob.get(DB).json["data"] == {"whose": "bob"}
    bob.delete(f"{DB}?permanent=true")
    assert ada.get(DB).status_code == 200
