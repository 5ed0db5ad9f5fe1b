"""`/v1/secrets`: what acts on a secret is a custom method after a colon, which no path can contain."""

from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Routes
from scaivault.features.secrets.routes.collection import collection_table
from scaivault.features.secrets.routes.single import single_table
from scaivault.features.secrets.service.batch import BatchService
from scaivault.features.secrets.service.listing import ListService
from scaivault.features.secrets.service.secrets import SecretService
from scaivault.features.secrets.service.trash import TrashService
from scaivault.kernel.ports import Clock


def routes(
    secrets: SecretService,
    trash: TrashService,
    listing: ListService,
    batch: BatchService,
    cursors: Cursors,
    clock: Clock,
) -> Routes:
    return Routes(
        "secrets", "secrets", (*collection_table(listing, batch, cursors, clock), *single_table(secrets, trash))
    )
