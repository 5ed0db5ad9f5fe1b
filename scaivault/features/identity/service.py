"""Who is calling: personal access tokens, what they stand for, and the first installation."""

import hmac
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from scaivault.crypto.tokens import TokenHasher, new_token
from scaivault.features.identity import store
from scaivault.features.identity.errors import (
    AlreadyInstalled,
    TenantSuspended,
    TokenExceedsMaker,
    TokenNotFound,
    TooManyTokens,
)
from scaivault.features.identity.model import (
    DEFAULT_TOKEN_LIFETIME,
    LONGEST_TOKEN_LIFETIME,
    MAX_LIVE_TOKENS,
    Identity,
    Installed,
    NewToken,
    TokenRow,
    TokenSummary,
)
from scaivault.kernel.caller import Caller, Origin, Principal, Role, Scope
from scaivault.kernel.errors import (
    Forbidden,
    TenantAccessDenied,
    TenantNotFound,
    TokenExpired,
    TokenInvalid,
    TokenRevoked,
    Unauthenticated,
    VaultError,
)
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.ports import Clock, Guard, Journal
from scaivault.storage import epochs
from scaivault.storage.database import Database, Session
from scaivault.storage.epochs import Epochs

_TOKEN_FORM = re.compile(r"skt_[A-Za-z0-9_-]{43}", re.ASCII)
MOST_CACHED_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class TokenOrder:
    """What a token is asked to be. `identity_id` names a service account; None is the caller."""

    name: str
    scopes: frozenset[Scope]
    lifetime: timedelta | None
    tenant_id: str
    identity_id: str | None = None
    groups: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """A token's row, and what is made of it for every request."""

    row: TokenRow
    principal: Principal


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


class Authenticator:
    """From a bearer token to a caller."""

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        epochs: Epochs,
        tenancy: "Tenancy",
        hasher: Callable[[], TokenHasher],
        clock: Clock,
        on_cache: Callable[[str], None],
    ) -> None:
        self._database = database
        self._journal = journal
        self._epochs = epochs
        self._tenancy = tenancy
        self._hasher = hasher
        self._clock = clock
        self._on_cache = on_cache
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._turn = threading.Lock()

    def authenticate(self, token: str, origin: Origin, tenant_id: str | None) -> Caller:
        """The caller behind a token that is in force, or the reason why not.

        `tenant_id` is the tenant the request asks to act in, if it says so. Reasons given to a holder of a real token
        that no longer works are journalled in its tenant.
        """
        known = self._find(token)
        if known is None:
            raise TokenInvalid
        caller = Caller(known.principal, origin)
        try:
            self._check(known.row)
            return self._tenancy.enter(caller, caller.tenant_id if tenant_id is None else tenant_id)
        except VaultError as fault:
            self._journal.record_alone(
                Entry.of(Action.POLICY_VIOLATION, caller, success=False, attempted="authenticate", reason=fault.code)
            )
            raise

    def inspect(self, token: str) -> TokenRow | None:
        """What a token stands for if it is in force, else None."""
        known = self._find(token)
        if known is None:
            return None
        try:
            self._check(known.row)
        except (Unauthenticated, Forbidden):
            return None
        return known.row

    def _check(self, row: TokenRow) -> None:
        if row.revoked_at is not None:
            raise TokenRevoked
        if row.expires_at <= self._clock.now():
            raise TokenExpired
        if row.is_suspended:
            raise TenantSuspended

    def _find(self, token: str) -> _Known | None:
        if _TOKEN_FORM.fullmatch(token) is None:
            return None
        digest = self._hasher().digest(token)
        known = self._remembered(digest) or self._load(digest)
        # The index found the digest by an ordinary comparison; this one does not tell where a guess went wrong.
        return known if known is not None and hmac.compare_digest(digest, known.row.digest) else None

    def _remembered(self, digest: bytes) -> _Known | None:
        with self._turn:
            known = self._known.get(digest)
        # `epoch` was read in the statement that read the token, so an equal or later epoch has seen every
        # revocation that the tenant's present epoch tells of.
        is_current = known is not None and known.row.epoch >= self._epochs.of(known.row.tenant_id)
        self._on_cache("hit" if is_current else "miss")
        return known if is_current else None

    def _load(self, digest: bytes) -> _Known | None:
        self._epochs.watch()
        with self._database.session() as session:
            row = store.find_token(session, digest)
        if row is None:
            return None
        known = _Known(row, row.principal())
        with self._turn:
            self._known[digest] = known
            self._known.move_to_end(digest)
            if len(self._known) > MOST_CACHED_TOKENS:
                self._known.popitem(last=False)
        return known


class TokenService:
    """Personal access tokens: made, listed, revoked, looked into."""

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        guard: Guard,
        authenticator: Authenticator,
        hasher: Callable[[], TokenHasher],
        clock: Clock,
    ) -> None:
        self._database = database
        self._journal = journal
        self._guard = guard
        self._authenticator = authenticator
        self._hasher = hasher
        self._clock = clock

    def create(self, caller: Caller, order: TokenOrder) -> NewToken:
        """A new token for the caller or, made by a tenant administrator, for a service account.

        TokenExceedsMaker if it would hold a scope that the caller's token does not, or live longer than that token.
        """
        self._check_within_maker(caller, order)
        if order.identity_id is not None:
            # Another's token may open what no rule opens to its maker: that takes the right to say who is who.
            self._guard.require_scope(caller, Scope.IDENTITY_ADMIN)
            self._guard.require_tenant_admin(caller)
        token, summary = new_token(), self._summary(caller, order)
        digest = self._hasher().digest(token)
        with self._journal.operation(Action.TOKEN_CREATE, caller) as tx:
            if order.identity_id is not None:
                groups = order.groups
                if groups is None:
                    groups = store.find_groups(tx, caller.tenant_id, order.identity_id)
                store.add_identity(tx, caller.tenant_id, Identity(order.identity_id, order.identity_id, groups))
            live = store.count_live_tokens(tx, caller.tenant_id, summary.identity_id, summary.created_at)
            if live >= MAX_LIVE_TOKENS:
                raise TooManyTokens
            # A spare of one's own ends with what it was made by, or revoking a stolen token would not help. A service
            # account's goes on: its maker's token may well be changed every month.
            parent_id = caller.principal.token_id if order.identity_id is None else None
            if parent_id is not None and store.is_revoked(tx, caller.tenant_id, parent_id):
                raise TokenRevoked
            store.add_token(tx, caller.tenant_id, summary, digest, parent_id)
            self._journal.record(
                tx,
                Entry.of(
                    Action.TOKEN_CREATE,
                    caller,
                    token_id=summary.id,
                    for_identity=summary.identity_id,
                    scopes=summary.scopes,
                ),
            )
            if order.identity_id is not None:
                epochs.move(tx, caller.tenant_id)  # its groups may have changed
        return NewToken(summary, token)

    def list(self, caller: Caller, after: str | None, limit: int) -> list[TokenSummary]:
        """The caller's tokens; to a tenant administrator, the tenant's."""
        with self._database.session() as session:
            return store.list_tokens(session, caller.tenant_id, _own_unless_admin(caller), after, limit)

    def revoke(self, caller: Caller, token_id: str) -> None:
        """End a token, and its holder's that were made with it, everywhere within a second.

        TokenNotFound if it is not the caller's to end, or has ended.
        """
        now = self._clock.now()
        with self._journal.operation(Action.TOKEN_REVOKE, caller) as tx:
            if not store.change_token_revoked(tx, caller.tenant_id, _own_unless_admin(caller), token_id, now):
                raise TokenNotFound
            while store.change_offspring_revoked(tx, caller.tenant_id, token_id, now):
                pass  # once more, for what was being made with one of those
            self._journal.record(tx, Entry.of(Action.TOKEN_REVOKE, caller, token_id=token_id))
            epochs.move(tx, caller.tenant_id)

    def introspect(self, caller: Caller, token: str) -> TokenRow | None:
        """What a token of the caller's tenant stands for; None for any other text, foreign tokens included."""
        self._guard.require_scope(caller, Scope.ADMIN)
        row = self._authenticator.inspect(token)
        return row if row is not None and row.tenant_id == caller.tenant_id else None

    def groups_of(self, tenant_id: str, identity_id: str) -> frozenset[str]:
        """The groups an identity is known to be in."""
        with self._database.session() as session:
            return store.find_groups(session, tenant_id, identity_id)

    def _check_within_maker(self, caller: Caller, order: TokenOrder) -> None:
        excess = sorted(order.scopes - caller.principal.scopes)
        fault: VaultError | None = None
        if order.tenant_id != caller.tenant_id:
            fault = TenantAccessDenied()
        elif order.identity_id is None and caller.principal.home is not None:
            fault = Forbidden("Make your own tokens in your own tenant; here name a service account.")
        elif excess:
            fault = TokenExceedsMaker("The token that makes it does not hold all of these scopes.", scopes=excess)
        elif order.lifetime and self._clock.now() + order.lifetime > caller.principal.token_expires_at:
            fault = TokenExceedsMaker("A token can not outlive the token that makes it.")
        if fault is not None:
            self._journal.record_alone(
                Entry.of(Action.POLICY_VIOLATION, caller, success=False, attempted="token_create", reason=fault.code)
            )
            raise fault

    def _summary(self, caller: Caller, order: TokenOrder) -> TokenSummary:
        now = self._clock.now()
        asked = min(order.lifetime or DEFAULT_TOKEN_LIFETIME, LONGEST_TOKEN_LIFETIME)
        return TokenSummary(
            id=new_id("tok"),
            name=order.name,
            identity_id=order.identity_id or caller.identity_id,
            scopes=sorted(order.scopes),
            created_at=now,
            expires_at=min(now + asked, caller.principal.token_expires_at),
            revoked_at=None,
        )


class Installer:
    """The first tenant of an installation."""

    def __init__(self, database: Database, hasher: Callable[[], TokenHasher], clock: Clock) -> None:
        self._database = database
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
        now = self._clock.now()
        store.add_identity(tx, tenant_id, identity)
        summary = TokenSummary(
            new_id("tok"), token_name, identity.id, sorted(scopes), now, now + LONGEST_TOKEN_LIFETIME, None
        )
        store.add_token(tx, tenant_id, summary, digest)


def _own_unless_admin(caller: Caller) -> str | None:
    return None if caller.principal.is_tenant_admin else caller.identity_id
