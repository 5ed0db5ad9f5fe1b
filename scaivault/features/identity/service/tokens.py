"""Personal access tokens as their holders and administrators handle them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from scaivault.crypto.tokens import TokenHasher, new_token
from scaivault.features.identity import store
from scaivault.features.identity.errors import TokenExceedsMaker, TokenNotFound, TooManyTokens
from scaivault.features.identity.model import (
    DEFAULT_TOKEN_LIFETIME,
    LONGEST_TOKEN_LIFETIME,
    MAX_LIVE_TOKENS,
    Identity,
    NewToken,
    Standing,
    TokenSummary,
)
from scaivault.features.identity.service.authenticator import Authenticator
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.errors import Forbidden, TenantAccessDenied, TokenRevoked, VaultError
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.ports import Clock, Guard, Journal
from scaivault.storage import epochs
from scaivault.storage.database import Database, Session


@dataclass(frozen=True, slots=True)
class TokenOrder:
    """What a token is asked to be. `identity_id` names a service account; None is the caller."""

    name: str
    scopes: frozenset[Scope]
    lifetime: timedelta | None
    tenant_id: str
    identity_id: str | None = None
    groups: frozenset[str] | None = None


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

        TokenExceedsMaker if it would hold a scope that the caller's token does not, or live longer than that token,
        unless that is a user's session: its end bounds what is done in it, not what is made.
        """
        self._check_within_maker(caller, order)
        if order.identity_id is not None:
            # Another's token may open what no rule opens to its maker: that takes the right to say who is who.
            self._guard.require_scope(caller, Scope.IDENTITY_ADMIN)
            self._guard.require_tenant_admin(caller)
        token, summary = new_token(), self._summary(caller, order)
        digest = self._hasher().digest(token)
        with self._journal.operation(Action.TOKEN_CREATE, caller) as tx:
            _enlist_holder(tx, caller, order)
            live = store.count_live_tokens(tx, caller.tenant_id, summary.identity_id, summary.created_at)
            if live >= MAX_LIVE_TOKENS:
                raise TooManyTokens
            # A spare of one's own ends with what it was made by, or revoking a stolen token would not help. A service
            # account's goes on: its maker's token may well be changed every month.
            parent_id = caller.principal.token_id if order.identity_id is None else None
            if parent_id is not None and store.is_revoked(tx, caller.tenant_id, parent_id):
                raise TokenRevoked
            user_id = caller.principal.user_id if order.identity_id is None else None
            store.add_token(tx, caller.tenant_id, summary, digest, parent_id, user_id)
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

    def introspect(self, caller: Caller, token: str) -> Standing | None:
        """What a token of the caller's tenant stands for; None for any other text, foreign tokens included."""
        self._guard.require_scope(caller, Scope.ADMIN)
        standing = self._authenticator.inspect(token)
        return standing if standing is not None and standing.principal.tenant_id == caller.tenant_id else None

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
        elif order.lifetime and self._clock.now() + order.lifetime > self._latest_end(caller):
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
            expires_at=min(now + asked, self._latest_end(caller)),
            revoked_at=None,
        )

    def _latest_end(self, caller: Caller) -> datetime:
        """Until when what the caller makes can live."""
        if caller.principal.is_session:
            return self._clock.now() + LONGEST_TOKEN_LIFETIME
        return caller.principal.token_expires_at


def _enlist_holder(tx: Session, caller: Caller, order: TokenOrder) -> None:
    """See to it that there is an identity for the token to speak for."""
    if order.identity_id is None:
        # Whom only a JSON web token has spoken for so far has no row yet. It gets no groups or roles: those are the
        # issuer's to give, for as long as its own token lives.
        who = Identity(caller.identity_id, caller.principal.display_name)
        store.add_missing_identity(tx, caller.tenant_id, who)
        return
    groups = order.groups
    if groups is None:
        groups = store.find_groups(tx, caller.tenant_id, order.identity_id)
    store.add_identity(tx, caller.tenant_id, Identity(order.identity_id, order.identity_id, groups))


def _own_unless_admin(caller: Caller) -> str | None:
    return None if caller.principal.is_tenant_admin else caller.identity_id
