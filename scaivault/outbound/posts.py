"""Telling another system something: bounded in time, to where we may go, and the answer's status is all that counts."""

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from urllib.parse import urlsplit

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import HTTPError

from scaivault.kernel.errors import VaultError
from scaivault.outbound.egress import Egress
from scaivault.outbound.http import CHUNK_BYTES, WatchedAdapter, cut_off_after

TOTAL_SECONDS = 10.0
CONNECT_SECONDS = 3.0
MOST_OF_AN_ANSWER = 65_536


class Failure(StrEnum):
    """Why there is no status. A refused address looks like one where nobody is: it says nothing about our network.

    TLS is spoken to addresses alone that may be gone to, so that its failure can have a word of its own.
    """

    UNREACHABLE = "unreachable"
    TLS_FAILED = "tls_failed"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status, or why none did."""

    status: int | None
    failure: Failure | None
    seconds: float


class Poster:
    """POST over HTTPS, over plain HTTP if that is allowed, to addresses that `egress` lets us go to.

    The name is resolved once and the connection goes to an address that was checked. No redirect is followed, no
    cookie, proxy, password or connection kept. What comes back is read so far as is polite, and thrown away.
    """

    def __init__(
        self,
        egress: Egress,
        *,
        plain_http_is_allowed: bool,
        total_seconds: float = TOTAL_SECONDS,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._egress = egress
        self._tls = cache(tls or _usual_authorities)
        self._plain_http_is_allowed = plain_http_is_allowed
        self._total_seconds = total_seconds

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send it once. Raises nothing that the other side can bring about."""
        started = time.monotonic()
        deadline = started + self._total_seconds
        try:
            status = self._send(url, body, headers, deadline)
        except (requests.RequestException, HTTPError, OSError, ValueError, VaultError) as failure:
            is_late = isinstance(failure, requests.Timeout) or time.monotonic() >= deadline
            return Answer(None, _meaning(failure, is_late=is_late), time.monotonic() - started)
        return Answer(status, None, time.monotonic() - started)

    def _send(self, url: str, body: bytes, headers: Mapping[str, str], deadline: float) -> int:
        schemes = {"https", "http"} if self._plain_http_is_allowed else {"https"}
        if urlsplit(url).scheme not in schemes:
            raise ValueError("this scheme is not allowed")
        with cut_off_after(self._total_seconds) as cut_off, requests.Session() as session:
            session.trust_env = False
            session.mount("http://", WatchedAdapter(cut_off, self._egress))
            session.mount("https://", WatchedAdapter(cut_off, self._egress, self._tls()))
            with session.post(
                url,
                data=body,
                headers={"Accept": "*/*", "Accept-Encoding": "identity", **headers},
                timeout=(CONNECT_SECONDS, self._total_seconds),
                allow_redirects=False,
                stream=True,
            ) as response:
                if time.monotonic() >= deadline:
                    # What was cut off looks to the parser like a head that has come to its end.
                    raise requests.Timeout
                _read_politely(response, deadline)
                return response.status_code


def _meaning(failure: Exception, *, is_late: bool) -> Failure:
    """Late first: what was cut off looks like TLS that came to an end."""
    if is_late:
        return Failure.TIMEOUT
    return Failure.TLS_FAILED if isinstance(failure, requests.exceptions.SSLError) else Failure.UNREACHABLE


def _usual_authorities() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)


def _read_politely(response: requests.Response, deadline: float) -> None:
    """The answer's beginning, so that an honest sender is not hung up on. What it says, or breaks off, is all one."""
    left = MOST_OF_AN_ANSWER
    try:
        while left > 0 and time.monotonic() < deadline and (some := response.raw.read1(CHUNK_BYTES)):
            left -= len(some)
    except (HTTPError, OSError, ValueError):
        return
