"""Tokens and those they speak for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scaivault.kernel.caller import IdentityType, Principal, Role, Scope

DEFAULT_TOKEN_LIFETIME = timedelta(days=90)
LONGEST_TOKEN_LIFETIME = timedelta(days=365)
MAX_LIVE_TOKENS = 100
MAX_TRUSTS = 100
MAX_KEY_SETS = 4
"""Of one issuer's name in a tenant: clusters that were never told another name all call themselves the same."""
MAX_LIVE_EXCHANGED = 5_000
"""Of one trust."""

# The one rule for addresses, whoever tells of them: a `%` could stand for another letter, two `@` for two domains.
EMAIL = r"[A-Za-z0-9._+-]{1,100}@[A-Za-z0-9.-]{1,99}"
USER_ID = rf"user:(?:{EMAIL}|[A-Za-z0-9._+-]{{1,200}})"
SERVICE_ACCOUNT_ID = r"sa:[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
GROUP_ID = r"group:[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_USER = re.compile(USER_ID, re.ASCII)


def one_spelling(identity_id: str) -> str:
    """The identity's id as it is stored and compared: a user's address in small letters. Other ids mean their case."""
    return identity_id.lower() if identity_id.startswith("user:") and "@" in identity_id else identity_id


def identity_type_of(identity_id: str) -> IdentityType:
    """The type that an identity's id says it is."""
    return IdentityType.USER if _USER.fullmatch(identity_id) else IdentityType.SERVICE_ACCOUNT


@dataclass(frozen=True, slots=True)
class Standing:
    """What a token stands for and how it stands, as of one epoch of its tenant. Cacheable."""

    principal: Principal
    issued_at: datetime
    ends_at: datetime
    is_revoked: bool
    is_suspended: bool
    is_foreign: bool
    """Whether the token names another partner than its tenant's."""
    epoch: int
    is_anothers: bool = False
    """Whether the token names one user of the directory by its subject, and another one by its email."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token with all that stands behind it, as one look-up finds it. `epoch` is its tenant's, of the same instant."""

    id: str
    tenant_id: str
    partner_id: str
    identity_id: str
    identity_type: str
    display_name: str
    scopes: list[str]
    groups: list[str]
    roles: list[str]
    digest: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    is_suspended: bool
    epoch: int
    user_id: str | None

    def standing(self) -> Standing:
        """What its holder is told apart by on every request."""
        principal = Principal(
            token_id=self.id,
            partner_id=self.partner_id,
            tenant_id=self.tenant_id,
            identity_id=one_spelling(self.identity_id),
            identity_type=IdentityType(self.identity_type),
            display_name=self.display_name,
            scopes=frozenset(map(Scope, self.scopes)),
            groups=frozenset(self.groups),
            roles=frozenset(map(Role, self.roles)),
            token_expires_at=self.expires_at,
            user_id=self.user_id,
        )
        return Standing(
            principal,
            issued_at=self.created_at,
            ends_at=self.expires_at,
            is_revoked=self.revoked_at is not None,
            is_suspended=self.is_suspended,
            is_foreign=False,
            epoch=self.epoch,
        )


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant as those see it who come to act in it."""

    id: str
    partner_id: str
    is_suspended: bool


@dataclass(frozen=True, slots=True)
class TokenSummary:
    """A token as lists show it."""

    id: str
    name: str
    identity_id: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token at the only moment its text is known."""

    summary: TokenSummary
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """One who may hold tokens in a tenant."""

    id: str
    display_name: str
    groups: frozenset[str] = frozenset()
    roles: frozenset[Role] = frozenset()


@dataclass(frozen=True, slots=True)
class Installed:
    """What the first start of an installation made."""

    partner_id: str
    tenant_id: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Home:
    """The tenant a JSON web token names, and what we know there of its identity: None of each if there is none."""

    partner_id: str
    is_suspended: bool
    epoch: int
    display_name: str | None
    groups: list[str] | None
    roles: list[str] | None


@dataclass(frozen=True, slots=True)
class Claimant:
    """Whom a token's claims name. `identity_id` is who that is where the directory knows no user of this `user_id`."""

    identity_id: str
    user_id: str
    emails: list[str]


@dataclass(frozen=True, slots=True)
class UserHome(Home):
    """The same for a user, whom the directory may know by the token's subject: `email` is then his own."""

    email: str | None
    has_told_roles: bool
    """Whether the directory tells which roles he has, so that a token's claims add none."""
    is_anothers: bool


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose tokens, of which workload, may be exchanged here, and for what."""

    id: str
    name: str
    issuer: str
    jwks_url: str | None
    audience: str
    claims: Mapping[str, str]
    identity_id: str
    scopes: list[str]
    lifetime_seconds: int
    created_by: str
    created_at: datetime

    @property
    def weight(self) -> tuple[int, int]:
        """How specific it is, the more the greater: by its claims, then by what of them is said word for word."""
        return len(self.claims), sum(len(pattern.removesuffix("*")) for pattern in self.claims.values())


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What a foreign token was exchanged for."""

    expires_in: int
    scopes: list[str]
    text: str = field(repr=False)


def is_pattern(pattern: str, least_parts: int) -> bool:
    """Whether it is a literal or a beginning: printable ASCII whose only `*`, if any, is its end.

    What is before the `*` ends with a `:` or a `/` and has at least so many parts between these, so that it ends where
    a name ends: `repo:acme/app*` would be `repo:acme/app-of-somebody-else` too.
    """
    if _PATTERN.fullmatch(pattern) is None:
        return False
    if not pattern.endswith("*"):
        return True
    beginning = pattern[:-1]
    return beginning.endswith((":", "/")) and sum(map(bool, re.split("[:/]", beginning))) >= least_parts


def is_match(pattern: str, said: object) -> bool:
    """Whether a claim is the very text, or begins with it and goes on. A list, a number or an object is no text."""
    if not isinstance(said, str) or _SAID.fullmatch(said) is None:
        return False
    if pattern.endswith("*"):
        return said.startswith(pattern[:-1]) and len(said) >= len(pattern)
    return said == pattern


_PATTERN = re.compile(r"(?=[!-~])[ -)+-~]{1,300}(?<! )|(?=[!-)+-~])[ -)+-~]{1,299}\*", re.ASCII)
_SAID = re.compile(r"[ -~]{1,500}", re.ASCII)
