"""Bodies that are no bodies: refused clearly, before they cost anything, and nothing is left of them."""

import gzip
import json
import time

import pytest

from tests.security.wire import request

MIB = 1024 * 1024
SOON = 5.0  # seconds; what is refused by its looks takes milliseconds


def nested(levels, opening=b'{"a":', closing=b"}", core=b"1"):
    return opening * levels + core + closing * levels


def with_data(data):
    return b'{"data":' + data + b"}"


INVALID = "invalid_request"
# What is wrong, the whole body, and a word of the message that says it.
MALFORMED = [
    ("nothing", b"", "needs a JSON body"),
    ("white space", b" \n", "not valid JSON"),
    ("truncated", b'{"data":{"key":"va', "not valid JSON"),
    ("something after it", b'{"data":{}}{}', "not valid JSON"),
    ("single quotes", b"{'data':{}}", "not valid JSON"),
    ("a trailing comma", b'{"data":{},}', "not valid JSON"),
    ("a comment", b'{"data":{}/*x*/}', "not valid JSON"),
    ("a bare word", b"data", "not valid JSON"),
    ("a line end in a text", b'{"data":{"key":"a\nb"}}', "not valid JSON"),
    ("an unknown escape", rb'{"data":{"key":"\x41"}}', "not valid JSON"),
    ("half an escape", rb'{"data":{"key":"\u12"}}', "not valid JSON"),
    ("a form", b"data=key", "not valid JSON"),
    ("XML", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "not valid JSON"),
    ("compressed", gzip.compress(b'{"data":{}}'), "UTF-8"),
    # the top level
    ("a list", b"[]", "must be a JSON object"),
    ("a list of bodies", b'[{"data":{}}]', "must be a JSON object"),
    ("a text", b'"data"', "must be a JSON object"),
    ("a number", b"1", "must be a JSON object"),
    ("null", b"null", "must be a JSON object"),
    ("true", b"true", "must be a JSON object"),
    # numbers
    ("NaN", with_data(b'{"n":NaN}'), "NaN is not JSON"),
    ("Infinity", with_data(b'{"n":Infinity}'), "Infinity is not JSON"),
    ("-Infinity", with_data(b'{"n":[-Infinity]}'), "-Infinity is not JSON"),
    ("1e999", with_data(b'{"n":1e999}'), "out of range"),
    ("-1e999", with_data(b'{"n":[[-1e999]]}'), "out of range"),
    ("a fraction of 400 digits and more", with_data(b'{"n":' + b"9" * 400 + b".0}"), "out of range"),
    ("an integer of 5,000 digits", with_data(b'{"n":' + b"9" * 5_000 + b"}"), "too many digits"),
    ("a leading zero", with_data(b'{"n":01}'), "not valid JSON"),
    ("a leading plus", with_data(b'{"n":+1}'), "not valid JSON"),
    ("hexadecimal", with_data(b'{"n":0x1}'), "not valid JSON"),
    ("a bare fraction", with_data(b'{"n":.5}'), "not valid JSON"),
    ("an underscore", with_data(b'{"n":1_0}'), "not valid JSON"),
    # the same key twice
    ("a key twice", b'{"data":{},"data":{"key":"other"}}', "same key twice"),
    ("a key twice within", with_data(b'{"key":"a","key":"b"}'), "same key twice"),
    ("a key twice far within", with_data(b'{"a":[{"b":{"key":1,"key":1}}]}'), "same key twice"),
    ("a key twice, once escaped", rb'{"data":{},"d\u0061ta":{}}', "same key twice"),
    # characters
    ("a BOM", b'\xef\xbb\xbf{"data":{}}', "not valid JSON"),
    ("UTF-16", '{"data":{}}'.encode("utf-16"), "UTF-8"),
    ("UTF-16 without a BOM", '{"data":{}}'.encode("utf-16-le"), "not valid JSON"),
    ("Latin-1", '{"data":{"key":"é"}}'.encode("latin-1"), "UTF-8"),
    ("a stray byte", with_data(b'{"key":"\xff"}'), "UTF-8"),
    ("an overlong slash", with_data(b'{"key":"\xc0\xaf"}'), "UTF-8"),
    ("beyond Unicode", with_data(b'{"key":"\xf4\x90\x80\x80"}'), "UTF-8"),
    ("a raw lone surrogate", with_data(b'{"key":"\xed\xa0\x80"}'), "UTF-8"),
    ("a lone surrogate", with_data(rb'{"key":"\ud800"}'), "lone surrogate"),
    ("a lone low surrogate", with_data(rb'{"key":"\uDC00x"}'), "lone surrogate"),
    ("a lone surrogate in a key", with_data(rb'{"\udfff":1}'), "lone surrogate"),
    ("surrogates the wrong way round", with_data(rb'{"key":"\udc00\ud800"}'), "lone surrogate"),
    ("a raw NUL", with_data(b'{"key":"\x00"}'), "not valid JSON"),
    ("a NUL", with_data(rb'{"key":"a\u0000b"}'), "NUL"),
    ("a NUL in a key", with_data(rb'{"\u0000":1}'), "NUL"),
    ("a NUL far within", with_data(rb'{"a":[[{"b":"\u0000"}]]}'), "NUL"),
    # too deep, too many, too large
    ("10,000 objects deep", with_data(nested(10_000)), "nested deeper"),
    ("10,000 lists deep", with_data(nested(10_000, b"[", b"]")), "nested deeper"),
    ("500,000 brackets and no end", b"[" * 500_000, "nested deeper"),
    ("37 levels", nested(37), "nested deeper"),
    ("100,000 keys", with_data(b"{" + b",".join(b'"%d":0' % n for n in range(100_000)) + b"}"), "more than"),
    ("100,000 items", with_data(b'{"a":[' + b"0," * 100_000 + b"0]}"), "more than"),
    ("100,000 commas", b'{"data":{}' + b"," * 100_000, "more than"),
    ("a text without an end", b'{"data":{"key":"' + b"a" * 500_000, "not valid JSON"),
    ("escapes without an end", b'{"data":{"key":"' + b"\\" * 500_001, "not valid JSON"),
]
MALFORMED_IDS = [what for what, *_ in MALFORMED]

# What is wrong, the body's fields, the code, and the names of the fields that are found fault with.
MISTYPED = [
    ("no data", {}, "validation_error", ["data"]),
    ("data is null", {"data": None}, "validation_error", ["data"]),
    ("data is a list", {"data": []}, "validation_error", ["data"]),
    ("data is a text", {"data": "hunter2"}, "validation_error", ["data"]),
    ("data is a number", {"data": 7}, "validation_error", ["data"]),
    ("data is 33 levels deep", {"data": json.loads(nested(33))}, "validation_error", ["data"]),
    ("an unknown field", {"data": {}, "secret": 1}, "validation_error", ["secret"]),
    ("unknown fields", {"data": {}, "dta": {}, "Data": {}}, "validation_error", ["Data", "dta"]),
    ("an unknown option", {"data": {}, "options": {"ttl": 1}}, "validation_error", ["options.ttl"]),
    ("options are a list", {"data": {}, "options": []}, "validation_error", ["options"]),
    ("versions in text", {"data": {}, "options": {"max_versions": "10"}}, "validation_error", ["options.max_versions"]),
    ("half a version", {"data": {}, "options": {"max_versions": 1.5}}, "validation_error", ["options.max_versions"]),
    ("a true version", {"data": {}, "options": {"max_versions": True}}, "validation_error", ["options.max_versions"]),
    ("no versions", {"data": {}, "options": {"max_versions": 0}}, "validation_error", ["options.max_versions"]),
    ("101 versions", {"data": {}, "options": {"max_versions": 101}}, "validation_error", ["options.max_versions"]),
    ("before 0", {"data": {}, "options": {"expected_version": -1}}, "validation_error", ["options.expected_version"]),
    (
        "beyond PostgreSQL",
        {"data": {}, "options": {"expected_version": 2**31}},
        "validation_error",
        ["options.expected_version"],
    ),
    (
        "beyond everything",
        {"data": {}, "options": {"max_versions": 10**400}},
        "validation_error",
        ["options.max_versions"],
    ),
    (
        "a duration in seconds",
        {"data": {}, "options": {"expires_in": 3600}},
        "invalid_duration",
        ["options.expires_in"],
    ),
    (
        "a duration in words",
        {"data": {}, "options": {"expires_in": "1 day"}},
        "invalid_duration",
        ["options.expires_in"],
    ),
    (
        "a duration of nothing",
        {"data": {}, "options": {"expires_in": "0s"}},
        "invalid_duration",
        ["options.expires_in"],
    ),
    (
        "a duration of ages",
        {"data": {}, "options": {"expires_in": "999999999d"}},
        "invalid_duration",
        ["options.expires_in"],
    ),
    (
        "a duration in Arabic digits",
        {"data": {}, "options": {"expires_in": "\u0661d"}},
        "invalid_duration",
        ["options.expires_in"],
    ),
    ("a type by number", {"data": {}, "secret_type": 1}, "invalid_secret_type", None),
    ("a type in upper case", {"data": {}, "secret_type": "KV"}, "invalid_secret_type", None),
    ("types", {"data": {}, "secret_type": ["kv"]}, "invalid_secret_type", None),
    ("metadata is a text", {"data": {}, "metadata": "x"}, "validation_error", ["metadata"]),
    ("one tag in text", {"data": {}, "metadata": {"tags": "x"}}, "validation_error", ["metadata.tags"]),
    ("a tag by number", {"data": {}, "metadata": {"tags": [1]}}, "validation_error", ["metadata.tags.0"]),
    ("an empty tag", {"data": {}, "metadata": {"tags": [""]}}, "validation_error", ["metadata.tags.0"]),
    ("51 tags", {"data": {}, "metadata": {"tags": ["x"] * 51}}, "validation_error", ["metadata.tags"]),
    ("an owner by number", {"data": {}, "metadata": {"owner": 1}}, "validation_error", ["metadata.owner"]),
    ("a key without a name", {"data": {}, "metadata": {"": 1}}, "validation_error", ["metadata"]),
    ("a key too long", {"data": {}, "metadata": {"k" * 101: 1}}, "validation_error", ["metadata"]),
    ("metadata too large", {"data": {}, "metadata": {"k": "x" * 17_000}}, "validation_error", ["metadata"]),
]


@pytest.fixture
def address(room):
    return f"/v1/secrets/{room}/db"


@pytest.fixture
def nothing_stored(ada, address, room):
    """Afterwards there is no such secret, and no entry that says that anything was written."""
    yield
    assert ada.get(f"{address}:metadata").json["error"]["code"] == "secret_not_found"
    assert [row for row in ada.audit(path_prefix=room) if row["action"] == "write"] == []


def put(voice, address, raw):
    return voice.call("PUT", address, data=raw, content_type="application/json")


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(("raw", "word"), [case[1:] for case in MALFORMED], ids=MALFORMED_IDS)
def test_a_malformed_body_is_refused_in_words_that_do_not_repeat_it(ada, address, raw, word):
    answer = put(ada, address, raw)
    assert (answer.status_code, answer.json["error"]["code"]) == (400, INVALID)
    assert word in answer.json["error"]["message"]
    assert len(answer.data) < 500


@pytest.mark.parametrize(("raw", "word"), [case[1:] for case in MALFORMED], ids=MALFORMED_IDS)
def test_a_stranger_learns_no_more_and_costs_no_more(house, address, raw, word):
    """Bodies are bounded before anybody is asked who he is: no token is needed to be refused, and none is looked up."""
    began = time.monotonic()
    answer = put(house.voice(), address, raw)
    assert (answer.status_code, answer.json["error"]["code"]) == (400, INVALID)
    assert time.monotonic() - began < SOON


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(
    ("body", "code", "fields"), [case[1:] for case in MISTYPED], ids=[case[0] for case in MISTYPED]
)
def test_a_field_of_the_wrong_form_is_named(ada, address, body, code, fields):
    answer = ada.put(address, body)
    error = answer.json["error"]
    assert (answer.status_code, error["code"]) == (422 if code == "validation_error" else 400, code)
    assert (sorted(error["details"]["fields"]) if fields else error.get("details")) == fields
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    ("method", "address", "body", "fields"),
    [
        ("POST", "/v1/secrets/batch", {"paths": ["a"], "path": "b"}, ["path"]),
        ("POST", "/v1/secrets/batch", {"paths": "a"}, ["paths"]),
        ("POST", "/v1/secrets/batch", {"paths": []}, ["paths"]),
        ("POST", "/v1/secrets/batch", {"paths": ["a"] * 101}, ["paths"]),
        ("POST", "/v1/secrets/batch", {"paths": [1, None]}, ["paths.0", "paths.1"]),
        ("POST", "/v1/secrets/batch", {"paths": ["a"], "options": {"fail_fast": "yes"}}, ["options.fail_fast"]),
        ("POST", "/v1/secrets/batch/metadata", {"paths": ["a"], "expand_wildcards": 1}, ["expand_wildcards"]),
        ("POST", "/v1/secrets/a:rollback", {"version": "1"}, ["version"]),
        ("POST", "/v1/secrets/a:rollback", {"version": 0}, ["version"]),
        ("POST", "/v1/secrets/a:destroy", {"versions": [1, 2**31]}, ["versions.1"]),
        ("PATCH", "/v1/secrets/a:metadata", {"data": {}}, ["data"]),
        (
            "POST",
            "/v1/policies",
            {"name": "n", "rules": [{"path_pattern": 1}]},
            ["rules.0.path_pattern", "rules.0.permissions"],
        ),
        ("POST", "/v1/policies", {"name": "\u202eevil", "rules": []}, ["name"]),
        ("POST", "/v1/policies", {"name": "n", "rules": [], "id": "pol_1", "tenant_id": "tnt_b"}, ["id", "tenant_id"]),
        ("POST", "/v1/auth/tokens", {"name": "n", "scopes": ["everything"]}, ["scopes.0"]),
        ("POST", "/v1/auth/tokens", {"name": "n", "scopes": ["admin"], "roles": ["super_admin"]}, ["roles"]),
        ("POST", "/v1/auth/tokens", {"name": "n\n", "scopes": ["admin"]}, ["name"]),
        ("POST", "/v1/auth/introspect", {"token": ["skt_x"]}, ["token"]),
    ],
    ids=lambda part: ascii(part)[:50] if isinstance(part, str | dict) else "",
)
def test_every_door_names_what_it_does_not_know(ada, method, address, body, fields):
    answer = ada.call(method, address, body)
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "validation_error")
    assert sorted(answer.json["error"]["details"]["fields"]) == fields


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "limit=1e2", "limit=", "foo=1", "LIMIT=1", "include_deleted=maybe", "tag="],
)
def test_queries_are_as_strict(ada, query):
    answer = ada.get(f"/v1/secrets?{query}")
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "validation_error")
    assert list(answer.json["error"]["details"]["fields"]) == [query.partition("=")[0]]


@pytest.mark.parametrize("query", ["limit=1&limit=2", "owner=%00", "owner=%FF", "owner=%ED%A0%80", "%00=1", "o%FF=1"])
def test_queries_are_plain_text_said_once(ada, query):
    answer = ada.get(f"/v1/secrets?{query}")
    assert (answer.status_code, answer.json["error"]["code"]) == (400, INVALID)


def test_at_most_so_many_faults_are_listed_and_names_are_cut(ada, address):
    answer = ada.put(address, {"data": {}, **{f"x{number}": 1 for number in range(500)}, "y" * 5_000: 1})
    fields = answer.json["error"]["details"]["fields"]
    assert len(fields) <= 20
    assert max(map(len, fields)) <= 100


ACCEPTED = [
    ("empty", {}),
    ("large and small numbers", {"n": [10**400, -(2**64), 2**53 + 1, 1e300, 5e-324, 0.1, -0.0]}),
    ("32 levels", json.loads(nested(32))),
    ("brackets in texts", {"key": "[{" * 5_000, '[{"': "}]"}),
    ("escapes", {"key": '\\u0000 \\ud800 " \\\\', "\\": "\n\t\r\b\f\x01\x7f"}),
    ("all of Unicode", {"key": "é漢🔑\u202e\ufeff\ufffe\U0010ffff", "🔑": "\u0000".replace("\u0000", "␀")}),
    ("names of no importance", {"__proto__": {"a": 1}, "constructor": 1, "data": {"data": 1}, "": ""}),
    ("19,000 items", {"list": [0] * 19_000}),
    ("all but a MiB", {"key": "x" * (MIB - 20)}),
]


@pytest.mark.parametrize("data", [data for _, data in ACCEPTED], ids=[what for what, _ in ACCEPTED])
def test_odd_but_good_data_comes_back_as_it_was(ada, address, data):
    # Not by `json=`: Flask's test client sorts keys.
    assert put(ada, address, json.dumps({"data": data}).encode()).status_code == 201
    read = ada.get(address)
    assert read.json["data"] == data
    assert repr(read.json["data"]) == repr(data)


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (with_data(json.dumps({"key": "x" * (MIB - 9)}).encode()), 422),  # data, a little more than a MiB
        (with_data(json.dumps({"key": "x" * 2 * MIB}).encode()), 413),
        (with_data(b"{}" + b" " * 2 * MIB), 413),
    ],
    ids=["data of more than a MiB", "a body of 2 MiB", "a body of white space"],
)
def test_size_is_bounded(ada, address, raw, status):
    answer = put(ada, address, raw)
    assert answer.status_code == status
    assert answer.json["error"]["code"] == ("validation_error" if status == 422 else INVALID)


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "/v1/secrets"),
        ("GET", "/v1/secrets/a"),
        ("DELETE", "/v1/secrets/a"),
        ("POST", "/v1/secrets/a:recover"),
        ("GET", "/v1/auth/whoami"),
        ("DELETE", "/v1/policies/pol_1"),
        ("GET", "/v1/audit/logs"),
        ("GET", "/v1/health"),
    ],
)
def test_a_body_that_nobody_asked_for_is_refused(ada, method, address):
    answer = put_like(ada, method, address, b'{"data":{}}')
    assert (answer.status_code, answer.json["error"]["code"]) == (400, INVALID)
    assert "takes no body" in answer.json["error"]["message"]


def put_like(voice, method, address, raw):
    return voice.call(method, address, data=raw, content_type="application/json")


class TestOnTheWire:
    """What a test client can not say."""

    GOOD = b'{"data":{"key":"value"}}'

    def head(self, vault, address, *headers, method="PUT", token=...):
        token = vault.token if token is ... else token
        return request(method, address, None, headers, token)

    def chunked(self, raw, size=60_000):
        pieces = [raw[start : start + size] for start in range(0, len(raw), size)]
        return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"

    def test_chunks_are_as_good_as_a_length(self, vault, ada, address):
        answer = vault.send(self.head(vault, address, "Transfer-Encoding: chunked") + self.chunked(self.GOOD, 5))
        assert answer.status == 201
        assert ada.get(address).json["data"] == {"key": "value"}

    @pytest.mark.usefixtures("nothing_stored")
    @pytest.mark.parametrize("token", [..., None], ids=["with a token", "without"])
    def test_two_mebibytes_in_chunks_are_too_many(self, vault, address, token):
        began = time.monotonic()
        raw = with_data(b'{"key":"' + b"x" * 2 * MIB + b'"}')
        head = self.head(vault, address, "Transfer-Encoding: chunked", token=token)
        answer = vault.send(head + self.chunked(raw))
        assert (answer.status, answer.code) == (413, INVALID)
        assert time.monotonic() - began < SOON

    @pytest.mark.usefixtures("nothing_stored")
    @pytest.mark.parametrize("token", [..., None], ids=["with a token", "without"])
    def test_a_length_that_is_too_much_is_refused_before_a_byte_has_come(self, vault, address, token):
        answer = vault.send(self.head(vault, address, f"Content-Length: {10**12}", token=token))
        assert (answer.status, answer.code) == (413, INVALID)

    @pytest.mark.usefixtures("nothing_stored")
    @pytest.mark.parametrize(
        "tail",
        [
            b"",
            b'5\r\n{"dat',
            b"zz\r\n",
            b"-1\r\n",
            b"0x5\r\n{}\r\n0\r\n\r\n",
            b"ffffffffffffffffffff\r\n{}",
            b"2\r\n{}x\r\n0\r\n\r\n",
        ],
        ids=ascii,
    )
    def test_broken_chunks_are_refused(self, vault, address, tail):
        answer = vault.send(self.head(vault, address, "Transfer-Encoding: chunked") + tail, then_close=True)
        assert answer.status == 400

    @pytest.mark.usefixtures("nothing_stored")
    @pytest.mark.parametrize(
        "headers",
        [
            ["Content-Length: -1"],
            ["Content-Length: +24"],
            ["Content-Length: 24, 24"],
            ["Content-Length: 24", "Content-Length: 24"],
            ["Content-Length: 0x18"],
            ["Content-Length: 24.0"],
            ["Content-Length: \u00b2\u00b3"],
            ["Content-Length: 24", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: chunked, chunked"],
            ["Transfer-Encoding: identity"],
            ["Transfer-Encoding: gzip, chunked"],
            ["Transfer-Encoding : chunked"],
            ["Transfer-Encoding:\x0bchunked"],
            ["Transfer_Encoding: chunked"],
        ],
        ids=ascii,
    )
    def test_a_length_in_doubt_is_refused(self, vault, address, headers):
        answer = vault.send(self.head(vault, address, *headers) + self.GOOD, then_close=True)
        assert answer.status in {400, 501}

    @pytest.mark.usefixtures("nothing_stored")
    @pytest.mark.parametrize("length", [23, 10, 1, 0], ids=lambda length: f"{length} of 24")
    def test_a_length_that_is_too_short_is_no_shorter_secret(self, vault, address, length):
        answer = vault.send(self.head(vault, address, f"Content-Length: {length}") + self.GOOD)
        assert (answer.status, answer.code) == (400, INVALID)

    @pytest.mark.usefixtures("nothing_stored")
    def test_a_body_that_ends_too_early_is_not_half_a_secret(self, vault, address):
        answer = vault.send(self.head(vault, address, "Content-Length: 25") + self.GOOD, then_close=True)
        assert (answer.status, answer.code) == (400, INVALID)

    @pytest.mark.usefixtures("nothing_stored")
    def test_without_a_length_there_is_no_body(self, vault, address):
        answer = vault.send(self.head(vault, address) + self.GOOD, then_close=True)
        assert (answer.status, answer.code) == (400, INVALID)

    @pytest.mark.parametrize("header", ["Content-Length: 2", "Transfer-Encoding: chunked"])
    def test_a_body_on_a_get_is_refused(self, vault, address, header):
        body = b"{}" if "Length" in header else self.chunked(b"{}")
        answer = vault.send(self.head(vault, "/v1/secrets", header, method="GET") + body)
        assert (answer.status, answer.code) == (400, INVALID)

    def test_what_follows_a_refused_body_is_no_request_of_its_own(self, vault, ada, address, room):
        """On a connection that stays open, the unread rest of a body must not be taken for the next request."""
        smuggled = request("DELETE", f"{address}?permanent=true", None, (), vault.token)
        ada.put(address, {"data": {"key": "kept"}})
        raw = b"x" * 100_000 + smuggled
        head = self.head(vault, "/v1/policies", f"Content-Length: {len(raw)}", method="POST")
        answer = vault.send(head.replace(b"Connection: close\r\n", b"") + raw + request("GET", "/v1/version"))
        assert answer.status == 413
        assert ada.get(address).json["data"] == {"key": "kept"}

    @pytest.mark.parametrize("count", [63, 64, 65, 200])
    def test_headers_are_bounded_in_number(self, vault, count):
        answer = vault.ask("GET", "/v1/version", headers=[f"X-{number}: 1" for number in range(count)], token=None)
        assert answer.status == (200 if count + 2 <= 64 else 431)

    @pytest.mark.parametrize("length", [8_000, 9_000, 100_000])
    def test_headers_and_targets_are_bounded_in_length(self, vault, length):
        long_header = vault.ask("GET", "/v1/version", headers=["X-Long: " + "a" * length], token=None)
        assert long_header.status == (200 if length == 8_000 else 431)
        long_target = vault.ask("GET", "/v1/version?" + "a" * length, token=None)
        assert long_target.status == (400 if length == 8_000 else 414)
        for refused, about in ((long_header, "headers"), (long_target, "address")):
            assert refused.status < 414 or about in refused.json["error"]["message"]
