"""`/v1/subscriptions`: listening for what happens to paths."""

from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Answer, Route, Routes
from scaivault.features.events.errors import (
    InvalidWebhook,
    SubscriptionNotFound,
    TooManySubscriptions,
    TooManyWait,
)
from scaivault.features.events.routes.subscription_messages import (
    AckBody,
    AckReply,
    PollQuery,
    PollReply,
    SubscriptionBody,
    SubscriptionChangeBody,
    SubscriptionPage,
    SubscriptionReply,
    SubscriptionsQuery,
)
from scaivault.features.events.service.polling import PollService
from scaivault.features.events.service.subscriptions import SubscriptionService
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.errors import InvalidCursor, InvalidDuration, InvalidGlob, InvalidPath
from scaivault.kernel.limits import RateCategory
from scaivault.kernel.ports import Reentry


class SubscriptionRoutes:
    def __init__(self, subscriptions: SubscriptionService, polls: PollService, cursors: Cursors) -> None:
        self._subscriptions = subscriptions
        self._polls = polls
        self._cursors = cursors

    def list(self, caller: Caller, query: SubscriptionsQuery) -> SubscriptionPage:
        bound_to = ("subscriptions", caller.tenant_id)
        after = self._cursors.open(query.cursor, bound_to)
        found = self._subscriptions.list(caller, None if after is None else after[0], query.limit + 1)
        shown, has_more = found[: query.limit], len(found) > query.limit
        cursor = self._cursors.seal((shown[-1].id,), bound_to) if has_more else None
        return SubscriptionPage(
            subscriptions=[SubscriptionReply.of(each) for each in shown], cursor=cursor, has_more=has_more
        )

    def create(self, caller: Caller, body: SubscriptionBody) -> SubscriptionReply:
        return SubscriptionReply.of(self._subscriptions.create(caller, body.to_model(), body.secret()))

    def show(self, caller: Caller, subscription_id: str) -> SubscriptionReply:
        return SubscriptionReply.of(self._subscriptions.show(caller, subscription_id))

    def change(self, caller: Caller, subscription_id: str, body: SubscriptionChangeBody) -> SubscriptionReply:
        return SubscriptionReply.of(
            self._subscriptions.change(caller, subscription_id, body.to_model(), body.new_secret())
        )

    def delete(self, caller: Caller, subscription_id: str) -> Answer:
        self._subscriptions.delete(caller, subscription_id)
        return Answer(None, 204)

    def poll(self, caller: Caller, subscription_id: str, query: PollQuery, again: Reentry) -> PollReply:
        return PollReply.of(self._polls.poll(caller, subscription_id, query.to_model(), again))

    def acknowledge(self, caller: Caller, subscription_id: str, body: AckBody) -> AckReply:
        return AckReply(acknowledged=self._polls.acknowledge(caller, subscription_id, body.event_ids))


def routes(subscriptions: SubscriptionService, polls: PollService, cursors: Cursors) -> Routes:
    at = SubscriptionRoutes(subscriptions, polls, cursors)
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
            "A subscription",
            Scope.SUBSCRIPTIONS_READ,
            limit=RateCategory.SUBSCRIPTION,
            reply=SubscriptionReply,
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
            errors=(SubscriptionNotFound, InvalidWebhook, InvalidGlob, InvalidPath, InvalidDuration),
        ),
        Route(
            "DELETE",
            one,
            at.delete,
            "Delete a subscription",
            Scope.SUBSCRIPTIONS_WRITE,
            limit=RateCategory.SUBSCRIPTION,
            status=204,
            errors=(SubscriptionNotFound,),
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
    )
    return Routes("subscriptions", "subscriptions", table)
