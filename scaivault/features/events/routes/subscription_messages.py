"""What the subscriptions' addresses take and give."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from scaivault.edge.messages import IN_DIGITS, Body, Duration, Name, Page, PageReply, Query, Reply, Timestamp, fault_of
from scaivault.features.events.model.subscriptions import (
    DEFAULT_BUFFER,
    LEAST_BUFFER,
    MOST_BUFFER,
    DeliveryType,
    Subscription,
    SubscriptionStatus,
    Wish,
)
from scaivault.features.events.model.webhooks import PREVIOUS_SECRET_TTL
from scaivault.features.events.routes.delivery_messages import LastDeliveryReply, StatisticsReply
from scaivault.features.events.routes.messages import (
    FiltersReply,
    Kinds,
    Secret,
    Url,
    WebhookFilters,
    check_rollover,
    plaintext,
)
from scaivault.features.events.service.hooks import NewSecret
from scaivault.features.events.service.polling import Heard, Question
from scaivault.features.events.service.subscription_log import Detail
from scaivault.kernel.errors import InvalidGlob
from scaivault.kernel.events import EventType
from scaivault.kernel.globs import Glob
from scaivault.kernel.plaintext import Plaintext


def _glob(text: str) -> str:
    try:
        return Glob.parse(text).text
    except InvalidGlob as refusal:
        raise fault_of(refusal) from None


def _globs(texts: list[str]) -> list[str]:
    return sorted(set(texts))


Paths = Annotated[
    list[Annotated[str, AfterValidator(_glob)]], Field(min_length=1, max_length=50), AfterValidator(_globs)
]
EventId = Annotated[str, Field(pattern=r"^[a-z]{3}_[0-9a-z_]{1,64}$")]
BufferSize = Annotated[int, Field(ge=LEAST_BUFFER, le=MOST_BUFFER)]


class PollingDelivery(Body):
    """The owner asks. More than `buffer_size` events that wait push the oldest out, which is told in their place."""

    type: Literal["polling"]
    buffer_size: BufferSize = DEFAULT_BUFFER


class WebhookDelivery(Body):
    """As webhooks are told. Takes an administrator of the tenant, for as long as it is to go on."""

    type: Literal["webhook"]
    url: Url
    secret: Secret


class DeliveryChange(Body):
    """What is given replaces what is there; the kind of delivery stays. `previous_secret_ttl` goes with a `secret`."""

    type: Annotated[DeliveryType, Field(strict=False)] = Field(default_factory=lambda: DeliveryType.POLLING)
    buffer_size: BufferSize = Field(default_factory=int)
    url: Url = Field(default_factory=str)
    secret: Secret = Field(default_factory=lambda: SecretStr(""))
    previous_secret_ttl: Duration = Field(default_factory=lambda: PREVIOUS_SECRET_TTL)

    @model_validator(mode="after")
    def _is_sound(self) -> "DeliveryChange":
        check_rollover(self.model_fields_set, self.previous_secret_ttl)
        return self

    def to_model(self) -> Wish:
        given = self.model_fields_set
        return Wish(
            delivery_type=self.type if "type" in given else None,
            url=self.url if "url" in given else None,
            buffer_size=self.buffer_size if "buffer_size" in given else None,
        )


class SubscriptionBody(Body):
    name: Name
    paths: Paths
    events: Kinds
    delivery: Annotated[PollingDelivery | WebhookDelivery, Field(discriminator="type")]
    filters: WebhookFilters | None = None

    def to_model(self) -> Wish:
        delivery, kind = self.delivery, DeliveryType(self.delivery.type)
        if isinstance(delivery, WebhookDelivery):
            wished = Wish(delivery_type=kind, url=delivery.url)
        else:
            wished = Wish(delivery_type=kind, buffer_size=delivery.buffer_size)
        return _wish(self.name, self.paths, self.events, self.filters, wished, filters_are_given=True)

    def secret(self) -> Plaintext | None:
        return plaintext(self.delivery.secret) if isinstance(self.delivery, WebhookDelivery) else None


class SubscriptionChangeBody(Body):
    """What is given replaces what is there; filters as a whole, and null is without any. What is left out stays.

    `enabled` is for what is delivered to a webhook.
    """

    # By factory: the schema shows no default then, and there is none.
    name: Name = Field(default_factory=str)
    paths: Paths = Field(default_factory=list)
    events: Kinds = Field(default_factory=list)
    delivery: DeliveryChange = Field(default_factory=DeliveryChange)
    filters: WebhookFilters | None = Field(default_factory=lambda: None)
    enabled: bool = Field(default_factory=bool)

    @model_validator(mode="after")
    def _is_sound(self) -> "SubscriptionChangeBody":
        if not self.model_fields_set:
            raise ValueError("give something to change")
        return self

    def to_model(self) -> Wish:
        given = self.model_fields_set
        delivery = self.delivery.to_model()
        return _wish(
            self.name if "name" in given else None,
            self.paths if "paths" in given else None,
            self.events if "events" in given else None,
            self.filters,
            replace(delivery, is_enabled=self.enabled if "enabled" in given else None),
            filters_are_given="filters" in given,
        )

    def new_secret(self) -> NewSecret | None:
        delivery = self.delivery
        if "secret" not in delivery.model_fields_set:
            return None
        return NewSecret(plaintext(delivery.secret), delivery.previous_secret_ttl)


class SubscriptionsQuery(Page):
    pass


class PollQuery(Query):
    """What comes after `since_event_id`, acknowledged or not; without it, all that was not acknowledged."""

    timeout: Annotated[int, Field(ge=0, le=60), IN_DIGITS] = 30
    since_event_id: EventId | None = None
    max_events: Annotated[int, Field(ge=1, le=1_000), IN_DIGITS] = 100

    def to_model(self) -> Question:
        return Question(self.since_event_id, self.max_events, float(self.timeout))


class AckBody(Body):
    """Ids of events and of gaps. Those that are unknown, or acknowledged already, change nothing."""

    event_ids: Annotated[list[EventId], Field(min_length=1, max_length=1_000)]


class MeansReply(Reply):
    type: DeliveryType
    buffer_size: int | None
    url: str | None
    previous_secret_expires_at: Timestamp | None


class SubscriptionReply(Reply):
    id: str
    name: str
    identity_id: str
    paths: list[str]
    events: list[str]
    filters: FiltersReply
    delivery: MeansReply
    enabled: bool
    status: SubscriptionStatus
    revision: int
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, found: Subscription) -> "SubscriptionReply":
        return cls(**_facts(found))


class SubscriptionDetailReply(SubscriptionReply):
    """`statistics` and `last_delivery` are null of what is polled."""

    statistics: StatisticsReply | None
    last_delivery: LastDeliveryReply | None

    @classmethod
    def of_detail(cls, detail: Detail) -> "SubscriptionDetailReply":
        fared = detail.fared
        return cls(
            **_facts(detail.subscription),
            statistics=None if fared is None else StatisticsReply.of(fared),
            last_delivery=None if fared is None else LastDeliveryReply.of(fared),
        )


class SubscriptionPage(PageReply):
    subscriptions: list[SubscriptionReply]


class HeardEvent(Reply):
    """An event as a webhook is told it. `subscription.gap` stands where some were dropped: how many, and before which.

    `path` is null of a gap. `data.dropped` of it is null where nobody can tell.
    """

    event_id: str
    event_type: str
    timestamp: str
    tenant_id: str
    partner_id: str
    identity_id: str
    path: str | None = None
    data: dict[str, object]
    request_id: str


class PollReply(Reply):
    events: list[HeardEvent]
    has_more: bool

    @classmethod
    def of(cls, heard: Heard) -> "PollReply":
        return cls(events=[HeardEvent(**json.loads(body)) for body in heard.bodies], has_more=heard.has_more)


class AckReply(Reply):
    """How many of them were not acknowledged until now."""

    acknowledged: int


def _wish(
    name: str | None,
    paths: Sequence[str] | None,
    events: Sequence[EventType] | None,
    filters: WebhookFilters | None,
    delivery: Wish,
    *,
    filters_are_given: bool,
) -> Wish:
    given = filters or WebhookFilters()
    return Wish(
        name=name,
        paths=paths,
        events=None if events is None else [kind.value for kind in events],
        path_prefix=given.path_prefix,
        secret_type=given.secret_type,
        tags=None if given.tags is None else sorted(set(given.tags)),
        filters_are_given=filters_are_given,
        delivery_type=delivery.delivery_type,
        url=delivery.url,
        buffer_size=delivery.buffer_size,
        is_enabled=delivery.is_enabled,
    )


def _facts(found: Subscription) -> dict[str, object]:
    return {
        "id": found.id,
        "name": found.name,
        "identity_id": found.owner_id,
        "paths": list(found.paths),
        "events": list(found.events),
        "filters": FiltersReply(
            path_prefix=found.path_prefix or None, secret_type=found.secret_type, tags=list(found.tags)
        ),
        "delivery": MeansReply(
            type=DeliveryType(found.delivery_type),
            buffer_size=found.buffer_size if found.is_polled else None,
            url=found.url,
            previous_secret_expires_at=found.previous_secret_expires_at,
        ),
        "enabled": found.is_enabled,
        "status": found.status,
        "revision": found.revision,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
    }
