"""JSON web tokens: whom they speak for, and every way known to make one that should not.

The corpus goes over a socket to a real gunicorn, which has its keys from a real server.
"""

import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import psycopg
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from scaivault.features.identity.model import Identity
from scaivault.features.identity.service import issuer_keys
from scaivault.kernel.caller import Role, Scope
from tests.house import furnish, opened
from tests.issuer import DISCOVERY, JWKS, answer, as_json, b64, compact, ec_key, ed_key, jwk, rsa_key
from tests.security.wire import serving
from tests.waiting import await_in_force

WHOAMI = "/v1/auth/whoami"
TOKENS = "/v1/auth/tokens"
MARK = "planted-value-7e1"


def refusal(answer):
    status = answer.status_code if hasattr(answer, "status_code") else answer.status
    return status, answer.json["error"]["code"]


@pytest.fixture(scope="module")
def signed(standing, standing_provider, tmp_path_factory):
    """gunicorn that takes tokens of the standing provider."""
    folder = tmp_path_factory.mktemp("signed")
    with serving(standing.house, standing.ada.token, folder, SCAIKEY_URL=standing_provider.url) as vault:
        yield vault


# --- the corpus: by name, from a provider to a token that must be refused ---


def resigned(provider, header=None, claims=None, kid="ec-1"):
    """Signed by the issuer's own key, so that the signature is not what is wrong."""
    return compact(
        provider.header(kid) if header is None else header,
        provider.claims(jti=MARK) if claims is None else claims,
        provider.keys[kid],
    )


def unsigned(alg):
    def make(provider):
        _, claims, _ = provider.token().split(".")
        return f"{b64(as_json(provider.header(alg=alg)))}.{claims}."

    return make


def none_with_a_signature(alg):
    return lambda provider: resigned(provider, provider.header(alg=alg))


def symmetric(kid, alg, secret_of):
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}.get(alg, "sha256")

    def make(provider):
        secret = secret_of(provider.keys[kid])
        return compact(
            provider.header(kid, alg=alg), provider.claims(), lambda message: hmac.digest(secret, message, digest)
        )

    return make


def encoded(encoding, form):
    return lambda key: key.public_key().public_bytes(encoding, form)


SECRETS = {
    "pem": encoded(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "pem-stripped": lambda key: encoded(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)(key).strip(),
    "der": encoded(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "jwk": lambda key: as_json(jwk(key, "k")),
    "x": lambda key: jwk(key, "k").get("x", "").encode() or b"AQAB",
    "empty": lambda key: b"",
}


def header_of(**more):
    return lambda provider: resigned(provider, provider.header(**more))


def claims_of(**said):
    return lambda provider: resigned(provider, claims=provider.claims(jti=MARK, **said))


def raw_claim(text):
    """A claim spelt in JSON that json.dumps would not write; it replaces its namesake, or stands beside it."""
    name = text.partition(":")[0].strip('" ')

    def make(provider):
        rest = json.dumps(provider.claims(**{name: ...}))[:-1]
        return resigned(provider, claims=f"{rest}, {text}}}".encode())

    return make


def beside(text):
    """The same, with the namesake left where it is."""
    return lambda provider: resigned(provider, claims=f"{json.dumps(provider.claims())[:-1]}, {text}}}".encode())


def beside_in_header(text):
    return lambda provider: resigned(provider, f"{json.dumps(provider.header())[:-1]}, {text}}}".encode())


def respelt(change):
    return lambda provider: change(provider.token())


def part(number, change):
    def respell(token):
        parts = token.split(".")
        parts[number] = change(parts[number])
        return ".".join(parts)

    return respell


def last_bits(text):
    """Another last character that says the same bytes, to a decoder that does not look."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = {2: 4, 3: 2}[len(text) % 4]
    index = alphabet.index(text[-1])
    return text[:-1] + alphabet[index ^ 1 if spare == 2 else index ^ 7]


def spare_bits(number):
    def make(provider):
        tokens = (provider.token("rsa-1", n="x" * padding) for padding in itertools.count())
        return part(number, last_bits)(next(token for token in tokens if len(token.split(".")[number]) % 4))

    return make


def der_signed(provider):
    key = provider.keys["ec-1"]
    return compact(provider.header(), provider.claims(), lambda message: key.sign(message, ec.ECDSA(hashes.SHA256())))


def signed_as(raw, kid="ec-1"):
    return lambda provider: compact(provider.header(kid), provider.claims(), lambda _: raw)


def crossed(signer, kid, alg):
    """The key of one kind under the name of another."""
    return lambda provider: compact(provider.header(kid, alg=alg), provider.claims(), provider.keys[signer])


def stranger(kid, key):
    return lambda provider: compact(provider.header(kid), provider.claims(), key())


def embedded(**header):
    """A key of the attacker's, brought along in the header."""

    def make(provider):
        key = rsa_key("attacker")
        brought = {name: value(key) if callable(value) else value for name, value in header.items()}
        return compact(provider.header("rsa-1", **brought), provider.claims(), key)

    return make


def bomb(provider):
    """10 MB that are 10 KB on the wire."""
    packed = zlib.compress(as_json(provider.claims(n="0" * 10_000_000)), 9)[2:-4]
    return compact(provider.header(zip="DEF"), packed[:4_000], provider.keys["ec-1"])


NOW = int(time.time())
ORDER = (
    ec.SECP256R1().group_order
    if hasattr(ec.SECP256R1(), "group_order")
    else int("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
)
CORPUS = {
    **{f"unsigned-{alg!r}": unsigned(alg) for alg in ("none", "None", "NONE", "nOnE", "", "none ", None, ...)},
    **{f"none-signed-{alg}": none_with_a_signature(alg) for alg in ("none", "NONE", "nOnE")},
    **{
        f"{alg}-with-{kid}-as-{name}": symmetric(kid, alg, secret)
        for alg in ("HS256", "HS384", "HS512")
        for kid in ("rsa-1", "ec-1", "ed-1")
        for name, secret in SECRETS.items()
    },
    **{
        f"alg-{alg}": header_of(alg=alg)
        for alg in (
            "ES384",
            "ES512",
            "ES256K",
            "PS256",
            "RS256",
            "RS1",
            "EdDSA",
            "es256",
            "ES256 ",
            7,
            True,
            ["ES256"],
            {},
        )
    },
    **{
        f"kid-{ascii(kid)[:40]}": header_of(kid=kid)
        for kid in (
            "../../../../dev/null",
            "/etc/passwd",
            "file:///dev/null",
            "x' OR '1'='1",
            "x'; DROP TABLE tokens; --",
            "ec-1\x00",
            "\x00",
            "ec-1 ",
            "EC-1",
            "",
            "k" * 201,
            "k" * 900,
            "\u0435c-1",
            None,
            1,
            True,
            ["ec-1"],
            {"kid": "ec-1"},
            ...,
        )
    },
    "kid-twice": beside_in_header('"kid": "rsa-1"'),
    "alg-twice": beside_in_header('"alg": "ES256"'),
    "jku": embedded(jku="http://127.0.0.1:{port}/jwks"),
    "x5u": embedded(x5u="http://127.0.0.1:{port}/chain"),
    "jwk": embedded(jwk=lambda key: jwk(key, "rsa-1")),
    "x5c": embedded(x5c=["MIIB"]),
    "x5t": embedded(x5t="AAAA"),
    "jku-well-signed": header_of(jku="http://127.0.0.1:{port}/jwks"),
    "x5u-well-signed": header_of(x5u="http://127.0.0.1:{port}/chain"),
    "jwk-well-signed": lambda provider: resigned(provider, provider.header(jwk=jwk(provider.keys["ec-1"], "ec-1"))),
    **{f"crit-{crit}": header_of(crit=crit) for crit in (["exp"], ["b64"], [], "exp", None)},
    **{f"b64-{b64}": header_of(b64=b64) for b64 in (True, False)},
    "b64-detached": lambda provider: resigned(provider, provider.header(b64=False, crit=["b64"])),
    "cty": header_of(cty="JWT"),
    "zip": header_of(zip="DEF"),
    "zip-bomb": bomb,
    **{f"typ-{typ}": header_of(typ=typ) for typ in ("JOSE", "jwe", "dpop+jwt", "logout+jwt", "", None, 1, ["JWT"])},
    "header-a-list": lambda provider: resigned(provider, b'["ES256"]'),
    "header-a-text": lambda provider: resigned(provider, b'"ES256"'),
    "header-utf16": lambda provider: resigned(provider, json.dumps(provider.header()).encode("utf-16")),
    "header-bom": lambda provider: resigned(provider, b"\xef\xbb\xbf" + as_json(provider.header())),
    "header-deep": lambda provider: resigned(provider, b'{"kid":' + b"[" * 300 + b"]" * 300 + b"}"),
    # claims
    **{f"without-{name}": claims_of(**{name: ...}) for name in ("iss", "aud", "exp", "sub", "tenant_id")},
    **{
        f"aud-{aud!a}": claims_of(aud=aud)
        for aud in (
            "other",
            "SCAIVAULT",
            "scaivault ",
            "scaivault,other",
            "",
            None,
            1,
            True,
            [],
            ["other"],
            [["scaivault"]],
            {"scaivault": 1},
        )
    },
    **{
        f"iss-{end!a}": lambda provider, end=end: resigned(provider, claims=provider.claims(iss=provider.url + end))
        for end in (
            "/",
            "/tenants/tnt_b",
            "/tenants/tnt_a/",
            "/tenants/",
            "/tenants/tnt_a%2f",
            "/tenants/../tenants/tnt_a",
            "?x",
            "#",
            "\u200b",
            " ",
            "@evil.example",
        )
    },
    "iss-elsewhere": claims_of(iss="https://evil.example"),
    "iss-upper": lambda provider: resigned(provider, claims=provider.claims(iss=provider.url.replace("http", "HTTP"))),
    "iss-a-list": lambda provider: resigned(provider, claims=provider.claims(iss=[provider.url])),
    "iss-null": claims_of(iss=None),
    **{
        f"sub-{ascii(sub)[:30]}": claims_of(sub=sub, email=...)
        for sub in (
            "",
            None,
            1,
            True,
            [],
            {},
            "a b",
            "a/b",
            "*",
            "a\x00",
            "a\n",
            "x" * 201,
            "\u0430da",
            "user:ada",
            "../x",
        )
    },
    **{
        f"email-{ascii(email)[:30]}": claims_of(email=email)
        for email in (
            "",
            1,
            True,
            [],
            "*",
            "a b@x",
            "ada@a.example\x00",
            "ada@a.example\n",
            "x" * 201,
            "\u0430da@a.example",
            "**",
        )
    },
    **{
        f"client-{ascii(client)[:30]}": claims_of(sub=MARK, client_id=client, token_type="client_credentials")
        for client in ("", 1, True, [], "a b", "*", "-x", "x" * 101, "ci\x00", "ci\n", "\u0441i", "../ci")
    },
    **{
        f"tenant-{ascii(tenant)[:30]}": claims_of(tenant_id=tenant)
        for tenant in (
            "",
            None,
            1,
            True,
            [],
            ["tnt_a"],
            {},
            "tnt_a\x00",
            "tnt_a\n",
            "tnt_a/..",
            "*",
            "x" * 101,
            "' OR 1=1 --",
            "\ud800",
        )
    },
    **{f"partner-{partner!a}": claims_of(partner_id=partner) for partner in (1, True, [], {})},
    **{
        # By number: what is made of the present is another one in every process of the run.
        f"{name}-odd-{number}": claims_of(**{name: value})
        for name in ("exp", "nbf", "iat", "mfa_verified_at")
        for number, value in enumerate(
            (
                "",
                "9999999999",
                str(NOW),
                None,
                True,
                False,
                [],
                {},
                [NOW],
                -1,
                -(10**20),
                10**12,
                10**30,
                float(NOW + 60),
                NOW + 0.5,
                1e300,
            )
        )
    },
    **{
        f"{name}-raw-{value}": raw_claim(f'"{name}": {value}')
        for name in ("exp", "nbf", "iat")
        for value in (
            "NaN",
            "Infinity",
            "-Infinity",
            "1e309",
            "1e10",
            "1E3",
            "-0",
            "9999999999.0",
            "0x7fffffff",
            "1_000",
            "9" * 5_000,
        )
        if (name, value) not in {("nbf", "-0"), ("iat", "-0"), ("exp", "-0")}
    },
    "not-yet": claims_of(nbf=NOW + 3_000),
    "from-the-future": claims_of(iat=NOW + 3_000),
    "mfa-from-the-future": claims_of(mfa_verified_at=NOW + 3_000),
    "auth-time-from-the-future": claims_of(auth_time=NOW + 3_000, amr=["mfa"]),
    **{f"scope-{scope!a}": claims_of(scope=scope) for scope in (1, True, None, ["secrets:read"], {})},
    **{
        f"{name}-{ascii(value)[:30]}": claims_of(**{name: value})
        for name in ("groups", "roles", "role")
        for value in (1, True, None, {}, [1], [None], [["group:sre"]])
    },
    "groups-many": claims_of(groups=[f"g{each}" for each in range(501)]),
    **{
        f"act-{ascii(act)[:30]}": claims_of(act=act)
        for act in (
            1,
            "x",
            [],
            {},
            {"sub": 1},
            {"sub": ""},
            {"sub": "a b"},
            {"sub": "x" * 201},
            {"sub": "a", "act": {}},
            {"sub": "a", "act": {"sub": "b", "act": {"sub": "c", "act": {"sub": "d"}}}},
        )
    },
    **{
        f"twice-{name}": beside(f'"{name}": {json.dumps(value)}')
        for name, value in {
            "sub": "usr_2",
            "tenant_id": "tnt_b",
            "exp": NOW + 9_000,
            "aud": "scaivault",
            "scope": "admin",
            "iss": "x",
        }.items()
    },
    "twice-inside": raw_claim('"act": {"sub": "a", "sub": "b"}'),
    "twice-by-escape": beside('"\\u0073ub": "usr_2"'),
    "claims-deep": raw_claim('"n": ' + "[" * 50 + "]" * 50),
    "claims-deepest": raw_claim('"n": ' + "[" * 2_000 + "]" * 2_000),
    "claims-a-list": lambda provider: resigned(provider, claims=b'["sub"]'),
    "claims-a-text": lambda provider: resigned(provider, claims=b'"sub"'),
    "claims-null": lambda provider: resigned(provider, claims=b"null"),
    "claims-empty": lambda provider: resigned(provider, claims=b"{}"),
    "claims-html": lambda provider: resigned(provider, claims=b"<html>"),
    "claims-latin": lambda provider: resigned(
        provider, claims=json.dumps(provider.claims(name="\u00e9"), ensure_ascii=False).encode("latin-1")
    ),
    "claims-trailing": lambda provider: resigned(provider, claims=as_json(provider.claims()) + b"x"),
    "claims-two": lambda provider: resigned(provider, claims=as_json(provider.claims()) * 2),
    # spelling
    **{f"spare-bits-{number}": spare_bits(number) for number in (1, 2)},
    "spare-bits-ec": respelt(part(2, last_bits)),
    **{
        f"padded-{number}": respelt(part(number, lambda text: text + "=" * (-len(text) % 4 or 4)))
        for number in range(3)
    },
    **{
        f"standard-alphabet-{number}": respelt(
            part(number, lambda text: base64.b64encode(base64.urlsafe_b64decode(text + "==")).decode() + "+")
        )
        for number in range(3)
    },
    **{f"dot-{number}": respelt(part(number, lambda text: text + ".")) for number in range(3)},
    **{f"gone-{number}": respelt(part(number, lambda text: "")) for number in range(3)},
    "two-parts": respelt(lambda token: token.rpartition(".")[0]),
    "four-parts": respelt(lambda token: token + ".AAAA"),
    "five-parts": respelt(lambda token: token + ".AAAA.AAAA"),
    "json-form": lambda provider: base64.b64encode(
        as_json(dict(zip(("protected", "payload", "signature"), provider.token().split("."), strict=True)))
    ).decode(),
    "quoted": respelt(lambda token: f'"{token}"'),
    "signature-cut": respelt(part(2, lambda text: text[:-4])),
    "signature-longer": respelt(part(2, lambda text: text + "AAAA")),
    "signature-other": respelt(part(2, lambda text: ("B" if text[0] == "A" else "A") + text[1:])),
    "claims-other": respelt(
        part(1, lambda text: b64(base64.urlsafe_b64decode(text + "==").replace(b"tnt_a", b"tnt_b")))
    ),
    "signature-der": der_signed,
    "signature-zero": signed_as(bytes(64)),
    "signature-r-zero": signed_as(bytes(32) + b"\1" * 32),
    "signature-s-zero": signed_as(b"\1" * 32 + bytes(32)),
    "signature-order": signed_as(ORDER.to_bytes(32) * 2),
    "signature-one": signed_as((1).to_bytes(32) * 2),
    "signature-zero-rsa": signed_as(bytes(256), "rsa-1"),
    "signature-one-rsa": signed_as((1).to_bytes(256), "rsa-1"),
    "signature-zero-ed": signed_as(bytes(64), "ed-1"),
    **{
        f"crossed-{signer}-{kid}-{alg}": crossed(signer, kid, alg)
        for signer, kid in itertools.permutations(("rsa-1", "ec-1", "ed-1"), 2)
        for alg in ("RS256", "ES256", "EdDSA")
    },
    "stranger-rsa": stranger("rsa-1", lambda: rsa_key("attacker")),
    "stranger-ec": stranger("ec-1", lambda: ec_key("attacker")),
    "stranger-ed": stranger("ed-1", lambda: ed_key("attacker")),
}


@pytest.fixture(scope="module")
def listener():
    """Where a token tells the vault to look; `arrived` are those who did."""
    arrived = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def work():
            with contextlib.suppress(OSError):
                while True:
                    arrived.append(server.accept()[1])

        threading.Thread(target=work, daemon=True).start()
        yield server.getsockname()[1], arrived


@pytest.mark.parametrize("name", CORPUS)
def test_a_forged_token_is_refused_in_one_and_the_same_way(signed, standing_provider, listener, name):
    port, arrived = listener
    made = CORPUS[name](standing_provider)
    if "{port}" in base64.urlsafe_b64decode(made.split(".")[0] + "==").decode("latin-1", "replace"):
        head, claims, _ = made.split(".")
        header = json.loads(base64.urlsafe_b64decode(head + "=="))
        header = {each: value.format(port=port) if isinstance(value, str) else value for each, value in header.items()}
        made = compact(header, base64.urlsafe_b64decode(claims + "=="), standing_provider.keys[header["kid"]])
    given = signed.ask("GET", WHOAMI, token=made)
    assert refusal(given) == (401, "token_invalid")
    assert given.json["error"]["message"] == "The token is not one of ours."
    assert given.headers["www-authenticate"] == 'Bearer realm="scaivault"'
    assert set(given.json["error"]) == {"code", "message", "request_id"}
    assert arrived == []
    log = signed.log.read_text()
    assert MARK not in log
    assert not any(piece in log for piece in made.split(".") if len(piece) > 20)


def test_all_that_was_wrong_with_them_was_what_their_names_say(signed, standing_provider):
    """The corpus is made of this token."""
    for kid in ("rsa-1", "ec-1", "ed-1"):
        assert (
            signed.ask("GET", WHOAMI, token=standing_provider.token(kid, jti=MARK)).json["identity_id"]
            == "user:ada@a.example"
        )
    assert standing_provider.fetches() <= 3  # whoever makes kids up gets no fetch for each


@pytest.mark.parametrize("ago", [60, 61, 3_600, NOW], ids=["a minute", "and a second", "an hour", "for ever"])
def test_an_expired_token_is_told_so_once_its_signature_is_known(signed, standing_provider, ago):
    token = standing_provider.token(exp=int(time.time()) - ago, iat=...)
    assert refusal(signed.ask("GET", WHOAMI, token=token)) == (401, "token_expired")
    forged = part(2, lambda text: ("B" if text[0] == "A" else "A") + text[1:])(token)
    assert refusal(signed.ask("GET", WHOAMI, token=forged)) == (401, "token_invalid")


@pytest.mark.parametrize("said", [{"exp": -50}, {"nbf": 50}, {"iat": 50}, {"iat": ...}])
def test_clocks_may_differ_by_a_minute(signed, standing_provider, said):
    claims = {name: value if value is ... else int(time.time()) + value for name, value in said.items()}
    assert signed.ask("GET", WHOAMI, token=standing_provider.token(**claims)).status == 200


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", ...])
def test_both_types_and_none_are_tokens(signed, standing_provider, typ):
    assert signed.ask("GET", WHOAMI, token=resigned(standing_provider, standing_provider.header(typ=typ))).status == 200


@pytest.mark.parametrize("aud", ["scaivault", ["scaivault"], ["other", "scaivault"]])
def test_the_audience_is_among_those_named(signed, standing_provider, aud):
    assert signed.ask("GET", WHOAMI, token=standing_provider.token(aud=aud)).status == 200


def test_the_issuer_may_speak_as_the_tenants_own(signed, standing_provider):
    token = standing_provider.token(iss=f"{standing_provider.url}/tenants/tnt_a")
    assert signed.ask("GET", WHOAMI, token=token).status == 200


@pytest.mark.parametrize("size", [7_000, 9_000, 16_000, 17_000, 100_000])
def test_a_huge_token_costs_nothing_but_its_refusal(signed, standing_provider, size):
    given = signed.ask("GET", WHOAMI, token=standing_provider.token(n="x" * (size * 3 // 4 - 600)))
    assert given.status == (200 if size == 7_000 else 431)  # gunicorn takes no header of more than 8,190 bytes


@pytest.mark.parametrize(("size", "status"), [(16_000, 200), (17_000, 401), (100_000, 401)])
def test_beyond_16_kib_nothing_is_a_token(signing, provider, size, status):
    token = provider.token(n="x" * (size * 3 // 4 - 600))
    assert who(signing, token).status_code == status


# --- in this process: the same application, an hour in a moment ---


@pytest.fixture
def signing(database_url, redis_url, tmp_path, provider):
    """A house whose issuer is the provider."""
    with opened(database_url, redis_url, tmp_path, SCAIKEY_URL=provider.url) as house:
        house.ada, house.bob = furnish(house)
        provider.now = lambda: house.clock.now().timestamp()
        yield house


def who(house, token):
    return house.voice(token).get(WHOAMI)


def accepted(house, token):
    return who(house, token).status_code == 200


def change_status(house, table, key, status):
    """What an operator does, with the epoch that every change of authority moves."""
    with psycopg.connect(house.settings.database_url.get_secret_value(), autocommit=True) as connection:
        connection.execute(
            "WITH tick AS (UPDATE authority_clock SET epoch = epoch + 1 RETURNING epoch)"
            " UPDATE tenants SET authority_epoch = tick.epoch FROM tick"
        )
        statement = {
            "tenants": "UPDATE tenants SET status = %s WHERE id = %s",
            "partners": "UPDATE partners SET status = %s WHERE id = %s",
            "identities": "UPDATE identities SET status = %s WHERE id = %s",
        }
        connection.execute(statement[table], [status, key])


class TestWhoItIs:
    def test_a_user(self, signing, provider):
        mfa = int(provider.now()) - 5
        said = {
            "jti": "t-1",
            "name": "Ada L.",
            "groups": ["group:sre", "dba", "not a group", "*"],
            "role": "tenant_admin",
            "roles": ["super_admin", "emperor"],
            "scope": "secrets:read openid secrets:list emperor",
            "partner_id": "prt_test",
            "mfa_verified_at": mfa,
        }
        told = who(signing, provider.token(**said)).json
        assert told.pop("mfa_verified_at") is not None
        assert told.pop("token_expires_at") is not None
        assert told == {
            "identity_id": "user:ada@a.example",
            "identity_type": "user",
            "display_name": "Ada L.",
            "tenant_id": "tnt_a",
            "partner_id": "ptn_test",
            "scopes": ["secrets:list", "secrets:read"],
            "groups": ["group:dba", "group:sre"],
            "roles": ["super_admin", "tenant_admin"],
        }

    @pytest.mark.parametrize(
        ("said", "identity_id"),
        [
            ({}, "user:ada@a.example"),
            ({"email_verified": True}, "user:ada@a.example"),
            ({"email_verified": False}, "user:usr_1"),
            ({"email": ...}, "user:usr_1"),
            ({"client_id": "web-app"}, "user:ada@a.example"),
            ({"client_id": "usr_1"}, "sa:usr_1"),
            ({"client_id": "ci", "sub": "ci", "email": ...}, "sa:ci"),
            ({"token_type": "client_credentials", "sub": "ci"}, "sa:ci"),
            ({"token_type": "client_credentials", "client_id": "ci"}, "sa:ci"),
        ],
    )
    def test_by_what_it_says_of_itself(self, signing, provider, said, identity_id):
        told = who(signing, provider.token(**said)).json
        assert told["identity_id"] == identity_id
        assert told["identity_type"] == ("service_account" if identity_id.startswith("sa:") else "user")

    @pytest.mark.parametrize(
        ("said", "is_verified"),
        [
            ({"amr": ["pwd", "mfa"], "auth_time": NOW - 60}, True),
            ({"amr": "mfa", "auth_time": NOW - 60}, True),
            ({"amr": ["pwd", "otp"], "auth_time": NOW - 60}, True),
            ({"amr": ["hwk", "pin"], "auth_time": NOW - 60}, True),
            ({"amr": ["face", "hwk"], "auth_time": NOW - 60}, True),
            ({"amr": ["otp"], "auth_time": NOW - 60}, False),
            ({"amr": "hwk", "auth_time": NOW - 60}, False),
            ({"amr": ["otp", "hwk"], "auth_time": NOW - 60}, False),
            ({"amr": ["pwd", "pwd"], "auth_time": NOW - 60}, False),
            ({"amr": ["pwd", "pin", "user", "rba"], "auth_time": NOW - 60}, False),
            ({"amr": ["pwd"], "auth_time": NOW - 60}, False),
            ({"amr": ["mfa"]}, False),
            ({"auth_time": NOW - 60}, False),
            ({"mfa_verified_at": NOW - 60}, True),
        ],
    )
    def test_when_it_showed_a_second_factor(self, signing, provider, said, is_verified):
        assert (who(signing, provider.token(**said)).json["mfa_verified_at"] is not None) is is_verified

    def test_what_we_know_of_it_is_added(self, signing, provider):
        signing.services.installer.add_holder(
            "tnt_a",
            Identity("user:sue@a.example", "Sue", frozenset({"group:sre"}), frozenset({Role.TENANT_ADMIN})),
            frozenset(Scope),
            "test",
        )
        told = who(signing, provider.token(email="sue@a.example", groups=["dba"])).json
        assert (told["groups"], told["roles"], told["display_name"]) == (
            ["group:dba", "group:sre"],
            ["tenant_admin"],
            "Sue",
        )
        assert told["scopes"] == ["secrets:list", "secrets:read"]

    def test_it_reads_by_policy_and_within_its_scope(self, signing, provider):
        signing.ada.write("app/db")
        token = provider.token(email="sue@a.example")
        assert refusal(signing.voice(token).get("/v1/secrets/app/db")) == (403, "access_denied")
        signing.allow(signing.ada, "user:sue@a.example", ("app/**", ["read", "write"]))
        await_in_force(lambda: signing.voice(token).get("/v1/secrets/app/db").status_code, lambda got: got == 200)
        put = signing.voice(token).put("/v1/secrets/app/db", {"data": {"a": "b"}})
        assert refusal(put) == (403, "insufficient_scope")

    def test_who_acts_for_it_is_in_the_trail(self, signing, provider):
        signing.ada.write("app/db")
        signing.allow(signing.ada, "user:sue@a.example", ("app/**", ["read"]))
        token = provider.token(email="sue@a.example", jti="t-9", act={"sub": "agt_1", "act": {"sub": "agt_2"}})
        assert signing.voice(token).get("/v1/secrets/app/db").status_code == 200
        [row] = signing.ada.audit(identity_id="user:sue@a.example")
        assert row["extra_data"]["delegated_by"] == ["agt_1", "agt_2"]
        assert row["extra_data"]["acting_token_id"] == "t-9"


class TestWhereItIs:
    def test_an_unknown_tenant(self, signing, provider):
        assert refusal(who(signing, provider.token(tenant_id="tnt_x"))) == (403, "tenant_access_denied")

    def test_another_tenant_s_token_is_that_tenant_s(self, signing, provider):
        assert who(signing, provider.token(tenant_id="tnt_b")).json["tenant_id"] == "tnt_b"
        named = signing.voice(provider.token()).get(WHOAMI, headers={"X-Tenant-ID": "tnt_b"})
        assert refusal(named) == (403, "tenant_access_denied")

    @pytest.mark.parametrize("role", ["super_admin", "partner_admin"])
    def test_a_platforms_token_has_to_say(self, signing, provider, role):
        assert refusal(who(signing, provider.token(tenant_id=..., role=role))) == (403, "tenant_access_denied")

    @pytest.mark.parametrize(
        ("partner_id", "status"), [("ptn_test", 200), ("prt_test", 200), ("ptn_x", 403), ("test", 403), ("", 403)]
    )
    def test_its_partner_is_the_tenants(self, signing, provider, partner_id, status):
        assert who(signing, provider.token(partner_id=partner_id)).status_code == status

    @pytest.mark.parametrize(("table", "key"), [("tenants", "tnt_a"), ("partners", "ptn_test")])
    def test_a_suspended_one_is_shut_out_at_once(self, signing, provider, table, key):
        token = provider.token()
        assert accepted(signing, token)
        change_status(signing, table, key, "SUSPENDED")
        await_in_force(lambda: refusal_or_none(who(signing, token)), lambda got: got == (403, "forbidden"))

    def test_a_suspended_identity_is_shut_out_at_once(self, signing, provider):
        signing.someone("user:sue@a.example")
        token = provider.token(email="sue@a.example")
        assert accepted(signing, token)
        change_status(signing, "identities", "user:sue@a.example", "SUSPENDED")
        await_in_force(lambda: refusal_or_none(who(signing, token)), lambda got: got == (403, "forbidden"))

    def test_a_partners_shared_space_is_nobodys_home(self, signing, provider):
        token = provider.token(tenant_id="ptn_test", role="super_admin")
        assert refusal(who(signing, token)) == (403, "tenant_access_denied")

    @pytest.mark.parametrize(("role", "status"), [("partner_admin", 200), ("super_admin", 200), ("tenant_admin", 403)])
    def test_a_partners_administrator_may_name_another(self, signing, provider, role, status):
        voice = signing.voice(provider.token(role=role))
        answer = voice.get(WHOAMI, headers={"X-Tenant-ID": "tnt_b"})
        assert answer.status_code == status
        assert voice.get("/v1/t/tnt_b/auth/whoami").status_code == status


def refusal_or_none(answer):
    return None if answer.status_code == 200 else refusal(answer)


class TestWhatItMayMake:
    ORDER = {"name": "n", "scopes": ["secrets:read"], "expires_in": "30m"}

    def test_a_personal_token_for_one_that_had_no_row(self, signing, provider):
        voice = signing.voice(provider.token(email="new@a.example", groups=["sre"], role="tenant_admin", name="New"))
        made = voice.post(TOKENS, self.ORDER)
        assert made.status_code == 201, made.text
        told = who(signing, made.json["token"]).json
        assert (told["identity_id"], told["display_name"]) == ("user:new@a.example", "New")
        assert (told["groups"], told["roles"]) == ([], [])

    def test_a_row_that_is_there_stays_as_it_is(self, signing, provider):
        sue = signing.someone("user:sue@a.example", groups=["group:sre"])
        signing.voice(provider.token(email="sue@a.example", groups=["dba"], name="S")).post(TOKENS, self.ORDER)
        told = sue.get(WHOAMI).json
        assert (told["groups"], told["display_name"]) == (["group:sre"], "user:sue@a.example")

    @pytest.mark.parametrize("more", [{"scopes": ["secrets:write"]}, {"expires_in": "366d"}])
    def test_nothing_beyond_itself_and_nothing_for_ever(self, signing, provider, more):
        answer = signing.voice(provider.token()).post(TOKENS, {**self.ORDER, **more})
        assert refusal(answer) == (403, "forbidden")

    @pytest.mark.parametrize(("asked", "days"), [({}, 90), ({"expires_in": "2h"}, 0), ({"expires_in": "365d"}, 365)])
    def test_a_users_session_makes_what_outlives_it(self, signing, provider, asked, days):
        made = signing.voice(provider.token()).post(TOKENS, {"name": "n", "scopes": ["secrets:read"], **asked})
        assert made.status_code == 201, made.text
        lifetime = datetime.fromisoformat(made.json["expires_at"]) - datetime.fromisoformat(made.json["created_at"])
        assert lifetime == (timedelta(days=days) if days else timedelta(hours=2))

    def test_what_that_makes_ends_with_it(self, signing, provider):
        made = signing.voice(provider.token()).post(TOKENS, self.ORDER).json
        voice = signing.voice(made["token"])
        assert refusal(voice.post(TOKENS, {**self.ORDER, "expires_in": "1h"})) == (403, "forbidden")
        child = voice.post(TOKENS, {"name": "n", "scopes": ["secrets:read"]}).json
        assert child["expires_at"] == made["expires_at"]

    @pytest.mark.parametrize(
        "said", [{"client_id": "ci", "sub": "ci", "email": ...}, {"act": {"sub": "agt_1"}}], ids=["client", "delegate"]
    )
    def test_nobody_elses_token_does(self, signing, provider, said):
        voice = signing.voice(provider.token(**said))
        assert refusal(voice.post(TOKENS, {**self.ORDER, "expires_in": "2h"})) == (403, "forbidden")
        made = voice.post(TOKENS, {"name": "n", "scopes": ["secrets:read"]}).json
        assert made["expires_at"] == voice.get(WHOAMI).json["token_expires_at"]


class TestIntrospection:
    def look(self, house, token):
        return house.ada.post("/v1/auth/introspect", {"token": token})

    def test_tells_what_it_stands_for(self, signing, provider):
        token = provider.token(iat=NOW - 10, exp=NOW + 3_000)
        told = self.look(signing, token).json
        assert (told["active"], told["identity_id"], told["tenant_id"]) == (True, "user:ada@a.example", "tnt_a")
        assert told["scopes"] == ["secrets:list", "secrets:read"]
        assert (told["issued_at"], told["expires_at"]) == tuple(
            time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(each)) for each in (NOW - 10, NOW + 3_000)
        )

    def test_tells_nothing_of_any_other(self, signing, provider):
        others = [
            provider.token(tenant_id="tnt_b"),
            provider.token(tenant_id="tnt_x"),
            provider.token(exp=NOW - 100),
            part(2, last_bits)(provider.token()),
            "eyJ.eyJ.",
        ]
        for token in others:
            answer = self.look(signing, token)
            assert (answer.status_code, answer.json) == (200, {"active": False})


def test_no_issuer_no_web_tokens(house, ada, provider):
    assert refusal(house.voice(provider.token()).get(WHOAMI)) == (401, "token_invalid")
    assert provider.asked == []


class TestRemembering:
    def test_one_that_was_seen_ends_when_it_says(self, signing, provider):
        token = provider.token()
        assert accepted(signing, token)
        signing.clock.forward(hours=1, seconds=59)
        assert accepted(signing, token)
        signing.clock.forward(seconds=2)
        assert refusal(who(signing, token)) == (401, "token_expired")

    def test_a_known_token_costs_no_signature(self, signing, provider, monkeypatch):
        token = provider.token()
        assert accepted(signing, token)
        monkeypatch.setattr("scaivault.features.identity.service.web_tokens.verify", None)
        assert accepted(signing, token)

    def test_no_text_of_a_token_is_kept(self, signing, provider):
        token = provider.token()
        assert accepted(signing, token)
        kept = signing.services.authenticator._web_tokens
        assert list(kept._known) == [hashlib.sha256(token.encode()).digest()]
        assert not any(piece in repr(kept._known) for piece in token.split("."))

    def test_the_memory_is_bounded(self, signing, provider, monkeypatch):
        monkeypatch.setattr("scaivault.features.identity.service.web_tokens.MOST_CACHED", 2)
        tokens = [provider.token(jti=f"t{each}") for each in range(4)]
        assert all(accepted(signing, token) for token in tokens)
        kept = signing.services.authenticator._web_tokens._known
        assert list(kept) == [hashlib.sha256(token.encode()).digest() for token in tokens[-2:]]


class TestRotation:
    def rotate(self, provider, *keep):
        provider.keys = {**{kid: provider.keys[kid] for kid in keep}, "ec-2": ec_key("second")}

    def test_a_new_key_is_found_and_the_old_one_goes_at_once_also_for_tokens_that_were_seen(self, signing, provider):
        old = provider.token()
        assert accepted(signing, old)
        self.rotate(provider)
        signing.clock.forward(seconds=61)
        assert accepted(signing, provider.token("ec-2"))
        assert refusal(who(signing, old)) == (401, "token_invalid")

    def test_a_key_that_stays_goes_on(self, signing, provider):
        old = provider.token()
        assert accepted(signing, old)
        self.rotate(provider, "ec-1")
        signing.clock.forward(seconds=61)
        assert accepted(signing, provider.token("ec-2"))
        assert accepted(signing, old)

    def test_a_kid_that_means_another_key_now_is_another_key(self, signing, provider):
        old = provider.token()
        assert accepted(signing, old)
        provider.keys["ec-1"] = ec_key("second")
        signing.clock.forward(hours=2)
        old_again = compact(provider.header(), provider.claims(), ec_key())
        assert refusal(who(signing, old_again)) == (401, "token_invalid")
        assert accepted(signing, provider.token())

    def test_a_revoked_key_is_out_after_an_hour_though_nobody_asks_for_another(self, signing, provider):
        old = provider.token(exp=NOW + 90_000)
        assert accepted(signing, old)
        self.rotate(provider)
        signing.clock.forward(seconds=3_601)
        assert refusal(who(signing, old)) == (401, "token_invalid")

    def test_made_up_kids_cost_one_fetch_a_minute_however_many_ask(self, signing, provider):
        good = provider.token()
        assert accepted(signing, good)
        before = provider.fetches()
        signing.clock.forward(seconds=61)
        forged = [
            compact(provider.header(kid=f"made-up-{each}"), provider.claims(), ec_key("attacker")) for each in range(40)
        ]
        with ThreadPoolExecutor(8) as threads:
            answers = list(
                threads.map(
                    lambda token: refusal(
                        one_client(signing).get(WHOAMI, headers={"Authorization": f"Bearer {token}"})
                    ),
                    forged,
                )
            )
        assert set(answers) == {(401, "token_invalid")}
        assert provider.fetches() == before + 1

    def test_under_load_nobody_is_turned_away(self, signing, provider):
        """Old key and new key, from eight threads, while the set changes."""
        old = provider.token()
        assert accepted(signing, old)
        self.rotate(provider, "ec-1")
        signing.clock.forward(seconds=61)
        tokens = [old, provider.token("ec-2")] * 40
        with ThreadPoolExecutor(8) as threads:
            answers = list(
                threads.map(
                    lambda token: (
                        one_client(signing).get(WHOAMI, headers={"Authorization": f"Bearer {token}"}).status_code
                    ),
                    tokens,
                )
            )
        assert set(answers) == {200}


def one_client(house):
    return house.client.application.test_client()


def html(handler):
    answer(handler, b"<html>Sign in</html>")


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b'{"keys": [' + b" " * 65_536)


def announced(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(10**9))
    handler.end_headers()
    handler.wfile.write(b"{}")


def packed(handler):
    answer(handler, zlib.compress(b"{" + b" " * 10_000_000 + b"}"), Content_Encoding="deflate")


def failing(status):
    return lambda handler: answer(handler, b'{"keys": []}', status)


def saying(document):
    return lambda handler: answer(handler, as_json(document))


LIES = {
    "html": html,
    "endless": endless,
    "announced": announced,
    "packed": packed,
    "empty": saying({"keys": []}),
    "no-keys": saying({}),
    "keys-an-object": saying({"keys": {}}),
    "too-many": saying({"keys": [{"kty": "RSA", "kid": str(each)} for each in range(101)]}),
    "two-documents": saying(b'{"keys": []}{"keys": []}'),
    "keys-twice": saying(b'{"keys": [{"kty": "RSA"}], "keys": [{"kty": "RSA"}]}'),
    "deep": saying(b'{"keys": [' + b"[" * 100_000),
    "500": failing(500),
    "204": failing(204),
    "401": failing(401),
}


@pytest.mark.parametrize("lie", LIES)
def test_while_the_key_set_is_none_known_keys_go_on_and_others_are_refused(signing, provider, lie):
    good = provider.token()
    assert accepted(signing, good)
    provider.instead[JWKS] = LIES[lie]
    signing.clock.forward(seconds=61)
    unknown = compact(provider.header(kid="ec-9"), provider.claims(), ec_key("attacker"))
    began = time.monotonic()
    assert refusal(who(signing, unknown)) == (401, "token_invalid")
    assert accepted(signing, good)
    assert accepted(signing, provider.token(jti="another"))
    assert time.monotonic() - began < issuer_keys.WAIT_SECONDS + 2


def test_a_redirect_is_not_followed(signing, provider, listener):
    port, arrived = listener
    assert accepted(signing, provider.token())
    provider.instead[JWKS] = lambda handler: answer(handler, b"", 302, Location=f"http://127.0.0.1:{port}/jwks")
    signing.clock.forward(seconds=61)
    unknown = compact(provider.header(kid="ec-9"), provider.claims(), ec_key("attacker"))
    assert refusal(who(signing, unknown)) == (401, "token_invalid")
    assert arrived == []


def test_a_provider_that_hangs_holds_up_nobody_with_a_known_key(signing, provider):
    release, reached = threading.Event(), threading.Event()

    def hang(handler):
        reached.set()
        release.wait(20)

    good = provider.token()
    assert accepted(signing, good)
    provider.instead[JWKS] = hang
    signing.clock.forward(seconds=61)
    unknown = compact(provider.header(kid="ec-9"), provider.claims(), ec_key("attacker"))
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(
            lambda: refusal(one_client(signing).get(WHOAMI, headers={"Authorization": f"Bearer {unknown}"}))
        )
        assert reached.wait(5)
        began = time.monotonic()
        for each in range(5):
            assert accepted(signing, provider.token(jti=f"t{each}"))
        assert time.monotonic() - began < issuer_keys.WAIT_SECONDS
        assert waiting.result(issuer_keys.WAIT_SECONDS + 2) == (401, "token_invalid")
    release.set()


def test_a_provider_that_is_gone_is_missed_after_a_day(signing, provider):
    forever = {"exp": NOW + 10 * 86_400}
    good = provider.token(**forever)
    assert accepted(signing, good)
    provider.close()
    for hours in (1, 10, 12):
        signing.clock.forward(hours=hours)
        assert accepted(signing, good)
        assert accepted(signing, provider.token(jti=f"after-{hours}", **forever))
    signing.clock.forward(hours=2)
    assert refusal(who(signing, good)) == (503, "service_unavailable")


def test_a_provider_that_was_never_there_is_no_fault_of_the_token(database_url, redis_url, tmp_path, provider):
    provider.instead[DISCOVERY] = failing(500)
    with opened(database_url, redis_url, tmp_path, SCAIKEY_URL=provider.url) as house:
        furnish(house)
        assert refusal(who(house, provider.token())) == (503, "service_unavailable")
        for forged in ("eyJhbGciOiJub25lIn0.e30.", "x", "skt_x"):
            assert refusal(who(house, forged)) == (401, "token_invalid")
        provider.instead.clear()
        house.clock.forward(seconds=11)
        assert accepted(house, provider.token())


PRIVATE = {"d": b64(b"\1" * 32)}


@pytest.mark.parametrize(
    "key_set",
    [
        lambda: [jwk(ec_key(), "ec-1", **PRIVATE)],
        lambda: [jwk(ec_key(), "ec-1"), jwk(ec_key("second"), "ec-1")],
        lambda: [jwk(ec_key(), "ec-1"), jwk(ec_key(), "ec-1")],
        lambda: [jwk(ec_key(), "ec-1", use="enc")],
        lambda: [jwk(ec_key(), "ec-1", alg="ES384")],
        lambda: [jwk(ec_key(), "ec-1", key_ops=["sign"])],
        lambda: [{"kty": "oct", "kid": "ec-1", "k": b64(b"secret")}],
    ],
    ids=["private", "two-of-a-name", "the-same-twice", "to-encrypt", "another-algorithm", "to-sign", "symmetric"],
)
def test_a_key_that_must_not_be_used_is_out_as_soon_as_the_set_says_so(signing, provider, key_set):
    good = provider.token()
    assert accepted(signing, good)
    provider.instead[JWKS] = saying({"keys": key_set()})
    signing.clock.forward(seconds=61)
    unknown = compact(provider.header(kid="ec-9"), provider.claims(), ec_key("attacker"))
    assert refusal(who(signing, unknown)) == (401, "token_invalid")
    assert refusal(who(signing, good)) == (401, "token_invalid")


class TestDiscovery:
    def opened(self, database_url, redis_url, tmp_path, provider, **environment):
        return opened(database_url, redis_url, tmp_path, **{"SCAIKEY_URL": provider.url, **environment})

    @pytest.mark.parametrize(
        "said",
        [
            {"issuer": "https://evil.example"},
            {"issuer": None},
            {"jwks_uri": "https://evil.example/jwks.json"},
            {"jwks_uri": "file:///etc/passwd"},
            {"jwks_uri": None},
            {"jwks_uri": "http://["},
        ],
    )
    def test_a_document_of_another_issuer_or_with_keys_elsewhere_is_none(
        self, database_url, redis_url, tmp_path, provider, said
    ):
        provider.instead[DISCOVERY] = lambda handler: answer(handler, as_json({**provider.discovery(), **said}))
        with self.opened(database_url, redis_url, tmp_path, provider) as house:
            furnish(house)
            assert refusal(who(house, provider.token())) == (503, "service_unavailable")
            assert JWKS not in provider.asked

    def test_the_platforms_own_address_is_tried_next(self, database_url, redis_url, tmp_path, provider):
        provider.instead[DISCOVERY] = failing(404)
        provider.instead["/api/v1/platform/oauth" + DISCOVERY] = lambda handler: answer(
            handler, as_json(provider.discovery())
        )
        with self.opened(database_url, redis_url, tmp_path, provider) as house:
            furnish(house)
            assert accepted(house, provider.token())

    def test_an_address_of_its_own_needs_none(self, database_url, redis_url, tmp_path, provider):
        provider.instead["/keys"] = lambda handler: answer(handler, as_json(provider.key_set()))
        with self.opened(database_url, redis_url, tmp_path, provider, SCAIKEY_JWKS_URL=provider.url + "/keys") as house:
            furnish(house)
            assert accepted(house, provider.token())
            assert provider.asked == ["/keys"]

    def test_the_audience_is_a_setting(self, database_url, redis_url, tmp_path, provider):
        with self.opened(database_url, redis_url, tmp_path, provider, SCAIKEY_AUDIENCE="app_vault") as house:
            furnish(house)
            assert accepted(house, provider.token(aud="app_vault"))
            assert refusal(who(house, provider.token())) == (401, "token_invalid")
