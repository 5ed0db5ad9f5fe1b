"""Looking around in the directory: each caller sees as far as it may act."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from scaivault.features.directory.errors import IdentityNotFound
from scaivault.features.directory.model import Group, Member, Partner, Piece, Resolved, Tenant, User
from scaivault.features.directory.store import browsing as store
from scaivault.features.identity.model import one_spelling
from scaivault.features.identity.service.tenancy import Tenancy
from scaivault.kernel.caller import Caller, IdentityType, Role, Scope
from scaivault.kernel.ports import Guard
from scaivault.storage.database import Database

Row = TypeVar("Row")
_GROUP = "group:"


@dataclass(frozen=True, slots=True)
class Listed(Generic[Row]):
    """One page, and how many rows there are in all."""

    rows: list[Row]
    total: int


class BrowseService:
    """Reads of the directory; all need the scope identity:read."""

    def __init__(self, database: Database, guard: Guard, tenancy: Tenancy) -> None:
        self._database = database
        self._guard = guard
        self._tenancy = tenancy

    def partners(self, caller: Caller, status: str | None, piece: Piece) -> Listed[Partner]:
        """The caller's partner; to a super_admin, all."""
        self._guard.require_scope(caller, Scope.IDENTITY_READ)
        partner_id = None if _is_super(caller) else caller.principal.partner_id
        with self._database.session() as session:
            rows = store.list_partners(session, partner_id, status, piece)
            return Listed(rows, store.count_partners(session, partner_id, status))

    def tenants(self, caller: Caller, partner_id: str | None, status: str | None, piece: Piece) -> Listed[Tenant]:
        """The caller's tenant; to a partner admin the partner's, to a super_admin all, or one partner's."""
        self._guard.require_scope(caller, Scope.IDENTITY_READ)
        own = caller.principal.partner_id
        if not _is_super(caller) and partner_id not in {None, own}:
            return Listed([], 0)
        tenant_id = None if caller.principal.is_partner_admin else caller.tenant_id
        partner_id = partner_id if _is_super(caller) else own
        with self._database.session() as session:
            rows = store.list_tenants(session, tenant_id, partner_id, status, piece)
            return Listed(rows, store.count_tenants(session, tenant_id, partner_id, status))

    def users(self, caller: Caller, tenant_id: str, status: str | None, part: str | None, piece: Piece) -> Listed[User]:
        """The users of a tenant that the caller may act in."""
        tenant_id = self._enter(caller, tenant_id)
        with self._database.session() as session:
            rows = store.list_users(session, tenant_id, status, part, piece)
            return Listed(rows, store.count_users(session, tenant_id, status, part))

    def groups(self, caller: Caller, tenant_id: str, status: str | None, piece: Piece) -> Listed[Group]:
        """The groups of a tenant that the caller may act in."""
        tenant_id = self._enter(caller, tenant_id)
        with self._database.session() as session:
            rows = store.list_groups(session, tenant_id, status, piece)
            return Listed(rows, store.count_groups(session, tenant_id, status))

    def members(self, caller: Caller, group_id: str, piece: Piece) -> Listed[Member]:
        """Who is in a group of the caller's tenant; IdentityNotFound."""
        self._guard.require_scope(caller, Scope.IDENTITY_READ)
        with self._database.session() as session:
            total = store.count_members(session, caller.tenant_id, group_id)
            if total is None:
                raise IdentityNotFound
            return Listed(store.list_members(session, caller.tenant_id, group_id, piece), total)

    def resolve(self, caller: Caller, identity_type: IdentityType, identity_id: str) -> Resolved:
        """An identity of the caller's tenant with its groups; IdentityNotFound."""
        self._guard.require_scope(caller, Scope.IDENTITY_READ)
        with self._database.session() as session:
            if identity_type is IdentityType.GROUP:
                found = store.find_group(session, caller.tenant_id, identity_id.removeprefix(_GROUP))
            else:
                found = store.find_identity(session, caller.tenant_id, identity_type, one_spelling(identity_id))
        if found is None:
            raise IdentityNotFound
        return found

    def _enter(self, caller: Caller, tenant_id: str) -> str:
        self._guard.require_scope(caller, Scope.IDENTITY_READ)
        return self._tenancy.enter(caller, tenant_id).tenant_id


def _is_super(caller: Caller) -> bool:
    return Role.SUPER_ADMIN in caller.principal.roles
