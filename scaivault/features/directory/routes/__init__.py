"""`/v1/identity` over HTTP."""

from scaivault.edge.routes import Routes
from scaivault.features.directory.routes import directory
from scaivault.features.directory.routes import syncs as sync_routes
from scaivault.features.directory.service.browsing import BrowseService
from scaivault.features.directory.service.events import EventService, EventSignature
from scaivault.features.directory.service.roles import RoleService
from scaivault.features.directory.service.syncs import SyncService


def routes(
    browsing: BrowseService, roles: RoleService, events: EventService, signature: EventSignature, syncs: SyncService
) -> Routes:
    table = (*directory.table(browsing, roles, events, signature), *sync_routes.table(syncs))
    return Routes("directory", "identity", table)
