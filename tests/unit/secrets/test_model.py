"""The rules about secrets that need no database, each against a slower way of saying the same."""

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scaivault.features.secrets.errors import SecretExists, SecretNotFound, VersionConflict
from scaivault.features.secrets.model import (
    DEFAULT_MAX_VERSIONS,
    MAX_METADATA_BYTES,
    Options,
    Range,
    Secret,
    SecretType,
    Write,
    live,
    merged,
    ranges_within,
    tags_of,
)
from scaivault.kernel.errors import ValidationFailed
from scaivault.kernel.globs import disjoint_prefixes
from scaivault.kernel.plaintext import Plaintext

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)

letters = st.text("ab/-", max_size=5)
reaches = st.lists(letters, max_size=6).map(disjoint_prefixes)
paths = st.lists(st.text("ab-", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join)
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
metadata = st.dictionaries(st.sampled_from("abcdef"), scalars, max_size=6)


def a_secret(**changes):
    return replace(Secret.unwritten("app/db", NOW), current_version=1, **changes)


def a_write(**changes):
    return Write(Plaintext(b"{}"), **changes)


class TestRanges:
    @given(letters, reaches, paths)
    @example("a", ("",), "a/b")
    @example("app/db", ("app",), "app/db")
    @example("app", ("app/db",), "app/db/x")
    def test_a_path_is_in_a_range_if_it_begins_as_asked_and_as_allowed(self, prefix, reach, path):
        wanted = path.startswith(prefix) and any(path.startswith(allowed) for allowed in reach)
        assert any(bounds.low <= path < bounds.high for bounds in ranges_within(prefix, reach)) == wanted

    @given(letters, reaches)
    def test_ranges_come_in_order_and_do_not_overlap(self, prefix, reach):
        ranges = ranges_within(prefix, reach)
        for before, after in itertools.pairwise(ranges):
            assert before.low < before.high <= after.low

    @given(st.text("abyz09-._/", max_size=6), st.text("abyz09-._/", max_size=6))
    def test_a_range_holds_exactly_what_begins_so(self, prefix, path):
        bounds = Range.under(prefix)
        assert (bounds.low <= path < bounds.high) == path.startswith(prefix)

    def test_who_may_list_nothing_has_no_range(self):
        assert ranges_within("", ()) == ()
        assert ranges_within("app/", ("ops/",)) == ()


class TestMetadata:
    @given(metadata, metadata)
    def test_a_change_replaces_what_it_names_and_removes_by_null(self, before, change):
        expected = {}
        for key in "abcdef":
            value = change[key] if key in change else before.get(key)
            if value is not None:
                expected[key] = value
        assert merged(before, change) == expected

    @given(metadata, metadata)
    def test_a_change_twice_is_the_change_once(self, before, change):
        assert merged(merged(before, change), change) == merged(before, change)

    def test_what_was_there_stays_as_it_was(self):
        before = {"a": 1}
        assert merged(before, {"a": None, "b": 2}) == {"b": 2}
        assert before == {"a": 1}

    @pytest.mark.parametrize("letter", ["x", "ü", "🔑"])
    def test_it_does_not_grow_beyond_its_bound_change_by_change(self, letter):
        found = {}
        with pytest.raises(ValidationFailed):
            for number in range(1_000):
                found = merged(found, {f"key{number}": letter * 1_000})
        assert MAX_METADATA_BYTES - 5_000 < len(json.dumps(found, ensure_ascii=False).encode()) <= MAX_METADATA_BYTES
        assert merged(found, {"key0": None}) == {key: value for key, value in found.items() if key != "key0"}

    @pytest.mark.parametrize(
        ("found", "tags"),
        [
            ({}, set()),
            ({"tags": []}, set()),
            ({"tags": ["x", "y", "x"]}, {"x", "y"}),
            ({"tags": None}, set()),
            ({"tags": "xy"}, set()),
            ({"tags": {"x": 1}}, set()),
        ],
    )
    def test_tags_are_a_list_of_words(self, found, tags):
        assert tags_of(found) == tags


class TestWriting:
    def test_a_first_write_starts_from_the_defaults(self):
        first = Secret.unwritten("app/db", NOW).after(a_write(), NOW)
        assert (first.current_version, first.secret_type, first.metadata) == (1, SecretType.KV, {})
        assert (first.max_versions, first.expires_at) == (DEFAULT_MAX_VERSIONS, None)

    def test_what_a_write_leaves_out_stays(self):
        before = a_secret(secret_type="api_key", metadata={"a": 1}, max_versions=3, expires_in_seconds=60)
        after = before.after(a_write(), NOW + DAY)
        assert replace(after, current_version=1, updated_at=before.updated_at, expires_at=before.expires_at) == before
        assert (after.current_version, after.updated_at, after.created_at) == (2, NOW + DAY, NOW)

    def test_what_it_says_holds(self):
        write = a_write(secret_type=SecretType.JSON, metadata={}, options=Options(5, DAY))
        after = a_secret(metadata={"a": 1}).after(write, NOW)
        assert (after.secret_type, after.metadata, after.max_versions) == ("json", {}, 5)
        assert after.expires_at == NOW + DAY

    @given(st.lists(st.integers(1, 100) | st.none(), min_size=1, max_size=30))
    def test_as_many_versions_are_kept_as_was_last_said(self, wishes):
        secret = Secret.unwritten("app/db", NOW)
        for wish in wishes:
            secret = secret.after(a_write(options=Options(max_versions=wish)), NOW)
        most = next((wish for wish in reversed(wishes) if wish), DEFAULT_MAX_VERSIONS)
        kept = range(secret.oldest_kept, secret.current_version + 1)
        assert len(kept) == min(most, len(wishes))


class TestExpiry:
    def test_every_write_begins_the_time_anew(self):
        secret = a_secret(expires_in_seconds=60)
        for later in (NOW, NOW + DAY):
            assert secret.after(a_write(), later).expires_at == later + timedelta(minutes=1)

    def test_zero_is_for_ever(self):
        secret = a_secret(expires_in_seconds=60, expires_at=NOW + DAY)
        for changed in (
            secret.with_options(Options(expires_in=timedelta(0)), NOW),
            secret.after(a_write(options=Options(expires_in=timedelta(0))), NOW),
        ):
            assert (changed.expires_in_seconds, changed.expires_at) == (None, None)

    def test_a_new_lifetime_counts_from_when_it_is_given(self):
        changed = a_secret(expires_at=NOW).with_options(Options(expires_in=DAY), NOW + DAY)
        assert (changed.expires_in_seconds, changed.expires_at) == (86_400, NOW + 2 * DAY)

    def test_other_options_leave_the_time_that_runs(self):
        secret = a_secret(expires_in_seconds=60, expires_at=NOW + DAY)
        assert secret.with_options(Options(max_versions=3), NOW) == replace(secret, max_versions=3)

    @given(st.none() | st.timedeltas(timedelta(0), timedelta(days=36_500)), st.integers(0, 10**9))
    def test_it_never_lies_before_the_write_that_set_it(self, lifetime, seconds):
        now = NOW + timedelta(seconds=seconds)
        expires_at = a_secret().after(a_write(options=Options(expires_in=lifetime)), now).expires_at
        assert expires_at is None or now < expires_at <= now + lifetime


class TestStates:
    DELETED = a_secret(deleted_at=NOW, recoverable_until=NOW + DAY)

    @pytest.mark.parametrize(
        ("since", "gone"), [(0 * DAY, False), (DAY - timedelta(microseconds=1), False), (DAY, True)]
    )
    def test_a_deleted_secret_is_gone_when_its_time_is_over(self, since, gone):
        assert self.DELETED.is_gone(NOW + since) is gone

    def test_a_live_one_never_is(self):
        assert not a_secret().is_gone(NOW + 365_000 * DAY)

    @pytest.mark.parametrize("expected", [None, 1])
    def test_who_knows_the_present_version_or_does_not_care_may_write(self, expected):
        a_secret().check_writable(expected)

    @pytest.mark.parametrize("expected", [0, 2, 2**31 - 1])
    def test_who_knows_another_one_may_not(self, expected):
        with pytest.raises(VersionConflict) as refusal:
            a_secret().check_writable(expected)
        assert refusal.value.details == {"current_version": 1}

    def test_nothing_is_at_version_zero(self):
        Secret.unwritten("app/db", NOW).check_writable(0)

    @pytest.mark.parametrize("expected", [None, 0, 1])
    def test_nobody_writes_to_what_is_in_the_trash(self, expected):
        with pytest.raises(SecretExists):
            self.DELETED.check_writable(expected)

    def test_only_what_is_there_and_not_in_the_trash_is_live(self):
        assert live(a_secret()) == a_secret()
        for absent in (None, self.DELETED):
            with pytest.raises(SecretNotFound):
                live(absent)


def test_a_write_does_not_show_its_plaintext():
    assert "hunter2" not in repr(Write(Plaintext(b"hunter2")))
