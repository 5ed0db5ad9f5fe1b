"""What happened, who is told of it, and how a delivery goes on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import SystemRandom
from typing import Final

from scaivault.kernel.events import ABOUT_SECRETS, WITHOUT_PATH, Event, Fact
from scaivault.kernel.globs import Glob

MOST_WEBHOOKS: Final = 100
KEPT: Final = timedelta(days=7)
RETRIES: Final = tuple(timedelta(seconds=each) for each in (30, 120, 600, 1_800, 7_200))
# What follows on the same path (or other key of order) waits behind an attempt that failed, but not behind the long
# pauses: a receiver that has been away for a quarter of an hour is better served by what is new.
ORDERED_ATTEMPTS: Final = 4
FAILURES_THAT_DISABLE: Final = 50
PREVIOUS_SECRET_TTL: Final = timedelta(hours=24)
SPREAD: Final = 0.1


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    SUCCESS = "success"
    FAILED = "failed"


class WebhookStatus(StrEnum):
    """`failing`: its last attempt failed. `disabled`: nothing is sent until it is enabled again."""

    HEALTHY = "healthy"
    FAILING = "failing"
    DISABLED = "disabled"


class Trouble(StrEnum):
    """Why there was no answer. Nothing finer, which would tell a tenant about our network.

    `tls_failed` is of a receiver that was reached: its certificate, or what it speaks.
    """

    UNREACHABLE = "unreachable"
    TLS_FAILED = "tls_failed"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Interest:
    """Which events somebody listens for. Empty filters let everything through; all that are given must hold."""

    events: Sequence[str]
    path_prefix: str
    secret_type: str | None
    tags: Sequence[str]
    paths: Sequence[Glob] = ()

    @property
    def why_deaf(self) -> str | None:
        """Why no event could ever pass, where none of those that are listened for could."""
        if self.path_prefix and WITHOUT_PATH.issuperset(self.events):
            return "path_prefix lets none of these events through: they are about no path"
        if (self.tags or self.secret_type is not None) and ABOUT_SECRETS.isdisjoint(self.events):
            return "tags and secret_type let none of these events through: they are about no secret"
        return None

    def covers(
        self,
        event_type: str,
        path: str | None,
        secret_type: str | None,
        tags: frozenset[str],
        *,
        is_named: bool = False,
    ) -> bool:
        """Whether an event is meant. A filter lets through only what has what it looks at; of `tags` one will do.

        An event that names whoever listens here is meant whatever its type.
        """
        return (
            (is_named or event_type in self.events)
            and (not self.path_prefix or (path is not None and path.startswith(self.path_prefix)))
            and (self.secret_type is None or secret_type == self.secret_type)
            and (not self.tags or not tags.isdisjoint(self.tags))
            and (not self.paths or (path is not None and any(glob.matches(path) for glob in self.paths)))
        )


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is told, and of what."""

    id: str
    name: str
    url: str
    events: Sequence[str]
    path_prefix: str
    secret_type: str | None
    tags: Sequence[str]
    is_enabled: bool
    created_by: str
    created_at: datetime
    updated_at: datetime
    consecutive_failures: int = 0
    last_attempt_failed: bool = False
    revision: int = 1
    previous_secret_expires_at: datetime | None = None

    @property
    def interest(self) -> Interest:
        return Interest(self.events, self.path_prefix, self.secret_type, self.tags)

    @property
    def status(self) -> WebhookStatus:
        if not self.is_enabled:
            return WebhookStatus.DISABLED
        return WebhookStatus.FAILING if self.last_attempt_failed else WebhookStatus.HEALTHY


@dataclass(frozen=True, slots=True)
class Draft:
    """What a new webhook is to be, or what of one is to change; None leaves it as it is."""

    name: str | None = None
    url: str | None = None
    events: Sequence[str] | None = None
    path_prefix: str | None = None
    secret_type: str | None = None
    tags: Sequence[str] | None = None
    filters_are_given: bool = False
    is_enabled: bool | None = None

    def named(self) -> list[str]:
        """The names of what is given."""
        given = {"name": self.name, "url": self.url, "events": self.events, "enabled": self.is_enabled}
        return [name for name, value in given.items() if value is not None] + ["filters"] * self.filters_are_given


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event in the outbox. Those of one `order_key`, or without one of one path, are told one after the other."""

    id: str
    event_type: str
    occurred_at: datetime
    request_id: str
    path: str | None
    secret_type: str | None
    tags: Sequence[str]
    body: str
    order_key: str | None = None
    also_to: Sequence[str] = ()
    trace_id: str | None = None

    @classmethod
    def of(cls, event_id: str, event: Event, now: datetime) -> "StoredEvent":
        origin = event.caller.origin
        body = envelope(event_id, event, now)
        return cls(
            event_id,
            event.kind.value,
            now,
            origin.request_id,
            event.path,
            event.secret_type,
            sorted(event.tags),
            body,
            event.resource,
            list(event.also_to),
            origin.trace_id,
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook, or arrived."""

    id: str
    event_id: str
    event_type: str
    created_at: datetime
    status: str
    attempts: int
    attempted_at: datetime | None
    next_attempt_at: datetime | None
    response_code: int | None
    duration_ms: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that is to be attempted now, and all that it takes but the signature."""

    id: str
    event_id: str
    event_type: str
    request_id: str
    path: str | None
    order_key: str | None
    attempts: int
    body: str = field(repr=False)
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt. Both codes None: it was not made."""

    response_code: int | None
    trouble: Trouble | None
    duration_ms: float

    @property
    def fault(self) -> str:
        """In one word, why it is no success."""
        return "rejected" if self.trouble is None else self.trouble.value

    @property
    def is_success(self) -> bool:
        return self.response_code is not None and 200 <= self.response_code < 300  # noqa: PLR2004 - HTTP's


@dataclass(frozen=True, slots=True)
class Statistics:
    """Attempts of the last 24 hours, by whole hours."""

    succeeded: int
    failed: int
    milliseconds: float

    @property
    def attempts(self) -> int:
        return self.succeeded + self.failed

    @property
    def success_rate(self) -> float | None:
        return self.succeeded / self.attempts if self.attempts else None

    @property
    def average_latency_ms(self) -> float | None:
        return self.milliseconds / self.attempts if self.attempts else None


@dataclass(frozen=True, slots=True)
class Step:
    """Where an attempt leaves its delivery."""

    status: DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None

    @property
    def frees_its_key(self) -> bool:
        """Whether what waits behind it may go now; once, when it ends or when it has been waited for long enough."""
        has_ended = self.status is not DeliveryStatus.PENDING
        return self.attempts == ORDERED_ATTEMPTS or (has_ended and self.attempts < ORDERED_ATTEMPTS)


def step_after(outcome: Outcome, attempts_before: int, now: datetime) -> Step:
    """Done, again after a pause (give or take a tenth, so that a crowd does not come back as one), or given up."""
    attempts = attempts_before + 1
    if outcome.is_success:
        return Step(DeliveryStatus.SUCCESS, attempts, None)
    if attempts > len(RETRIES):
        return Step(DeliveryStatus.FAILED, attempts, None)
    pause = RETRIES[attempts - 1] * SystemRandom().uniform(1 - SPREAD, 1 + SPREAD)
    return Step(DeliveryStatus.PENDING, attempts, now + pause)


def envelope(event_id: str, event: Event, now: datetime) -> str:
    """What is sent, to the byte, now and in every later attempt."""
    principal, origin = event.caller.principal, event.caller.origin
    told: dict[str, object] = {
        "event_id": event_id,
        "event_type": event.kind.value,
        "timestamp": timestamp(now),
        "tenant_id": principal.tenant_id,
        "partner_id": principal.partner_id,
        "identity_id": principal.identity_id,
    }
    if event.path is not None:
        told["path"] = event.path
    told["data"] = _plain(event.data)
    told["request_id"] = origin.request_id
    return json.dumps(told, separators=(",", ":"))


def _plain(data: Mapping[str, Fact]) -> dict[str, object]:
    return {name: timestamp(fact) if isinstance(fact, datetime) else fact for name, fact in data.items()}


def timestamp(instant: datetime) -> str:
    """An instant as envelopes spell it."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
