"""Who administers: roles are given by those who administer more, and never to oneself."""

from collections.abc import Sequence
from dataclasses import replace

from scaivault.features.directory.errors import IdentityNotFound, InvalidRole, RoleBeyondGrantor
from scaivault.features.directory.model import User
from scaivault.features.directory.store import identities as store
from scaivault.kernel.caller import Caller, Role, Scope
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.ports import Guard, Journal
from scaivault.storage import epochs
from scaivault.storage.database import Database, Session


class RoleService:
    """The administrative roles of users."""

    def __init__(self, database: Database, journal: Journal[Session], guard: Guard) -> None:
        self._database = database
        self._journal = journal
        self._guard = guard

    def read(self, caller: Caller, user_id: str) -> User:
        """A user of the caller's tenant; IdentityNotFound."""
        self._guard.require_scope(caller, Scope.IDENTITY_READ)
        with self._database.session() as session:
            user = store.find_user(session, caller.tenant_id, user_id)
        if user is None:
            raise IdentityNotFound
        return user

    def assign(self, caller: Caller, user_id: str, names: Sequence[str]) -> User:
        """Give a user of the caller's tenant these roles instead of those it has.

        For partner and super admins. RoleBeyondGrantor for oneself, and for what only a super_admin gives or takes;
        InvalidRole; IdentityNotFound.
        """
        self._guard.require_scope(caller, Scope.IDENTITY_ADMIN)
        self._guard.require_partner_admin(caller)
        roles = _parse(names)
        with self._journal.operation(Action.ROLE_ASSIGN, caller) as tx:
            user = store.claim_user(tx, caller.tenant_id, user_id)
            if user is None:
                raise IdentityNotFound
            _check_grantor(caller, user, roles)
            store.change_roles(tx, caller.tenant_id, user_id, sorted(roles))
            store.change_identities_of_user(tx, caller.tenant_id, user_id)
            given = [role.value for role in sorted(roles)]
            entry = Entry.of(Action.ROLE_ASSIGN, caller, user_id=user_id, roles=given, before=sorted(user.roles))
            self._journal.record(tx, entry)
            epochs.move(tx, caller.tenant_id)
        return replace(user, roles=sorted(roles))


def _parse(names: Sequence[str]) -> frozenset[Role]:
    if unknown := sorted(set(names) - set(Role)):
        raise InvalidRole(roles=[name[:100] for name in unknown[:10]])
    return frozenset(map(Role, names))


def _check_grantor(caller: Caller, user: User, roles: frozenset[Role]) -> None:
    if user.id == caller.principal.user_id or caller.identity_id == f"user:{user.email}":
        # By id or by name, whatever the tenant: the same person may be known in several.
        raise RoleBeyondGrantor("Nobody changes his own roles.")
    changed = roles.symmetric_difference(user.roles)
    if Role.SUPER_ADMIN in changed and Role.SUPER_ADMIN not in caller.principal.roles:
        raise RoleBeyondGrantor("Only a super_admin gives or takes super_admin.")
    if Role.SUPER_ADMIN in user.roles and changed and Role.SUPER_ADMIN not in caller.principal.roles:
        raise RoleBeyondGrantor("Only a super_admin changes a super_admin's roles.")
