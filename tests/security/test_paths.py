"""Every spelling of a path but its own is refused, whatever a client or a proxy would have made of it."""

import pytest

from scaivault.kernel.caller import Scope
from tests.security.wire import as_bytes

HIDDEN = "the-hidden-value"
AT = "/v1/secrets/"

# Beyond "/v1/secrets/": what some decoder, normaliser or file system takes for app/secret.
SPELLINGS = [
    # percent-encoded, once and twice, in either case
    "app%2Fsecret",
    "app%2fsecret",
    "app%252Fsecret",
    "%61pp/secret",
    "app/%73ecret",
    "app/secre%74",
    "app/%53ecret",
    "app/secret%2F",
    "%2Fapp/secret",
    "app/secret%00",
    "app/secret%00.json",
    "app/secret%20",
    "%20app/secret",
    "app/secret%09",
    "app/secret%0A",
    "app/secret%0D%0AX-Tenant-ID:%20tnt_b",
    "app/secret%3Fversion=1",
    "app/secret%23",
    "app/secret%3B",
    "app/secret%3Ametadata",
    "app/secret%3aversions",
    "app/secret%",
    "app/secret%2",
    "app/secret%zz",
    "app/secret%u002f",
    "app%u002fsecret",
    # dots
    "./app/secret",
    "app/./secret",
    "app/secret/.",
    "app/../app/secret",
    "app/x/../secret",
    "../secrets/app/secret",
    "x/../../secrets/app/secret",
    "app/secret/..",
    "app/secret/../secret",
    "app/.secret",
    "app/...secret",
    "app/%2e/secret",
    "app/x/%2e%2e/secret",
    "app/x/%2E./secret",
    "app/x/..%2fsecret",
    "app/x/..%255csecret",
    "app/x/..;/secret",
    # empty segments
    "/app/secret",
    "app//secret",
    "app///secret",
    "app/secret/",
    "app/secret//",
    "",
    "/",
    # other separators
    "app\\secret",
    "app%5Csecret",
    "app/x\\..\\secret",
    "app|secret",
    # parameters and punctuation that some servers cut off or translate
    "app/secret;",
    "app/secret;x=1",
    "app;x=1/secret",
    "app/secret,",
    "app/secret&version=1",
    "app/secret+",
    "app/secret~",
    "app/secret!",
    "app/secret'",
    'app/secret"',
    "app/secret*",
    "app/(secret)",
    "app/{secret}",
    "app/$secret",
    "app/secret@1",
    "app/secret=",
    "app/<secret>",
    "app/^secret",
    "app/`secret`",
    # fragments, which have no business in a request
    "app/secret#",
    "app/secret#x",
    "app/x#/../secret",
    "#/app/secret",
    "app/secret#?version=1",
    # colons, which begin a method and are part of no path
    "app:secret",
    "app/secret:",
    "app/secret:data",
    "app/secret:metadata:metadata",
    "app/secret:metadata/",
    "app/secret:METADATA",
    "C:/app/secret",
    # overlong and broken UTF-8
    "app%C0%AFsecret",
    "app%E0%80%AFsecret",
    "app%F0%80%80%AFsecret",
    "app/x/%C0%AE%C0%AE/secret",
    "app/secret%FF",
    "app/secret%ED%A0%80",
    # letters that look the same, slashes that look the same, letters that fold or vanish
    "%D0%B0pp/secret",
    "app/%D1%95ecret",
    "app%EF%BC%8Fsecret",
    "app%E2%88%95secret",
    "app%E2%81%84secret",
    "app/%C5%BFecret",
    "app/s%C3%A9cret",
    "app/se%CC%81cret",
    "app/secret%E2%80%8B",
    "app/sec%C2%ADret",
    "%EF%BB%BFapp/secret",
    "app/%EF%BD%93ecret",
    # too long, too deep
    "a" * 513,
    "app/" + "s" * 509,
    "/".join("abcdefghijk"),
    "app/secret/" + "/".join("123456789"),
]
# Whole targets that are no address of ours at all.
ELSEWHERE = [
    "/V1/secrets/app/secret",
    "/v1/SECRETS/app/secret",
    "/v1/secretS/app/secret",
    "/v1//secrets/app/secret",
    "/./v1/secrets/app/secret",
    "/x/../v1/secrets/app/secret",
    "/v1/x/../secrets/app/secret",
    "/v1/secrets;x/app/secret",
    "/v1/secrets:app/secret",
    "http://vault/x/../v1/secrets/app/secret",
    "/http://vault/v1/secrets/app/secret",
    "/",
    "/v1",
    "/v1/",
]
# What gunicorn does not take for HTTP.
MALFORMED = [
    b"/v1/secrets/app/secret\x00",
    b"/v1/secrets/app\x00/secret",
    b"/v1/secrets/app/sec\tret",
    b"/v1/secrets/app/\x0bsecret",
    b"/v1/secrets/app/secret\x7f",
    b"/v1/secrets/app\xc0\xafsecret",
    b"/v1/secrets/\xd0\xb0pp/secret",
    b"/v1/secrets/app/secr\xe9t",
    b"/v1/secrets/app /secret",
    b"/v1/secrets/app/secret\rx",
]


def shown(text):
    """The id of a test about some spelling."""
    return ascii(text)[:60]


def only_refused(rows):
    """Whether the trail tells of a request that was refused, or of none: of no path, no decision and no row."""
    told = [(row["action"], row["secret_path"], row["success"]) for row in rows]
    return told in ([], [("request_refused", None, False)])


@pytest.fixture(scope="module")
def mallory(standing, vault):
    """May read and list everything but app/secret, which is there, and is denied to him by name."""
    ada, house = standing.ada, standing.house
    ada.write("app/secret", {"key": HIDDEN})
    ada.write("app/public", {"key": "for all"})
    everything = ("**", ["admin"])
    house.allow(ada, "user:mallory", everything, ("app/secret", ["admin"], {"effect": "deny"}))
    return house.someone("user:mallory", scopes=frozenset(Scope)).token


@pytest.fixture
def told(vault, ada, room):
    """Sends as somebody under a request id of its own; the answer and the audit rows about it."""

    def told(method, target, token, body=None, headers=()):
        answer = vault.ask(method, target, body, [f"X-Request-ID: {room}", *headers], token=token)
        assert HIDDEN.encode() not in answer.body
        assert answer.status < 500
        return answer, ada.audit(request_id=room)

    return told


def test_the_path_itself_is_denied_by_its_name(told, mallory):
    answer, rows = told("GET", f"{AT}app/secret", mallory)
    assert (answer.status, answer.code) == (403, "access_denied")
    assert [(row["action"], row["secret_path"]) for row in rows] == [("policy_violation", "app/secret")]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=shown)
def test_another_spelling_is_an_invalid_path_and_reaches_no_decision(told, mallory, spelling):
    answer, rows = told("GET", AT + spelling, mallory)
    assert (answer.status, answer.code) == (400, "invalid_path")
    assert only_refused(rows)


@pytest.mark.parametrize("target", ELSEWHERE)
def test_another_address_is_not_there(told, mallory, target):
    answer, rows = told("GET", target, mallory)
    assert (answer.status, answer.code) == (404, "not_found")
    assert only_refused(rows)


@pytest.mark.parametrize(
    "target", ["//v1/secrets/app/secret", "///v1/secrets/app/secret", "http://x//v1/secrets/app/secret"]
)
def test_a_leading_slash_too_many_is_not_overlooked(told, mallory, target):
    answer, rows = told("GET", target, mallory)
    assert (answer.status, answer.code) == (400, "invalid_path")
    assert only_refused(rows)


@pytest.mark.parametrize("target", MALFORMED, ids=shown)
def test_what_is_not_http_never_becomes_a_request(told, mallory, target):
    answer, rows = told("GET", target, mallory)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert only_refused(rows)


# A few of each kind, through every other door.
ASSORTED = [
    "app%2Fsecret",
    "app/%73ecret",
    "app/./secret",
    "app//secret",
    "app/secret/",
    "app\\secret",
    "app/secret;x",
    "app%C0%AFsecret",
    "%D0%B0pp/secret",
    "app/secret%00",
    "a" * 513,
]
DOORS = [
    ("PUT", "", b'{"data":{"key":"overwritten"}}'),
    ("DELETE", "", None),
    ("DELETE", "?permanent=true", None),
    ("GET", "?version=1", None),
    ("GET", ":metadata", None),
    ("PATCH", ":metadata", b'{"metadata":{"owner":"mallory"}}'),
    ("GET", ":versions", None),
    ("POST", ":recover", None),
    ("POST", ":rollback", b'{"version":1}'),
    ("POST", ":destroy", b'{"versions":[1]}'),
]


@pytest.mark.parametrize("spelling", ASSORTED, ids=shown)
def test_no_other_door_takes_another_spelling_either(vault, ada, mallory, room, spelling):
    for number, (method, end, body) in enumerate(DOORS):
        answer = vault.ask(method, AT + spelling + end, body, [f"X-Request-ID: {room}-{number}"], token=mallory)
        assert (answer.status, answer.code) == (400, "invalid_path"), (method, end)
        assert only_refused(ada.audit(request_id=f"{room}-{number}"))
    answer = vault.ask("GET", f"/v1/audit/secrets/{spelling}")
    assert (answer.status, answer.code) == (400, "invalid_path")
    assert ada.get(f"{AT}app/secret").json["data"] == {"key": HIDDEN}
    assert ada.get(f"{AT}app/secret:metadata").json["version"] == 1


@pytest.mark.parametrize(("method", "end", "body"), DOORS, ids=lambda part: part if isinstance(part, str) else "")
def test_every_door_is_closed_to_the_path_itself(vault, mallory, method, end, body):
    answer = vault.ask(method, f"{AT}app/secret{end}", body, token=mallory)
    assert (answer.status, answer.code) == (403, "access_denied")


def test_heads_are_reads_and_denied_like_reads(vault, mallory):
    with vault.connected() as connection:
        connection.sendall(
            b"HEAD /v1/secrets/app/secret HTTP/1.1\r\nHost: vault\r\nConnection: close\r\n"
            b"Authorization: Bearer " + as_bytes(mallory) + b"\r\n\r\n"
        )
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert received.startswith(b"HTTP/1.1 403 ")
    assert received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", ["get", "Get", "GET\t", "G ET", "TRACE", "CONNECT", "OPTIONS", "PROPFIND", "MOVE"])
def test_other_methods_are_none(vault, mallory, method):
    answer = vault.ask(method, f"{AT}app/secret", token=mallory)
    assert answer.status in {400, 405}


def test_a_lower_or_upper_case_path_is_another_secret(told, mallory):
    answer, rows = told("GET", f"{AT}APP/Secret", mallory)
    assert (answer.status, answer.code) == (404, "secret_not_found")
    assert [(row["secret_path"], row["success"]) for row in rows] == [("APP/Secret", False)]


@pytest.mark.parametrize(
    "target",
    [
        "http://vault/v1/secrets/app/secret",
        "HTTP://VAULT:80/v1/secrets/app/secret",
        "https://x@y/v1/secrets/app/secret",
    ],
)
def test_a_whole_url_is_the_same_address_and_the_same_decision(told, mallory, target):
    answer, rows = told("GET", target, mallory)
    assert (answer.status, answer.code) == (403, "access_denied")
    assert [row["secret_path"] for row in rows] == ["app/secret"]


@pytest.mark.parametrize("spelling", ["app%2Fsecret", "app/%73ecret", "app/./secret", "app/secret#x", "app//secret"])
def test_a_whole_url_with_another_spelling_is_refused_too(told, mallory, spelling):
    answer, rows = told("GET", f"http://vault/v1/secrets/{spelling}", mallory)
    assert (answer.status, answer.code) == (400, "invalid_path")
    assert only_refused(rows)


@pytest.mark.parametrize("target", ["*", "vault:443", "v1/secrets/app/secret", "?", "", "%2Fv1/secrets/app/secret"])
def test_other_forms_of_targets_lead_nowhere(told, mallory, target):
    answer, rows = told("GET", target, mallory)
    assert answer.status in {400, 404}
    assert only_refused(rows)


@pytest.mark.parametrize("query", ["", "version=1", "version=1#", "version=1#/../x"])
def test_a_query_does_not_change_the_path(told, mallory, query):
    answer, _ = told("GET", f"{AT}app/secret?{query}", mallory)
    assert answer.status in {400, 403}


@pytest.mark.parametrize("query", ["/../secret", "path=app/secret", "%2F..%2Fsecret", "version=1&version=2", "%00"])
def test_a_query_can_not_name_another_path(told, mallory, query):
    answer, rows = told("GET", f"{AT}app/public?{query}", mallory)
    assert answer.code in {"invalid_request", "validation_error"}
    assert [(row["action"], row["secret_path"]) for row in rows] == [("request_refused", "app/public")]


@pytest.mark.parametrize(
    "header",
    [
        "X-Original-URL: /v1/secrets/app/secret",
        "X-Rewrite-URL: /v1/secrets/app/secret",
        "X-Forwarded-Prefix: /v1/secrets/app/secret",
        "X-HTTP-Method-Override: DELETE",
        "X-Method-Override: PUT",
        "SCRIPT_NAME: /v1/secrets",
        "Script-Name: /v1",
        "PATH_INFO: /v1/secrets/app/secret",
    ],
)
def test_no_header_changes_path_or_method(told, mallory, header):
    answer, rows = told("GET", f"{AT}app/public", mallory, headers=[header])
    assert answer.json["path"] == "app/public"
    assert [(row["action"], row["secret_path"]) for row in rows] == [("read", "app/public")]


@pytest.mark.parametrize("path", ["a" * 512, "/".join("abcdefghij"), "-", "_", "9", "a.b", "a..b", "a/b.", "app-_.9"])
def test_the_longest_deepest_and_oddest_good_paths_are_good(told, mallory, path):
    answer, rows = told("GET", AT + path, mallory)
    assert (answer.status, answer.code) == (404, "secret_not_found")
    assert [row["secret_path"] for row in rows] == [path]


IN_BODIES = [
    "app//secret",
    "/app/secret",
    "app/secret/",
    "app/./secret",
    "app/x/../secret",
    "app\\secret",
    "app%2Fsecret",
    "app/secret\n",
    " app/secret",
    "app/secret\u200b",
    "\u0430pp/secret",
    "app/\u017fecret",
    "app\uff0fsecret",
    "app/secret:metadata",
    "app/secret?version=1",
    "a" * 513,
    "",
]


@pytest.mark.parametrize("path", IN_BODIES, ids=shown)
def test_bodies_take_no_other_spelling(house, ada, mallory, path):
    voice = house.voice(mallory)
    for address in ("/v1/secrets/batch", "/v1/secrets/batch/metadata"):
        answer = voice.post(address, {"paths": [path]}).json
        assert answer["secrets"] == {}
        assert answer["errors"][path]["code"] == "invalid_path"
    trial = {"identity_id": "user:mallory", "path": path, "permission": "read"}
    assert ada.post("/v1/policies/test", trial).json["error"]["code"] == "invalid_path"


def test_lists_and_wildcards_pass_over_what_is_denied(house, mallory):
    voice = house.voice(mallory)
    listed = [secret["path"] for secret in voice.get("/v1/secrets?prefix=app/").json["secrets"]]
    assert "app/public" in listed
    assert "app/secret" not in listed
    for pattern in ("app/*", "**", "app/secre?", "app/s*", "**/secret", "*/secret"):
        found = voice.post("/v1/secrets/batch/metadata", {"paths": [pattern], "expand_wildcards": True}).json
        assert "app/secret" not in found["secrets"]
    assert voice.get("/v1/secrets?prefix=app/secret").json["secrets"] == []


@pytest.mark.parametrize("prefix", ["app//", "/app", "app/.", "app/%2e", "app\\", "app/*", "ap p", "a" * 513, "\u0430"])
def test_prefixes_are_beginnings_of_paths(house, ada, prefix):
    for address, name in (("/v1/secrets", "prefix"), ("/v1/audit/logs", "path_prefix")):
        answer = ada.get(address, query_string={name: prefix})
        assert (answer.status_code, answer.json["error"]["code"]) == (400, "invalid_path")
