"""`/v1/identity/sync`: asking for a sync of the directory, and its history."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from scaivault.edge.messages import Query, Reply, Timestamp
from scaivault.edge.routes import Route
from scaivault.features.directory.errors import SyncNotConfigured
from scaivault.features.directory.model import Sync
from scaivault.features.directory.routes.directory import Numbered
from scaivault.features.directory.service.syncs import SyncService
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.errors import TenantAccessDenied, TenantNotFound
from scaivault.kernel.limits import RateCategory

SYNC = "/v1/identity/sync"


class SyncQuery(Query):
    """What to sync; neither is all that the caller administers."""

    partner_id: Annotated[str, Field(pattern="^ptn_[A-Za-z0-9_-]{1,96}$")] | None = None
    tenant_id: Annotated[str, Field(pattern="^tnt_[A-Za-z0-9_-]{1,96}$")] | None = None


class StartedReply(Reply):
    sync_id: str
    status: str
    started_at: Timestamp


class CountsReply(Reply):
    """What was read, and of what was known before or is now, how much `changed`, was `deleted` or was `refused`."""

    tenants: int
    users: int
    groups: int
    members: int
    changed: int
    deleted: int
    refused: int


class SyncReply(Reply):
    """`error_code` says why it failed; what it had applied by then holds."""

    sync_id: str
    partner_id: str | None
    tenant_id: str | None
    requested_by: str
    status: str
    started_at: Timestamp
    finished_at: Timestamp | None
    counts: CountsReply
    error_code: str | None


class SyncPage(Reply):
    syncs: list[SyncReply]
    total: int


class SyncRoutes:
    def __init__(self, syncs: SyncService) -> None:
        self._syncs = syncs

    def start(self, caller: Caller, query: SyncQuery) -> StartedReply:
        sync = self._syncs.start(caller, query.partner_id, query.tenant_id)
        return StartedReply(sync_id=sync.id, status=sync.status, started_at=sync.started_at)

    def history(self, caller: Caller, query: Numbered) -> SyncPage:
        listed = self._syncs.history(caller, query.piece())
        return SyncPage(syncs=[_shown(sync) for sync in listed.rows], total=listed.total)


def _shown(sync: Sync) -> SyncReply:
    return SyncReply(
        sync_id=sync.id,
        partner_id=sync.partner_id,
        tenant_id=sync.only_tenant_id,
        requested_by=sync.requested_by,
        status=sync.status,
        started_at=sync.started_at,
        finished_at=sync.finished_at,
        counts=CountsReply(
            tenants=sync.tenants,
            users=sync.users,
            groups=sync.groups,
            members=sync.members,
            changed=sync.changed,
            deleted=sync.deleted,
            refused=sync.refused,
        ),
        error_code=sync.error_code,
    )


def table(syncs: SyncService) -> Sequence[Route]:
    at = SyncRoutes(syncs)
    return (
        Route(
            "POST",
            SYNC,
            at.start,
            "Bring the directory up to date",
            Scope.IDENTITY_ADMIN,
            query=SyncQuery,
            reply=StartedReply,
            status=202,
            errors=(TenantAccessDenied, TenantNotFound, SyncNotConfigured),
            limit=RateCategory.IDENTITY_SYNC,
        ),
        Route(
            "GET",
            f"{SYNC}/history",
            at.history,
            "Syncs of the directory, latest first",
            Scope.IDENTITY_READ,
            query=Numbered,
            reply=SyncPage,
            limit=RateCategory.IDENTITY_READ,
        ),
    )
