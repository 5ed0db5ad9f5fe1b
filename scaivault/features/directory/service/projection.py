"""What both ways of being told, events and syncs, have in common: identities follow users, in the same transaction."""

from datetime import datetime

from scaivault.features.directory.errors import EventRefused
from scaivault.features.directory.model import Told
from scaivault.features.directory.store import directory as store
from scaivault.kernel.caller import Caller, IdentityType, Origin, Principal, Role
from scaivault.storage import epochs
from scaivault.storage.database import Session

SYSTEM_ID = "system:scaikey"


def follow(tx: Session, tenant_id: str, user_ids: list[str]) -> None:
    """Bring the identities of these users in line, and void what every process knows of the tenant.

    EventRefused if one's name is another live user's; who is deleted claims no name, and may have lost it.
    """
    for user_id in user_ids:
        if not store.change_identities_of_user(tx, tenant_id, user_id) and store.find_user(tx, tenant_id, user_id):
            raise EventRefused("another user of this tenant has the same email")
        store.change_former_identities(tx, tenant_id, user_id)
    epochs.move(tx, tenant_id)


def roles(told: Told) -> list[str] | None:
    """Roles that are known; None if none are told of, and then they stay as they were given here."""
    given = told.data.get("roles")
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise EventRefused("data.roles is no list of names")
    return sorted(set(given) & set(Role))


def teller(partner_id: str, tenant_id: str, at: datetime, origin: Origin) -> Caller:
    """Who the trail of a tenant names for what the identity provider has told."""
    principal = Principal(
        token_id="",
        partner_id=partner_id,
        tenant_id=tenant_id,
        identity_id=SYSTEM_ID,
        identity_type=IdentityType.SYSTEM,
        display_name="ScaiKey",
        scopes=frozenset(),
        groups=frozenset(),
        roles=frozenset(),
        token_expires_at=at,
    )
    return Caller(principal, origin)
