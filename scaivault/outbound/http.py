"""Fetching a document: bounded in time and size, from where we asked and from nowhere else."""

import base64
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from scaivault.kernel.calls import OnCall, unheard
from scaivault.kernel.hosts import is_loopback
from scaivault.kernel.redacted import Redacted
from scaivault.outbound.egress import Egress
from scaivault.outbound.errors import NoDocument, NothingThere

CONNECT_SECONDS = 2.0
READ_SECONDS = 2.0
TOTAL_SECONDS = 5.0
CHUNK_BYTES = 16_384
# Each may take CONNECT_SECONDS: a name with many that lead nowhere must not hold us for minutes.
MOST_ADDRESSES = 3
OK, NOT_FOUND, GONE = 200, 404, 410
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=([0-9]{1,9})(?:$|[\s,])", re.ASCII | re.IGNORECASE)
_NOT_TO_BE_KEPT = re.compile(r"(?:^|[\s,])no-(?:store|cache)(?:$|[\s,=])", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Document:
    """What was found, and for how long its sender says that it holds; None if it does not say."""

    body: bytes = field(repr=False)
    max_age_seconds: int | None


class DocumentFetcher:
    """GET of a document over HTTPS; over plain HTTP from this machine, or anywhere if `plain_http_is_allowed`.

    Each fetch has a session of its own: no cookie and no connection is kept. Proxies, certificate bundles and
    passwords named by the environment are not for us, and a redirect is no document. With an `egress` it goes where
    that lets it; without one anywhere, which is for addresses that the operator gave.
    """

    def __init__(self, *, plain_http_is_allowed: bool, egress: Egress | None = None, on_call: OnCall = unheard) -> None:
        self._plain_http_is_allowed = plain_http_is_allowed
        self._egress = egress
        self._on_call = on_call

    def fetch(self, url: str, max_bytes: int, bearer: Redacted | None = None) -> Document:
        """The document at `url`. NothingThere if the server says so, NoDocument whatever else goes wrong."""
        authorization = None if bearer is None else b"Bearer " + bearer.reveal()
        return self._ask(_Question("GET", url, max_bytes, authorization))

    def exchange(
        self, url: str, max_bytes: int, client_id: str, client_secret: Redacted, form: Mapping[str, str]
    ) -> Document:
        """The answer to a form that a client with these credentials posts (RFC 6749, 2.3.1); as `fetch`."""
        pair = f"{quote_plus(client_id)}:{quote_plus(client_secret.reveal())}".encode("ascii")
        return self._ask(_Question("POST", url, max_bytes, b"Basic " + base64.b64encode(pair), form))

    def _ask(self, question: "_Question") -> Document:
        """The answer, and a word about it to who listens: of the address the host, since a query can hold anything."""
        started = time.perf_counter()
        heard: dict[str, str | int] = {}
        try:
            document = self._answer(question, heard)
        except NoDocument as failure:
            self._on_call(question.method, started, failure.__cause__ or failure, **heard)
            raise
        self._on_call(question.method, started, **heard)
        return document

    def _answer(self, question: "_Question", heard: dict[str, str | int]) -> Document:
        deadline = time.monotonic() + TOTAL_SECONDS
        try:
            heard["server.address"] = self._checked(question.url)
            with cut_off_after(TOTAL_SECONDS) as cut_off, requests.Session() as session:
                session.trust_env = False
                session.mount("http://", WatchedAdapter(cut_off, self._egress))
                session.mount("https://", WatchedAdapter(cut_off, self._egress))
                return _fetch(session, question, deadline, heard)
        except (requests.RequestException, HTTPError, OSError, ValueError) as failure:
            raise NoDocument from failure

    def _checked(self, url: str) -> str:
        """The host, if it may be asked over this scheme."""
        parts = urlsplit(url)
        is_plain = parts.scheme == "http" and (self._plain_http_is_allowed or is_loopback(parts.hostname or ""))
        if not is_plain and parts.scheme != "https":
            raise NoDocument("Documents are fetched over HTTPS.")
        return parts.hostname or ""


@dataclass(frozen=True, slots=True)
class _Question:
    method: str
    url: str
    max_bytes: int
    authorization: bytes | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)


def _fetch(session: requests.Session, question: _Question, deadline: float, heard: dict[str, str | int]) -> Document:
    headers: dict[str, str | bytes] = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "scaivault",
    }
    if question.authorization is not None:
        headers["Authorization"] = question.authorization
    with session.request(
        question.method,
        question.url,
        headers=headers,
        data=question.form,
        timeout=(CONNECT_SECONDS, READ_SECONDS),
        allow_redirects=False,
        stream=True,
    ) as response:
        heard["http.response.status_code"] = response.status_code
        if response.status_code in {NOT_FOUND, GONE}:
            raise NothingThere
        # Compressed was not asked for; unpacked it could be any size.
        if response.status_code != OK or response.headers.get("Content-Encoding", "identity") != "identity":
            raise NoDocument
        return Document(
            _body(response, question.max_bytes, deadline), _max_age(response.headers.get("Cache-Control", ""))
        )


def _body(response: requests.Response, max_bytes: int, deadline: float) -> bytes:
    body = b""
    # read1 gives what has come: read would wait for a whole chunk, for as long as single bytes drip in.
    while some := response.raw.read1(CHUNK_BYTES):
        body += some
        if len(body) > max_bytes or time.monotonic() > deadline:
            raise NoDocument
    # What was cut off looks to the parser like a head, or a body without a length, that has come to its end.
    if response.raw.length_remaining or time.monotonic() > deadline:
        raise NoDocument
    return body


def _max_age(cache_control: str) -> int | None:
    if _NOT_TO_BE_KEPT.search(cache_control):
        return 0
    match = _MAX_AGE.search(cache_control)
    return int(match[1]) if match else None


class _CutOff:
    """Ends connections at an instant, whatever they are in the middle of.

    Time-outs of a socket are for each read; a server that sends its head byte by byte would hold us for days.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._sockets = ExitStack()
        self._watched: list[socket.socket] = []
        self._is_over = False

    def watch(self, connection: socket.socket) -> None:
        """Have this connection end too. A duplicate is kept: TLS takes the descriptor of the first away."""
        duplicate = connection.dup()
        with self._turn:
            self._watched.append(self._sockets.enter_context(duplicate))
            if self._is_over:
                _shut(duplicate)

    def end(self) -> None:
        with self._turn:
            self._is_over = True
            for connection in self._watched:
                _shut(connection)

    def close(self) -> None:
        with self._turn:
            self._watched.clear()
            self._sockets.close()


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended by itself


@contextmanager
def cut_off_after(seconds: float) -> Iterator[_CutOff]:
    cut_off = _CutOff()
    timer = threading.Timer(seconds, cut_off.end)
    timer.daemon = True
    timer.start()
    try:
        yield cut_off
    finally:
        timer.cancel()
        cut_off.close()


class _WatchedConnection(HTTPConnection):
    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - urllib3's own
        cut_off: _CutOff,
        egress: Egress | None,
        **named: Any,  # noqa: ANN401 - as above
    ) -> None:
        super().__init__(*arguments, **named)
        self._cut_off = cut_off
        self._egress = egress

    def _new_conn(self) -> socket.socket:
        connection = self._connected()
        self._cut_off.watch(connection)
        return connection

    def _connected(self) -> socket.socket:
        if self._egress is None:
            return super()._new_conn()
        # To the very addresses that were looked at: asked again, the name could have others. It is put back before TLS
        # and the Host header, which are about the name.
        name = self.host
        *others, last = self._egress.resolve(name, self.port)[:MOST_ADDRESSES]
        try:
            for self.host in others:
                with suppress(HTTPError):
                    return super()._new_conn()
            self.host = last
            return super()._new_conn()
        finally:
            self.host = name


class _WatchedTlsConnection(_WatchedConnection, HTTPSConnection):
    pass


class WatchedAdapter(HTTPAdapter):
    """Has every connection watched from its first byte on, before TLS and head."""

    def __init__(self, cut_off: _CutOff, egress: Egress | None, tls: ssl.SSLContext | None = None) -> None:
        self._cut_off = cut_off
        self._egress = egress
        self._tls = tls
        super().__init__(max_retries=0)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ANN401 - requests' own
        """With a context of ours nothing is loaded into it: the list of authorities costs 20 ms a connection."""
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        if self._tls is not None:
            conn.ca_certs = conn.ca_cert_dir = None

    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as above
        pool: Any = super().get_connection_with_tls_context(*arguments, **named)
        pool.ConnectionCls = _WatchedTlsConnection if pool.scheme == "https" else _WatchedConnection
        pool.conn_kw |= {"cut_off": self._cut_off, "egress": self._egress}
        if self._tls is not None and pool.scheme == "https":
            pool.conn_kw["ssl_context"] = self._tls
        return pool
