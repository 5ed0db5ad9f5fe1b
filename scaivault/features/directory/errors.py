"""This feature's words for failure.

NotFound ── IdentityNotFound
InvalidRequest ── InvalidRole
Forbidden ── RoleBeyondGrantor
Conflict ── SyncNotConfigured
"""

from scaivault.kernel.errors import Conflict, Forbidden, InvalidRequest, NotFound


class IdentityNotFound(NotFound):
    """There is no such identity in this tenant."""

    code = "identity_not_found"


class InvalidRole(InvalidRequest):
    """There is no such role."""

    code = "invalid_role"


class RoleBeyondGrantor(Forbidden):
    """These roles are not yours to give or to take."""


class EventRefused(Exception):
    """An event that is genuine and can not be taken. Its text is ours, and answers the sender."""


class SyncNotConfigured(Conflict):
    """This vault reads no directory: SCAIKEY_URL, SCAIKEY_CLIENT_ID and SCAIKEY_CLIENT_SECRET are not all set."""

    code = "sync_not_configured"


class SyncFailed(Exception):
    """A sync can not go on. `code` is for its history, and tells nothing of the other side."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class SyncLost(Exception):
    """Another process has taken this sync over."""
