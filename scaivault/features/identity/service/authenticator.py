"""From a bearer token of either kind to a caller."""

from scaivault.features.identity.errors import TenantSuspended
from scaivault.features.identity.model import Standing
from scaivault.features.identity.service.personal_tokens import PersonalTokens
from scaivault.features.identity.service.tenancy import Tenancy
from scaivault.features.identity.service.web_tokens import WebTokens
from scaivault.kernel.caller import Caller, Origin
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
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.ports import Clock, Journal
from scaivault.storage.database import Session


class Authenticator:
    """Personal access tokens by our table and, where there is an issuer, JSON web tokens by its keys."""

    def __init__(
        self,
        journal: Journal[Session],
        clock: Clock,
        tenancy: Tenancy,
        personal_tokens: PersonalTokens,
        web_tokens: WebTokens | None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._tenancy = tenancy
        self._personal_tokens = personal_tokens
        self._web_tokens = web_tokens

    def identify(self, token: str, origin: Origin) -> Caller:
        """The caller behind a token that is in force, in its own tenant, or the reason why not.

        Reasons given to a holder of a real token that no longer works are journalled in its tenant.
        """
        standing = self._find(token)
        if standing is None:
            raise TokenInvalid
        caller = Caller(standing.principal, origin)
        try:
            self._check(standing)
        except (Unauthenticated, Forbidden) as fault:
            self._journal_refusal(caller, fault)
            raise
        return caller

    def enter(self, caller: Caller, tenant_id: str) -> Caller:
        """The caller in the tenant that the request asks to act in, or the reason why not, which is journalled too."""
        try:
            return self._tenancy.enter(caller, tenant_id)
        except (Forbidden, TenantNotFound) as fault:
            self._journal_refusal(caller, fault)
            raise

    def remembers(self, token: str) -> bool:
        """Whether the token has been looked up before and is in force."""
        if self._personal_tokens.has_form(token):
            standing = self._personal_tokens.recall(token)
        else:
            standing = self._web_tokens.recall(token) if self._web_tokens is not None else None
        return standing is not None and self._is_in_force(standing)

    def inspect(self, token: str) -> Standing | None:
        """What a token stands for if it is in force, else None."""
        try:
            standing = self._find(token)
        except (Unauthenticated, Forbidden):
            return None
        return standing if standing is not None and self._is_in_force(standing) else None

    def _is_in_force(self, standing: Standing) -> bool:
        try:
            self._check(standing)
        except (Unauthenticated, Forbidden):
            return False
        return True

    def _journal_refusal(self, caller: Caller, fault: VaultError) -> None:
        self._journal.record_alone(
            Entry.of(Action.POLICY_VIOLATION, caller, success=False, attempted="authenticate", reason=fault.code)
        )

    def _check(self, standing: Standing) -> None:
        if standing.is_revoked:
            raise TokenRevoked
        if standing.is_anothers:
            raise TokenInvalid
        if standing.ends_at <= self._clock.now():
            raise TokenExpired
        if standing.is_suspended:
            raise TenantSuspended
        if standing.is_foreign:
            raise TenantAccessDenied

    def _find(self, token: str) -> Standing | None:
        if self._personal_tokens.has_form(token):
            return self._personal_tokens.find(token)
        return self._web_tokens.find(token) if self._web_tokens is not None else None
