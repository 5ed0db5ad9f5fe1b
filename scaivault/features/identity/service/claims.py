"""How the issuer's claims read in our words. Each is held to the form it must have before it goes anywhere."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from scaivault.crypto.jwt.verification import LEEWAY, Claims, instant
from scaivault.features.identity.model import (
    EMAIL,
    GROUP_ID,
    SERVICE_ACCOUNT_ID,
    USER_ID,
    Claimant,
    Home,
    UserHome,
    identity_type_of,
    one_spelling,
)
from scaivault.kernel.caller import Principal, Role, Scope
from scaivault.kernel.errors import TenantAccessDenied, TokenInvalid

MAX_DELEGATIONS = 3
MAX_GROUPS = 500
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_USER = re.compile(USER_ID, re.ASCII)
_SERVICE_ACCOUNT = re.compile(SERVICE_ACCOUNT_ID, re.ASCII)
_EMAIL = re.compile(EMAIL, re.ASCII)
_SUBJECT = re.compile(r"[ -~]{1,255}", re.ASCII)
_GROUP = re.compile(GROUP_ID, re.ASCII)
# Never one that a personal token or a trust could have, with which it would be taken for the parent of that one's
# offspring.
_TOKEN_ID = re.compile(r"(?!tok_|trs_)[A-Za-z0-9._:-]{1,100}", re.ASCII)
_ACTOR = re.compile(r"[!-~]{1,200}", re.ASCII)
_SCOPES: Final = frozenset(Scope)
_ROLES: Final = frozenset(Role)
# RFC 8176, by what each shows: what one knows, has or is. Two of one kind are one factor, however strong each is.
_FACTORS: Final = (
    frozenset({"pwd", "pin", "kba"}),
    frozenset({"otp", "hwk", "swk", "sc", "pop", "sms", "tel"}),
    frozenset({"fpt", "face", "iris", "retina", "vbm"}),
)
_LEAST_FACTORS = 2
_MAX_NAME = 200

Named = Mapping[str, Any]


def tenant_of(named: Named) -> str:
    """The tenant the token is about. TenantAccessDenied if a platform's token is about none: it has to say which."""
    if "tenant_id" not in named:
        if roles_of(named) & {Role.SUPER_ADMIN, Role.PARTNER_ADMIN}:
            raise TenantAccessDenied
        raise TokenInvalid
    tenant_id = named["tenant_id"]
    if not isinstance(tenant_id, str) or _ID.fullmatch(tenant_id) is None:
        raise TokenInvalid
    return tenant_id


def names_another_partner(named: Named, partner_id: str) -> bool:
    """Whether the token says that its tenant belongs to another partner. The issuer writes `prt_` for our `ptn_`."""
    said = _optional_text(named, "partner_id")
    return said is not None and partner_id not in {said, re.sub("^prt_", "ptn_", said)}


def client_of(named: Named) -> str | None:
    """`sa:<client>` for a client's own token, None for a user's; TokenInvalid if it is no such id."""
    subject, client_id = _optional_text(named, "sub"), _optional_text(named, "client_id")
    if named.get("token_type") != "client_credentials" and (client_id is None or client_id != subject):
        return None
    identity_id = f"sa:{subject if client_id is None else client_id}"
    if _SERVICE_ACCOUNT.fullmatch(identity_id) is None:
        raise TokenInvalid
    return identity_id


def claimant_of(named: Named) -> Claimant:
    """The user a token names: by `sub`, and `user:<email>` or `user:<sub>`. TokenInvalid if one of them can be nobody.

    A subject that looks like an address counts as one: it must not be another user's either.
    """
    subject, email = _matching(named.get("sub"), _SUBJECT), _optional_text(named, "email")
    if subject is None or (email is not None and _EMAIL.fullmatch(email) is None):
        raise TokenInvalid
    name = email if email is not None and named.get("email_verified") is not False else subject
    identity_id = one_spelling(f"user:{name}")
    emails = [each.lower() for each in (email, subject) if each is not None and "@" in each]
    return Claimant(identity_id, subject, emails)


def user_of(who: Claimant, home: UserHome) -> str:
    """The user's identity: the directory's name for him, if it knows him. TokenInvalid if it can be no identity."""
    if home.email is not None:
        return f"user:{home.email}"
    # Whoever comes with another's address is refused by the name of his own, not by that other's.
    identity_id = one_spelling(f"user:{who.user_id}") if home.is_anothers else who.identity_id
    if _USER.fullmatch(identity_id) is None:
        raise TokenInvalid
    return identity_id


def roles_of(named: Named) -> frozenset[Role]:
    """The roles among `role` and `roles` that we know."""
    return frozenset(Role(role) for role in _texts(named, "role", "roles") if role in _ROLES)


def principal_of(
    claims: Claims, home: Home, tenant_id: str, identity_id: str, default_token_id: str, now: datetime
) -> Principal:
    """Who the token speaks for: what its issuer says, and what we know of the same identity besides.

    Of a user whom the directory knows, its name and its groups count alone, and its roles if it tells any.
    """
    named = claims.named
    known = home if isinstance(home, UserHome) and home.email is not None else None
    groups = frozenset[str]() if known else _groups(named)
    roles = frozenset[Role]() if known and known.has_told_roles else roles_of(named)
    return Principal(
        token_id=_matching(named.get("jti"), _TOKEN_ID) or default_token_id,
        partner_id=home.partner_id,
        tenant_id=tenant_id,
        identity_id=identity_id,
        identity_type=identity_type_of(identity_id),
        display_name=(None if known else _display_name(named.get("name"))) or home.display_name or identity_id,
        scopes=_scopes(named),
        groups=groups | frozenset(home.groups or ()),
        roles=roles | frozenset(map(Role, home.roles or ())),
        token_expires_at=claims.expires_at,
        mfa_verified_at=_mfa_verified_at(named, now),
        delegated_by=tuple(_actors(named.get("act"))),
        user_id=claims.subject if isinstance(home, UserHome) else None,
        is_session=isinstance(home, UserHome) and named.get("act") is None,
    )


def _scopes(named: Named) -> frozenset[Scope]:
    said = named.get("scope", "")
    if not isinstance(said, str):
        raise TokenInvalid
    return frozenset(Scope(scope) for scope in said.split(" ") if scope in _SCOPES)


def _groups(named: Named) -> frozenset[str]:
    said = _texts(named, "groups")
    if len(said) > MAX_GROUPS:
        raise TokenInvalid
    spelled = (group if group.startswith("group:") else f"group:{group}" for group in said)
    # One that no binding could name binds to nothing.
    return frozenset(group for group in spelled if _GROUP.fullmatch(group))


def _texts(named: Named, *names: str) -> list[str]:
    """The texts of claims that are a text or a list of texts; TokenInvalid if one is anything else."""
    found: list[str] = []
    for name in names:
        said = named.get(name, [])
        listed = [said] if isinstance(said, str) else said
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            raise TokenInvalid
        found += listed
    return found


def _mfa_verified_at(named: Named, now: datetime) -> datetime | None:
    name = "mfa_verified_at" if "mfa_verified_at" in named else "auth_time"
    if name == "auth_time" and not _is_multi_factor(frozenset(_texts(named, "amr"))):
        return None
    verified_at = instant(named, name)
    # From the future it would stay fresh for as long as the issuer's clock is wrong.
    if verified_at is not None and verified_at > now + LEEWAY:
        raise TokenInvalid
    return verified_at


def _is_multi_factor(methods: frozenset[str]) -> bool:
    """Whether the issuer says so, or names methods of at least two kinds."""
    return "mfa" in methods or sum(not kind.isdisjoint(methods) for kind in _FACTORS) >= _LEAST_FACTORS


def _actors(act: object) -> Iterator[str]:
    """Who acts, nearest first (RFC 8693, 4.1); TokenInvalid if that can not be told or the chain is too long."""
    for _ in range(MAX_DELEGATIONS):
        if act is None:
            return
        subject = _matching(act.get("sub"), _ACTOR) if isinstance(act, dict) else None
        if subject is None or not isinstance(act, dict):
            raise TokenInvalid
        yield subject
        act = act.get("act")
    if act is not None:
        raise TokenInvalid


def _matching(said: object, form: re.Pattern[str]) -> str | None:
    return said if isinstance(said, str) and form.fullmatch(said) else None


def _optional_text(named: Named, name: str) -> str | None:
    """A claim that is a text or not there; TokenInvalid if it is anything else: True would read as a name too."""
    said = named.get(name)
    if said is not None and not isinstance(said, str):
        raise TokenInvalid
    return said


def _display_name(said: object) -> str | None:
    return said if isinstance(said, str) and 1 <= len(said) <= _MAX_NAME and said.isprintable() else None
