"""This feature's words for failure."""

from scaivault.kernel.errors import Conflict, Forbidden, NotFound, VaultError


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


class AlreadyInstalled(VaultError):
    """This installation already has a tenant; further ones are made by a partner administrator."""
