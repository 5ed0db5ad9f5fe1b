"""What can be wrong with a policy.

InvalidRequest ── InvalidPolicy
NotFound ── PolicyNotFound, BindingNotFound
Conflict ── PolicyExists, BindingExists, PolicyInUse, RevisionConflict
"""

from scaivault.kernel.errors import Conflict, InvalidRequest, NotFound


class InvalidPolicy(InvalidRequest):
    """The policy's rules or bindings make no sense."""

    code = "invalid_policy"


class PolicyNotFound(NotFound):
    """There is no such policy."""

    code = "policy_not_found"


class BindingNotFound(NotFound):
    """This policy has no such binding."""

    code = "binding_not_found"


class PolicyExists(Conflict):
    """Another policy has that name."""

    code = "policy_exists"


class BindingExists(Conflict):
    """That identity is bound to this policy already; remove the binding to give it another expiry."""

    code = "binding_exists"


class PolicyInUse(Conflict):
    """The policy has bindings; remove them first, or delete it with force=true."""

    code = "policy_in_use"


class RevisionConflict(Conflict):
    """The policy has changed since; read it again."""

    code = "version_conflict"
