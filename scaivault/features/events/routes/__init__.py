"""`/v1/webhooks`: addresses that are told what happens."""

from functools import partial

from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Answer, Route, Routes
from scaivault.features.events.errors import (
    DeliveryNotFound,
    InvalidWebhook,
    RevisionConflict,
    TestsAreBusy,
    TooManyWebhooks,
    WebhookNotFound,
)
from scaivault.features.events.model.webhooks import Webhook
from scaivault.features.events.routes.delivery_messages import DeliveriesQuery, DeliveryPage, DeliveryReply
from scaivault.features.events.routes.messages import (
    ListQuery,
    TestReply,
    WebhookBody,
    WebhookChangeBody,
    WebhookDetailReply,
    WebhookPage,
    WebhookReply,
    plaintext,
)
from scaivault.features.events.routes.told import told
from scaivault.features.events.service.trials import TrialService
from scaivault.features.events.service.webhooks import WebhookService
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.errors import InvalidCursor, InvalidDuration, InvalidPath
from scaivault.kernel.limits import RateCategory


class WebhookRoutes:
    def __init__(self, webhooks: WebhookService, trials: TrialService, cursors: Cursors) -> None:
        self._webhooks = webhooks
        self._trials = trials
        self._cursors = cursors

    def list(self, caller: Caller, query: ListQuery) -> WebhookPage:
        bound_to = ("webhooks", caller.tenant_id)
        piece = self._cursors.piece(query, bound_to, partial(self._webhooks.list, caller), lambda each: each.id)
        webhooks = [WebhookReply.of(each) for each in piece.items]
        return WebhookPage(webhooks=webhooks, cursor=piece.cursor, has_more=piece.has_more)

    def create(self, caller: Caller, body: WebhookBody) -> Answer:
        return _answer(self._webhooks.create(caller, body.to_model(), plaintext(body.secret)), 201)

    def show(self, caller: Caller, webhook_id: str) -> Answer:
        detail = self._webhooks.show(caller, webhook_id)
        return Answer(WebhookDetailReply.of_detail(detail), headers=_etag(detail.webhook))

    def change(self, caller: Caller, webhook_id: str, body: WebhookChangeBody, if_match: int | None) -> Answer:
        draft, secret = body.to_model(), body.new_secret()
        return _answer(self._webhooks.change(caller, webhook_id, draft, secret, expected=if_match))

    def delete(self, caller: Caller, webhook_id: str, if_match: int | None) -> Answer:
        self._webhooks.delete(caller, webhook_id, expected=if_match)
        return Answer(None, 204)

    def test(self, caller: Caller, webhook_id: str) -> TestReply:
        tried = self._trials.test(caller, webhook_id)
        return TestReply(
            delivery_id=tried.delivery_id,
            status=tried.status,
            response_code=tried.outcome.response_code,
            duration_ms=tried.outcome.duration_ms,
            error=None if tried.outcome.trouble is None else tried.outcome.trouble.value,
        )

    def deliveries(self, caller: Caller, webhook_id: str, query: DeliveriesQuery) -> DeliveryPage:
        status = None if query.status is None else query.status.value
        bound_to = ("deliveries", caller.tenant_id, webhook_id, status or "")
        found = partial(self._webhooks.deliveries, caller, webhook_id, status)
        piece = self._cursors.piece(query, bound_to, found, lambda each: each.id)
        deliveries = [DeliveryReply.of(each) for each in piece.items]
        return DeliveryPage(deliveries=deliveries, cursor=piece.cursor, has_more=piece.has_more)

    def redeliver(self, caller: Caller, webhook_id: str, delivery_id: str) -> DeliveryReply:
        return DeliveryReply.of(self._webhooks.redeliver(caller, webhook_id, delivery_id))


def _answer(webhook: Webhook, status: int = 200) -> Answer:
    """The webhook, its revision as its ETag."""
    return Answer(WebhookReply.of(webhook), status, _etag(webhook))


def _etag(webhook: Webhook) -> dict[str, str]:
    return {"ETag": f'"{webhook.revision}"'}


def routes(webhooks: WebhookService, trials: TrialService, cursors: Cursors) -> Routes:
    at = WebhookRoutes(webhooks, trials, cursors)
    every, one = "/v1/webhooks", "/v1/webhooks/<webhook_id>"
    table = (
        Route(
            "GET",
            every,
            at.list,
            "List webhooks",
            Scope.ADMIN,
            limit=RateCategory.WEBHOOK,
            query=ListQuery,
            reply=WebhookPage,
            errors=(InvalidCursor,),
        ),
        Route(
            "POST",
            every,
            at.create,
            "Create a webhook",
            Scope.ADMIN,
            limit=RateCategory.WEBHOOK,
            body=WebhookBody,
            reply=WebhookReply,
            status=201,
            errors=(InvalidWebhook, InvalidPath, TooManyWebhooks),
        ),
        Route(
            "GET",
            one,
            at.show,
            "A webhook, and how it has fared",
            Scope.ADMIN,
            limit=RateCategory.WEBHOOK,
            reply=WebhookDetailReply,
            errors=(WebhookNotFound,),
        ),
        Route(
            "PATCH",
            one,
            at.change,
            "Change a webhook, or give it a new secret",
            Scope.ADMIN,
            limit=RateCategory.WEBHOOK,
            body=WebhookChangeBody,
            reply=WebhookReply,
            takes_if_match=True,
            errors=(WebhookNotFound, RevisionConflict, InvalidWebhook, InvalidPath, InvalidDuration),
        ),
        Route(
            "DELETE",
            one,
            at.delete,
            "Delete a webhook",
            Scope.ADMIN,
            limit=RateCategory.WEBHOOK,
            status=204,
            takes_if_match=True,
            errors=(WebhookNotFound, RevisionConflict),
        ),
        Route(
            "POST",
            f"{one}/test",
            at.test,
            "Send a test event now",
            Scope.ADMIN,
            limit=RateCategory.WEBHOOK,
            reply=TestReply,
            errors=(WebhookNotFound, TestsAreBusy),
        ),
        Route(
            "GET",
            f"{one}/deliveries",
            at.deliveries,
            "What was sent, newest first",
            Scope.ADMIN,
            limit=RateCategory.WEBHOOK,
            query=DeliveriesQuery,
            reply=DeliveryPage,
            errors=(WebhookNotFound, InvalidCursor),
        ),
        Route(
            "POST",
            f"{one}/deliveries/<delivery_id>/redeliver",
            at.redeliver,
            "Send an event once more",
            Scope.ADMIN,
            limit=RateCategory.WEBHOOK,
            reply=DeliveryReply,
            status=202,
            errors=(WebhookNotFound, DeliveryNotFound),
        ),
    )
    return Routes("webhooks", "webhooks", table, sends=tuple(told()))
