"""A document comes from where it was asked for, whole and in time, or not at all."""

import contextlib
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from scaivault.kernel.redacted import Redacted
from scaivault.outbound import http
from scaivault.outbound.errors import NoDocument, NothingThere
from scaivault.outbound.http import DocumentFetcher
from tests.issuer import answer, ec_key

FETCHER = DocumentFetcher(plain_http_is_allowed=False)


def fetch(provider, act, max_bytes=1_000):
    provider.instead["/document"] = act
    return FETCHER.fetch(provider.url + "/document", max_bytes)


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        (None, None),
        ("max-age=300", 300),
        ("public, Max-Age=60, must-revalidate", 60),
        ("s-maxage=10", None),
        ("no-store", 0),
        ("no-cache, max-age=300", 0),
        ("max-age=-5", None),
        ("max-age=x", None),
        ("max-age=99999999999999999999", None),
    ],
)
def test_a_document_and_how_long_it_holds(provider, cache_control, seconds):
    document = fetch(provider, lambda handler: answer(handler, b"{}", cache_control=cache_control))
    assert (document.body, document.max_age_seconds) == (b"{}", seconds)


class TestWhoIsTold:
    """Of each call its method, host and outcome: nothing of what was asked for or with what."""

    @pytest.fixture
    def told(self):
        return []

    @pytest.fixture
    def fetcher(self, told):
        def on_call(what, _started, failure=None, /, **details):
            told.append((what, failure and type(failure).__name__, details))

        return DocumentFetcher(plain_http_is_allowed=False, on_call=on_call)

    def test_of_an_answer(self, provider, fetcher, told):
        provider.instead["/document?code=planted"] = lambda handler: answer(handler, b"{}")
        fetcher.fetch(provider.url + "/document?code=planted", 1_000, Redacted(b"planted"))
        assert told == [("GET", None, {"server.address": "127.0.0.1", "http.response.status_code": 200})]

    def test_of_a_refusal(self, provider, fetcher, told):
        provider.instead["/document"] = lambda handler: answer(handler, b"planted", 503)
        with pytest.raises(NoDocument):
            fetcher.fetch(provider.url + "/document", 1_000)
        assert told == [("GET", "NoDocument", {"server.address": "127.0.0.1", "http.response.status_code": 503})]

    def test_of_a_host_that_is_not_there(self, fetcher, told):
        with pytest.raises(NoDocument):
            fetcher.fetch("https://user:planted@127.0.0.1:1/planted", 1_000)
        assert told == [("GET", "ConnectionError", {"server.address": "127.0.0.1"})]

    def test_of_an_address_that_is_none(self, fetcher, told):
        for url in ("http://planted.example/", "https://[planted/"):
            with pytest.raises(NoDocument):
                fetcher.fetch(url, 1_000)
        assert [details for _, _, details in told] == [{}, {}]


@pytest.mark.parametrize(("size", "is_taken"), [(1_000, True), (1_001, False), (1_000_000, False)])
def test_it_is_bounded_in_size(provider, size, is_taken):
    with contextlib.nullcontext() if is_taken else pytest.raises(NoDocument):
        assert len(fetch(provider, lambda handler: answer(handler, b"x" * size)).body) == size


@pytest.mark.parametrize("status", [201, 204, 206, 301, 302, 304, 307, 308, 400, 401, 403, 500, 503])
def test_any_other_status_is_none(provider, status):
    with pytest.raises(NoDocument) as refused:
        fetch(provider, lambda handler: answer(handler, b"", status, Location=provider.url + "/elsewhere"))
    assert not isinstance(refused.value, NothingThere)
    assert provider.asked == ["/document"]


def test_nothing_there_is_told_apart(provider):
    with pytest.raises(NothingThere):
        fetch(provider, lambda handler: answer(handler, b"", 404))


def test_what_is_cut_short_is_none(provider):
    def short(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")
        handler.connection.shutdown(socket.SHUT_WR)

    with pytest.raises(NoDocument):
        fetch(provider, short)


@pytest.mark.parametrize(
    "start",
    [b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"],
)
def test_what_drips_is_cut_off(provider, monkeypatch, start):
    """Every read of it is in time, all of them together would take days."""
    monkeypatch.setattr(http, "TOTAL_SECONDS", 0.4)
    over = threading.Event()

    def drip(handler):
        handler.wfile.write(start)
        while not over.wait(0.05):
            handler.wfile.write(b"x")

    began = time.monotonic()
    with pytest.raises(NoDocument):
        fetch(provider, drip)
    over.set()
    assert time.monotonic() - began < 30


def test_silence_is_cut_off(provider, monkeypatch):
    monkeypatch.setattr(http, "READ_SECONDS", 0.2)
    over = threading.Event()
    with pytest.raises(NoDocument):
        fetch(provider, lambda _: over.wait(20))
    over.set()


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1/keys",
        "http://scaikey.example/keys",
        "http://localhost.evil.example/keys",
        "http://127.0.0.1.evil.example/keys",
        "ftp://127.0.0.1/keys",
        "file:///etc/passwd",
        "/keys",
        "http://[",
        "",
    ],
)
def test_only_https_or_this_machine_is_asked(url, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("connected"))
    with pytest.raises(NoDocument):
        FETCHER.fetch(url, 1_000)


def test_a_certificate_that_nobody_vouches_for_is_none(provider, tmp_path):
    key, name = ec_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)  # noqa: TID251 - TLS looks at the real clock
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    provider._server.socket = context.wrap_socket(provider._server.socket, server_side=True)
    with pytest.raises(NoDocument) as refused:
        FETCHER.fetch(provider.url.replace("http:", "https:") + "/document", 1_000)
    assert "CERTIFICATE_VERIFY_FAILED" in str(refused.value.__cause__)
    assert provider.asked == []


def test_the_environment_has_no_say(provider, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert fetch(provider, lambda handler: answer(handler, b"{}")).body == b"{}"


def test_no_cookie_comes_back(provider):
    seen = []

    def setting(handler):
        seen.append(handler.headers.get("Cookie"))
        answer(handler, b"{}", Set_Cookie="a=b; Path=/")

    fetch(provider, setting)
    fetch(provider, setting)
    assert seen == [None, None]


def test_a_bearer_is_sent_to_whom_it_was_meant_for_and_shown_to_nobody(provider):
    heard = []

    def redirect(handler):
        heard.append(handler.headers["Authorization"])
        answer(handler, b"", 302, Location=provider.url + "/elsewhere")

    provider.instead["/document"] = redirect
    with pytest.raises(NoDocument) as refused:
        FETCHER.fetch(provider.url + "/document", 1_000, Redacted(b"the-bearer"))
    assert (heard, provider.asked) == (["Bearer the-bearer"], ["/document"])
    assert "the-bearer" not in repr(refused.value) + str(refused.value)


def test_credentials_go_where_documents_come_from_and_nowhere_else(provider):
    """This server takes no forms at all."""
    with pytest.raises(NoDocument):
        FETCHER.exchange(provider.url + "/oauth/token", 1_000, "id", Redacted(b"secret"), {"grant_type": "x"})
    with pytest.raises(NoDocument):
        FETCHER.exchange("http://scaikey.example/oauth/token", 1_000, "id", Redacted(b"secret"), {})
