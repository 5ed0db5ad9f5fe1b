"""This feature's words for failure.

NotFound ── IdentityNotFound
InvalidRequest ── InvalidRole
Forbidden ── RoleBeyondGrantor
"""

from scaivault.kernel.errors import Forbidden, InvalidRequest, NotFound


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
