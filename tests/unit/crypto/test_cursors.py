import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.crypto import cursors
from scaivault.crypto.cursors import MOST_PAYLOAD_BYTES, CursorSigner
from scaivault.crypto.keys import Key
from scaivault.kernel.errors import InvalidCursor

SIGNER = CursorSigner(Key(bytes(range(32))))
PAYLOAD = b'{"after":"app/db"}'
CURSOR = SIGNER.sign(PAYLOAD, b"list app/")


@given(payload=st.binary(max_size=MOST_PAYLOAD_BYTES), bound_to=st.binary(max_size=100))
def test_a_cursor_gives_its_payload_back_to_its_query(payload, bound_to):
    cursor = SIGNER.sign(payload, bound_to)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,2048}", cursor)
    assert SIGNER.open(cursor, bound_to) == payload


@given(bound_to=st.binary(max_size=20), other=st.binary(max_size=20))
def test_a_cursor_opens_for_its_own_query_only(bound_to, other):
    cursor = SIGNER.sign(PAYLOAD, bound_to)
    if other == bound_to:
        other += b"x"
    with pytest.raises(InvalidCursor):
        SIGNER.open(cursor, other)


@given(position=st.integers(0, len(CURSOR) - 1), character=st.characters())
def test_a_cursor_with_any_other_character_is_invalid(position, character):
    if character == CURSOR[position]:
        character = "A" if character != "A" else "B"
    with pytest.raises(InvalidCursor):
        SIGNER.open(CURSOR[:position] + character + CURSOR[position + 1 :], b"list app/")


@given(text=st.text(st.characters(codec=None), max_size=100))
def test_a_made_up_cursor_is_invalid(text):
    with pytest.raises(InvalidCursor):
        SIGNER.open(text, b"list app/")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "AA",
        "A" * 22,
        "A" * 23,
        CURSOR + "=",
        CURSOR + "==",
        CURSOR + "\n",
        " " + CURSOR,
        CURSOR[:-1],
        "é",
        CURSOR * 40,
    ],
)
def test_a_malformed_cursor_is_invalid(text):
    with pytest.raises(InvalidCursor):
        SIGNER.open(text, b"list app/")


def test_only_one_spelling_of_a_cursor_is_valid():
    # Two bytes beyond a multiple of three leave two bits of the last character unused.
    cursor = SIGNER.sign(b"abc", b"")
    assert len(cursor) % 4 == 3
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    valid = []
    for character in alphabet:
        try:
            valid += [SIGNER.open(cursor[:-1] + character, b"")]
        except InvalidCursor:
            continue
    assert valid == [b"abc"]


def test_the_standard_alphabet_is_not_accepted_for_the_url_safe_one():
    cursors = (SIGNER.sign(str(number).encode(), b"") for number in range(1_000))
    cursor = next(cursor for cursor in cursors if "-" in cursor or "_" in cursor)
    with pytest.raises(InvalidCursor):
        SIGNER.open(cursor.replace("-", "+").replace("_", "/"), b"")


def test_another_key_does_not_open_it():
    with pytest.raises(InvalidCursor):
        CursorSigner(Key(bytes(32))).open(CURSOR, b"list app/")


def test_a_cursor_does_not_show_its_payload():
    cursor = SIGNER.sign(b"x" * 900, b"")
    assert "eHh4" not in cursor


def test_the_longest_payload_fits_and_a_longer_one_is_refused():
    assert len(SIGNER.sign(bytes(MOST_PAYLOAD_BYTES), b"")) == 2_048
    with pytest.raises(ValueError, match="at most"):
        SIGNER.sign(bytes(MOST_PAYLOAD_BYTES + 1), b"")


def test_a_longer_cursor_is_refused_even_if_well_made(monkeypatch):
    monkeypatch.setattr(cursors, "MOST_PAYLOAD_BYTES", 9_999)
    longest, longer = (SIGNER.sign(bytes(MOST_PAYLOAD_BYTES + more), b"") for more in (0, 1))
    assert SIGNER.open(longest, b"") == bytes(MOST_PAYLOAD_BYTES)
    with pytest.raises(InvalidCursor):
        SIGNER.open(longer, b"")
