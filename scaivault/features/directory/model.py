"""What the directory holds, and what the identity provider tells of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from scaivault.features.directory.errors import EventRefused
from scaivault.features.identity.model import EMAIL
from scaivault.kernel import ids
from scaivault.kernel.caller import Role

_USER_ID = re.compile(r"usr_[A-Za-z0-9_-]{1,96}", re.ASCII)
_GROUP_ID = re.compile(r"grp_[A-Za-z0-9_-]{1,96}", re.ASCII)
_TENANT_ID = re.compile(ids.TENANT_ID, re.ASCII)
_PARTNER_ID = re.compile(ids.PARTNER_ID, re.ASCII)
_EMAIL = re.compile(EMAIL, re.ASCII)
_GROUP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)
MOST_CHARACTERS = 200


class Status(StrEnum):
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Partner:
    id: str
    name: str
    slug: str | None
    region: str | None
    status: str
    last_synced_at: datetime | None


@dataclass(frozen=True, slots=True)
class Tenant:
    id: str
    partner_id: str
    name: str
    slug: str | None
    status: str
    last_synced_at: datetime | None


@dataclass(frozen=True, slots=True)
class User:
    id: str
    tenant_id: str
    email: str
    display_name: str
    status: str
    mfa_enabled: bool
    groups: list[str]
    roles: list[str]
    last_synced_at: datetime


@dataclass(frozen=True, slots=True)
class Group:
    id: str
    tenant_id: str
    name: str
    status: str
    member_count: int
    last_synced_at: datetime


@dataclass(frozen=True, slots=True)
class Member:
    user_id: str
    email: str
    membership_type: str
    added_at: datetime


@dataclass(frozen=True, slots=True)
class Resolved:
    """An identity, user, service account or group, with what it is a member of."""

    identity_type: str
    identity_id: str
    display_name: str
    status: str
    user_id: str | None
    groups: list[str]
    roles: list[str]


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of one page, first page 1."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


class SyncStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class SyncFault(StrEnum):
    """Why a sync failed, as its history tells it."""

    UNAVAILABLE = "directory_unavailable"
    MALFORMED = "directory_malformed"
    CHANGED_MEANWHILE = "directory_changed_meanwhile"
    TOO_LARGE = "directory_too_large"
    TOO_SLOW = "directory_too_slow"
    NOT_THERE = "not_in_directory"
    TOO_MANY_DELETIONS = "too_many_deletions"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Territory:
    """What a sync is about: one tenant, one partner's tenants or, of None and None, everything."""

    partner_id: str | None
    tenant_id: str | None


@dataclass(slots=True)
class Counts:
    """What a sync has read, and what came of it."""

    tenants: int = 0
    users: int = 0
    groups: int = 0
    members: int = 0
    changed: int = 0
    deleted: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Sync:
    """One sync of the directory, in whatever state. `attempts` tells this claim of it from the next."""

    id: str
    partner_id: str | None
    only_tenant_id: str | None
    requested_by: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    attempts: int
    tenants: int
    users: int
    groups: int
    members: int
    changed: int
    deleted: int
    refused: int
    error_code: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """One telling of the identity provider, about one resource, as of `at`. `data` is as it came."""

    id: str
    kind: str
    at: datetime
    resource_id: str
    partner_id: str | None
    tenant_id: str | None
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Told:
    """Named pieces of an event's data, each of its type or refused by name."""

    data: Mapping[str, object]

    def text(self, *names: str) -> str | None:
        """The first of these that is given, as text without control characters."""
        for name in names:
            value = self.data.get(name)
            if value is None:
                continue
            if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= MOST_CHARACTERS:
                raise EventRefused(f"data.{name} is no text of 1 to {MOST_CHARACTERS} characters")
            return value
        return None

    def word(self, name: str) -> str | None:
        value = self.text(name)
        if value is not None and _WORD.fullmatch(value) is None:
            raise EventRefused(f"data.{name} has characters that do not belong there")
        return value

    def flag(self, name: str) -> bool | None:
        value = self.data.get(name)
        if value is not None and not isinstance(value, bool):
            raise EventRefused(f"data.{name} is neither true nor false")
        return value

    def status(self) -> Status | None:
        """ACTIVE for ACTIVE; what is anything else is shut out, also by a word that is new to us."""
        value = self.text("status")
        if value is None:
            return None
        return Status(value.upper()) if value.upper() in set(Status) else Status.SUSPENDED

    def email(self) -> str | None:
        value = self.text("email")
        if value is not None and _EMAIL.fullmatch(value) is None:
            raise EventRefused("data.email is no address that can be an identity")
        return None if value is None else value.lower()

    def roles(self) -> list[str] | None:
        """Roles that are known; None if none are told of, and then they stay as they were given here."""
        given = self.data.get("roles")
        if given is None:
            return None
        if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
            raise EventRefused("data.roles is no list of names")
        return sorted(set(given) & set(Role))

    def group_name(self) -> str | None:
        value = self.text("slug", "name")
        if value is not None and _GROUP_NAME.fullmatch(value) is None:
            raise EventRefused("the group's name can not be part of an identity")
        return value


def user_id(text: object) -> str:
    return _matched(_USER_ID, text, "a user's id")


def group_id(text: object) -> str:
    return _matched(_GROUP_ID, text, "a group's id")


def tenant_id(text: object) -> str:
    return _matched(_TENANT_ID, text, "a tenant's id")


def partner_id(text: object) -> str:
    """`ptn_…`: the identity provider writes `prt_` for the same."""
    spelled = "ptn_" + text.removeprefix("prt_") if isinstance(text, str) and text.startswith("prt_") else text
    return _matched(_PARTNER_ID, spelled, "a partner's id")


def _matched(form: re.Pattern[str], text: object, what: str) -> str:
    if not isinstance(text, str) or form.fullmatch(text) is None:
        raise EventRefused(f"{what} is missing or malformed")
    return text
