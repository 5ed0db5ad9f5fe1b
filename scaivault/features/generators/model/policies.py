"""Secret policies."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from scaivault.features.generators.errors import SecretPolicyNotFound
from scaivault.features.generators.model.configs import Random
from scaivault.features.generators.model.fields import AnyField, RandomField, SshKeypairField, UuidField
from scaivault.kernel.errors import ValidationFailed

MAX_SECRET_POLICIES = 200

_ID = re.compile(r"sp_[0-9a-f]{32}", re.ASCII)


class PolicyType(StrEnum):
    """What the values are for: a hint to people and their tools, and where `fields` come from if none are given."""

    PASSWORD = "password"  # noqa: S105 - a type's name
    API_KEY = "api_key"
    OAUTH_CLIENT = "oauth_client"
    SSH_KEY = "ssh_key"
    CUSTOM = "custom"


USUAL_FIELDS: Final[Mapping[PolicyType, tuple[AnyField, ...]]] = MappingProxyType(
    {
        PolicyType.PASSWORD: (
            RandomField(name="password", generator="random", config=Random(length=32, charset="safe")),
        ),
        PolicyType.API_KEY: (RandomField(name="api_key", generator="random", config=Random(length=40)),),
        PolicyType.OAUTH_CLIENT: (
            UuidField(name="client_id", generator="uuid"),
            RandomField(name="client_secret", generator="random", config=Random(length=48)),
        ),
        PolicyType.SSH_KEY: (SshKeypairField(name="private_key", generator="ssh_keypair"),),
    }
)


@dataclass(frozen=True, slots=True)
class SecretPolicy:
    """How a secret's values are made. `revision` counts its changes."""

    id: str
    name: str
    description: str
    policy_type: PolicyType
    fields: tuple[AnyField, ...]
    is_active: bool
    revision: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Draft:
    """What a client decides about a secret policy."""

    name: str
    description: str
    policy_type: PolicyType
    fields: tuple[AnyField, ...]
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Changes:
    """Some of a draft; None is what stays as it is."""

    name: str | None = None
    description: str | None = None
    policy_type: PolicyType | None = None
    fields: tuple[AnyField, ...] | None = None
    is_active: bool | None = None

    def named(self) -> list[str]:
        """What is to change."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]


@dataclass(frozen=True, slots=True)
class Portion:
    """A piece of the collection."""

    policies: tuple[SecretPolicy, ...]
    has_more: bool


def check_id(text: str) -> str:
    """The text if it can be a secret policy's id; anything else names none."""
    if _ID.fullmatch(text) is None:
        raise SecretPolicyNotFound
    return text


def usual_fields(policy_type: PolicyType) -> tuple[AnyField, ...]:
    """What a policy of this type has if it does not say; ValidationFailed for a custom one, which must."""
    if policy_type not in USUAL_FIELDS:
        raise ValidationFailed(fields={"fields": "a custom policy says what its fields are"})
    return USUAL_FIELDS[policy_type]
