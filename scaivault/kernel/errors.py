"""Everything that can go wrong, as one tree.

    VaultError
    ├── InvalidRequest ── InvalidPath, InvalidGlob, InvalidDuration, InvalidCursor
    ├── BodyTooLarge
    ├── ValidationFailed
    ├── Unauthenticated ── TokenInvalid, TokenExpired, TokenRevoked
    ├── Forbidden ── AccessDenied, InsufficientScope, TenantAccessDenied,
    │                MfaRequired, IpNotAllowed, TimeWindowViolation
    ├── NotFound
    ├── Conflict
    ├── RateLimited
    └── Unavailable

Features add leaves in their own `errors.py`. A class's docstring is its default message, `code` is what clients
branch on, and `details` is shown to the caller: nothing secret may go in. `edge/problems.py` maps them to HTTP.
"""

from collections.abc import Mapping
from typing import ClassVar


class VaultError(Exception):
    """The vault could not do what was asked."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str | None = None, /, **details: object) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.details: Mapping[str, object] = details
        super().__init__(self.message)


class InvalidRequest(VaultError):
    """The request is malformed."""

    code = "invalid_request"


class InvalidPath(InvalidRequest):
    """A path is 1 to 10 segments, joined by '/', of letters, digits, '_', '-' and, but first, '.'; 512 characters."""

    code = "invalid_path"


class InvalidGlob(InvalidRequest):
    """The pattern is not a valid glob."""

    code = "invalid_glob"


class InvalidDuration(InvalidRequest):
    """A duration is a whole number and a unit, such as '15m', '24h' or '90d'."""

    code = "invalid_duration"


class InvalidCursor(InvalidRequest):
    """The cursor is malformed or belongs to another query; start again without one."""

    code = "invalid_cursor"


class BodyTooLarge(VaultError):
    """The request body is larger than this endpoint accepts."""

    code = "invalid_request"


class ValidationFailed(VaultError):
    """Some fields do not have the form this endpoint needs."""

    code = "validation_error"


class Unauthenticated(VaultError):
    """Send 'Authorization: Bearer <token>'."""

    code = "authentication_required"


class TokenInvalid(Unauthenticated):
    """The token is not one of ours."""

    code = "token_invalid"


class TokenExpired(Unauthenticated):
    """The token has expired; create a new one."""

    code = "token_expired"


class TokenRevoked(Unauthenticated):
    """The token has been revoked."""

    code = "token_revoked"


class Forbidden(VaultError):
    """This is not permitted."""

    code = "forbidden"


class AccessDenied(Forbidden):
    """No policy permits this."""

    code = "access_denied"


class InsufficientScope(Forbidden):
    """The token's scopes do not cover this."""

    code = "insufficient_scope"


class TenantAccessDenied(Forbidden):
    """This identity may not act in that tenant."""

    code = "tenant_access_denied"


class MfaRequired(Forbidden):
    """A recent multi-factor authentication is required."""

    code = "mfa_required"


class IpNotAllowed(Forbidden):
    """This client address is not allowed."""

    code = "ip_not_allowed"


class TimeWindowViolation(Forbidden):
    """This is not permitted at this time."""

    code = "time_window_violation"


class NotFound(VaultError):
    """There is nothing here."""

    code = "not_found"


class TenantNotFound(NotFound):
    """There is no such tenant."""

    code = "tenant_not_found"


class Conflict(VaultError):
    """The request conflicts with the present state."""

    code = "conflict"


class RateLimited(VaultError):
    """Too many requests of this kind; try again after `Retry-After`."""

    code = "rate_limited"

    def __init__(self, message: str | None = None, /, *, retry_after_seconds: int = 1, **details: object) -> None:
        super().__init__(message, **details)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(VaultError):
    """A service the vault depends on does not answer; try again shortly."""

    code = "service_unavailable"
