"""Which tenant a request acts in."""

from scaivault.features.identity import store
from scaivault.features.identity.errors import TenantSuspended
from scaivault.kernel.caller import Caller, Role
from scaivault.kernel.errors import TenantAccessDenied, TenantNotFound
from scaivault.storage.database import Database


class Tenancy:
    """Which tenant a request acts in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enter(self, caller: Caller, tenant_id: str) -> Caller:
        """The caller in the tenant it names: its own, or one that its partner's or the installation's admin may enter.

        TenantAccessDenied for any other, whether it is there or not; TenantNotFound to a super_admin, whom nothing is
        hidden from; TenantSuspended.
        """
        principal = caller.principal
        if tenant_id == principal.tenant_id:
            return caller
        if not principal.is_partner_admin:
            raise TenantAccessDenied
        with self._database.session() as session:
            tenant = store.find_tenant(session, tenant_id)
        if Role.SUPER_ADMIN in principal.roles:
            if tenant is None:
                raise TenantNotFound
        elif tenant is None or tenant.partner_id != principal.partner_id:
            raise TenantAccessDenied
        if tenant.is_suspended:
            raise TenantSuspended
        return caller.entering(tenant.partner_id, tenant.id)
