"""Policies and their bindings to identities."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, TypeVar

from scaivault.features.identity.model import GROUP_ID, SERVICE_ACCOUNT_ID, USER_ID, one_spelling
from scaivault.features.policies.errors import BindingNotFound, InvalidPolicy, PolicyNotFound
from scaivault.features.policies.model.rules import Rule
from scaivault.kernel.caller import IdentityType, Principal

Item = TypeVar("Item")

MAX_POLICIES = 1_000
MAX_BINDINGS = 1_000
LONGEST_BINDING = timedelta(days=36_500)

_POLICY_ID = re.compile(r"pol_[0-9a-f]{32}", re.ASCII)
_BINDING_ID = re.compile(r"bnd_[0-9a-f]{32}", re.ASCII)
BINDABLE = (IdentityType.USER, IdentityType.SERVICE_ACCOUNT, IdentityType.GROUP)
_SYSTEM_ID = r"(?:system|dynamic):[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
# The documented forms of identity ids, and what they can only be.
_FORMS = {
    IdentityType.USER: re.compile(USER_ID, re.ASCII),
    # Engines and the vault's own workers read what they need under policies like any service account.
    IdentityType.SERVICE_ACCOUNT: re.compile(f"{SERVICE_ACCOUNT_ID}|{_SYSTEM_ID}", re.ASCII),
    IdentityType.GROUP: re.compile(GROUP_ID, re.ASCII),
}


# Weakly referable, so that callers bound to the same policy can share one (service.views).
@dataclass(frozen=True, slots=True, weakref_slot=True)
class Policy:
    """What a tenant's administrators decided. `revision` counts its changes."""

    id: str
    name: str
    description: str
    rules: tuple[Rule, ...]
    is_active: bool
    revision: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """A policy as lists show it."""

    id: str
    name: str
    description: str
    is_active: bool
    revision: int
    created_at: datetime
    updated_at: datetime
    rule_count: int
    binding_count: int


@dataclass(frozen=True, slots=True)
class Draft:
    """What a client decides about a policy."""

    name: str
    description: str
    rules: tuple[Rule, ...]
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Changes:
    """Some of a draft; None is what stays as it is."""

    name: str | None = None
    description: str | None = None
    rules: tuple[Rule, ...] | None = None
    is_active: bool | None = None


class PolicyScope(StrEnum):
    """Where a policy holds. Only tenants have policies in this release."""

    TENANT = "tenant"
    PARTNER = "partner"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list of policies is to show."""

    scope: PolicyScope = PolicyScope.TENANT
    include_inactive: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a policy can be bound to: one identity or one group."""

    identity_type: IdentityType
    identity_id: str


@dataclass(frozen=True, slots=True)
class Binding:
    id: str
    policy_id: str
    identity_type: IdentityType
    identity_id: str
    expires_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Detail:
    """A policy with everybody it is bound to."""

    policy: Policy
    bindings: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class Portion(Generic[Item]):
    """A piece of a collection."""

    items: tuple[Item, ...]
    has_more: bool


def portion(found: Sequence[Item], limit: int) -> Portion[Item]:
    """What was asked for out of `limit` + 1 items, the last of which only tells that there are more."""
    return Portion(tuple(found[:limit]), len(found) > limit)


def subjects(identity_type: IdentityType, identity_id: str, groups: frozenset[str]) -> frozenset[Subject]:
    """Everything whose bindings count for this identity: itself, by type and id, and its groups."""
    return frozenset({Subject(identity_type, identity_id), *(Subject(IdentityType.GROUP, group) for group in groups)})


def subjects_of(principal: Principal) -> frozenset[Subject]:
    return subjects(principal.identity_type, principal.identity_id, principal.groups)


def check_policy_id(text: str) -> str:
    """The text if it can be a policy's id; anything else names no policy."""
    if _POLICY_ID.fullmatch(text) is None:
        raise PolicyNotFound
    return text


def check_binding_id(text: str) -> str:
    """The text if it can be a binding's id; anything else names no binding."""
    if _BINDING_ID.fullmatch(text) is None:
        raise BindingNotFound
    return text


def check_scope(scope: PolicyScope) -> None:
    if scope is not PolicyScope.TENANT:
        raise InvalidPolicy("Partner policies are not available in this release: scope is tenant.")


def parse_subject(identity_type: IdentityType | None, identity_id: str) -> Subject:
    """The subject, its type read off the id if not given; InvalidPolicy if the two can not belong together."""
    told = next((kind for kind, form in _FORMS.items() if form.fullmatch(identity_id)), None)
    if told is None:
        # No token speaks for it: it would be bound to nobody, and look as if it were bound to somebody.
        raise InvalidPolicy("identity_id is user:<email>, sa:<name>, group:<name>, system:<name> or dynamic:<engine>.")
    if identity_type not in (None, told):
        raise InvalidPolicy(f"An identity_id like this one is a {told}'s, not a {identity_type}'s.")
    return Subject(told, one_spelling(identity_id))


def check_expiry(expires_at: datetime | None, now: datetime) -> None:
    """InvalidPolicy unless the instant is ahead, by a hundred years at most."""
    if expires_at is not None and not now < expires_at <= now + LONGEST_BINDING:
        raise InvalidPolicy("A binding's expires_at lies ahead, by a hundred years at most.")
