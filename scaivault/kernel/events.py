"""What happened, for those outside who want to know. Named facts only: there is no place to put a secret's value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from scaivault.kernel.caller import Caller
from scaivault.kernel.paths import SecretPath

Fact = str | int | bool | None | datetime | list[str] | list[int]


class EventType(StrEnum):
    """Every documented event; those of features still to come may be asked for already."""

    ANOMALY_DETECTED = "anomaly.detected"
    CERTIFICATE_EXPIRING = "certificate.expiring"
    CERTIFICATE_ISSUED = "certificate.issued"
    CERTIFICATE_RENEWAL_FAILED = "certificate.renewal_failed"
    CERTIFICATE_RENEWED = "certificate.renewed"
    CERTIFICATE_REVOKED = "certificate.revoked"
    FEDERATION_SYNC_COMPLETED = "federation.sync.completed"
    FEDERATION_SYNC_FAILED = "federation.sync.failed"
    LEASE_CREATED = "lease.created"
    LEASE_EXPIRED = "lease.expired"
    LEASE_RENEWED = "lease.renewed"
    LEASE_REVOCATION_FAILED = "lease.revocation_failed"
    LEASE_REVOKED = "lease.revoked"
    POLICY_BINDING_CREATED = "policy.binding.created"
    POLICY_BINDING_DELETED = "policy.binding.deleted"
    POLICY_CREATED = "policy.created"
    POLICY_DELETED = "policy.deleted"
    POLICY_UPDATED = "policy.updated"
    POLICY_VIOLATION = "policy.violation"
    ROTATION_COMPLETED = "rotation.completed"
    ROTATION_DUE = "rotation.due"
    ROTATION_FAILED = "rotation.failed"
    ROTATION_OVERDUE = "rotation.overdue"
    SECRET_ACCESSED = "secret.accessed"  # noqa: S105 - an event's name
    SECRET_CREATED = "secret.created"  # noqa: S105 - an event's name
    SECRET_DELETED = "secret.deleted"  # noqa: S105 - an event's name
    SECRET_EXPIRED = "secret.expired"  # noqa: S105 - an event's name
    SECRET_EXPIRING = "secret.expiring"  # noqa: S105 - an event's name
    SECRET_ROTATED = "secret.rotated"  # noqa: S105 - an event's name
    SECRET_UPDATED = "secret.updated"  # noqa: S105 - an event's name
    WEBHOOK_DISABLED = "webhook.disabled"


# What is about no path, ever.
WITHOUT_PATH: Final = frozenset(
    {
        EventType.FEDERATION_SYNC_COMPLETED,
        EventType.FEDERATION_SYNC_FAILED,
        EventType.POLICY_BINDING_CREATED,
        EventType.POLICY_BINDING_DELETED,
        EventType.POLICY_CREATED,
        EventType.POLICY_DELETED,
        EventType.POLICY_UPDATED,
        EventType.WEBHOOK_DISABLED,
    }
)
# What has a secret's type and tags.
ABOUT_SECRETS: Final = frozenset(kind for kind in EventType if kind.startswith(("secret.", "rotation.")))


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in the caller's tenant, by its doing.

    `secret_type` and `tags` are those of the secret it is about, for filters; they are not part of what is told.
    `resource` names what it is about if that is no path: events of one are told in the order in which they happened.
    `also_to` are webhooks, by id, that are told of it without listening for its kind; their filters hold.
    """

    kind: EventType
    caller: Caller
    path: SecretPath | None
    data: Mapping[str, Fact]
    secret_type: str | None = None
    tags: frozenset[str] = frozenset()
    resource: str | None = None
    also_to: Sequence[str] = ()
