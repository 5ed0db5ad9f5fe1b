"""What both ways of being told, events and syncs, have in common: identities follow users, in the same transaction."""

from dataclasses import dataclass
from datetime import datetime

from scaivault.features.directory.errors import EventRefused
from scaivault.features.directory.store import identities as store
from scaivault.kernel.caller import Caller, Origin, Principal
from scaivault.kernel.journal import Action, Entry
from scaivault.storage import epochs
from scaivault.storage.database import Session

SYSTEM_ID = "system:scaikey"
NOBODY = store.Held([])


def follow(tx: Session, tenant_id: str, user_ids: list[str]) -> None:
    """Bring the identities of these users in line, and void what every process knows of the tenant.

    EventRefused if one's name is another live user's; who is deleted claims no name, and may have lost it.
    """
    for user_id in user_ids:
        if not store.change_identities_of_user(tx, tenant_id, user_id) and store.find_user(tx, tenant_id, user_id):
            raise EventRefused("another user of this tenant has the same email")
        store.change_former_identities(tx, tenant_id, user_id)
        store.change_tokens_renamed(tx, tenant_id, user_id)
    epochs.move(tx, tenant_id)


@dataclass(frozen=True, slots=True)
class RoleChange:
    """What a telling made of a user's roles, and of the tenant's administration."""

    user_id: str
    before: list[str]
    roles: list[str]
    leaves_no_administrator: bool

    def entry(self, caller: Caller, source: str) -> Entry:
        """For the trail; `source` is the event or the sync."""
        return Entry.of(
            Action.ROLE_ASSIGN,
            caller,
            user_id=self.user_id,
            roles=self.roles,
            before=self.before,
            source=source,
            leaves_no_administrator=self.leaves_no_administrator,
        )


def role_change(
    tx: Session, tenant_id: str, user_id: str, before: store.Held | None, *, was_administered: bool = False
) -> RoleChange | None:
    """How the user's roles are others than `before`, or nobody administers the tenant who did; else None."""
    held, had = (sorted((each or NOBODY).roles) for each in (store.find_held(tx, tenant_id, user_id), before))
    is_last = was_administered and not store.has_administrator(tx, tenant_id)
    return RoleChange(user_id, had, held, is_last) if held != had or is_last else None


def void_partner(tx: Session, partner_id: str) -> None:
    """Void what every process knows of the partner's tenants: it may have been let in or shut out."""
    for tenant_id in store.list_tenant_ids(tx, partner_id):
        epochs.move(tx, tenant_id)


def teller(partner_id: str, tenant_id: str, at: datetime, origin: Origin) -> Caller:
    """Who the trail of a tenant names for what the identity provider has told."""
    return Caller(Principal.of_system(SYSTEM_ID, "ScaiKey", partner_id, tenant_id, at), origin)
