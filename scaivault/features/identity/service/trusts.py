"""Whose tokens a tenant takes in exchange for its own, as its administrators say."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from scaivault.features.identity import store
from scaivault.features.identity.errors import (
    InvalidTrust,
    TokenExceedsMaker,
    TooManyTrusts,
    TrustExists,
    TrustNotFound,
)
from scaivault.features.identity.model import MAX_KEY_SETS, MAX_TRUSTS, Home, Trust, is_pattern
from scaivault.kernel.caller import Caller, Role, Scope
from scaivault.kernel.errors import VaultError
from scaivault.kernel.hosts import is_loopback
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.ports import Clock, Guard, Journal
from scaivault.storage import epochs
from scaivault.storage.database import Database, Session

LEAST_PARTS_OF_SUBJECT, LEAST_PARTS = 3, 1
_CHECKED_OTHERWISE = frozenset({"iss", "aud", "exp", "nbf", "iat"})
_CLAIM_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,100}", re.ASCII)
_BEYOND_TENANTS = frozenset({Role.PARTNER_ADMIN, Role.SUPER_ADMIN})
_SUBJECT_RULE = (
    "The claim `sub` needs a pattern: the whole subject, or a beginning of at least three parts and a separator "
    "(`:` or `/`) before a `*` at its end, such as system:serviceaccount:payments:*."
)


@dataclass(frozen=True, slots=True)
class TrustOrder:
    """What a trust is asked to be."""

    name: str
    issuer: str
    jwks_url: str | None
    audience: str
    claims: Mapping[str, str]
    identity_id: str
    scopes: frozenset[Scope]
    lifetime_seconds: int


class TrustService:
    """Trusts: made, looked at, ended. Each takes a tenant administrator, with the scope identity:admin.

    `is_closed` tells of hosts that are addresses where no keys would be fetched from. Names are looked up then, each
    time: what one resolves to is its owner's to change.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        guard: Guard,
        clock: Clock,
        *,
        plain_http_is_allowed: bool,
        is_closed: Callable[[str], bool],
    ) -> None:
        self._database = database
        self._journal = journal
        self._guard = guard
        self._clock = clock
        self._plain_http_is_allowed = plain_http_is_allowed
        self._is_closed = is_closed

    def create(self, caller: Caller, order: TrustOrder) -> Trust:
        """A new trust. InvalidTrust, TrustExists, TooManyTrusts.

        TokenExceedsMaker if it would give a scope that the caller's token does not hold.
        """
        self._require_administration(caller)
        self._check_within_maker(caller, order)
        self._check(order)
        trust = Trust(
            id=new_id("trs"),
            name=order.name,
            issuer=order.issuer,
            jwks_url=order.jwks_url,
            audience=order.audience,
            claims=order.claims,
            identity_id=order.identity_id,
            scopes=sorted(order.scopes),
            lifetime_seconds=order.lifetime_seconds,
            created_by=caller.identity_id,
            created_at=self._clock.now(),
        )
        refusals = {store.TRUST_NAME_TAKEN: TrustExists}
        with self._journal.operation(Action.TRUST_CREATE, caller, refusals=refusals) as tx:
            if is_beyond_tenants(store.find_home(tx, caller.tenant_id, order.identity_id)):
                raise InvalidTrust("No trust can speak for an administrator of more than a tenant.")
            counts = store.count_trusts(tx, caller.tenant_id, order.issuer, order.jwks_url)
            if counts.trusts >= MAX_TRUSTS or counts.other_key_sets >= MAX_KEY_SETS:
                raise TooManyTrusts
            store.add_trust(tx, caller.tenant_id, trust)
            self._journal.record(
                tx,
                Entry.of(
                    Action.TRUST_CREATE,
                    caller,
                    trust_id=trust.id,
                    issuer=trust.issuer,
                    subject=trust.claims["sub"],
                    for_identity=trust.identity_id,
                    scopes=trust.scopes,
                ),
            )
        return trust

    def list(self, caller: Caller, after: str | None, limit: int) -> list[Trust]:
        """The tenant's trusts, newest first."""
        self._require_administration(caller)
        with self._database.session() as session:
            return store.list_trusts(session, caller.tenant_id, after, limit)

    def show(self, caller: Caller, trust_id: str) -> Trust:
        """One of them, or TrustNotFound."""
        self._require_administration(caller)
        with self._database.session() as session:
            trust = store.find_trust(session, caller.tenant_id, trust_id)
        if trust is None:
            raise TrustNotFound
        return trust

    def delete(self, caller: Caller, trust_id: str) -> None:
        """End a trust, and every token it gave and what was made with these, everywhere within a second."""
        self._require_administration(caller)
        now = self._clock.now()
        with self._journal.operation(Action.TRUST_DELETE, caller) as tx:
            # Waits for exchanges that hold the row (`is_trusted`): what these give is there to be found afterwards,
            # and there are none after these.
            if not store.remove_trust(tx, caller.tenant_id, trust_id):
                raise TrustNotFound
            while store.change_offspring_revoked(tx, caller.tenant_id, trust_id, now):
                pass  # once more, for what was being made with one of those
            self._journal.record(tx, Entry.of(Action.TRUST_DELETE, caller, trust_id=trust_id))
            epochs.move(tx, caller.tenant_id)

    def _require_administration(self, caller: Caller) -> None:
        self._guard.require_scope(caller, Scope.IDENTITY_ADMIN)
        self._guard.require_tenant_admin(caller)

    def _check_within_maker(self, caller: Caller, order: TrustOrder) -> None:
        excess = sorted(order.scopes - caller.principal.scopes)
        if not excess:
            return
        fault: VaultError = TokenExceedsMaker(
            "The token that makes it does not hold all of these scopes.", scopes=excess
        )
        self._journal.record_alone(
            Entry.of(Action.POLICY_VIOLATION, caller, success=False, attempted="trust_create", reason=fault.code)
        )
        raise fault

    def _check(self, order: TrustOrder) -> None:
        for url in (order.issuer, order.jwks_url):
            if url is not None and not self._is_fetchable(url):
                raise InvalidTrust("An issuer and a key set have https:// addresses without user, query and fragment.")
            if url is not None and self._is_closed(urlsplit(url).hostname or ""):
                raise InvalidTrust("Keys are not fetched from this address; EGRESS_ALLOW opens networks inside.")
        if "sub" not in order.claims or not is_pattern(order.claims["sub"], LEAST_PARTS_OF_SUBJECT):
            raise InvalidTrust(_SUBJECT_RULE)
        for name, pattern in order.claims.items():
            if _CLAIM_NAME.fullmatch(name) is None or name in _CHECKED_OTHERWISE:
                raise InvalidTrust(
                    "A claim has a name of letters, digits and _.:/-, and is none of iss, aud and the times."
                )
            if not is_pattern(pattern, LEAST_PARTS):
                raise InvalidTrust(
                    "A claim's pattern is the whole text, or a beginning of at least one part and a separator "
                    "(`:` or `/`) before a `*` at its end."
                )

    def _is_fetchable(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
            is_sound = bool(parts.hostname) and parts.port != 0
        except ValueError:
            return False
        is_plain = parts.scheme == "http" and (self._plain_http_is_allowed or is_loopback(parts.hostname or ""))
        return is_sound and (is_plain or parts.scheme == "https") and not any(mark in url for mark in "@?#\\")


def is_beyond_tenants(home: Home | None) -> bool:
    """Whether who is known there administers more than the tenant, whose administrators make trusts."""
    return home is not None and not _BEYOND_TENANTS.isdisjoint(home.roles or ())
