"""Where the whole directory can be read, page by page: ScaiKey's REST interface, as ADR 12 has it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from scaivault.features.directory.errors import SyncFailed
from scaivault.features.directory.model import SyncFault
from scaivault.kernel.documents import parse_document
from scaivault.kernel.redacted import Redacted
from scaivault.outbound.errors import NoDocument, NothingThere
from scaivault.outbound.http import Document

PAGE_SIZE = 100
MAX_PAGE_BYTES = 1_048_576
MAX_TOKEN_BYTES = 32_768
LEAST_TOKEN_SECONDS = 30.0
"""A token with less than this to live is not used: a new one is asked for."""
SCOPE = "directory:read"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, as it came; `total` is how many there are on all of its pages."""

    items: list[Mapping[str, object]]
    total: int


class DirectorySource(Protocol):
    """The directory of an identity provider. Each call is one page, the first is 1; SyncFailed says why there is none.

    Pages are of PAGE_SIZE, but for the last, and in one order whatever is added meanwhile.
    """

    def partners(self, page: int) -> Page:
        """All partners."""

    def tenants(self, partner_id: str | None, page: int) -> Page:
        """The tenants of one partner or, of None, all of them."""

    def tenant(self, tenant_id: str) -> Mapping[str, object]:
        """One tenant."""

    def users(self, tenant_id: str, page: int) -> Page:
        """A tenant's users."""

    def groups(self, tenant_id: str, page: int) -> Page:
        """A tenant's groups."""

    def members(self, group_id: str, page: int) -> Page:
        """Who is in a group."""


class Fetcher(Protocol):
    def fetch(self, url: str, max_bytes: int, bearer: Redacted | None = None) -> Document:
        """The document; NothingThere or NoDocument."""

    def exchange(
        self, url: str, max_bytes: int, client_id: str, client_secret: Redacted, form: Mapping[str, str]
    ) -> Document:
        """The answer to a form; NothingThere or NoDocument."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: Redacted = field(repr=False)
    until: float


class ScaiKeyDirectory:
    """ScaiKey's directory, read with the vault's own client credentials. For one thread."""

    def __init__(
        self,
        fetcher: Fetcher,
        url: str,
        client_id: str,
        client_secret: Redacted,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetcher = fetcher
        self._url = url
        self._client_id = client_id
        self._client_secret = client_secret
        self._monotonic = monotonic
        self._token: _Token | None = None

    def partners(self, page: int) -> Page:
        return self._page("partners", page)

    def tenants(self, partner_id: str | None, page: int) -> Page:
        if partner_id is None:
            return self._page("tenants", page)
        return self._page("tenants", page, partner_id=f"prt_{partner_id.removeprefix('ptn_')}")

    def tenant(self, tenant_id: str) -> Mapping[str, object]:
        return self._read(f"tenants/{quote(tenant_id, safe='')}")

    def users(self, tenant_id: str, page: int) -> Page:
        return self._page(f"tenants/{quote(tenant_id, safe='')}/users", page)

    def groups(self, tenant_id: str, page: int) -> Page:
        return self._page(f"tenants/{quote(tenant_id, safe='')}/groups", page)

    def members(self, group_id: str, page: int) -> Page:
        return self._page(f"groups/{quote(group_id, safe='')}/members", page)

    def _page(self, path: str, page: int, **query: str) -> Page:
        asked = urlencode({**query, "page": page, "page_size": PAGE_SIZE})
        document = self._read(f"{path}?{asked}")
        items, total = document.get("items"), document.get("total")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise SyncFailed(SyncFault.MALFORMED)
        if type(total) is not int or total < 0:
            raise SyncFailed(SyncFault.MALFORMED)
        return Page(items, total)

    def _read(self, path: str) -> Mapping[str, object]:
        bearer = self._bearer()
        try:
            return _parsed(self._fetcher.fetch(f"{self._url}/api/v1/{path}", MAX_PAGE_BYTES, bearer))
        except NothingThere:
            raise SyncFailed(SyncFault.NOT_THERE) from None
        except NoDocument:
            self._token = None  # it may have been what was refused
            raise SyncFailed(SyncFault.UNAVAILABLE) from None

    def _bearer(self) -> Redacted:
        now = self._monotonic()
        if self._token is None or self._token.until - now < LEAST_TOKEN_SECONDS:
            self._token = self._new_token(now)
        return self._token.text

    def _new_token(self, now: float) -> _Token:
        form = {"grant_type": "client_credentials", "scope": SCOPE}
        try:
            answer = self._fetcher.exchange(
                f"{self._url}/oauth/token", MAX_TOKEN_BYTES, self._client_id, self._client_secret, form
            )
        except NoDocument:
            raise SyncFailed(SyncFault.UNAVAILABLE) from None
        told = _parsed(answer)
        text, seconds = told.get("access_token"), told.get("expires_in", 0)
        # What goes into a header must not be able to end it.
        if not isinstance(text, str) or not text.isascii() or not text.isprintable() or not text:
            raise SyncFailed(SyncFault.MALFORMED)
        if type(seconds) is not int:
            raise SyncFailed(SyncFault.MALFORMED)
        return _Token(Redacted(text.encode()), now + seconds)


def _parsed(document: Document) -> dict[str, Any]:
    try:
        return parse_document(document.body)
    except ValueError:
        raise SyncFailed(SyncFault.MALFORMED) from None
