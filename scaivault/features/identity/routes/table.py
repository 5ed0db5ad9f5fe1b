"""The table of `/v1/auth`."""

from scaivault.edge.messages import Page
from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Route, Routes
from scaivault.features.identity.errors import (
    InvalidTrust,
    TokenExceedsMaker,
    TokenNotFound,
    TooManyTokens,
    TooManyTrusts,
    TrustExists,
    TrustNotFound,
)
from scaivault.features.identity.routes.tokens import (
    CreatedToken,
    CreateTokenBody,
    IntrospectBody,
    IntrospectReply,
    TokenPage,
    TokenRoutes,
    WhoAmI,
)
from scaivault.features.identity.routes.trusts import (
    CreateTrustBody,
    ExchangeBody,
    ExchangeReply,
    TrustPage,
    TrustReply,
    TrustRoutes,
)
from scaivault.features.identity.service.exchange import ExchangeService
from scaivault.features.identity.service.tokens import TokenService
from scaivault.features.identity.service.trusts import TrustService
from scaivault.kernel.caller import Scope
from scaivault.kernel.errors import InvalidDuration
from scaivault.kernel.limits import RateCategory


def routes(tokens: TokenService, trusts: TrustService, exchange: ExchangeService, cursors: Cursors) -> Routes:
    at, trust_at = TokenRoutes(tokens, cursors), TrustRoutes(trusts, exchange, cursors)
    return Routes(
        "identity",
        "auth",
        (
            Route(
                "GET", "/v1/auth/whoami", at.whoami, "Who the token speaks for", reply=WhoAmI, limit=RateCategory.AUTH
            ),
            Route(
                "POST",
                "/v1/auth/introspect",
                at.introspect,
                "What a token stands for",
                scope=Scope.ADMIN,
                body=IntrospectBody,
                reply=IntrospectReply,
                limit=RateCategory.AUTH,
            ),
            Route(
                "POST",
                "/v1/auth/tokens",
                at.create,
                "Make a personal access token",
                body=CreateTokenBody,
                reply=CreatedToken,
                status=201,
                errors=(InvalidDuration, TokenExceedsMaker, TooManyTokens),
                limit=RateCategory.AUTH,
            ),
            Route(
                "GET", "/v1/auth/tokens", at.list, "List tokens", query=Page, reply=TokenPage, limit=RateCategory.AUTH
            ),
            Route(
                "DELETE",
                "/v1/auth/tokens/<token_id>",
                at.revoke,
                "Revoke a token",
                status=204,
                errors=(TokenNotFound,),
                limit=RateCategory.AUTH,
            ),
            Route(
                "POST",
                "/v1/auth/trusts",
                trust_at.create,
                "Trust in a workload's tokens",
                scope=Scope.IDENTITY_ADMIN,
                body=CreateTrustBody,
                reply=TrustReply,
                status=201,
                errors=(InvalidTrust, TokenExceedsMaker, TrustExists, TooManyTrusts),
                limit=RateCategory.AUTH,
            ),
            Route(
                "GET",
                "/v1/auth/trusts",
                trust_at.list,
                "List trusts",
                scope=Scope.IDENTITY_ADMIN,
                query=Page,
                reply=TrustPage,
                limit=RateCategory.AUTH,
            ),
            Route(
                "GET",
                "/v1/auth/trusts/<trust_id>",
                trust_at.show,
                "Show a trust",
                scope=Scope.IDENTITY_ADMIN,
                reply=TrustReply,
                errors=(TrustNotFound,),
                limit=RateCategory.AUTH,
            ),
            Route(
                "DELETE",
                "/v1/auth/trusts/<trust_id>",
                trust_at.delete,
                "End a trust, and what it gave",
                scope=Scope.IDENTITY_ADMIN,
                status=204,
                errors=(TrustNotFound,),
                limit=RateCategory.AUTH,
            ),
            Route(
                "POST",
                "/v1/auth/exchange",
                trust_at.exchange,
                "Exchange a workload's own token",
                body=ExchangeBody,
                reply=ExchangeReply,
                errors=(TooManyTokens,),
                is_open=True,
                proves_itself=True,
                limit=RateCategory.OPEN,
            ),
        ),
    )
