"""Webhooks do not lead inside: whatever the spelling, the name, the redirect or the change of mind."""

import contextlib
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from scaivault.features.events.errors import InvalidWebhook
from scaivault.features.events.service.addresses import Addresses
from scaivault.outbound.egress import Egress
from scaivault.outbound.posts import Failure, Poster
from tests.issuer import ec_key
from tests.receiver import Receiver, status

CLOSED = Egress((), loopback_is_allowed=False)
NOTATIONS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:0001]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "10.0.0.1",
    "10.1",
    "0xa.1",
    "167772161",
    "172.16.0.1",
    "192.168.1.1",
    "192.168.257",
    "100.64.0.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fc00::1]",
    "[ff02::1]",
    "168.63.129.16",
    "192.0.0.192",
    "224.0.0.1",
    "255.255.255.255",
]


@pytest.fixture
def receiver():
    server = Receiver("a-secret")
    yield server
    server.close()


@pytest.mark.parametrize("host", NOTATIONS)
def test_nothing_is_sent_inside_in_any_notation(receiver, host):
    poster = Poster(CLOSED, plain_http_is_allowed=True)
    answer = poster.post(f"http://{host}:{receiver.port}/hook", b"{}", {})
    assert (answer.status, answer.failure) == (None, Failure.UNREACHABLE)
    assert receiver.received == []


NAMES = ["a.localhost", "localhost.localdomain", "ip6-localhost", "127.0.0.1.", "%31%32%37.0.0.1", "vault.example."]


@pytest.mark.parametrize("host", [*NOTATIONS, *NAMES])
def test_a_host_that_can_not_be_gone_to_by_its_very_spelling_is_no_webhooks_address(host):
    with pytest.raises(InvalidWebhook) as refusal:
        Addresses(CLOSED, plain_http_is_allowed=False, own_host="vault.example").check(f"https://{host}/hook")
    assert "host" in refusal.value.details["fields"]["url"]
    assert host not in refusal.value.message


def test_this_machine_is_an_address_where_it_may_be_gone_to():
    for host in ("localhost", "127.0.0.1", "LOCALHOST."):
        Addresses(Egress((), loopback_is_allowed=True), plain_http_is_allowed=True).check(f"http://{host}/hook")


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://receiver.example/", "https://"),
        ("https:///hook", "host"),
        ("https://user:planted@receiver.example/", "user"),
        ("https://receiver.example/#planted", "fragment"),
        ("https://receiver.example:0/", "port"),
        ("https://receiver.example:99999/", "port"),
        ("https://receiver.example/planted token", "spaces"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_repeats_nothing(url, word):
    with pytest.raises(InvalidWebhook) as refusal:
        Addresses(CLOSED, plain_http_is_allowed=False).check(url)
    assert word in refusal.value.details["fields"]["url"]
    assert word in refusal.value.message
    assert "planted" not in refusal.value.message


@pytest.mark.parametrize(
    "url",
    [
        "http://receiver.example/hook",
        "ftp://receiver.example/hook",
        "file:///etc/passwd",
        "receiver.example",
        "https://",
        "https://user:pass@receiver.example/",
        "https://receiver.example@127.0.0.1/",
        "https://receiver.example/#fragment",
        "https://receiver.example\\@127.0.0.1/",
        "https://receiver.example:0/",
        "https://receiver.example:99999/",
        "https://[::1/",
        "https://receiver.example/ x",
        "https://receiver.example/\n",
        "https://ⓛocalhost/",
    ],
)
def test_an_address_has_one_form(url):
    with pytest.raises(InvalidWebhook):
        Addresses(CLOSED, plain_http_is_allowed=False).check(url)


@pytest.mark.parametrize(
    "url", ["https://receiver.example", "https://receiver.example:8443/a?b=c", "https://8.8.8.8/x"]
)
def test_public_ones_are_taken(url):
    Addresses(CLOSED, plain_http_is_allowed=False).check(url)


def test_plain_http_is_not_sent_outside_of_development(receiver):
    poster = Poster(Egress((), loopback_is_allowed=True), plain_http_is_allowed=False)
    assert poster.post(receiver.url, b"{}", {}).failure is Failure.UNREACHABLE
    assert receiver.received == []


class Rebinding(Egress):
    """A guard whose resolver lets the name's owner say another thing at each question."""

    def __init__(self, answers):
        super().__init__((ip_network("127.0.0.2/32"),), loopback_is_allowed=False)
        self.answers = iter(answers)
        self.asked = 0

    def resolve(self, host, port):
        self.asked += 1
        return super().resolve(next(self.answers), port)


def test_a_name_is_asked_for_once_and_the_answer_that_was_checked_is_gone_to(receiver):
    """127.0.0.2 stands for a public address; after it the name would lead to 127.0.0.1, where the receiver is."""
    with socket.create_server(("127.0.0.2", receiver.port)):
        guard = Rebinding(["127.0.0.2", "127.0.0.1"])
        poster = Poster(guard, plain_http_is_allowed=True, total_seconds=0.5)
        answer = poster.post(f"http://rebinding.example:{receiver.port}/", b"{}", {})
    assert (answer.status, answer.failure, guard.asked) == (None, Failure.TIMEOUT, 1)
    assert receiver.received == []


def test_of_a_name_that_leads_inside_too_nothing_is_tried():
    guard = Rebinding(["127.0.0.1"])
    poster = Poster(guard, plain_http_is_allowed=True)
    assert poster.post("http://rebinding.example:1/", b"{}", {}).failure is Failure.UNREACHABLE


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(receiver, code):
    other = Receiver("a-secret")
    try:
        receiver.behave = status(code, ("Location", other.url))
        poster = Poster(Egress((), loopback_is_allowed=True), plain_http_is_allowed=True)
        assert poster.post(receiver.url, b"{}", {}).status == code
        assert other.received == []
    finally:
        other.close()


def test_an_answer_without_end_is_not_read_to_its_end(receiver):
    def endless(_received, handler):
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 65_536)

    receiver.behave = endless
    poster = Poster(Egress((), loopback_is_allowed=True), plain_http_is_allowed=True)
    answer = poster.post(receiver.url, b"{}", {})
    assert answer.status == 200
    assert answer.seconds < 5


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nX-A: "])
def test_a_receiver_that_drips_or_is_silent_is_cut_off(beginning):
    """A byte now and then is no answer, though each comes within every time-out of a socket."""
    over = threading.Event()

    def drip(server):
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(beginning)
            while not over.wait(0.05):
                if beginning:
                    connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        poster = Poster(Egress((), loopback_is_allowed=True), plain_http_is_allowed=True, total_seconds=0.5)
        answer = poster.post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {})
        over.set()
        thread.join()
    assert (answer.status, answer.failure) == (None, Failure.TIMEOUT)


class TestTls:
    @pytest.fixture
    def bundle(self, receiver, tmp_path):
        """The receiver speaks TLS as receiver.example; the authority that says so."""
        key, subject = ec_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver.example")])
        now = datetime.now(UTC)  # noqa: TID251 - TLS looks at the real clock
        day = timedelta(days=1)
        certificate = (
            x509.CertificateBuilder(subject, subject, key.public_key(), 1, now - day, now + day)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("receiver.example")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        file, bundle = tmp_path / "server.pem", tmp_path / "bundle.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
        bundle.write_bytes(certificate.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        receiver._server.socket = context.wrap_socket(receiver._server.socket, server_side=True)
        return bundle

    @pytest.mark.parametrize(
        ("name", "is_trusted", "arrives"),
        [("receiver.example", True, True), ("other.example", True, False), ("receiver.example", False, False)],
    )
    def test_the_certificate_must_be_the_names_and_of_an_authority_that_is_trusted(
        self, receiver, bundle, name, is_trusted, arrives
    ):
        tls = {"tls": lambda: ssl.create_default_context(cafile=str(bundle))} if is_trusted else {}
        guard = Rebinding(["127.0.0.1"] * 2)
        guard._allowed = (ip_network("127.0.0.1/32"),)
        poster = Poster(guard, plain_http_is_allowed=False, **tls)
        answer = poster.post(f"https://{name}:{receiver.port}/", b"{}", {})
        assert (answer.status, answer.failure) == ((200, None) if arrives else (None, Failure.TLS_FAILED))
        assert len(receiver.received) == arrives

    def test_a_receiver_that_speaks_no_tls_has_failed_at_it(self, receiver):
        poster = Poster(Egress((), loopback_is_allowed=True), plain_http_is_allowed=False)
        answer = poster.post(receiver.url.replace("http:", "https:"), b"{}", {})
        assert (answer.status, answer.failure) == (None, Failure.TLS_FAILED)

    @pytest.mark.usefixtures("bundle")
    def test_where_nobody_may_go_tls_says_nothing(self, receiver):
        answer = Poster(CLOSED, plain_http_is_allowed=False).post(f"https://127.0.0.1:{receiver.port}/", b"{}", {})
        assert (answer.status, answer.failure) == (None, Failure.UNREACHABLE)
