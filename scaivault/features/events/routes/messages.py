"""What the webhooks' addresses take and give."""

from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from scaivault.edge.messages import Body, Duration, Name, Page, PageReply, Reply, Timestamp
from scaivault.features.events.model.webhooks import (
    PREVIOUS_SECRET_TTL,
    DeliveryStatus,
    Draft,
    Webhook,
    WebhookStatus,
)
from scaivault.features.events.routes.delivery_messages import LastDeliveryReply, StatisticsReply
from scaivault.features.events.service.hooks import NewSecret
from scaivault.features.events.service.webhooks import Detail
from scaivault.kernel.events import EventType
from scaivault.kernel.paths import parse_prefix
from scaivault.kernel.plaintext import Plaintext

LEAST_SECRET, MOST_SECRET = 16, 512
MOST_TTL = timedelta(days=7)


def _secret(secret: SecretStr) -> SecretStr:
    if not LEAST_SECRET <= len(secret.get_secret_value().encode()) <= MOST_SECRET:
        raise ValueError(f"{LEAST_SECRET} to {MOST_SECRET} bytes, and better not less than 32")
    return secret


def check_rollover(given: AbstractSet[str], previous_secret_ttl: timedelta) -> None:
    """ValueError if the end of an old secret is named without a new one, or is too far away."""
    if "previous_secret_ttl" in given and "secret" not in given:
        raise ValueError("previous_secret_ttl goes with a new secret")
    if previous_secret_ttl > MOST_TTL:
        raise ValueError("previous_secret_ttl is at most 7d")


def _once_each(kinds: list[EventType]) -> list[EventType]:
    return sorted(set(kinds))


Url = Annotated[str, Field(min_length=1, max_length=2_000)]
# In the schema's words: of characters, of which one is up to four bytes.
Secret = Annotated[
    SecretStr,
    AfterValidator(_secret),
    Field(
        description=f"{LEAST_SECRET} to {MOST_SECRET} bytes of UTF-8, better not less than 32. Never shown again.",
        json_schema_extra={"minLength": LEAST_SECRET // 4, "maxLength": MOST_SECRET},
    ),
]
Kind = Annotated[EventType, Field(strict=False)]
Kinds = Annotated[list[Kind], Field(min_length=1, max_length=len(EventType)), AfterValidator(_once_each)]
SecretType = Literal["kv", "json", "certificate", "ssh_key", "api_key"]
Tag = Annotated[str, Field(min_length=1, max_length=100)]
Prefix = Annotated[str, Field(max_length=512), AfterValidator(parse_prefix)]


class WebhookFilters(Body):
    """All that are given must hold, of `tags` any one; null, or left out, asks for nothing.

    `path_prefix` lets through what is about a path that begins so: every `secret.…` and `rotation.…` event, and a
    `policy.violation` about a path; never an event about a policy, a binding or a webhook. `secret_type` and `tags` let
    through `secret.…` and `rotation.…` events only, by the secret's type and tags after what is told. A change of its
    tags passes by those before it too: who listens for a tag hears of the change that takes it away.
    """

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
        return _draft(self.name, self.url, self.events, self.filters, self.enabled, filters_are_given=True)


class WebhookChangeBody(Body):
    """What is given replaces what is there; filters as a whole, and null is without any. What is left out stays.

    `previous_secret_ttl` goes with a new `secret`: for so long deliveries are signed with the one before it too, which
    the vault still has and takes from nobody.
    """

    # By factory: the schema shows no default then, and there is none.
    name: Name = Field(default_factory=str)
    url: Url = Field(default_factory=str)
    secret: Secret = Field(default_factory=lambda: SecretStr(""))
    previous_secret_ttl: Duration = Field(default_factory=lambda: PREVIOUS_SECRET_TTL)
    events: Kinds = Field(default_factory=list)
    filters: WebhookFilters | None = Field(default_factory=lambda: None)
    enabled: bool = Field(default_factory=bool)

    @model_validator(mode="after")
    def _is_sound(self) -> "WebhookChangeBody":
        given = self.model_fields_set
        if not given:
            raise ValueError("give something to change")
        check_rollover(given, self.previous_secret_ttl)
        return self

    def to_model(self) -> Draft:
        given = self.model_fields_set
        return _draft(
            self.name if "name" in given else None,
            self.url if "url" in given else None,
            self.events if "events" in given else None,
            self.filters,
            self.enabled if "enabled" in given else None,
            filters_are_given="filters" in given,
        )

    def new_secret(self) -> NewSecret | None:
        if "secret" not in self.model_fields_set:
            return None
        return NewSecret(plaintext(self.secret), self.previous_secret_ttl)


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
    revision: int
    previous_secret_expires_at: Timestamp | None
    created_by: str
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookReply":
        return cls(**_facts(webhook))


class WebhookDetailReply(WebhookReply):
    statistics: StatisticsReply
    last_delivery: LastDeliveryReply | None

    @classmethod
    def of_detail(cls, detail: Detail) -> "WebhookDetailReply":
        return cls(
            **_facts(detail.webhook),
            statistics=StatisticsReply.of(detail.fared),
            last_delivery=LastDeliveryReply.of(detail.fared),
        )


class WebhookPage(PageReply):
    webhooks: list[WebhookReply]


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
    *,
    filters_are_given: bool,
) -> Draft:
    given = filters or WebhookFilters()
    return Draft(
        name=name,
        url=url,
        events=None if events is None else [kind.value for kind in events],
        path_prefix=given.path_prefix,
        secret_type=given.secret_type,
        tags=None if given.tags is None else sorted(set(given.tags)),
        filters_are_given=filters_are_given,
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
        "revision": webhook.revision,
        "previous_secret_expires_at": webhook.previous_secret_expires_at,
        "created_by": webhook.created_by,
        "created_at": webhook.created_at,
        "updated_at": webhook.updated_at,
    }
