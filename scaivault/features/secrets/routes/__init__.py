"""`/v1/secrets`: what acts on a secret is a custom method after a colon, which no path can contain."""

from collections.abc import Sequence
from dataclasses import replace

from scaivault.edge.messages import Reply
from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Answer, Route, Routes
from scaivault.features.secrets.routes.collection import collection_table
from scaivault.features.secrets.routes.single import single_table
from scaivault.features.secrets.service.batch import BatchService
from scaivault.features.secrets.service.listing import ListService
from scaivault.features.secrets.service.secrets import SecretService
from scaivault.features.secrets.service.trash import TrashService
from scaivault.kernel.caller import Caller
from scaivault.kernel.errors import VaultError
from scaivault.kernel.ports import Clock


def routes(
    secrets: SecretService,
    trash: TrashService,
    listing: ListService,
    batch: BatchService,
    cursors: Cursors,
    clock: Clock,
    refusals: Sequence[type[VaultError]],
) -> Routes:
    return Routes(
        "secrets",
        "secrets",
        (*collection_table(listing, batch, cursors, clock), *single_table(secrets, trash, clock, refusals)),
    )


def shared(own: Routes) -> Routes:
    """The same routes over what the partner's tenants share, at `/v1/partner/secrets`."""
    return Routes("shared_secrets", own.category, [_shared(route) for route in own.table])


def _shared(route: Route) -> Route:
    def view(*, caller: Caller, **rest: object) -> Reply | Answer:
        partner_id = caller.principal.partner_id
        return route.view(caller=caller.entering(partner_id, partner_id), **rest)

    rule = route.rule.replace("/v1/secrets", "/v1/partner/secrets", 1)
    return replace(route, rule=rule, view=view, summary=f"Shared by the partner: {_lowered(route.summary)}")


def _lowered(summary: str) -> str:
    return summary[:1].lower() + summary[1:]
