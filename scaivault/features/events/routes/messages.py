"""What the webhooks' addresses take and give."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from scaivault.edge.messages import Body, Duration, Name, Page, PageReply, Reply, Timestamp
from scaivault.features.events.model.webhooks import (
    PREVIOUS_SECRET_TTL,
    Delivery,
    DeliveryStatus,
    Draft,
    Webhook,
    WebhookStatus,
)
from scaivault.features.events.service.hooks import NewSecret
from scaivault.features.events.service.webhooks import Detail
from scaivault.kernel.events import EventType
from scaivault.kernel.paths import parse_prefix
from scaivault.kernel.plaintext import Plaintext

LEAST_SECRET, MOST_SECRET = 16, 512


def _secret(secret: SecretStr) -> SecretStr:
    if not LEAST_SECRET <= len(secret.get_secret_value().encode()) <= MOST_SECRET:
        raise ValueError(f"{LEAST_SECRET} to {MOST_SECRET} bytes, and better not less than 32")
    return secret


def _once_each(kinds: list[EventType]) -> list[EventType]:
    return sorted(set(kinds))


Url = Annotated[str, Field(min_length=1, max_length=2_000)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
Kind = Annotated[EventType, Field(strict=False)]
Kinds = Annotated[list[Kind], Field(min_length=1, max_length=len(EventType)), AfterValidator(_once_each)]
SecretType = Literal["kv", "json", "certificate", "ssh_key", "api_key"]
Tag = Annotated[str, Field(min_length=1, max_length=100)]
Prefix = Annotated[str, Field(max_length=512), AfterValidator(parse_prefix)]


class WebhookFilters(Body):
    """All that are given must hold, of `tags` any one. With a filter only events about secrets come through."""

    path_prefix: Prefix | None = None
    secret_type: SecretType | None = None
    tags: Annotated[list[Tag], Field(max_length=50)] | None = None


class WebhookBody(Body):
    name: Name
    url: Url
    secret: Secret
    events: Kinds
    filters: WebhookFilters | None = None
    enabled: bool = True

    def to_model(self) -> Draft:
        return _draft(self.name, self.url, self.events, self.filters, self.enabled)


class WebhookChangeBody(Body):
    """What is given replaces what is there; filters as a whole. `previous_secret_ttl` goes with a new `secret`."""

    name: Name | None = None
    url: Url | None = None
    secret: Secret | None = None
    previous_secret_ttl: Duration | None = None
    events: Kinds | None = None
    filters: WebhookFilters | None = None
    enabled: bool | None = None

    @model_validator(mode="after")
    def _is_sound(self) -> "WebhookChangeBody":
        if not self.model_fields_set:
            raise ValueError("give something to change")
        if self.previous_secret_ttl is not None and self.secret is None:
            raise ValueError("previous_secret_ttl goes with a new secret")
        if self.previous_secret_ttl is not None and self.previous_secret_ttl > timedelta(days=7):
            raise ValueError("previous_secret_ttl is at most 7d")
        return self

    def to_model(self) -> Draft:
        return _draft(self.name, self.url, self.events, self.filters, self.enabled)

    def new_secret(self) -> NewSecret | None:
        if self.secret is None:
            return None
        return NewSecret(plaintext(self.secret), self.previous_secret_ttl or PREVIOUS_SECRET_TTL)


class DeliveriesQuery(Page):
    status: DeliveryStatus | None = None


class ListQuery(Page):
    pass


class FiltersReply(Reply):
    path_prefix: str | None
    secret_type: str | None
    tags: list[str]


class WebhookReply(Reply):
    id: str
    name: str
    url: str
    events: list[str]
    filters: FiltersReply
    enabled: bool
    status: WebhookStatus
    consecutive_failures: int
    previous_secret_expires_at: Timestamp | None
    created_by: str
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookReply":
        return cls(**_facts(webhook))


class StatisticsReply(Reply):
    """Of the attempts in the last 24 hours, counted by whole hours; null where there were none."""

    deliveries_24h: int
    success_rate_24h: float | None
    avg_latency_ms: float | None


class LastDeliveryReply(Reply):
    id: str
    timestamp: Timestamp | None
    status: DeliveryStatus
    response_code: int | None


class WebhookDetailReply(WebhookReply):
    statistics: StatisticsReply
    last_delivery: LastDeliveryReply | None

    @classmethod
    def of_detail(cls, detail: Detail) -> "WebhookDetailReply":
        statistics, last = detail.statistics, detail.last_delivery
        return cls(
            **_facts(detail.webhook),
            statistics=StatisticsReply(
                deliveries_24h=statistics.attempts,
                success_rate_24h=statistics.success_rate,
                avg_latency_ms=statistics.average_latency_ms,
            ),
            last_delivery=last
            and LastDeliveryReply(
                id=last.id,
                timestamp=last.attempted_at,
                status=DeliveryStatus(last.status),
                response_code=last.response_code,
            ),
        )


class WebhookPage(PageReply):
    webhooks: list[WebhookReply]


class DeliveryReply(Reply):
    """`timestamp` is when the delivery was made; `error` is why there was no answer."""

    id: str
    event_id: str
    event_type: str
    timestamp: Timestamp
    status: DeliveryStatus
    attempts: int
    last_attempt_at: Timestamp | None
    next_attempt_at: Timestamp | None
    response_code: int | None
    duration_ms: float | None
    error: str | None

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryReply":
        return cls(
            id=delivery.id,
            event_id=delivery.event_id,
            event_type=delivery.event_type,
            timestamp=delivery.created_at,
            status=DeliveryStatus(delivery.status),
            attempts=delivery.attempts,
            last_attempt_at=delivery.attempted_at,
            next_attempt_at=delivery.next_attempt_at,
            response_code=delivery.response_code,
            duration_ms=delivery.duration_ms,
            error=delivery.error,
        )


class DeliveryPage(PageReply):
    deliveries: list[DeliveryReply]


class TestReply(Reply):
    delivery_id: str
    status: DeliveryStatus
    response_code: int | None
    duration_ms: float
    error: str | None


def plaintext(secret: SecretStr) -> Plaintext:
    return Plaintext(secret.get_secret_value().encode())


def _draft(
    name: str | None,
    url: str | None,
    events: list[EventType] | None,
    filters: WebhookFilters | None,
    enabled: bool | None,
) -> Draft:
    given = filters or WebhookFilters()
    return Draft(
        name=name,
        url=url,
        events=None if events is None else [kind.value for kind in events],
        path_prefix=given.path_prefix,
        secret_type=given.secret_type,
        tags=None if given.tags is None else sorted(set(given.tags)),
        filters_are_given=filters is not None,
        is_enabled=enabled,
    )


def _facts(webhook: Webhook) -> dict[str, object]:
    return {
        "id": webhook.id,
        "name": webhook.name,
        "url": webhook.url,
        "events": list(webhook.events),
        "filters": FiltersReply(
            path_prefix=webhook.path_prefix or None, secret_type=webhook.secret_type, tags=list(webhook.tags)
        ),
        "enabled": webhook.is_enabled,
        "status": webhook.status,
        "consecutive_failures": webhook.consecutive_failures,
        "previous_secret_expires_at": webhook.previous_secret_expires_at,
        "created_by": webhook.created_by,
        "created_at": webhook.created_at,
        "updated_at": webhook.updated_at,
    }
