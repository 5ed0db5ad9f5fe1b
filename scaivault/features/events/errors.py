"""This feature's words for failure."""

from scaivault.kernel.errors import Conflict, InvalidRequest, NotFound, RateLimited


class WebhookNotFound(NotFound):
    """There is no such webhook."""

    code = "webhook_not_found"


class DeliveryNotFound(NotFound):
    """There is no such delivery of this webhook; deliveries are kept for 7 days."""

    code = "delivery_not_found"


class InvalidWebhook(InvalidRequest):
    """A webhook has an https:// address of a public host, and filters that let something through."""

    code = "invalid_webhook"


class RevisionConflict(Conflict):
    """It has changed since; read it again."""

    code = "version_conflict"


class TooManyWebhooks(Conflict):
    """This tenant has as many webhooks as it may have; delete one first."""

    code = "too_many_webhooks"


class TestsAreBusy(RateLimited):
    """Other webhooks are being tried out; try again shortly."""


class SubscriptionNotFound(NotFound):
    """There is no such subscription."""

    code = "subscription_not_found"


class TooManySubscriptions(Conflict):
    """There are as many subscriptions as there may be; delete one first."""

    code = "too_many_subscriptions"


class TooManyWait(RateLimited):
    """Too many wait for events here already; ask again after `Retry-After`."""
