"""`/v1/auth` over HTTP."""

from scaivault.features.identity.routes.table import routes
from scaivault.features.identity.routes.tokens import CreatedToken, IntrospectBody
from scaivault.features.identity.routes.trusts import ExchangeBody, ExchangeReply

__all__ = ["CreatedToken", "ExchangeBody", "ExchangeReply", "IntrospectBody", "routes"]
