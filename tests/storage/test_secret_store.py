"""Secrets in PostgreSQL: a tenant's own, however many write at once, and no reader ever in a writer's way."""

import inspect
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from scaivault.crypto.data_keys import WrappedKey
from scaivault.features.secrets import store
from scaivault.features.secrets.model import Filters, Range, SealedVersion, Secret, SecretType, Version
from scaivault.features.secrets.service.access import AccessNotes
from scaivault.kernel.errors import Unavailable
from scaivault.storage.database import Database
from tests.house import Voice

OURS, THEIRS, STOCKED = "tnt_ours", "tnt_theirs", "tnt_stocked"
NOW = datetime(2026, 7, 15, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
PATH = "app/db"
EVERYWHERE = [Range.under("")]
WRITERS = 8
PATIENCE_SECONDS = 30
WRAPPED = b"SV\x01\x02" + (1).to_bytes(4, "big") + bytes(60)


def a_secret(path=PATH, **changes):
    return replace(Secret.unwritten(path, NOW), current_version=1, metadata={"owner": "team:db"}, **changes)


def put(session, tenant_id=OURS, secret=None, tags=("prod",)):
    """A secret with its first version and tags."""
    secret = secret or a_secret()
    assert store.add_secret(session, tenant_id, secret)
    store.add_version(session, tenant_id, secret.path, Version(1, NOW, "user:ada", None), b"sealed", WRAPPED)
    store.add_tags(session, tenant_id, secret.path, tags)


def everything(session, tenant_id=OURS):
    """All that a tenant has at PATH."""
    tagged = store.list_secrets(session, tenant_id, Filters(tag="prod"), EVERYWHERE, "", NOW, 10)
    return (
        store.find_secret(session, tenant_id, PATH),
        store.find_version(session, tenant_id, PATH, 1, NOW),
        store.list_versions(session, tenant_id, PATH),
        [secret.path for secret in tagged],
    )


@pytest.fixture(scope="module")
def standing(module_database_url):
    """A database with two tenants."""
    with psycopg.connect(module_database_url) as connection:
        connection.execute("INSERT INTO partners (id, name) VALUES ('ptn_a', '')")
        connection.execute(
            "INSERT INTO partner_keys (partner_id, version, wrapped, kms_key_id) VALUES ('ptn_a', 1, '', 'root')"
        )
        for tenant_id in (OURS, THEIRS, STOCKED):
            connection.execute("INSERT INTO tenants (id, partner_id, name) VALUES (%s, 'ptn_a', '')", [tenant_id])
            connection.execute(
                "INSERT INTO tenant_keys (tenant_id, version, wrapped, wrapping_version) VALUES (%s, 1, '', 1)",
                [tenant_id],
            )
    database = Database(module_database_url, 3, lambda _seconds: None)
    database.open()
    yield database
    database.close()


@pytest.fixture
def database(standing):
    yield standing
    with standing.session() as session:
        session.run("DELETE FROM secrets WHERE tenant_id <> %(kept)s", kept=STOCKED)


@pytest.fixture
def session(database):
    with database.session() as session:
        yield session


CALLS = {
    store.find_secret: lambda call: call(PATH),
    store.claim_secret: lambda call: call(PATH),
    store.claim_secrets: lambda call: call([PATH]),
    store.change_secret: lambda call: call(replace(a_secret(), secret_type="json", current_version=9)),
    store.change_deleted: lambda call: call(PATH, NOW, LATER),
    store.remove_secret: lambda call: call(PATH),
    store.find_version: lambda call: call(PATH, 1, NOW),
    store.list_present_versions: lambda call: call([PATH]),
    store.list_versions: lambda call: call(PATH),
    store.remove_versions_before: lambda call: call(PATH, 99, 1, NOW),
    store.change_versions_destroyed: lambda call: call(PATH, [1], NOW),
    store.remove_tags: lambda call: call(PATH),
    store.count_versions_before: lambda call: call(2),
    store.claim_versions_before: lambda call: call(2, ("", 0), 10),
    store.change_wrapped_keys: lambda call: call([WrappedKey(PATH, 1, b"another")]),
    store.list_secrets: lambda call: call(Filters(include_deleted=True), EVERYWHERE, "", NOW, 10),
    store.change_last_accessed: lambda call: None,  # below: it is about many tenants at once
}
ADDERS = {store.add_secret, store.add_version, store.add_tags}


class TestTenants:
    def test_every_store_function_is_tried_as_a_foreigner(self):
        functions = {function for _, function in inspect.getmembers(store, inspect.isfunction)}
        # A worker takes whichever are due, of all tenants: tests/http/test_webhooks.py.
        assert functions == set(CALLS) | ADDERS | {store.claim_due_notices, store.change_notices}

    @pytest.mark.parametrize("function", CALLS, ids=lambda function: function.__name__)
    def test_a_foreign_tenant_finds_and_changes_nothing(self, session, function):
        put(session)
        before = everything(session)
        assert not CALLS[function](lambda *arguments: function(session, THEIRS, *arguments))
        assert everything(session) == before

    @pytest.mark.parametrize("function", CALLS, ids=lambda function: function.__name__)
    def test_nor_does_one_that_has_the_same_path(self, session, function):
        put(session)
        put(session, THEIRS)
        before = everything(session)
        CALLS[function](lambda *arguments: function(session, THEIRS, *arguments))
        assert everything(session) == before

    @pytest.mark.parametrize("add", ["add_version", "add_tags"])
    def test_nothing_is_added_to_a_foreign_secret(self, session, add):
        put(session)
        arguments = {"add_version": (Version(2, NOW, "user:eve", None), b"s", WRAPPED), "add_tags": (["stolen"],)}[add]
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            getattr(store, add)(session, THEIRS, PATH, *arguments)

    def test_the_look_up_of_a_value_is_the_tenants(self, session):
        put(session)
        asked = {"path": PATH, "version": None, "now": NOW}
        found = session.many(SealedVersion, store.FIND_READABLE_VERSION, tenant_id=THEIRS, **asked)
        assert found == []
        [mine] = session.many(SealedVersion, store.FIND_READABLE_VERSION, tenant_id=OURS, **asked)
        assert (mine.path, mine.version, mine.sealed) == (PATH, 1, b"sealed")

    def test_last_readers_are_noted_each_in_its_tenant(self, session):
        put(session)
        put(session, THEIRS)
        store.change_last_accessed(session, [THEIRS], [PATH], [LATER], ["user:eve"])
        assert store.find_secret(session, OURS, PATH).last_accessed_by is None
        assert store.find_secret(session, THEIRS, PATH).last_accessed_by == "user:eve"


class TestStates:
    """What the look-up of a value lets through."""

    def readable(self, session, version=None, now=NOW):
        asked = {"tenant_id": OURS, "path": PATH, "version": version, "now": now}
        return session.one(SealedVersion, store.FIND_READABLE_VERSION, **asked) is not None

    def test_what_is_there(self, session):
        put(session)
        assert self.readable(session)
        assert self.readable(session, 1)
        assert not self.readable(session, 2)

    def test_nothing_in_the_trash(self, session):
        put(session)
        store.change_deleted(session, OURS, PATH, NOW, LATER)
        assert not self.readable(session)
        store.change_deleted(session, OURS, PATH, None, None)
        assert self.readable(session)

    @pytest.mark.parametrize(("seconds", "readable"), [(-1, True), (0, False), (1, False)])
    def test_nothing_that_has_expired(self, session, seconds, readable):
        put(session, secret=a_secret(expires_at=NOW))
        assert self.readable(session, now=NOW + timedelta(seconds=seconds)) is readable
        assert self.readable(session, 1, NOW + timedelta(seconds=seconds)) is readable

    def test_nothing_that_was_destroyed(self, session):
        put(session)
        assert store.change_versions_destroyed(session, OURS, PATH, [1, 2], NOW) == [1]
        assert store.change_versions_destroyed(session, OURS, PATH, [1], NOW) == []
        assert not self.readable(session)
        assert store.find_version(session, OURS, PATH, 1, NOW) is None
        assert [row.destroyed_at for row in store.list_versions(session, OURS, PATH)] == [NOW]

    def test_what_is_destroyed_is_not_in_the_table_any_more(self, session, module_database_url):
        put(session)
        store.change_versions_destroyed(session, OURS, PATH, [1], NOW)
        with psycopg.connect(module_database_url) as connection:
            rows = connection.execute(
                "SELECT sealed, wrapped_key FROM secret_versions WHERE tenant_id = %s", [OURS]
            ).fetchall()
        assert rows == [(None, None)]

    def test_a_removed_secret_takes_its_versions_and_tags_along(self, session, module_database_url):
        put(session)
        store.remove_secret(session, OURS, PATH)
        with psycopg.connect(module_database_url) as connection:
            for table in ("secrets", "secret_versions", "secret_tags"):
                counted = connection.execute(f"SELECT count(*) FROM {table} WHERE tenant_id = %s", [OURS])
                assert counted.fetchone() == (0,)

    def test_a_second_secret_at_a_path_is_none(self, session):
        put(session)
        assert store.add_secret(session, OURS, a_secret(secret_type="json")) is False
        assert store.find_secret(session, OURS, PATH).secret_type == "kv"


VARIETY = [
    replace(
        a_secret(f"{folder}/{number}"),
        secret_type=secret_type,
        metadata={"owner": owner} if owner else {},
        expires_at=expires_at,
        deleted_at=NOW if deleted else None,
        recoverable_until=LATER if deleted else None,
    )
    for number, (folder, secret_type, owner, expires_at, deleted) in enumerate(
        itertools.product(["a", "a-b", "b"], ["kv", "json"], ["team:x", None], [None, NOW, LATER], [False, True])
    )
]


@pytest.fixture(scope="module")
def stocked(standing):
    with standing.transaction() as tx:
        for secret in VARIETY:
            put(tx, STOCKED, secret, tags=[secret.path[:1], "all"])
            store.change_deleted(tx, STOCKED, secret.path, secret.deleted_at, secret.recoverable_until)
    return standing


class TestListing:
    """Every filter against the same in Python, over secrets that differ in each respect."""

    @pytest.mark.parametrize("include_deleted", [False, True])
    @pytest.mark.parametrize("tag", [None, "a", "none"])
    def test_filters_find_what_they_say(self, stocked, tag, include_deleted):
        for secret_type, owner, expires_before in itertools.product(
            [None, SecretType.JSON], [None, "team:x", "team:y"], [None, NOW, LATER]
        ):
            expected = [
                secret.path
                for secret in sorted(VARIETY, key=lambda secret: secret.path)
                if (tag is None or secret.path.startswith(tag))
                and secret_type in (None, secret.secret_type)
                and owner in (None, secret.metadata.get("owner"))
                and (expires_before is None or (secret.expires_at and secret.expires_at <= expires_before))
                and (include_deleted or not secret.deleted_at)
            ]
            filters = Filters("", tag, secret_type, owner, expires_before, include_deleted)
            with stocked.session() as session:
                found = store.list_secrets(session, STOCKED, filters, EVERYWHERE, "", NOW, 1_000)
            assert [secret.path for secret in found] == expected, filters

    @pytest.mark.parametrize("limit", [1, 5, 1_000])
    @pytest.mark.parametrize("prefixes", [[""], ["a/"], ["a"], ["a-b/", "b/"], ["a/1", "a/2", "b"], ["none"], []])
    def test_ranges_come_in_order_in_pieces(self, stocked, prefixes, limit):
        wanted = sorted(s.path for s in VARIETY if any(s.path.startswith(prefix) for prefix in prefixes))
        seen, after = [], ""
        with stocked.session() as session:
            while True:
                ranges = [Range.under(prefix) for prefix in prefixes]
                piece = store.list_secrets(session, STOCKED, Filters(include_deleted=True), ranges, after, NOW, limit)
                seen += [secret.path for secret in piece]
                if len(piece) < limit:
                    break
                after = piece[-1].path
        assert seen == wanted

    def test_what_is_past_recovery_is_not_listed_even_among_the_deleted(self, stocked):
        with stocked.session() as session:
            found = store.list_secrets(session, STOCKED, Filters(include_deleted=True), EVERYWHERE, "", LATER, 1_000)
        assert [secret.path for secret in found if secret.deleted_at] == []


class Crowd:
    """As many clients as writers, all starting at once."""

    def __init__(self, house, voice):
        self._house, self._voice = house, voice

    def all(self, act):
        """`act(voice, number)` by each of them; their answers in order."""
        start = threading.Barrier(WRITERS)

        def one(number):
            voice = Voice(self._house.client.application.test_client(), self._voice.token)
            start.wait(PATIENCE_SECONDS)
            return act(voice, number)

        with ThreadPoolExecutor(WRITERS) as pool:
            return list(pool.map(one, range(WRITERS)))


@pytest.fixture
def crowd(house, ada):
    return Crowd(house, ada)


def put_number(expected_version=None):
    options = {} if expected_version is None else {"expected_version": expected_version}

    def act(voice, number):
        return voice.put(f"/v1/secrets/{PATH}", {"data": {"n": number}, "options": options})

    return act


def codes(answers):
    return sorted(answer.json["error"]["code"] for answer in answers if answer.status_code >= 400)


class TestAtOnce:
    @pytest.mark.parametrize("existing", [0, 1], ids=["to a new path", "to an old path"])
    def test_writes_become_versions_without_a_gap(self, crowd, ada, existing):
        for _ in range(existing):
            ada.write(PATH)
        answers = crowd.all(put_number())
        assert sorted(answer.json.get("version", 0) for answer in answers) == [
            existing + number for number in range(1, WRITERS + 1)
        ]
        assert sorted(answer.status_code for answer in answers) == sorted(
            [201] * (not existing) + [200] * (WRITERS - (not existing))
        )
        for number, answer in enumerate(answers):
            version = answer.json["version"]
            assert ada.get(f"/v1/secrets/{PATH}?version={version}").json["data"] == {"n": number}
        written = ada.audit(action="write", path_prefix=PATH, success="true")
        assert sorted(entry["extra_data"]["version"] for entry in written) == list(range(1, existing + WRITERS + 1))

    @pytest.mark.parametrize("existing", [0, 1])
    def test_of_those_who_expect_the_same_version_one_wins(self, crowd, ada, existing):
        for _ in range(existing):
            ada.write(PATH)
        answers = crowd.all(put_number(expected_version=existing))
        [winner] = [number for number, answer in enumerate(answers) if answer.status_code < 400]
        assert codes(answers) == ["version_conflict"] * (WRITERS - 1)
        assert {
            answer.json["error"]["details"]["current_version"] for answer in answers if answer.status_code >= 400
        } == {existing + 1}
        assert ada.get(f"/v1/secrets/{PATH}").json["data"] == {"n": winner}
        assert len(ada.audit(action="write", path_prefix=PATH, success="true")) == existing + 1

    def test_read_modify_write_by_many_loses_no_update(self, crowd, ada):
        ada.write(PATH, {"count": 0})

        def add_one(voice, _number):
            while True:
                found = voice.get(f"/v1/secrets/{PATH}")
                body = {"data": {"count": found.json["data"]["count"] + 1}}
                answer = voice.put(f"/v1/secrets/{PATH}", body, headers={"If-Match": found.headers["ETag"]})
                if answer.status_code != 409:
                    return answer

        assert {answer.status_code for answer in crowd.all(add_one)} == {200}
        assert ada.get(f"/v1/secrets/{PATH}").json["data"] == {"count": WRITERS}

    @pytest.mark.parametrize(
        ("act", "status", "code"),
        [
            (lambda voice, _: voice.delete(f"/v1/secrets/{PATH}"), 200, "secret_not_found"),
            (lambda voice, _: voice.delete(f"/v1/secrets/{PATH}?permanent=true"), 204, "secret_not_found"),
            (lambda voice, _: voice.post(f"/v1/secrets/{PATH}:destroy", {"versions": [1]}), 200, "version_not_found"),
        ],
        ids=["delete", "delete for good", "destroy"],
    )
    def test_what_can_be_done_once_is_done_once(self, crowd, ada, act, status, code):
        ada.write(PATH)
        answers = crowd.all(act)
        assert [answer.status_code for answer in answers if answer.status_code < 400] == [status]
        assert codes(answers) == [code] * (WRITERS - 1)

    def test_writers_deleters_and_readers_of_one_path_never_break_it(self, crowd, ada):
        """Whatever comes of each, it is one of the answers that are documented, and the path works afterwards."""

        def act(voice, number):
            deeds = [
                lambda: voice.put(f"/v1/secrets/{PATH}", {"data": {}, "metadata": {"tags": [f"t{number}", "x"]}}),
                lambda: voice.delete(f"/v1/secrets/{PATH}"),
                lambda: voice.post(f"/v1/secrets/{PATH}:recover"),
                lambda: voice.get(f"/v1/secrets/{PATH}"),
                lambda: voice.delete(f"/v1/secrets/{PATH}?permanent=true"),
                lambda: voice.patch(f"/v1/secrets/{PATH}:metadata", {"metadata": {"tags": [f"u{number}", "x"]}}),
            ]
            return [deeds[(number + step) % len(deeds)]().status_code for step in range(2 * len(deeds))]

        statuses = {status for each in crowd.all(act) for status in each}
        assert statuses <= {200, 201, 204, 404, 409}
        ada.delete(f"/v1/secrets/{PATH}?permanent=true")
        assert ada.write(PATH)["version"] == 1


class TestAccessNotes:
    @pytest.fixture
    def notes(self, database):
        return AccessNotes(database)

    def readers(self, session, *paths):
        return [store.find_secret(session, OURS, path).last_accessed_by for path in paths]

    @pytest.fixture
    def two(self, session):
        for path in ("app/a", "app/b"):
            put(session, secret=a_secret(path))

    def test_notes_are_written_at_a_flush_and_once(self, notes, session, two):
        notes.note(OURS, "app/a", NOW, "user:ada")
        notes.note(OURS, "app/a", LATER, "user:bob")
        assert self.readers(session, "app/a") == [None]
        notes.flush()
        found = store.find_secret(session, OURS, "app/a")
        assert (found.last_accessed_at, found.last_accessed_by) == (LATER, "user:bob")
        store.change_last_accessed(session, [OURS], ["app/b"], [NOW], ["user:eve"])
        notes.flush()
        assert self.readers(session, "app/a", "app/b") == ["user:bob", "user:eve"]

    def test_an_older_note_never_replaces_a_newer_one(self, notes, session, two):
        store.change_last_accessed(session, [OURS], ["app/a"], [LATER], ["user:bob"])
        notes.note(OURS, "app/a", NOW, "user:ada")
        notes.flush()
        assert self.readers(session, "app/a") == ["user:bob"]

    def test_a_flush_never_waits_for_a_writer_and_forgets_nothing_for_it(self, notes, database, session, two):
        notes.note(OURS, "app/a", NOW, "user:ada")
        notes.note(OURS, "app/b", NOW, "user:ada")
        with ThreadPoolExecutor(1) as pool, database.transaction() as writer:
            assert store.claim_secret(writer, OURS, "app/a") is not None
            pool.submit(notes.flush).result(PATIENCE_SECONDS / 10)
            assert self.readers(session, "app/a", "app/b") == [None, "user:ada"]
        notes.flush()
        assert self.readers(session, "app/a", "app/b") == ["user:ada", "user:ada"]

    def test_a_note_that_waited_gives_way_to_a_newer_one(self, notes, database, session, two):
        notes.note(OURS, "app/a", NOW, "user:ada")
        with database.transaction() as writer:
            store.claim_secret(writer, OURS, "app/a")
            notes.flush()
            notes.note(OURS, "app/a", LATER, "user:bob")
        notes.flush()
        assert self.readers(session, "app/a") == ["user:bob"]

    def test_a_writer_never_waits_for_notes(self, database, session, two):
        """Both want the same row: the notes' lock is gone with their statement."""
        notes = AccessNotes(database)
        start = threading.Barrier(2)

        def flush():
            start.wait(PATIENCE_SECONDS)
            for _ in range(50):
                notes.note(OURS, "app/a", NOW, "user:ada")
                notes.flush()

        def write():
            start.wait(PATIENCE_SECONDS)
            for _ in range(50):
                with database.transaction() as tx:
                    store.change_secret(tx, OURS, store.claim_secret(tx, OURS, "app/a"))

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(flush), pool.submit(write)]:
                done.result(PATIENCE_SECONDS)

    def test_flushes_of_many_processes_do_not_lock_each_other_out(self, database, session, two):
        start = threading.Barrier(2)

        def flush(paths):
            mine = AccessNotes(database)
            start.wait(PATIENCE_SECONDS)
            for _ in range(50):
                for path in paths:
                    mine.note(OURS, path, NOW, "user:ada")
                mine.flush()

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(flush, paths) for paths in (["app/a", "app/b"], ["app/b", "app/a"])]:
                done.result(PATIENCE_SECONDS)

    def test_a_note_about_what_is_gone_is_dropped(self, notes, session, two):
        notes.note(OURS, "app/a", NOW, "user:ada")
        store.remove_secret(session, OURS, "app/a")
        notes.flush()
        put(session, secret=a_secret("app/a"))
        notes.flush()
        assert self.readers(session, "app/a") == [None]

    def test_without_the_database_notes_are_kept(self, module_database_url, session, two):
        away = Database(module_database_url, 1, lambda _seconds: None)
        notes = AccessNotes(away)
        notes.note(OURS, "app/a", NOW, "user:ada")
        notes.note(OURS, "app/b", NOW, "user:ada")
        with pytest.raises(Unavailable):
            notes.flush()
        notes.note(OURS, "app/b", LATER, "user:bob")
        away.open()
        notes.flush()
        away.close()
        assert self.readers(session, "app/a", "app/b") == ["user:ada", "user:bob"]
