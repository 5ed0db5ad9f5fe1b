"""The first tenant of an installation, and what an operator adds at the machine."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final
from uuid import uuid4

from scaivault.crypto.tokens import TokenHasher, new_token
from scaivault.features.identity import store
from scaivault.features.identity.errors import AlreadyInstalled
from scaivault.features.identity.model import LONGEST_TOKEN_LIFETIME, Identity, Installed, TokenSummary, one_spelling
from scaivault.kernel.caller import Caller, Origin, Principal, Scope
from scaivault.kernel.errors import TenantNotFound
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.ports import Clock, Journal
from scaivault.storage import epochs
from scaivault.storage.database import Database, Session

OPERATOR: Final = "system:operator"


class Installer:
    """The first tenant of an installation, and the way back in to one that nobody can administer any more."""

    def __init__(
        self, database: Database, journal: Journal[Session], hasher: Callable[[], TokenHasher], clock: Clock
    ) -> None:
        self._database = database
        self._journal = journal
        self._hasher = hasher
        self._clock = clock

    def install(
        self,
        partner_name: str,
        tenant_name: str,
        admin: Identity,
        *,
        partner_id: str | None = None,
        tenant_id: str | None = None,
    ) -> Installed:
        """First partner, tenant and administrator, whose token lives a year. AlreadyInstalled if there is a tenant.

        No audit row: there is no caller yet, and the trail begins with the first one.
        """
        partner_id, tenant_id = partner_id or new_id("ptn"), tenant_id or new_id("tnt")
        token, digest = self._new_token()
        with self._database.transaction() as tx:
            store.claim_installation(tx)
            if store.count_tenants(tx):
                raise AlreadyInstalled
            store.add_partner(tx, partner_id, partner_name)
            store.add_shared_space(tx, partner_id)
            store.add_tenant(tx, tenant_id, partner_id, tenant_name)
            self._add_holder(tx, tenant_id, admin, frozenset(Scope), "first administrator", digest)
        return Installed(partner_id, tenant_id, token)

    def add_tenant(self, partner_id: str, tenant_id: str, name: str) -> None:
        """A further tenant of a partner."""
        with self._database.transaction() as tx:
            store.add_tenant(tx, tenant_id, partner_id, name)

    def add_holder(self, tenant_id: str, identity: Identity, scopes: frozenset[Scope], token_name: str) -> str:
        """An identity and a year-long token for it: for an operator at the machine, not for the API."""
        token, digest = self._new_token()
        with self._database.transaction() as tx:
            self._add_holder(tx, tenant_id, identity, scopes, token_name, digest)
            epochs.move(tx, tenant_id)
        return token

    def let_in(self, tenant_id: str, admin: Identity, lifetime: timedelta) -> str:
        """A token for an administrator, who may be new: to one that is there his roles are added. TenantNotFound.

        The tenant's trail has it as `system:operator`'s: who has the machine and the keys is asked for nothing else.
        """
        token, digest = self._new_token()
        now, admin = self._clock.now(), replace(admin, id=one_spelling(admin.id))
        with self._database.session() as session:
            tenant = store.find_tenant(session, tenant_id)
        if tenant is None or tenant.id == tenant.partner_id:
            raise TenantNotFound
        caller = _operator(tenant.partner_id, tenant_id, now)
        summary = TokenSummary(new_id("tok"), "recovery", admin.id, sorted(Scope), now, now + lifetime, None)
        with self._journal.operation(Action.TOKEN_CREATE, caller) as tx:
            store.add_roles(tx, tenant_id, admin)
            store.add_token(tx, tenant_id, summary, digest)
            self._journal.record(
                tx,
                Entry.of(
                    Action.TOKEN_CREATE,
                    caller,
                    token_id=summary.id,
                    for_identity=admin.id,
                    scopes=summary.scopes,
                    roles=[role.value for role in sorted(admin.roles)],
                ),
            )
            epochs.move(tx, tenant_id)
        return token

    def _new_token(self) -> tuple[str, bytes]:
        """A token and its digest, whose key may have to be fetched: so not inside a transaction."""
        token = new_token()
        return token, self._hasher().digest(token)

    def _add_holder(
        self,
        tx: Session,
        tenant_id: str,
        identity: Identity,
        scopes: frozenset[Scope],
        token_name: str,
        digest: bytes,
    ) -> None:
        now, identity = self._clock.now(), replace(identity, id=one_spelling(identity.id))
        store.add_identity(tx, tenant_id, identity)
        summary = TokenSummary(
            new_id("tok"), token_name, identity.id, sorted(scopes), now, now + LONGEST_TOKEN_LIFETIME, None
        )
        store.add_token(tx, tenant_id, summary, digest)


def _operator(partner_id: str, tenant_id: str, now: datetime) -> Caller:
    principal = Principal.of_system(OPERATOR, "Operator at the machine", partner_id, tenant_id, now)
    here = ip_address("127.0.0.1")
    return Caller(principal, Origin(here, "scaivault server", new_id("req"), uuid4().hex, time.perf_counter()))
