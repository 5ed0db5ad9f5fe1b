"""The bearer token: from the Authorization header in its one form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.edge.authn import MAX_TOKEN_CHARACTERS, bearer_token
from scaivault.kernel.errors import TokenInvalid, Unauthenticated


@pytest.mark.parametrize("header", ["Bearer skt_x", "bearer skt_x", "BEARER skt_x", "Bearer   skt_x", "Bearer skt_x  "])
def test_the_token_is_what_follows_the_word(header):
    assert bearer_token(header) == "skt_x"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "skt_x",
        "Basic skt_x",
        "Bearer: skt_x",
        "Bearer a b",
        "Bearer skt_x, Bearer skt_y",
        "Bearer\tskt_x",
        " Bearer skt_x",
        "Bearer skt_é",
        "Bearer skt_x\n",
        "Token skt_x",
        "BearerX skt_x",
    ],
)
def test_without_one_nobody_is_there(header):
    with pytest.raises(Unauthenticated) as refusal:
        bearer_token(header)
    assert refusal.value.code == "authentication_required"


def test_a_huge_one_is_not_looked_at():
    with pytest.raises(TokenInvalid):
        bearer_token("Bearer " + "x" * MAX_TOKEN_CHARACTERS)


@given(st.text(max_size=40) | st.text(max_size=30).map("Bearer ".__add__))
def test_any_header_is_a_token_or_refused_without_quoting_it(header):
    try:
        token = bearer_token(header)
    except Unauthenticated as refusal:
        token, told = None, refusal.message
    if token is None:
        assert told == "Send 'Authorization: Bearer <token>'."
    else:
        assert token.isascii()
        assert token.isprintable()
        assert header.split()[1:] == [token]
