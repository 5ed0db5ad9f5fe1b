"""Paths are taken as they are or refused: judged here character by character, by another hand."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.kernel.errors import InvalidPath
from scaivault.kernel.paths import parse_path, parse_prefix

FIRST = string.ascii_letters + string.digits + "_-"
LATER = FIRST + "."

segments = st.builds(str.__add__, st.sampled_from(FIRST), st.text(LATER, max_size=12))
paths = st.lists(segments, min_size=1, max_size=10).map("/".join)
near_misses = st.text("ab.-_/%\\:;?#*~ \n\t\0é\uff41", max_size=20)


def is_path(text):
    """Contract D1 read aloud."""
    if len(text) > 512 or len(text.split("/")) > 10:
        return False
    return all(
        segment and segment[0] in FIRST and all(character in LATER for character in segment)
        for segment in text.split("/")
    )


def accepts(parse, text):
    try:
        assert parse(text) == text
    except InvalidPath:
        return False
    return True


@given(paths | near_misses | st.text(max_size=30))
def test_accepts_what_the_contract_says(text):
    assert accepts(parse_path, text) == is_path(text)


@given(paths, st.sampled_from("%\\:?#*~ \n\t\0\x7f\x80é\uff41\u2024\uff0f"), st.data())
def test_one_foreign_character_anywhere_spoils_a_path(path, intruder, data):
    at = data.draw(st.integers(0, len(path)))
    assert not accepts(parse_path, path[:at] + intruder + path[at:])


@pytest.mark.parametrize(
    "path",
    ["a", "A", "0", "_", "-", "a.b", "a..b", "a.", "app/db", "App/DB", "batch", "x" * 512, "/".join("abcdefghij")],
)
def test_paths(path):
    assert parse_path(path) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "../a",
        "a/..",
        "a/../b",
        "a/./b",
        ".a",
        "a/.b",
        "a\\b",
        "a b",
        "a:b",
        "%61",
        "a%2fb",
        "a%2e%2e/b",
        "a\n",
        "a\0",
        "ä",
        "\u0430",
        "x" * 513,
        "/".join("abcdefghijk"),
        "a" + "/" * 600,
    ],
)
def test_what_is_none_is_refused_and_not_cleaned(text):
    with pytest.raises(InvalidPath):
        parse_path(text)


def test_the_refusal_does_not_repeat_what_came():
    with pytest.raises(InvalidPath) as refusal:
        parse_path("../hunter2")
    assert "hunter2" not in refusal.value.message


@given(paths.filter(lambda path: len(path) <= 512), st.data())
def test_every_beginning_of_a_path_is_a_prefix(path, data):
    beginning = path[: data.draw(st.integers(0, len(path)))]
    assert parse_prefix(beginning) == beginning


@given(near_misses | st.text(max_size=30))
def test_a_prefix_is_refused_unless_a_letter_makes_it_a_path(text):
    assert accepts(parse_prefix, text) == (not text or is_path(text) or is_path(text + "a"))


@pytest.mark.parametrize(
    "text", ["/", "/a", "a//", ".", "a/.", "a*", "a/%", "a b", "x" * 513, "a/" * 10, "a/" * 10 + "a"]
)
def test_what_begins_no_path_is_no_prefix(text):
    with pytest.raises(InvalidPath):
        parse_prefix(text)
