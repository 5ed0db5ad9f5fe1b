import functools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.kernel.errors import InvalidGlob
from scaivault.kernel.globs import Glob, disjoint_prefixes

LETTERS = "ab"
segments = st.text(LETTERS, min_size=1, max_size=4)
paths = st.lists(segments, min_size=1, max_size=7).map("/".join)
wild_segments = st.text(LETTERS + "*?", min_size=1, max_size=6).filter(lambda text: "**" not in text)
patterns = st.lists(st.just("**") | wild_segments, min_size=1, max_size=6).map("/".join)


def slowly_matches(pattern: str, path: str) -> bool:
    """The grammar of contract D3 read aloud, one character and one segment at a time."""
    wanted = pattern.split("/")

    @functools.cache
    def segments_match(at: int, rest: tuple[str, ...]) -> bool:
        if at == len(wanted):
            return not rest
        if wanted[at] == "**":
            least = 1 if at in (0, len(wanted) - 1) else 0
            return any(segments_match(at + 1, rest[taken:]) for taken in range(least, len(rest) + 1))
        return bool(rest) and segment_matches(wanted[at], rest[0]) and segments_match(at + 1, rest[1:])

    return segments_match(0, tuple(path.split("/")))


def segment_matches(wanted: str, text: str) -> bool:
    return bool(text) if wanted == "*" else characters_match(wanted, text)


def characters_match(wanted: str, text: str) -> bool:
    if not wanted:
        return not text
    if wanted[0] == "*":
        return any(characters_match(wanted[1:], text[taken:]) for taken in range(len(text) + 1))
    return bool(text) and wanted[0] in ("?", text[0]) and characters_match(wanted[1:], text[1:])


@given(patterns, paths)
def test_matches_what_the_grammar_says(pattern, path):
    assert Glob.parse(pattern).matches(path) == slowly_matches(pattern, path)


@given(st.data(), paths)
def test_a_path_matches_every_blurring_of_itself(data, path):
    blurred = "/".join(data.draw(st.sampled_from([segment, "*", "?" * len(segment)])) for segment in path.split("/"))
    assert Glob.parse(blurred).matches(path)


@given(patterns, paths)
def test_outside_of_the_literal_prefix_nothing_matches(pattern, path):
    glob = Glob.parse(pattern)
    assert pattern.startswith(glob.literal_prefix)
    if glob.matches(path):
        assert path.startswith(glob.literal_prefix)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("app/db", "app/db", True),
        ("app/db", "app/db/password", False),
        ("app/db", "app/dbx", False),
        ("app/db/*", "app/db/primary", True),
        ("app/db/*", "app/db/primary/password", False),
        ("app/db/*", "app/db", False),
        ("app/db/*", "app/db/", False),
        ("*", "", False),
        ("app/**", "app/db", True),
        ("app/**", "app/db/primary/password", True),
        ("app/**", "app", False),
        ("app/**", "other/app/db", False),
        ("app/**", "application/db", False),
        ("secrets/*.key", "secrets/tls.key", True),
        ("secrets/*.key", "secrets/tls.pem", False),
        ("secrets/*.key", "secrets/a/tls.key", False),
        ("secrets/*.key", "secrets/tlsxkey", False),
        ("**/ssl/*", "app/ssl/cert", True),
        ("**/ssl/*", "service/ssl/key", True),
        ("**/ssl/*", "a/b/c/ssl/key", True),
        ("**/ssl/*", "ssl/cert", False),
        ("app/**/cert", "app/cert", True),
        ("app/**/cert", "app/a/b/cert", True),
        ("app/**/cert", "app/a/b/certs", False),
        ("app/d?", "app/db", True),
        ("app/d?", "app/d", False),
        ("app?db", "app/db", False),
        ("app/db*", "app/db", True),
        ("app/*b*", "app/b", True),
        ("App/db", "app/db", False),
        ("**", "a", True),
        ("**", "a/b/c", True),
        ("**/**", "a", False),
        ("**/**", "a/b", True),
        ("a/**/**", "a/b", True),
        ("**/a/**", "a/b", False),
        ("**/a/**/b", "x/a/b", True),
        ("a/**/b/**/c", "a/x/b/b/y/c", True),
        ("a/*b*b", "a/bb", True),
        ("a/*b*b", "a/b", False),
    ],
)
def test_examples(pattern, path, expected):
    assert Glob.parse(pattern).matches(path) is expected
    assert slowly_matches(pattern, path) is expected


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("", "empty"),
        ("/app", "neither begins nor ends"),
        ("app/", "neither begins nor ends"),
        ("app//db", "empty segments"),
        ("app/***", "stands alone"),
        ("app/db**", "stands alone"),
        ("app/**db", "stands alone"),
        ("app/../db", "begins with '.'"),
        ("./app", "begins with '.'"),
        ("app/.*", "begins with '.'"),
        ("app/%2e", "is made of"),
        ("app\\db", "is made of"),
        ("app/d b", "is made of"),
        ("app/db\n", "is made of"),
        ("app/dé", "is made of"),
        ("app/٣", "is made of"),
        ("app/\x00", "is made of"),
        ("app/[ab]", "is made of"),
        ("app/{a,b}", "is made of"),
        ("app:metadata", "is made of"),
        ("a" * 513, "512 characters"),
        ("/".join("a" * 11), "10 segments"),
        ("a*" * 17, "16 stars"),
    ],
)
def test_malformed_patterns_are_refused(pattern, fault):
    with pytest.raises(InvalidGlob, match=fault.replace("*", r"\*").replace("'.'", r"'\.'")):
        Glob.parse(pattern)


@pytest.mark.parametrize("pattern", ["a" * 512, "/".join("a" * 10), "a*" * 16, "/".join(["**"] * 10), "A-_.9/*?*"])
def test_the_largest_patterns_are_accepted(pattern):
    assert str(Glob.parse(pattern)) == pattern


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text):
    try:
        assert Glob.parse(text).text == text
    except InvalidGlob as refusal:
        assert refusal.message


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 16 + "b", "a" * 512),
        ("*a?" * 16 + "b", "a" * 512),
        ("*" + "a" * 240 + "*" + "a" * 240 + "b", "a" * 512),
        ("/".join(["**"] * 9 + ["b"]), "/".join("a" * 10)),
        ("/".join(["**", "*a*a*"] * 3 + ["**", "b"]), "/".join(["a" * 50] * 10)),
        ("/".join(["**", "a"] * 4 + ["**", "b"]), "a/" * 250 + "a"),
    ],
)
def test_hostile_patterns_take_no_longer_than_others(pattern, path):
    glob = Glob.parse(pattern)
    started = time.process_time()
    assert not glob.matches(path)
    # Backtracking would take longer than the universe has; this bound is a thousand times what is needed.
    assert time.process_time() - started < 1


def test_globs_are_equal_by_their_text():
    assert Glob.parse("a/*") == Glob.parse("a/*") != Glob.parse("a/**")


@given(st.lists(st.text("ab/", max_size=4), max_size=8), st.text("ab/", max_size=6))
def test_disjoint_prefixes_cover_the_same_places_once(prefixes, place):
    kept = disjoint_prefixes(prefixes)
    assert list(kept) == sorted(kept)
    assert sum(place.startswith(prefix) for prefix in kept) == any(place.startswith(prefix) for prefix in prefixes)


def test_everywhere_swallows_the_rest():
    assert disjoint_prefixes(["b", "", "a"]) == ("",)
    assert disjoint_prefixes([]) == ()
