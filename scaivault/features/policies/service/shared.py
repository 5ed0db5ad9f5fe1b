"""The Guard of what a partner's tenants share: read as the tenant's own policies allow, changed by partner admins."""

from scaivault.features.policies.model.evaluation import Territory
from scaivault.features.policies.service.guard import SCOPES, PolicyGuard
from scaivault.kernel.caller import Caller, Permission, Scope
from scaivault.kernel.paths import SecretPath

_LOOKING = frozenset({Permission.READ, Permission.LIST})


class SharedGuard:
    """Implements kernel.ports.Guard for callers who have entered their partner's shared space.

    Decided, and refusals journalled, at the caller's home: a tenant's policies say which of its own identities may see
    what the partner shares, and its own trail tells who tried.
    """

    def __init__(self, guard: PolicyGuard) -> None:
        self._guard = guard

    def require(self, caller: Caller, permission: Permission, path: SecretPath) -> None:
        """Return if allowed, else raise InsufficientScope, AccessDenied or the condition that failed."""
        if permission in _LOOKING:
            self._guard.require(caller.at_home(), permission, path)
        else:
            self._guard.require_scope(caller.at_home(), SCOPES[permission])
            self._guard.require_partner_admin(caller.at_home())

    def require_scope(self, caller: Caller, scope: Scope) -> None:
        self._guard.require_scope(caller.at_home(), scope)

    def require_tenant_admin(self, caller: Caller) -> None:
        """The shared space has no administrators but the partner's."""
        self._guard.require_partner_admin(caller.at_home())

    def require_partner_admin(self, caller: Caller) -> None:
        self._guard.require_partner_admin(caller.at_home())

    def reach(self, caller: Caller, permission: Permission) -> Territory:
        """Where the caller's own policies let it look; InsufficientScope."""
        return self._guard.reach(caller.at_home(), permission)
