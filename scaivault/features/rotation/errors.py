"""What can be wrong with a rotation.

NotFound ── RotationPolicyNotFound, AssignmentNotFound
Conflict ── RotationPolicyExists, TooManyRotationPolicies, RevisionConflict, NoSecretPolicy, TooManySecrets
"""

from scaivault.features.secrets.errors import SecretUnreadable
from scaivault.kernel.errors import Conflict, NotFound, VaultError


class RotationPolicyNotFound(NotFound):
    """There is no such rotation policy."""

    code = "rotation_policy_not_found"


class AssignmentNotFound(NotFound):
    """The secret is not under this rotation policy."""

    code = "assignment_not_found"


class RotationPolicyExists(Conflict):
    """Another rotation policy has that name."""

    code = "rotation_policy_exists"


class TooManyRotationPolicies(Conflict):
    """The tenant has as many rotation policies as it may have; delete one."""

    code = "too_many_rotation_policies"


class RevisionConflict(Conflict):
    """The rotation policy has changed since; read it again."""

    code = "version_conflict"


class NoSecretPolicy(Conflict):
    """Neither the secret nor its rotation policy says by which secret policy a new value is made."""

    code = "no_secret_policy"


class TooManySecrets(Conflict):
    """More secrets than one request renews are under this policy; name those that it is to renew."""

    code = "too_many_secrets"


def reason_of(failure: Exception) -> str:
    """What the history and the trail call it: a present value that does not open as for who would read it."""
    if isinstance(failure, SecretUnreadable):
        return "unreadable"
    return failure.code if isinstance(failure, VaultError) else VaultError.code
