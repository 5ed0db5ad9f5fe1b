"""What tells of deliveries: how an address has fared, and what came of each."""

from scaivault.edge.messages import Page, PageReply, Reply, Timestamp
from scaivault.features.events.model.webhooks import Delivery, DeliveryStatus
from scaivault.features.events.service.sent import Fared


class DeliveriesQuery(Page):
    status: DeliveryStatus | None = None


class StatisticsReply(Reply):
    """Of the attempts in the last 24 hours, counted by whole hours; null where there were none."""

    deliveries_24h: int
    success_rate_24h: float | None
    avg_latency_ms: float | None

    @classmethod
    def of(cls, fared: Fared) -> "StatisticsReply":
        statistics = fared.statistics
        return cls(
            deliveries_24h=statistics.attempts,
            success_rate_24h=statistics.success_rate,
            avg_latency_ms=statistics.average_latency_ms,
        )


class LastDeliveryReply(Reply):
    id: str
    timestamp: Timestamp | None
    status: DeliveryStatus
    response_code: int | None

    @classmethod
    def of(cls, fared: Fared) -> "LastDeliveryReply | None":
        last = fared.last_delivery
        if last is None:
            return None
        return cls(
            id=last.id,
            timestamp=last.attempted_at,
            status=DeliveryStatus(last.status),
            response_code=last.response_code,
        )


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
