"""`/v1/subscriptions`: listening for what happens to paths."""

from functools import partial

from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Answer, Route, Routes
from scaivault.features.events.errors import (
    DeliveryNotFound,
    InvalidWebhook,
    RevisionConflict,
    SubscriptionNotFound,
    TooManySubscriptions,
    TooManyWait,
)
from scaivault.features.events.model.subscriptions import Subscription
from scaivault.features.events.routes.delivery_messages import DeliveriesQuery, DeliveryPage, DeliveryReply
from scaivault.features.events.routes.subscription_messages import (
    AckBody,
    AckReply,
    PollQuery,
    PollReply,
    SubscriptionBody,
    SubscriptionChangeBody,
    SubscriptionDetailReply,
    SubscriptionPage,
    SubscriptionReply,
    SubscriptionsQuery,
)
from scaivault.features.events.service.polling import PollService
from scaivault.features.events.service.subscription_log import SubscriptionLog
from scaivault.features.events.service.subscriptions import SubscriptionService
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.errors import InvalidCursor, InvalidDuration, InvalidGlob, InvalidPath
from scaivault.kernel.limits import RateCategory
from scaivault.kernel.ports import Reentry


class SubscriptionRoutes:
    def __init__(
        self, subscriptions: SubscriptionService, log: SubscriptionLog, polls: PollService, cursors: Cursors
    ) -> None:
        self._subscriptions = subscriptions
        self._log = log
        self._polls = polls
        self._cursors = cursors

    def list(self, caller: Caller, query: SubscriptionsQuery) -> SubscriptionPage:
        bound_to = ("subscriptions", caller.tenant_id)
        piece = self._cursors.piece(query, bound_to, partial(self._subscriptions.list, caller), lambda each: each.id)
        subscriptions = [SubscriptionReply.of(each) for each in piece.items]
        return SubscriptionPage(subscriptions=subscriptions, cursor=piece.cursor, has_more=piece.has_more)

    def create(self, caller: Caller, body: SubscriptionBody) -> Answer:
        return _answer(self._subscriptions.create(caller, body.to_model(), body.secret()), 201)

    def show(self, caller: Caller, subscription_id: str) -> Answer:
        detail = self._log.show(caller, subscription_id)
        return Answer(SubscriptionDetailReply.of_detail(detail), headers=_etag(detail.subscription))

    def change(
        self, caller: Caller, subscription_id: str, body: SubscriptionChangeBody, if_match: int | None
    ) -> Answer:
        wish, secret = body.to_model(), body.new_secret()
        return _answer(self._subscriptions.change(caller, subscription_id, wish, secret, expected=if_match))

    def delete(self, caller: Caller, subscription_id: str, if_match: int | None) -> Answer:
        self._subscriptions.delete(caller, subscription_id, expected=if_match)
        return Answer(None, 204)

    def poll(self, caller: Caller, subscription_id: str, query: PollQuery, again: Reentry) -> PollReply:
        return PollReply.of(self._polls.poll(caller, subscription_id, query.to_model(), again))

    def acknowledge(self, caller: Caller, subscription_id: str, body: AckBody) -> AckReply:
        return AckReply(acknowledged=self._polls.acknowledge(caller, subscription_id, body.event_ids))

    def deliveries(self, caller: Caller, subscription_id: str, query: DeliveriesQuery) -> DeliveryPage:
        status = None if query.status is None else query.status.value
        bound_to = ("subscription_deliveries", caller.tenant_id, subscription_id, status or "")
        found = partial(self._log.deliveries, caller, subscription_id, status)
        piece = self._cursors.piece(query, bound_to, found, lambda each: each.id)
        deliveries = [DeliveryReply.of(each) for each in piece.items]
        return DeliveryPage(deliveries=deliveries, cursor=piece.cursor, has_more=piece.has_more)

    def redeliver(self, caller: Caller, subscription_id: str, delivery_id: str) -> DeliveryReply:
        return DeliveryReply.of(self._log.redeliver(caller, subscription_id, delivery_id))


def _answer(found: Subscription, status: int = 200) -> Answer:
    """The subscription, its revision as its ETag."""
    return Answer(SubscriptionReply.of(found), status, _etag(found))


def _etag(found: Subscription) -> dict[str, str]:
    return {"ETag": f'"{found.revision}"'}


def routes(subscriptions: SubscriptionService, log: SubscriptionLog, polls: PollService, cursors: Cursors) -> Routes:
    at = SubscriptionRoutes(subscriptions, log, polls, cursors)
    every, one = "/v1/subscriptions", "/v1/subscriptions/<subscription_id>"
    table = (
        Route(
            "GET",
            every,
            at.list,
            "List subscriptions: one's own, or all of the tenant's for its administrators",
            Scope.SUBSCRIPTIONS_READ,
            limit=RateCategory.SUBSCRIPTION,
            query=SubscriptionsQuery,
            reply=SubscriptionPage,
            errors=(InvalidCursor,),
        ),
        Route(
            "POST",
            every,
            at.create,
            "Listen for what happens to paths",
            Scope.SUBSCRIPTIONS_WRITE,
            limit=RateCategory.SUBSCRIPTION,
            body=SubscriptionBody,
            reply=SubscriptionReply,
            status=201,
            errors=(InvalidWebhook, InvalidGlob, InvalidPath, TooManySubscriptions),
        ),
        Route(
            "GET",
            one,
            at.show,
            "A subscription, and how it has fared where it is delivered",
            Scope.SUBSCRIPTIONS_READ,
            limit=RateCategory.SUBSCRIPTION,
            reply=SubscriptionDetailReply,
            errors=(SubscriptionNotFound,),
        ),
        Route(
            "PATCH",
            one,
            at.change,
            "Change a subscription, or give its webhook a new secret",
            Scope.SUBSCRIPTIONS_WRITE,
            limit=RateCategory.SUBSCRIPTION,
            body=SubscriptionChangeBody,
            reply=SubscriptionReply,
            takes_if_match=True,
            errors=(SubscriptionNotFound, RevisionConflict, InvalidWebhook, InvalidGlob, InvalidPath, InvalidDuration),
        ),
        Route(
            "DELETE",
            one,
            at.delete,
            "Delete a subscription",
            Scope.SUBSCRIPTIONS_WRITE,
            limit=RateCategory.SUBSCRIPTION,
            status=204,
            takes_if_match=True,
            errors=(SubscriptionNotFound, RevisionConflict),
        ),
        Route(
            "GET",
            f"{one}/poll",
            at.poll,
            "The events that wait, or the first that comes within the time; for the owner",
            Scope.SUBSCRIPTIONS_READ,
            limit=RateCategory.SUBSCRIPTION_POLL,
            query=PollQuery,
            reply=PollReply,
            waits=True,
            errors=(SubscriptionNotFound, TooManyWait),
        ),
        Route(
            "POST",
            f"{one}/ack",
            at.acknowledge,
            "Acknowledge events, so that they are not told again; for the owner",
            Scope.SUBSCRIPTIONS_READ,
            limit=RateCategory.SUBSCRIPTION_POLL,
            body=AckBody,
            reply=AckReply,
            errors=(SubscriptionNotFound,),
        ),
        Route(
            "GET",
            f"{one}/deliveries",
            at.deliveries,
            "What was delivered, newest first",
            Scope.SUBSCRIPTIONS_READ,
            limit=RateCategory.SUBSCRIPTION,
            query=DeliveriesQuery,
            reply=DeliveryPage,
            errors=(SubscriptionNotFound, InvalidCursor),
        ),
        Route(
            "POST",
            f"{one}/deliveries/<delivery_id>/redeliver",
            at.redeliver,
            "Deliver an event once more; for administrators",
            Scope.SUBSCRIPTIONS_WRITE,
            limit=RateCategory.SUBSCRIPTION,
            reply=DeliveryReply,
            status=202,
            errors=(SubscriptionNotFound, DeliveryNotFound),
        ),
    )
    return Routes("subscriptions", "subscriptions", table)
