"""What a webhook is made of, a subscription's too: an address, a lane and secrets that change together."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from scaivault.crypto.keys import TenantKeys
from scaivault.features.events.model.webhooks import PREVIOUS_SECRET_TTL, Draft, Webhook
from scaivault.features.events.service.secrets import WebhookSecrets
from scaivault.features.events.store import lanes
from scaivault.features.events.store import webhooks as store
from scaivault.kernel.caller import Caller
from scaivault.kernel.plaintext import Plaintext
from scaivault.storage.database import Session

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class NewSecret:
    """What to sign with from now on, and for how long the one before it is good too."""

    secret: Plaintext
    previous_ttl: timedelta = PREVIOUS_SECRET_TTL


class Hooks:
    """Steps of transactions that administer webhooks. Who may is the services' to say, and to record."""

    def __init__(self, secrets: WebhookSecrets) -> None:
        self._secrets = secrets

    def with_keys(self, caller: Caller, use: Callable[[TenantKeys], Result]) -> Result:
        """Run a transaction that stores a secret."""
        return self._secrets.with_keys(caller.principal.partner_id, caller.tenant_id, use)

    def add(
        self, tx: Session, keys: TenantKeys, webhook: Webhook, secret: Plaintext, *, is_of_subscription: bool = False
    ) -> None:
        store.add_webhook(tx, keys.tenant_id, webhook, is_of_subscription=is_of_subscription)
        lanes.add_lane(tx, keys.tenant_id, webhook.id)
        self._secrets.add(tx, keys, webhook.id, secret)

    def change(self, tx: Session, tenant_id: str, webhook_id: str, draft: Draft, now: datetime) -> None:
        """What the draft names. To enable it forgets its failures and lets what has waited in its queue go."""
        store.change_webhook(tx, tenant_id, webhook_id, draft, now)
        if draft.is_enabled:
            lanes.change_failures(tx, tenant_id, webhook_id, 0)
            lanes.change_due(tx, [tenant_id], [webhook_id], now)

    def replace_secret(self, tx: Session, keys: TenantKeys, webhook_id: str, secret: NewSecret, now: datetime) -> None:
        self._secrets.replace(tx, keys, webhook_id, secret.secret, now + secret.previous_ttl)
