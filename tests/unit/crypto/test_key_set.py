"""What of a JWKS document becomes a key, and with which algorithm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.crypto.jwt.key_set import parse_key_set
from tests.issuer import as_json, b64, ec_key, ed_key, jwk, number, rsa_key

EC = jwk(ec_key(), "ec")


def keys(*entries, **more):
    return parse_key_set(as_json({"keys": list(entries), **more}))


def test_each_kind_has_its_one_algorithm():
    found = keys(jwk(rsa_key(), "a"), EC, jwk(ed_key(), "c"))
    assert {kid: key.algorithm for kid, key in found.items()} == {"a": "RS256", "ec": "ES256", "c": "EdDSA"}


@pytest.mark.parametrize("more", [{"use": "sig"}, {"alg": "ES256"}, {"key_ops": ["verify"]}, {"x5t": "x", "nbf": 1}])
def test_what_a_key_is_for_may_be_said_or_not(more):
    bare = {name: value for name, value in EC.items() if name != "use"}
    assert keys(bare | more).keys() == {"ec"}


@pytest.mark.parametrize(
    "entry",
    [
        EC | {"use": "enc"},
        EC | {"use": None},
        EC | {"use": ["sig"]},
        EC | {"alg": "ES384"},
        EC | {"alg": "HS256"},
        EC | {"alg": "none"},
        EC | {"alg": None},
        EC | {"key_ops": ["sign"]},
        EC | {"key_ops": "verify"},
        EC | {"key_ops": []},
        *(EC | {name: b64(b"x")} for name in ("d", "p", "q", "dp", "dq", "qi", "oth", "k")),
        EC | {"kty": "ec"},
        EC | {"kty": "RSA"},
        EC | {"kty": "OKP"},
        EC | {"kty": None},
        EC | {"kty": ["EC"]},
        EC | {"crv": "P-384"},
        EC | {"crv": "secp256k1"},
        EC | {"x": b64(b"\1" * 32)},
        EC | {"x": EC["x"] + "="},
        EC | {"x": EC["x"][:-2]},
        EC | {"y": b64(bytes(32)), "x": b64(bytes(32))},
        EC | {"x": 1},
        {name: value for name, value in EC.items() if name != "y"},
        {name: value for name, value in EC.items() if name != "kid"},
        EC | {"kid": ""},
        EC | {"kid": 1},
        EC | {"kid": ["ec"]},
        EC | {"kid": "k" * 201},
        jwk(ec_key("p384", "P-384"), "k"),
        jwk(rsa_key("weak", 1024), "k"),
        jwk(rsa_key(), "k") | {"e": b64(b"\2")},
        jwk(rsa_key(), "k") | {"e": b64(b"\1")},
        jwk(rsa_key(), "k") | {"e": b64(b"\1" * 200)},
        jwk(rsa_key(), "k") | {"n": number((1 << 16_384) + 1)},
        jwk(rsa_key(), "k") | {"n": ""},
        jwk(rsa_key(), "k") | {"alg": "PS256"},
        jwk(ed_key(), "k") | {"x": b64(b"\1" * 31)},
        jwk(ed_key(), "k") | {"crv": "Ed448"},
        {"kty": "oct", "kid": "k", "k": b64(b"secret")},
        {"kty": "AKP", "kid": "k", "alg": "ML-DSA-44", "pub": "AA"},
        "EC",
        None,
        [],
    ],
)
def test_an_unfit_key_is_left_out_and_the_others_are_not(entry):
    assert keys(entry, jwk(ed_key(), "good")).keys() == {"good"}


def test_of_two_with_one_name_neither_counts():
    assert keys(EC, jwk(ed_key(), "ec"), jwk(ed_key(), "good")).keys() == {"good"}
    # Nor if one of them alone would be none: whose name it is can not be told.
    assert keys(EC, {"kty": "oct", "kid": "ec", "k": "AA"}).keys() == set()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"<html>",
        b'{"keys": []}',
        b'{"keys": {}}',
        b"{}",
        b'{"keys": null}',
        b'{"keys": ["a"], "keys": ["a"]}',
        b'{"keys": [' + b"[" * 5_000,
        b'{"keys": [' + b'"x",' * 100 + b'"x"]}',
        b'\xff{"keys": [1]}',
        b'{"keys": [NaN]}',
        b'{"keys": [1e999]}',
        b'{"keys": ["' + b" " * 262_144 + b'"]}',
    ],
    ids=lambda raw: repr(raw[:30]),
)
def test_what_is_no_key_set_is_refused_whole_and_not_quoted(raw):
    with pytest.raises(ValueError) as refused:
        parse_key_set(raw)
    assert repr(raw[:8])[2:-1] not in str(refused.value) or not raw


def test_a_key_shows_what_it_is_called_only():
    shown = repr(keys(EC)["ec"])
    assert "kid='ec'" in shown
    assert "object at" not in shown


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
members = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "use", "alg", "key_ops", "d", "k"])


@given(
    st.lists(
        st.dictionaries(members, json_values | st.sampled_from(["EC", "RSA", "OKP", "P-256", EC["x"]])),
        min_size=1,
        max_size=5,
    )
)
def test_whatever_is_listed_there_are_keys_or_none_but_no_surprise(entries):
    try:
        found = parse_key_set(as_json({"keys": entries}))
    except ValueError:
        return
    assert all(key.kid == kid for kid, key in found.items())
