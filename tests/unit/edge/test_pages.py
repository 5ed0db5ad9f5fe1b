"""Cursors: a position comes back from its own query, and from nowhere else."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scaivault.crypto.cursors import MOST_CHARACTERS, CursorSigner
from scaivault.crypto.keys import Key
from scaivault.edge.messages import Page
from scaivault.edge.pages import Cursors
from scaivault.kernel.errors import InvalidCursor, Unavailable

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
positions = st.lists(texts, min_size=1, max_size=3).map(tuple)
queries = st.lists(texts, max_size=4).map(tuple)

SIGNER = CursorSigner(Key.fresh())
CURSORS = Cursors(lambda: SIGNER)


@given(positions, queries)
def test_a_position_comes_back_from_its_query(position, query):
    assert CURSORS.open(CURSORS.seal(position, query), query) == position


@given(positions, queries, queries)
def test_and_from_no_other(position, query, other):
    assume(query != other)
    with pytest.raises(InvalidCursor):
        CURSORS.open(CURSORS.seal(position, query), other)


@pytest.mark.parametrize(
    ("query", "other"), [(("a", "b"), ("a,b",)), (("a", "b"), ("ab",)), (("a",), ("a", "")), ((), ("",))]
)
def test_queries_are_told_apart_by_their_parts(query, other):
    with pytest.raises(InvalidCursor):
        CURSORS.open(CURSORS.seal(("x",), query), other)


@given(st.lists(texts, unique=True).map(sorted), st.integers(1, 5))
def test_pieces_make_up_the_whole(keys, limit):
    def found(after, most):
        return [key for key in keys if after is None or key > after][:most]

    pieces = [CURSORS.piece(Page(limit=limit), ("all",), found, str)]
    while pieces[-1].has_more:
        assert len(pieces[-1].items) == limit
        pieces.append(CURSORS.piece(Page(limit=limit, cursor=pieces[-1].cursor), ("all",), found, str))
    assert [key for piece in pieces for key in piece.items] == keys
    assert len(pieces) == max(1, -(-len(keys) // limit))


@pytest.mark.parametrize("name", ["x" * 512, "ü" * 200, "🔑" * 200, "\U0010ffff" * 200, '"\\' * 256])
def test_the_longest_names_there_are_fit(name):
    cursor = CURSORS.seal((name,), ("q",))
    assert len(cursor) <= MOST_CHARACTERS
    assert CURSORS.open(cursor, ("q",)) == (name,)


def test_no_cursor_is_the_beginning():
    assert CURSORS.open(None, ("q",)) is None


@given(st.text(max_size=60))
def test_a_made_up_cursor_is_refused(text):
    with pytest.raises(InvalidCursor):
        CURSORS.open(text, ("q",))


def test_what_is_signed_but_no_position_is_refused():
    with pytest.raises(InvalidCursor):
        CURSORS.open(SIGNER.sign(b'{"a":1}', b'["q"]'), ("q",))


def test_the_key_is_asked_for_when_it_is_needed():
    """It may take a key service that is not there at start."""

    def away():
        raise Unavailable

    cursors = Cursors(away)
    assert cursors.open(None, ()) is None
    with pytest.raises(Unavailable):
        cursors.seal(("x",), ())
