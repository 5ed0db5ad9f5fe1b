"""Who listens for what happens to which paths, and what became of what was meant for him."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from scaivault.features.events.model.webhooks import timestamp
from scaivault.kernel.caller import Caller
from scaivault.kernel.events import EventType

MOST_SUBSCRIPTIONS: Final = 500
MOST_OF_AN_OWNER: Final = 50
LEAST_BUFFER: Final = 1
DEFAULT_BUFFER: Final = 1_000
MOST_BUFFER: Final = 10_000
GAP: Final = "subscription.gap"
# Who reads and who is refused is what the audit trail tells, and as little everybody's.
OF_THE_TRAIL: Final = frozenset({EventType.ANOMALY_DETECTED, EventType.POLICY_VIOLATION, EventType.SECRET_ACCESSED})

_GAP_ID = re.compile(r"gap_([0-9a-f]{32})_([0-9]{1,18})", re.ASCII)


class DeliveryType(StrEnum):
    POLLING = "polling"
    WEBHOOK = "webhook"


class SubscriptionStatus(StrEnum):
    """`failing` and `disabled` as of webhooks; who asks himself is always told.

    `suspended`: it is delivered, and its owner administers the tenant no more. Nothing is kept or sent until he does.
    """

    ACTIVE = "active"
    FAILING = "failing"
    SUSPENDED = "suspended"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Subscription:
    """What its owner listens for. `url` and what follows are its webhook's, where it has one."""

    id: str
    name: str
    owner_id: str
    paths: Sequence[str]
    events: Sequence[str]
    path_prefix: str
    secret_type: str | None
    tags: Sequence[str]
    delivery_type: str
    buffer_size: int
    created_at: datetime
    updated_at: datetime
    url: str | None = None
    is_enabled: bool = True
    last_attempt_failed: bool = False
    revision: int = 1
    previous_secret_expires_at: datetime | None = None
    is_suspended: bool = False

    @property
    def is_polled(self) -> bool:
        return self.delivery_type == DeliveryType.POLLING

    @property
    def status(self) -> SubscriptionStatus:
        if not self.is_enabled:
            return SubscriptionStatus.DISABLED
        if self.is_suspended:
            return SubscriptionStatus.SUSPENDED
        return SubscriptionStatus.FAILING if self.last_attempt_failed else SubscriptionStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class Wish:
    """What a new subscription is to be, or what of one is to change; None leaves it as it is."""

    name: str | None = None
    paths: Sequence[str] | None = None
    events: Sequence[str] | None = None
    path_prefix: str | None = None
    secret_type: str | None = None
    tags: Sequence[str] | None = None
    filters_are_given: bool = False
    delivery_type: DeliveryType | None = None
    url: str | None = None
    buffer_size: int | None = None
    is_enabled: bool | None = None

    @property
    def changes_webhook(self) -> bool:
        return self.url is not None or self.is_enabled is not None

    @property
    def asks_for_the_trail(self) -> bool:
        return not OF_THE_TRAIL.isdisjoint(self.events or ())

    def named(self) -> list[str]:
        """The names of what is given."""
        given: Mapping[str, object] = {
            "name": self.name,
            "paths": self.paths,
            "events": self.events,
            "url": self.url,
            "buffer_size": self.buffer_size,
            "enabled": self.is_enabled,
        }
        return [name for name, value in given.items() if value is not None] + ["filters"] * self.filters_are_given


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event in a buffer, at its place in the order of what the subscription was told."""

    position: int
    event_id: str
    event_type: str
    path: str
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Buffer:
    """A buffer at one moment. `missing` was dropped unheard, ever; `told_missing` of it has been acknowledged.

    `missing_beyond` of what came after the position that was asked about is not there any more.
    """

    last_position: int
    missing: int
    told_missing: int
    missing_beyond: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Gap:
    """What was dropped before anybody heard of it; `dropped` None where nobody can tell how much."""

    subscription_id: str
    missing: int
    dropped: int | None

    @property
    def id(self) -> str:
        """It names how much was missing, ever: to acknowledge it twice, or late, does no harm."""
        return f"gap_{self.subscription_id.removeprefix('sub_')}_{self.missing}"

    def body(self, caller: Caller, now: datetime, next_event_id: str | None) -> str:
        """In the form of an event, to stand before what is still there."""
        told = {
            "event_id": self.id,
            "event_type": GAP,
            "timestamp": timestamp(now),
            "tenant_id": caller.tenant_id,
            "partner_id": caller.principal.partner_id,
            "identity_id": caller.identity_id,
            "data": {
                "subscription_id": self.subscription_id,
                "dropped": self.dropped,
                "next_event_id": next_event_id,
            },
            "request_id": caller.origin.request_id,
        }
        return json.dumps(told, separators=(",", ":"))


def missing_named(event_id: str, subscription_id: str) -> int | None:
    """How much was missing by a gap's id; None if it is no gap's of this subscription."""
    found = _GAP_ID.fullmatch(event_id)
    return int(found[2]) if found and found[1] == subscription_id.removeprefix("sub_") else None
