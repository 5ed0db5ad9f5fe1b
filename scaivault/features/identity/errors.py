"""This feature's words for failure."""

from scaivault.kernel.errors import Conflict, Forbidden, InvalidRequest, NotFound, TokenInvalid, VaultError


class TokenNotFound(NotFound):
    """There is no such token of yours."""

    code = "token_not_found"


class TokenExceedsMaker(Forbidden):
    """A token can not be given more than the token that makes it holds."""


class TooManyTokens(Conflict):
    """This identity has as many live tokens as it may have; revoke one first."""

    code = "too_many_tokens"


class TenantSuspended(Forbidden):
    """This tenant or this identity is suspended."""


class InvalidTrust(InvalidRequest):
    """A trust names an issuer, an audience and a subject that is one workload's or those of one part of a whole."""

    code = "invalid_trust"


class TrustNotFound(NotFound):
    """There is no such trust."""

    code = "trust_not_found"


class TrustExists(Conflict):
    """There is a trust of this name."""

    code = "trust_exists"


class TooManyTrusts(Conflict):
    """This tenant has as many trusts, or as many key sets of this issuer, as it may have; delete one first."""

    code = "too_many_trusts"


class ExchangeRefused(TokenInvalid):
    """This token can not be exchanged here."""

    def __init__(self, reason: str, trust_id: str | None = None) -> None:
        super().__init__()
        self.reason = reason
        """For the log and the tenant's trail. A stranger hears the same whatever it is."""
        self.trust_id = trust_id


class AlreadyInstalled(VaultError):
    """This installation already has a tenant; further ones are made by a partner administrator."""
