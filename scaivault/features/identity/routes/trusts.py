"""`/v1/auth/trusts` and `/v1/auth/exchange`: workloads that sign in with tokens of their own."""

from functools import partial
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from scaivault.edge.messages import Body, Name, Page, PageReply, Reply, Timestamp
from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Answer
from scaivault.features.identity.model import SERVICE_ACCOUNT_ID, Trust
from scaivault.features.identity.service.exchange import ExchangeService, Offer
from scaivault.features.identity.service.trusts import TrustOrder, TrustService
from scaivault.kernel.caller import Caller, Origin, Scope

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type's name
_MAX_SCOPE_CHARACTERS = 1_000

Url = Annotated[str, Field(pattern=r"^[!-~]{1,500}$")]
Audience = Annotated[str, Field(pattern=r"^[!-~]{1,500}$")]


class CreateTrustBody(Body):
    """`claims` names the claims of a token and what each must be: the whole text, or a beginning and a `*`.

    `sub` is one of them, and its beginning has at least three parts: `system:serviceaccount:payments:*`.
    `lifetime_seconds` is how long a token lives that this trust gives, however soon the workload's own one ends.
    """

    name: Name
    issuer: Url
    jwks_url: Url | None = None
    audience: Audience
    claims: Annotated[
        dict[str, Annotated[str, Field(min_length=1, max_length=300)]], Field(min_length=1, max_length=20)
    ]
    identity_id: Annotated[str, Field(pattern=f"^{SERVICE_ACCOUNT_ID}$")]
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=len(Scope))]
    lifetime_seconds: Annotated[int, Field(ge=60, le=43_200)] = 3_600


class TrustReply(Reply):
    id: str
    name: str
    issuer: str
    jwks_url: str | None
    audience: str
    claims: dict[str, str]
    identity_id: str
    scopes: list[str]
    lifetime_seconds: int
    created_by: str
    created_at: Timestamp


class TrustPage(PageReply):
    trusts: list[TrustReply]


def _words(value: object) -> object:
    return value.split(" ") if isinstance(value, str) and len(value) <= _MAX_SCOPE_CHARACTERS else value


ScopeText = Annotated[
    Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=len(Scope))],
    BeforeValidator(_words, json_schema_input_type=str),
]


class ExchangeBody(Body):
    """The names are RFC 8693's; `tenant_id` says whose trusts count. `scope`, words between spaces, asks for less.

    Of several trusts that the token matches, those count that speak for `identity_id`, if it is given, and of these the
    most specific: the one with the most claims, then the one with the most characters in them before any `*`. If two
    such speak for different identities, the token is refused.
    """

    subject_token: Annotated[str, Field(min_length=1, max_length=16_384, repr=False)]
    tenant_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
    grant_type: Literal["urn:ietf:params:oauth:grant-type:token-exchange"] | None = None
    subject_token_type: (
        Literal["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"] | None
    ) = None
    audience: Audience | None = None
    identity_id: Annotated[str, Field(pattern=f"^{SERVICE_ACCOUNT_ID}$")] | None = None
    scope: ScopeText | None = None


class ExchangeReply(Reply):
    """`access_token` is shown this once."""

    access_token: Annotated[str, Field(repr=False)]
    issued_token_type: str = ACCESS_TOKEN
    token_type: str = "Bearer"  # noqa: S105 - a type's name
    expires_in: int
    scope: str


class TrustRoutes:
    def __init__(self, trusts: TrustService, exchange: ExchangeService, cursors: Cursors) -> None:
        self._trusts = trusts
        self._exchange = exchange
        self._cursors = cursors

    def create(self, caller: Caller, body: CreateTrustBody) -> TrustReply:
        order = TrustOrder(
            body.name,
            body.issuer,
            body.jwks_url,
            body.audience,
            body.claims,
            body.identity_id,
            frozenset(body.scopes),
            body.lifetime_seconds,
        )
        return _trust(self._trusts.create(caller, order))

    def list(self, caller: Caller, query: Page) -> TrustPage:
        bound_to = ("trusts", caller.tenant_id)
        piece = self._cursors.piece(query, bound_to, partial(self._trusts.list, caller), lambda trust: trust.id)
        return TrustPage(trusts=[_trust(trust) for trust in piece.items], cursor=piece.cursor, has_more=piece.has_more)

    def show(self, caller: Caller, trust_id: str) -> TrustReply:
        return _trust(self._trusts.show(caller, trust_id))

    def delete(self, caller: Caller, trust_id: str) -> Answer:
        self._trusts.delete(caller, trust_id)
        return Answer(None, 204)

    def exchange(self, origin: Origin, body: ExchangeBody) -> ExchangeReply:
        scopes = None if body.scope is None else frozenset(body.scope)
        offer = Offer(body.tenant_id, body.audience, scopes, body.identity_id, body.subject_token)
        given = self._exchange.exchange(offer, origin)
        return ExchangeReply(access_token=given.text, expires_in=given.expires_in, scope=" ".join(given.scopes))


def _trust(trust: Trust) -> TrustReply:
    return TrustReply(
        id=trust.id,
        name=trust.name,
        issuer=trust.issuer,
        jwks_url=trust.jwks_url,
        audience=trust.audience,
        claims=dict(trust.claims),
        identity_id=trust.identity_id,
        scopes=trust.scopes,
        lifetime_seconds=trust.lifetime_seconds,
        created_by=trust.created_by,
        created_at=trust.created_at,
    )
