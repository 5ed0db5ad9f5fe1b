"""From a workload's own token, of an issuer that a tenant trusts, to one of ours."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scaivault.crypto.jwt.verification import Audience, Claims, claimed_issuer, key_name, verify
from scaivault.crypto.tokens import TokenHasher, new_token
from scaivault.features.identity import store
from scaivault.features.identity.errors import ExchangeRefused, TooManyTokens
from scaivault.features.identity.model import (
    MAX_LIVE_EXCHANGED,
    Exchanged,
    Home,
    Identity,
    TenantRow,
    TokenSummary,
    Trust,
    is_match,
)
from scaivault.features.identity.service.trusted_issuers import TrustedIssuers
from scaivault.features.identity.service.trusts import is_beyond_tenants
from scaivault.kernel.caller import Caller, IdentityType, Origin, Principal, Role, Scope
from scaivault.kernel.errors import TokenInvalid, Unauthenticated, Unavailable
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.ports import Clock, Journal
from scaivault.storage.database import Database, Session

EXCHANGE_ID = "system:exchange"
ENDED_KEPT = timedelta(days=1)
"""How long a token that has ended is still told that it has expired. The trail keeps of it what there is to keep."""
MOST_FORGOTTEN = 20
"""At an exchange. More than one, so that they do not become more and more."""
# GitHub's headers have the thumbprint of a certificate. It brings no key along, and we have ours by the kid.
_BESIDE = frozenset({"x5t"})
# In the order in which they are made.
_CHECKS = (
    "no_trust",
    "issuer_keys_unavailable",
    "token_invalid",
    "token_expired",
    "another_issuer",
    "claims_do_not_match",
    "another_audience",
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A foreign token, where it wants to go, and what it asks for: None is all that a trust gives, and any trust."""

    tenant_id: str
    audience: str | None
    scopes: frozenset[Scope] | None
    identity_id: str | None
    subject_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Match:
    """A token that a trust's issuer has signed for us, and the claims by which the trust is about it."""

    trust: Trust
    claims: Claims


@dataclass(frozen=True, slots=True)
class _Vouched:
    """Whom a trust speaks for, and what it gives."""

    trust: Trust
    home: Home
    scopes: list[str]
    subject: str
    ends_at: datetime


class ExchangeService:
    """Takes tokens of workloads: Kubernetes' service accounts, GitHub's jobs, whoever has an OpenID issuer."""

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        issuers: TrustedIssuers,
        hasher: Callable[[], TokenHasher],
        clock: Clock,
        on_refused: Callable[..., None],
    ) -> None:
        self._database = database
        self._journal = journal
        self._issuers = issuers
        self._hasher = hasher
        self._clock = clock
        self._on_refused = on_refused

    def exchange(self, offer: Offer, origin: Origin) -> Exchanged:
        """A token of ours for a foreign one; for the same one again, another. ExchangeRefused, whatever the reason.

        The tenant whose trust it was tried on finds the reason in its trail, without the token, and the operator in the
        log. TooManyTokens is told to whom the trust speaks for, and to nobody else.
        """
        try:
            kid, issuer = key_name(offer.subject_token, _BESIDE), claimed_issuer(offer.subject_token)
        except TokenInvalid:
            self._on_refused(tenant_id=None, issuer=None, trust_id=None, error="malformed")
            raise ExchangeRefused("malformed") from None
        with self._database.session() as session:
            tenant = store.find_tenant(session, offer.tenant_id)
            trusts = store.list_trusts_in(session, offer.tenant_id, issuer)
        try:
            return self._mint(self._vouch(trusts, offer, kid), offer.tenant_id, origin)
        except ExchangeRefused as refusal:
            tenant_id = tenant.id if tenant else None
            self._on_refused(tenant_id=tenant_id, issuer=issuer, trust_id=refusal.trust_id, error=refusal.reason)
            if tenant is not None and trusts:
                self._record_refusal(tenant, issuer, refusal, origin)
            raise

    def _record_refusal(self, tenant: TenantRow, issuer: str, refusal: ExchangeRefused, origin: Origin) -> None:
        """In the trail of a tenant that trusts in the issuer: any other's would be a stranger's to fill."""
        caller = Caller(_exchange_itself(tenant.partner_id, tenant.id, self._clock.now()), origin)
        self._journal.record_alone(
            Entry.of(
                Action.POLICY_VIOLATION,
                caller,
                success=False,
                attempted="exchange",
                reason=refusal.reason,
                issuer=issuer,
                trust_id=refusal.trust_id,
            )
        )

    def _vouch(self, trusts: Sequence[Trust], offer: Offer, kid: str) -> _Vouched:
        """By the most specific trust that the token matches; ExchangeRefused, by the one that it came furthest with.

        Between equals the oldest one counts if they speak for the same identity, else none.
        """
        matches: list[_Match] = []
        refusal = ExchangeRefused("no_trust")
        for trust in trusts:
            if offer.identity_id not in {None, trust.identity_id}:
                continue
            try:
                matches.append(self._match(trust, offer, kid))
            except ExchangeRefused as another:
                refusal = max(refusal, another, key=_progress)
        if not matches:
            raise refusal
        best = max(matches, key=lambda match: match.trust.weight)
        rivals = {match.trust.identity_id for match in matches if match.trust.weight == best.trust.weight}
        if len(rivals) > 1:
            raise ExchangeRefused("ambiguous_trusts", best.trust.id)
        return self._vouch_by(best, offer)

    def _match(self, trust: Trust, offer: Offer, kid: str) -> _Match:
        claims = self._verified(trust, offer.subject_token, kid, self._clock.now())
        if not all(is_match(pattern, claims.named.get(name)) for name, pattern in trust.claims.items()):
            raise ExchangeRefused("claims_do_not_match", trust.id)
        if offer.audience not in {None, trust.audience}:
            raise ExchangeRefused("another_audience", trust.id)
        return _Match(trust, claims)

    def _vouch_by(self, match: _Match, offer: Offer) -> _Vouched:
        trust, now = match.trust, self._clock.now()
        scopes = trust.scopes if offer.scopes is None else sorted(scope.value for scope in offer.scopes)
        if not set(scopes) <= set(trust.scopes):
            raise ExchangeRefused("scope_beyond_trust", trust.id)
        if match.claims.expires_at <= now:
            # It is taken by the leeway of clocks: too little for something that lives longer than it.
            raise ExchangeRefused("token_expired", trust.id)
        with self._database.session() as session:
            home = store.find_home(session, offer.tenant_id, trust.identity_id)
        if home is None or home.is_suspended:
            raise ExchangeRefused("suspended", trust.id)
        if is_beyond_tenants(home):
            raise ExchangeRefused("beyond_tenants", trust.id)
        return _Vouched(trust, home, scopes, match.claims.subject, now + timedelta(seconds=trust.lifetime_seconds))

    def _verified(self, trust: Trust, token: str, kid: str, now: datetime) -> Claims:
        try:
            key = self._issuers.keys_of(trust).find(kid)
            claims = verify(token, key, Audience(trust.issuer, trust.audience), now)
        except Unauthenticated as fault:
            raise ExchangeRefused(fault.code, trust.id) from None
        except Unavailable:
            # Not 503: it would tell a stranger which issuers this tenant trusts in.
            raise ExchangeRefused("issuer_keys_unavailable", trust.id) from None
        if claims.named["iss"] != trust.issuer:
            raise ExchangeRefused("another_issuer", trust.id)
        return claims

    def _mint(self, vouched: _Vouched, tenant_id: str, origin: Origin) -> Exchanged:
        trust, now = vouched.trust, self._clock.now()
        token = new_token()
        digest = self._hasher().digest(token)
        summary = TokenSummary(
            id=new_id("tok"),
            name=trust.name,
            identity_id=trust.identity_id,
            scopes=vouched.scopes,
            created_at=now,
            expires_at=vouched.ends_at,
            revoked_at=None,
        )
        caller = Caller(_principal(vouched, tenant_id, summary), origin)
        with self._journal.operation(Action.TOKEN_CREATE, caller) as tx:
            # The row is held until the token is there for its end to revoke: see TrustService.delete.
            if not store.is_trusted(tx, tenant_id, trust.id):
                raise ExchangeRefused("trust_deleted", trust.id)
            store.add_missing_identity(tx, tenant_id, Identity(trust.identity_id, trust.identity_id))
            store.remove_exchanged_before(tx, tenant_id, trust.id, now - ENDED_KEPT, MOST_FORGOTTEN)
            if store.count_live_exchanged(tx, tenant_id, trust.id, now) >= MAX_LIVE_EXCHANGED:
                raise TooManyTokens
            store.add_token(tx, tenant_id, summary, digest, trust.id)
            self._journal.record(
                tx,
                Entry.of(
                    Action.TOKEN_CREATE,
                    caller,
                    token_id=summary.id,
                    for_identity=summary.identity_id,
                    scopes=summary.scopes,
                    trust_id=trust.id,
                    subject=vouched.subject,  # printable and bounded, or it would have matched no pattern
                ),
            )
        return Exchanged(int((summary.expires_at - now).total_seconds()), summary.scopes, token)


def _principal(vouched: _Vouched, tenant_id: str, summary: TokenSummary) -> Principal:
    home = vouched.home
    return Principal(
        token_id=summary.id,
        partner_id=home.partner_id,
        tenant_id=tenant_id,
        identity_id=summary.identity_id,
        identity_type=IdentityType.SERVICE_ACCOUNT,
        display_name=home.display_name or summary.identity_id,
        scopes=frozenset(map(Scope, summary.scopes)),
        groups=frozenset(home.groups or ()),
        roles=frozenset(map(Role, home.roles or ())),
        token_expires_at=summary.expires_at,
    )


def _progress(refusal: ExchangeRefused) -> int:
    """How far a token came with a trust: of several refusals the furthest tells what is wrong."""
    return _CHECKS.index(refusal.reason) if refusal.reason in _CHECKS else 0


def _exchange_itself(partner_id: str, tenant_id: str, now: datetime) -> Principal:
    """Who a refusal is recorded of: whoever it was has not shown to be anybody."""
    return Principal.of_system(EXCHANGE_ID, "token exchange", partner_id, tenant_id, now)
