"""Asking for a sync of the directory, and what became of it."""

from datetime import timedelta

from scaivault.features.directory.errors import SyncNotConfigured
from scaivault.features.directory.model import Piece, Sync, Territory
from scaivault.features.directory.service.browsing import Listed
from scaivault.features.directory.store import syncs as store
from scaivault.features.identity.service.tenancy import Tenancy
from scaivault.kernel.caller import Caller, Role, Scope
from scaivault.kernel.errors import TenantAccessDenied, TenantNotFound
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.ports import Clock, Guard, Journal
from scaivault.storage.database import Database, Session

SCHEDULE = "system:schedule"


class SyncService:
    """The queue of syncs and its history. `is_configured` says whether anybody can do them."""

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        guard: Guard,
        tenancy: Tenancy,
        clock: Clock,
        *,
        is_configured: bool,
    ) -> None:
        self._database = database
        self._journal = journal
        self._guard = guard
        self._tenancy = tenancy
        self._clock = clock
        self._is_configured = is_configured

    def start(self, caller: Caller, partner_id: str | None, tenant_id: str | None) -> Sync:
        """Queue a sync of a tenant, of a partner or of all that the caller administers; what waits already, is told.

        For administrators. TenantAccessDenied for what the caller may not act in; TenantNotFound, TenantSuspended;
        SyncNotConfigured.
        """
        self._guard.require_scope(caller, Scope.IDENTITY_ADMIN)
        self._guard.require_tenant_admin(caller)
        territory = self._territory(caller, partner_id, tenant_id)
        if not self._is_configured:
            raise SyncNotConfigured
        home = caller.at_home()
        with self._journal.operation(Action.IDENTITY_SYNC, home) as tx:
            sync = store.add_sync(tx, new_id("sync"), territory, caller.identity_id, home.tenant_id, self._clock.now())
            if sync is None:
                raise RuntimeError("a row that was put in was not given back")
            entry = Entry.of(
                Action.IDENTITY_SYNC,
                home,
                sync_id=sync.id,
                sync_partner_id=territory.partner_id,
                sync_tenant_id=territory.tenant_id,
            )
            self._journal.record(tx, entry)
        return sync

    def history(self, caller: Caller, piece: Piece) -> Listed[Sync]:
        """Syncs of what the caller may act in, latest first."""
        self._guard.require_scope(caller, Scope.IDENTITY_READ)
        territory = _own(caller)
        with self._database.session() as session:
            return Listed(store.list_syncs(session, territory, piece), store.count_syncs(session, territory))

    def schedule(self, interval: timedelta) -> bool:
        """Queue a sync of everything if none was begun for an interval; by however many processes this is asked."""
        now = self._clock.now()
        with self._database.transaction() as tx:
            # Two statements: the second one sees what whoever had the lock before has committed.
            store.claim_schedule(tx)
            return store.add_sync_unless_since(tx, new_id("sync"), SCHEDULE, now - interval, now)

    def _territory(self, caller: Caller, partner_id: str | None, tenant_id: str | None) -> Territory:
        own = _own(caller)
        if partner_id is not None and own != Territory(None, None) and own != Territory(partner_id, None):
            raise TenantAccessDenied
        if tenant_id is None:
            return own if partner_id is None else Territory(partner_id, None)
        entered = self._tenancy.enter(caller, tenant_id).principal
        if partner_id not in {None, entered.partner_id}:
            raise TenantNotFound
        return Territory(entered.partner_id, entered.tenant_id)


def count_queued(database: Database) -> int:
    """How many syncs wait to be done."""
    with database.session() as session:
        return store.count_queued(session)


def _own(caller: Caller) -> Territory:
    """All that the caller may act in."""
    principal = caller.principal
    if Role.SUPER_ADMIN in principal.roles:
        return Territory(None, None)
    if principal.is_partner_admin:
        return Territory(principal.partner_id, None)
    return Territory(principal.partner_id, principal.tenant_id)
