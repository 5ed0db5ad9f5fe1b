"""The issuer's public keys: found by discovery, kept for at most an hour, never fetched in a known key's way."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

from scaivault.crypto.jwt.key_set import MAX_DOCUMENT_BYTES, KeySet, VerificationKey, parse_key_set
from scaivault.kernel.documents import parse_document
from scaivault.kernel.errors import TokenInvalid, Unavailable
from scaivault.outbound.errors import NoDocument, NothingThere
from scaivault.outbound.http import Document

LEAST_SECONDS, MOST_SECONDS = 60.0, 3_600.0
"""How long a set is fresh: what its Cache-Control says, within these bounds."""
REFETCH_SECONDS = 60.0
"""An unknown kid has the set fetched again if the last attempt began this long ago."""
RETRY_SECONDS = 10.0
"""For a set that is due, attempts begin no closer to each other."""
SERVE_SECONDS = 86_400.0
"""How long a set goes on serving when none can be fetched after it."""
AHEAD = 0.8
"""A set is fetched anew after this part of its time, so that nobody has to wait for the next one."""
WAIT_SECONDS = 2.0
"""The longest that a request waits for a fetch, counted from the fetch's begin: a flood waits no longer than one."""
MAX_DISCOVERY_BYTES = 65_536
DISCOVERY_PATHS = (
    "/.well-known/openid-configuration",
    "/api/v1/platform/oauth/.well-known/openid-configuration",
)


class Fetcher(Protocol):
    def fetch(self, url: str, max_bytes: int) -> Document:
        """The document; NothingThere or NoDocument."""


class KeySource:
    """Where the issuer's key set is: at an address of its own, or at the one its discovery document gives."""

    def __init__(self, fetcher: Fetcher, issuer: str, jwks_url: str | None) -> None:
        self._fetcher = fetcher
        self._issuer = issuer
        self._jwks_url = jwks_url

    def fetch(self) -> tuple[KeySet, float]:
        """The keys and for how many seconds they are fresh. NoDocument if that can not be found out."""
        document = self._fetcher.fetch(self._jwks_url or self._discovered(), MAX_DOCUMENT_BYTES)
        fresh_seconds = MOST_SECONDS if document.max_age_seconds is None else float(document.max_age_seconds)
        try:
            keys = parse_key_set(document.body)
        except ValueError as fault:
            raise NoDocument from fault
        return keys, min(max(fresh_seconds, LEAST_SECONDS), MOST_SECONDS)

    def _discovered(self) -> str:
        named = self._discovery()
        jwks_url = named.get("jwks_uri")
        # Word for word, as OpenID Connect Discovery (4.3) asks: a document of another issuer speaks for that one.
        if named.get("issuer") != self._issuer or not isinstance(jwks_url, str):
            raise NoDocument
        # Keys elsewhere are for an operator to name (SCAIKEY_JWKS_URL), not for a document to send us to.
        if not _is_of_one_origin(jwks_url, self._issuer):
            raise NoDocument
        return jwks_url

    def _discovery(self) -> Mapping[str, object]:
        for path in DISCOVERY_PATHS:
            try:
                document = self._fetcher.fetch(self._issuer.removesuffix("/") + path, MAX_DISCOVERY_BYTES)
                return parse_document(document.body)
            except NothingThere:
                continue
            except ValueError as fault:
                raise NoDocument from fault
        raise NothingThere


def _is_of_one_origin(url: str, other: str) -> bool:
    try:
        origins = {(parts.scheme, parts.hostname, parts.port) for parts in (urlsplit(url), urlsplit(other))}
    except ValueError:
        return False
    return len(origins) == 1


@dataclass(frozen=True, slots=True)
class _Held:
    """A fetched set. The instants are monotonic seconds; `generation` is another one when the keys are."""

    keys: KeySet
    generation: int
    fetched_at: float
    due_at: float
    fresh_until: float
    serve_until: float


@dataclass(frozen=True, slots=True)
class _Flight:
    began_at: float
    landed: Future[None]


class IssuerKeys:
    """One issuer's keys by kid, in this process.

    Who asks for a key that is known and fresh reads one attribute, which a fetch replaces as a whole: no lock. Fetches
    happen one at a time, in a thread of their own, however many ask for one; the lock guards only who begins it. What
    an asker waits is bounded, and what it then gets is what there is.
    """

    def __init__(
        self,
        fetch: Callable[[], tuple[KeySet, float]],
        monotonic: Callable[[], float],
        on_failure: Callable[[NoDocument], None],
    ) -> None:
        self._fetch = fetch
        self._on_failure = on_failure
        self._monotonic = monotonic
        self._turn = threading.Lock()
        self._held: _Held | None = None
        self._flight: _Flight | None = None
        self._began_at = float("-inf")
        self._failed_at = float("-inf")

    def generation(self) -> int:
        """Which set is in force: equal numbers mean equal keys. Unavailable if there is none."""
        return self._in_force().generation

    def find(self, kid: str) -> VerificationKey:
        """The issuer's key of this name. TokenInvalid if it has none, Unavailable if that can not be known at all."""
        key = self._in_force().keys.get(kid)
        if key is None:
            # It may be newer than what we have. Whoever makes names up gets one fetch a minute out of us, in all.
            self._await(self._fly(REFETCH_SECONDS))
            key = self._in_force().keys.get(kid)
        if key is None:
            raise TokenInvalid
        return key

    def _in_force(self) -> _Held:
        held, now = self._held, self._monotonic()
        if held is not None and now < held.due_at:
            return held
        flight = self._fly(RETRY_SECONDS)
        # Past its time a set is not used without asking. Once that was in vain, nobody waits for it again until there
        # is nothing else to do.
        has_failed_since = held is not None and self._failed_at >= held.fetched_at
        if held is None or now >= (held.serve_until if has_failed_since else held.fresh_until):
            self._await(flight)
            held = self._held
        if held is None or self._monotonic() >= held.serve_until:
            raise Unavailable("The identity provider's keys can not be fetched; try again shortly.")
        return held

    def _fly(self, apart_seconds: float) -> _Flight | None:
        """The fetch under way, begun now unless the last one began less than so long ago; None if there is none."""
        with self._turn:
            now = self._monotonic()
            if self._flight is not None or now - self._began_at < apart_seconds:
                return self._flight
            self._began_at = now
            self._flight = flight = _Flight(time.monotonic(), Future())
        try:
            # In the context of who asked first: the fetch is a part of that request's trace.
            work = partial(copy_context().run, self._work, flight)
            threading.Thread(target=work, name="issuer-keys", daemon=True).start()
        except RuntimeError:  # no more threads: an attempt that failed, and not one that never lands
            self._failed_at = self._monotonic()
            self._land(flight)
        return flight

    def _await(self, flight: _Flight | None) -> None:
        if flight is None:
            return
        try:
            flight.landed.result(max(0.0, flight.began_at + WAIT_SECONDS - time.monotonic()))
        except NotInTime:
            return

    def _work(self, flight: _Flight) -> None:
        try:
            keys, fresh_seconds = self._fetch()
        except NoDocument as failure:
            self._failed_at = self._monotonic()
            self._on_failure(failure)
        else:
            self._held = self._next(keys, fresh_seconds)
        finally:
            self._land(flight)

    def _land(self, flight: _Flight) -> None:
        with self._turn:
            self._flight = None
        flight.landed.set_result(None)

    def _next(self, keys: KeySet, fresh_seconds: float) -> _Held:
        # Only the flight writes `_held`, and there is one flight at a time.
        now, last = self._monotonic(), self._held
        generation = 1 if last is None else last.generation + (last.keys != keys)
        return _Held(keys, generation, now, now + AHEAD * fresh_seconds, now + fresh_seconds, now + SERVE_SECONDS)
