"""Whatever bytes come, verification ends in claims that were signed or in TokenInvalid."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scaivault.crypto.jwt.key_set import parse_key_set
from scaivault.crypto.jwt.verification import Audience, key_name, verify
from scaivault.kernel.errors import TokenExpired, TokenInvalid
from tests.issuer import as_json, compact, ec_key, jwk

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
EXPECTED = Audience("https://id.example", "scaivault")
KEYS = parse_key_set(as_json({"keys": [jwk(ec_key(), "ec")]}))
HEADER = {"alg": "ES256", "kid": "ec"}
CLAIMS = {"iss": "https://id.example", "aud": "scaivault", "sub": "ada", "exp": SECONDS + 10}


def opened(token, now=NOW):
    kid = key_name(token)
    if kid not in KEYS:
        raise TokenInvalid
    return verify(token, KEYS[kid], EXPECTED, now)


GOOD = compact(HEADER, CLAIMS, ec_key())


def test_a_good_one():
    claims = opened(GOOD)
    assert (claims.subject, claims.issued_at, claims.expires_at.timestamp()) == ("ada", None, SECONDS + 10)
    assert "ada" not in repr(claims.named) or "named" not in repr(claims)


@pytest.mark.parametrize(("after", "expected"), [(69, None), (70, TokenExpired), (71, TokenExpired)])
def test_it_ends_a_minute_after_it_says(after, expected):
    token = compact(HEADER, {**CLAIMS, "exp": SECONDS}, ec_key())
    now = datetime.fromtimestamp(SECONDS - 10 + after, UTC)
    if expected is None:
        assert opened(token, now).subject == "ada"
    else:
        with pytest.raises(expected):
            opened(token, now)


@given(st.text(max_size=200) | st.text(alphabet="eyJ.AQ_-=", max_size=60))
@example("..")
@example("\ud800.\ud800.\ud800")
def test_no_text_is_more_than_an_invalid_token(text):
    with pytest.raises(TokenInvalid):
        opened(text)


@given(st.integers(0, len(GOOD) - 1), st.characters(max_codepoint=0x2FF))
def test_no_change_of_a_character_leaves_it_good(place, character):
    changed = GOOD[:place] + character + GOOD[place + 1 :]
    if changed == GOOD:
        return
    with pytest.raises(TokenInvalid):
        opened(changed)


values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
)


@given(st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "tenant_id"]), values, min_size=1))
def test_signed_claims_of_any_type_are_read_or_refused(said):
    try:
        claims = opened(compact(HEADER, as_json({**CLAIMS, **said}), ec_key()))
    except (TokenInvalid, TokenExpired):
        return
    assert isinstance(claims.subject, str)
    assert claims.expires_at > datetime.fromtimestamp(SECONDS - 60, UTC)


def test_an_error_has_no_cause_that_quotes_the_token():
    with pytest.raises(TokenInvalid) as refused:
        opened(GOOD[:-4])
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
