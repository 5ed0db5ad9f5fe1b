"""Every way known to make a JSON web token that should not be one, offered in exchange."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scaivault.features.identity.model import is_match, is_pattern
from tests.issuer import Provider
from tests.security.test_json_web_tokens import CORPUS

# About claims that only ScaiKey's tokens are read for: a workload's may say there what they like.
OTHERS_CLAIMS = re.compile(
    r"(?:tenant|email|client|partner|scope|groups|roles?|mfa_verified_at|auth-time|mfa|amr|act|actor|"
    r"auth_time)-|without-tenant_id|groups-"
)
NOW = re.compile(r"\b1\d{9}")  # the instant of the import: two processes would give a test two names
OFFERED = {name: make for name, make in CORPUS.items() if not OTHERS_CLAIMS.match(name)}


@pytest.fixture(scope="module")
def issuer(standing):
    made = Provider()
    made.now = lambda: standing.house.clock.now().timestamp()
    body = {
        "name": "of the corpus",
        "issuer": made.url,
        "audience": "scaivault",
        "claims": {"sub": "usr_1"},
        "identity_id": "sa:corpus",
        "scopes": ["secrets:list"],
    }
    assert standing.ada.post("/v1/auth/trusts", body).status_code == 201
    yield made
    made.close()


def offered(house, token):
    text = token.decode("latin-1") if isinstance(token, bytes) else token
    return house.voice().post("/v1/auth/exchange", {"subject_token": text, "tenant_id": "tnt_a"})


@pytest.mark.parametrize("kid", ["rsa-1", "ec-1", "ed-1"])
def test_a_good_one_is_taken(house, issuer, kid):
    assert offered(house, issuer.token(kid)).status_code == 200


@pytest.mark.parametrize("make", OFFERED.values(), ids=(NOW.sub("now", name) for name in OFFERED))
def test_it_is_refused(house, issuer, make):
    answer = offered(house, make(issuer))
    assert (answer.status_code, answer.json["error"]["code"]) in {(401, "token_invalid"), (422, "validation_error")}


PARTS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":/*"), min_size=1, max_size=12)
BEGINNINGS = st.lists(PARTS, min_size=3, max_size=6).map(lambda parts: ":".join(parts) + ":")


@given(BEGINNINGS, st.text(min_size=1, max_size=40))
@example("a:b:c:", "\n")
def test_a_beginning_matches_what_goes_on_from_it_in_printable_ascii_and_nothing_else(beginning, rest):
    pattern = beginning + "*"
    assert is_pattern(pattern, 3)
    is_plain = all(" " <= character <= "~" for character in rest)
    assert is_match(pattern, beginning + rest) is is_plain
    assert not is_match(pattern, beginning)
    assert not is_match(pattern, beginning[:-1] + "x:" + rest)
    assert not is_match(pattern, [beginning + rest])


@given(st.text(max_size=40))
def test_no_pattern_that_is_taken_matches_everybody(pattern):
    if is_pattern(pattern, 3) and pattern.endswith("*"):
        assert pattern.count("*") == 1
        assert pattern[-2] in ":/"
        assert len([part for part in re.split("[:/]", pattern[:-1]) if part]) >= 3
    if is_pattern(pattern, 3) and not pattern.endswith("*"):
        assert "*" not in pattern
        assert is_match(pattern, pattern)


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_literal_matches_itself_only(pattern, said):
    if is_pattern(pattern, 3) and "*" not in pattern:
        assert is_match(pattern, said) is (pattern == said)
