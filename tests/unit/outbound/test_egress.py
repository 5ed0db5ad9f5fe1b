"""What a tenant's administrator names must not lead inside: by whatever spelling, name or change of mind."""

import contextlib
import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from scaivault.outbound.egress import Egress
from scaivault.outbound.errors import NoDocument
from scaivault.outbound.http import DocumentFetcher
from tests.issuer import answer, ec_key

CLOSED = Egress((), loopback_is_allowed=False)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "::10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::a00:1",
        "2002:a00:1::1",
        "2001:0:a00:1::1",
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
    ],
)
def test_nothing_inside_is_open(address):
    assert not CLOSED.is_open(ip_address(address))


@pytest.mark.parametrize("address", ["140.82.121.5", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_what_is_public_is_open(address):
    assert CLOSED.is_open(ip_address(address))


@pytest.mark.parametrize(
    ("address", "is_open"), [("10.96.0.1", True), ("::ffff:10.96.0.1", True), ("10.96.0.2", False), ("::1", False)]
)
def test_what_the_operator_lists_is_open_and_nothing_beside_it(address, is_open):
    assert Egress([ip_network("10.96.0.1/32")], loopback_is_allowed=False).is_open(ip_address(address)) is is_open


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]"]
)
def test_no_spelling_of_this_machine_reaches_a_server_on_it(provider, host):
    port = provider.url.rpartition(":")[2]
    provider.instead["/document"] = lambda handler: answer(handler, b"{}")
    fetcher = DocumentFetcher(plain_http_is_allowed=True, egress=CLOSED)
    with pytest.raises(NoDocument):
        fetcher.fetch(f"http://{host}:{port}/document", 1_000)
    assert provider.asked == []


def test_where_it_is_allowed_the_same_server_answers(provider):
    provider.instead["/document"] = lambda handler: answer(handler, b"{}")
    fetcher = DocumentFetcher(plain_http_is_allowed=False, egress=Egress((), loopback_is_allowed=True))
    assert fetcher.fetch(provider.url + "/document", 1_000).body == b"{}"


def found(*addresses):
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]


def test_a_name_with_one_address_inside_is_refused_as_a_whole(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found("1.1.1.1", "10.0.0.1"))
    with pytest.raises(NoDocument):
        CLOSED.resolve("mixed.example", 443)


def test_the_address_that_was_looked_at_is_the_one_that_is_gone_to(provider, monkeypatch):
    """A name that says something else when it is asked again, which it never is."""
    answers = iter([found("127.0.0.1"), found("10.0.0.1")])
    real, asked = socket.getaddrinfo, []

    def getaddrinfo(host, *more, **named):
        asked.append(host)
        return next(answers) if host == "rebinding.example" else real(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    provider.instead["/document"] = lambda handler: answer(handler, handler.headers["Host"].encode())
    port = provider.url.rpartition(":")[2]
    fetcher = DocumentFetcher(plain_http_is_allowed=True, egress=Egress((), loopback_is_allowed=True))
    document = fetcher.fetch(f"http://rebinding.example:{port}/document", 1_000)
    assert document.body == f"rebinding.example:{port}".encode()
    assert asked.count("rebinding.example") == 1


def test_the_next_address_is_tried_where_one_does_not_answer(provider, monkeypatch):
    """Nobody listens on the first."""
    monkeypatch.setattr(socket, "getaddrinfo", resolving("two.example", found("127.7.7.7", "127.0.0.1")))
    provider.instead["/document"] = lambda handler: answer(handler, handler.headers["Host"].encode())
    port = provider.url.rpartition(":")[2]
    fetcher = DocumentFetcher(plain_http_is_allowed=True, egress=Egress((), loopback_is_allowed=True))
    assert fetcher.fetch(f"http://two.example:{port}/document", 1_000).body == f"two.example:{port}".encode()


def test_the_certificate_is_the_names_and_not_the_addresss(provider, monkeypatch, tmp_path):
    key, subject = ec_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer.example")])
    now = datetime.now(UTC)  # noqa: TID251 - TLS looks at the real clock
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("issuer.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file, bundle = tmp_path / "server.pem", tmp_path / "bundle.pem"
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    bundle.write_bytes(certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    provider._server.socket = context.wrap_socket(provider._server.socket, server_side=True)
    provider.instead["/document"] = lambda handler: answer(handler, b"{}")
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(bundle))
    port = provider.url.rpartition(":")[2]
    fetcher = DocumentFetcher(plain_http_is_allowed=False, egress=Egress((), loopback_is_allowed=True))
    for name in ("issuer.example", "other.example"):
        monkeypatch.setattr(socket, "getaddrinfo", resolving(name, found("127.0.0.1")))
        with contextlib.nullcontext() if name == "issuer.example" else pytest.raises(NoDocument):
            assert fetcher.fetch(f"https://{name}:{port}/document", 1_000).body == b"{}"
    assert provider.asked == ["/document"]


def resolving(name, addresses):
    real = socket.getaddrinfo
    return lambda host, *more, **named: addresses if host == name else real(host, *more, **named)
