"""The Guard: what a caller's token and policies allow. Every refusal is in the audit trail before it is uttered."""

from collections.abc import Callable

from scaivault.features.policies.model.conditions import Context
from scaivault.features.policies.model.evaluation import AnyOf, Territory, evaluate, outlook, territory
from scaivault.features.policies.service.views import Views
from scaivault.kernel.caller import Caller, Permission, Principal, Role, Scope
from scaivault.kernel.errors import AccessDenied, Forbidden, InsufficientScope, Unavailable, VaultError
from scaivault.kernel.events import Event, EventType
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.ports import Clock, Journal, Outbox
from scaivault.storage.database import Database, Session
from scaivault.storage.epochs import Epochs

MAX_VIEWS = 4_096
MAX_WEIGHT = 20_000

KNOWING = (Permission.LIST, Permission.READ)
SCOPES = {
    Permission.READ: Scope.SECRETS_READ,
    Permission.WRITE: Scope.SECRETS_WRITE,
    Permission.DELETE: Scope.SECRETS_DELETE,
    Permission.LIST: Scope.SECRETS_LIST,
    Permission.ROTATE: Scope.SECRETS_ROTATE,
    Permission.ADMIN: Scope.ADMIN,
}


class PolicyGuard:
    """Implements kernel.ports.Guard and Ears by the policies in the database.

    `observe_violation` is told the tenant of every refusal, `on_cache` whether a caller's policies were at hand
    ("hit") or had to be loaded ("miss").
    """

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        outbox: Outbox[Session],
        epochs: Epochs,
        clock: Clock,
        observe_violation: Callable[[str], None],
        on_cache: Callable[[str], None],
        *,
        max_views: int = MAX_VIEWS,
        max_weight: int = MAX_WEIGHT,
    ) -> None:
        self._views = Views(database, epochs, max_views, max_weight, on_cache)
        self._database = database
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._observe_violation = observe_violation

    def require(self, caller: Caller, permission: Permission, path: SecretPath) -> None:
        """Return if allowed, else raise InsufficientScope, AccessDenied or the condition that failed."""
        scope = SCOPES[permission]
        if scope not in caller.principal.scopes:
            raise self._refused(caller, permission, path, InsufficientScope(required_scope=scope))
        decision = evaluate(self._views.of(caller.principal), permission, path, self._context(caller))
        if not decision.is_allowed:
            raise self._refused(caller, permission, path, decision.refusal())

    def require_scope(self, caller: Caller, scope: Scope) -> None:
        """Return if the caller's token has this scope, else InsufficientScope."""
        if scope not in caller.principal.scopes:
            raise self._refused(caller, scope, None, InsufficientScope(required_scope=scope))

    def require_tenant_admin(self, caller: Caller) -> None:
        """Return if the caller administers the tenant, else AccessDenied."""
        if not caller.principal.is_tenant_admin:
            denied = AccessDenied("This takes an administrator of the tenant.")
            raise self._refused(caller, Role.TENANT_ADMIN, None, denied)

    def require_partner_admin(self, caller: Caller) -> None:
        """Return if the caller administers its partner, else AccessDenied."""
        if not caller.principal.is_partner_admin:
            denied = AccessDenied("This takes an administrator of the partner.")
            raise self._refused(caller, Role.PARTNER_ADMIN, None, denied)

    def reach(self, caller: Caller, permission: Permission) -> Territory:
        """Where the permission holds, possibly nowhere; InsufficientScope if the token can not use it anywhere."""
        scope = SCOPES[permission]
        if scope not in caller.principal.scopes:
            raise self._refused(caller, permission, None, InsufficientScope(required_scope=scope))
        return territory(self._views.of(caller.principal), permission, self._context(caller))

    def hears(self, caller: Caller) -> AnyOf:
        """Of which paths the caller may know that they are there, whatever his token is for."""
        view, context = self._views.of(caller.principal), self._context(caller)
        return AnyOf(tuple(territory(view, permission, context) for permission in KNOWING))

    def might_hear(self, principal: Principal) -> AnyOf:
        """Of which paths he may know that they are there, under some circumstances."""
        view, now = self._views.of(principal), self._clock.now()
        return AnyOf(tuple(outlook(view, permission, now) for permission in KNOWING))

    def _context(self, caller: Caller) -> Context:
        return Context(self._clock.now(), caller.origin.source_ip, caller.principal.mfa_verified_at)

    def _refused(
        self, caller: Caller, attempted: Permission | Scope | Role, path: SecretPath | None, refusal: Forbidden
    ) -> Forbidden:
        """The refusal, when it is counted and durable; Unavailable, and refused all the same, when it can not be."""
        self._observe_violation(caller.tenant_id)
        failed = refusal.details.get("failed_condition")
        failed_condition = None if failed is None else str(failed)
        entry = Entry.of(
            Action.POLICY_VIOLATION,
            caller,
            path,
            success=False,
            attempted=attempted.value,
            reason=refusal.code,
            failed_condition=failed_condition,
        )
        facts = {"attempted": attempted.value, "reason": refusal.code, "failed_condition": failed_condition}
        try:
            self._record(entry, Event(EventType.POLICY_VIOLATION, caller, path, facts))
        except VaultError as failure:
            raise Unavailable("The audit trail can not be written; try again shortly.") from failure
        return refusal

    def _record(self, entry: Entry, event: Event) -> None:
        """The refusal, and with it what others are told of it, where anybody listens."""
        if not self._outbox.is_wanted(event):
            self._journal.record_alone(entry)
            return
        with self._database.transaction() as tx:
            self._outbox.publish(tx, event)
            self._journal.record(tx, entry)
