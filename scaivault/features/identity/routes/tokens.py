"""Who am I, and my tokens."""

from functools import partial
from typing import Annotated

from pydantic import Field, RootModel, model_validator

from scaivault.edge.messages import Body, Duration, Name, Page, PageReply, Reply, Timestamp
from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Answer
from scaivault.features.identity.model import GROUP_ID, SERVICE_ACCOUNT_ID, NewToken, Standing, TokenSummary
from scaivault.features.identity.service.tokens import TokenOrder, TokenService
from scaivault.kernel.caller import Caller, Scope


class WhoAmI(Reply):
    identity_id: str
    identity_type: str
    display_name: str
    tenant_id: str
    partner_id: str
    scopes: list[str]
    groups: list[str]
    roles: list[str]
    mfa_verified_at: Timestamp | None
    token_expires_at: Timestamp


class IntrospectBody(Body):
    token: Annotated[str, Field(min_length=1, max_length=16_384, repr=False)]


class Introspection(Reply):
    """All there is to say of a token that is not in force in this tenant."""

    active: bool = False


class ActiveToken(Introspection):
    active: bool = True
    identity_id: str
    identity_type: str
    tenant_id: str
    scopes: list[str]
    expires_at: Timestamp
    issued_at: Timestamp


class IntrospectReply(RootModel[ActiveToken | Introspection]):
    pass


class CreateTokenBody(Body):
    """`identity_id` and `groups` are for a tenant administrator, with the scope identity:admin, making a service
    account's token. Without `groups` it stays in those it is in.
    """

    name: Name
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=len(Scope))]
    expires_in: Duration | None = None
    tenant_id: Annotated[str, Field(max_length=100)] | None = None
    identity_id: Annotated[str, Field(pattern=f"^{SERVICE_ACCOUNT_ID}$")] | None = None
    groups: Annotated[list[Annotated[str, Field(pattern=f"^{GROUP_ID}$")]], Field(max_length=50)] | None = None

    @model_validator(mode="after")
    def _groups_have_a_member(self) -> "CreateTokenBody":
        if self.groups and self.identity_id is None:
            raise ValueError("groups go with the identity_id of a service account")
        return self


class Token(Reply):
    id: str
    name: str
    identity_id: str
    scopes: list[str]
    created_at: Timestamp
    expires_at: Timestamp
    revoked_at: Timestamp | None


class CreatedToken(Token):
    """`token` is shown this once."""

    token: Annotated[str, Field(repr=False)]


class TokenPage(PageReply):
    tokens: list[Token]


class TokenRoutes:
    def __init__(self, tokens: TokenService, cursors: Cursors) -> None:
        self._tokens = tokens
        self._cursors = cursors

    def whoami(self, caller: Caller) -> WhoAmI:
        who = caller.principal
        return WhoAmI(
            identity_id=who.identity_id,
            identity_type=who.identity_type,
            display_name=who.display_name,
            tenant_id=who.tenant_id,
            partner_id=who.partner_id,
            scopes=sorted(who.scopes),
            groups=sorted(who.groups),
            roles=sorted(who.roles),
            mfa_verified_at=who.mfa_verified_at,
            token_expires_at=who.token_expires_at,
        )

    def introspect(self, caller: Caller, body: IntrospectBody) -> Introspection:
        standing = self._tokens.introspect(caller, body.token)
        return _introspection(standing) if standing else Introspection()

    def create(self, caller: Caller, body: CreateTokenBody) -> CreatedToken:
        order = TokenOrder(
            body.name,
            frozenset(body.scopes),
            body.expires_in,
            body.tenant_id or caller.tenant_id,
            body.identity_id,
            None if body.groups is None else frozenset(body.groups),
        )
        return _created(self._tokens.create(caller, order))

    def list(self, caller: Caller, query: Page) -> TokenPage:
        bound_to = ("tokens", caller.tenant_id, caller.identity_id)
        piece = self._cursors.piece(query, bound_to, partial(self._tokens.list, caller), lambda token: token.id)
        return TokenPage(tokens=[_token(token) for token in piece.items], cursor=piece.cursor, has_more=piece.has_more)

    def revoke(self, caller: Caller, token_id: str) -> Answer:
        self._tokens.revoke(caller, token_id)
        return Answer(None, 204)


def _introspection(standing: Standing) -> ActiveToken:
    who = standing.principal
    return ActiveToken(
        identity_id=who.identity_id,
        identity_type=who.identity_type,
        tenant_id=who.tenant_id,
        scopes=sorted(who.scopes),
        expires_at=who.token_expires_at,
        issued_at=standing.issued_at,
    )


def _token(summary: TokenSummary) -> Token:
    return Token(
        id=summary.id,
        name=summary.name,
        identity_id=summary.identity_id,
        scopes=summary.scopes,
        created_at=summary.created_at,
        expires_at=summary.expires_at,
        revoked_at=summary.revoked_at,
    )


def _created(new: NewToken) -> CreatedToken:
    return CreatedToken(**dict(_token(new.summary)), token=new.text)
