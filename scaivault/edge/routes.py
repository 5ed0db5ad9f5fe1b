"""A route is data: what it answers to, what it takes and gives.

Flask, the OpenAPI document and the URL-map test are all made from the same table.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import RootModel

from scaivault.edge.messages import Body, Query, Reply
from scaivault.kernel.caller import Scope
from scaivault.kernel.errors import VaultError
from scaivault.kernel.limits import RateCategory


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that differs from its route's usual status, carries headers, or is no JSON message but a `body`."""

    reply: Reply | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Signature:
    """What proves a body's sender: the name of a header, and what holds its value, or None, against the raw body."""

    header: str
    check: Callable[[str | None, bytes], None]

    @property
    def environ_name(self) -> str:
        """The header as WSGI names it."""
        return "HTTP_" + self.header.upper().replace("-", "_")


@dataclass(frozen=True, slots=True)
class Also:
    """Units of a further category: `asked` for by the body, of which those not `given` by the reply go back."""

    category: RateCategory
    asked: Callable[[Any], int]
    given: Callable[[Any], int]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation.

    `view` is called with `caller` (unless `is_open`), the rule's variables, and `body` and `query` where declared. A
    body that is optional, and does not come, is an empty one. `scope` is what the service behind it requires, for the
    documentation and the URL-map test; None is any token. A `reply` that can be one of several messages, or is no
    object, is documented as their RootModel. With `takes_if_match` the view gets
    the number in `If-Match` as `if_match`, or None. `category` overrides the table's path category. `other_statuses`
    are documented beside `status`, `text_types` of an answer that is no JSON. An open route that
    `proves_itself`, by a token in its body or by a `signature`, which is checked before anything of the body is parsed,
    has its view called with the `origin` too, and one that `waits` with `again`, a kernel.ports.Reentry.
    `slashes_may_be_encoded` where the documented address has a secret's path as one segment. A call costs a unit of
    `limit`, of the identity's or, where the route is open, of the client address's, and what `also` says.
    """

    method: str
    rule: str
    view: Callable[..., Reply | Answer]
    summary: str
    scope: Scope | None = None
    body: type[Body] | None = None
    query: type[Query] | None = None
    reply: type[Reply] | type[RootModel[Any]] | None = None
    status: int = 200
    errors: Sequence[type[VaultError]] = ()
    is_open: bool = False
    proves_itself: bool = False
    signature: Signature | None = None
    max_body_bytes: int = 64 * 1024
    takes_if_match: bool = False
    category: str | None = None
    other_statuses: Sequence[int] = ()
    text_types: Sequence[str] = ()
    body_is_optional: bool = False
    limit: RateCategory | None = None
    also: Also | None = None
    waits: bool = False
    slashes_may_be_encoded: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """What is sent to addresses of others, for the documentation: a POST with this body.

    `headers` say what each is, and whether it is always there.
    """

    name: str
    summary: str
    headers: Mapping[str, tuple[str, bool]]
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Routes:
    """A feature's table of routes under one path category, and what it sends to others."""

    name: str
    category: str
    table: Sequence[Route]
    sends: Sequence[Sent] = ()


def operations(tables: Iterable[Routes]) -> set[tuple[str, str]]:
    """Each method and path category that is served together."""
    return {(route.method, route.category or routes.category) for routes in tables for route in routes.table}
