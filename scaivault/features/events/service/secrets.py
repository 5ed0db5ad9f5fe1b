"""What deliveries are signed with, sealed under the tenant's keys like any value."""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from scaivault.crypto.envelope import Envelope, Place, Sealed
from scaivault.crypto.errors import TamperedCiphertext
from scaivault.crypto.keys import TenantKeys
from scaivault.features.events.store import secrets as store
from scaivault.features.events.store.secrets import SealedSecret
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.plaintext import Plaintext
from scaivault.storage.database import Database, Session

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class SigningSecrets:
    """The secret that signs, and the one before it while it is still in force."""

    newest: Plaintext
    previous: Plaintext | None


def signature(secret: Plaintext, timestamp: int, body: bytes) -> str:
    """`sha256=` and the HMAC-SHA256 of `{timestamp}.{body}`, in hex."""
    return "sha256=" + hmac.digest(secret.reveal(), b"%d." % timestamp + body, "sha256").hex()


class WebhookSecrets:
    """Seals and opens them."""

    def __init__(self, database: Database, envelope: Envelope) -> None:
        self._database = database
        self._envelope = envelope

    def with_keys(self, partner_id: str, tenant_id: str, use: Callable[[TenantKeys], Result]) -> Result:
        """Open, or run a transaction that seals; once more, if a rotation has overtaken the keys it was given."""
        return self._envelope.with_keys(partner_id, tenant_id, store.KEY_CONSTRAINT, use)

    def add(self, tx: Session, keys: TenantKeys, webhook_id: str, secret: Plaintext) -> int:
        """Store the next version, under which everything is signed from now on; which one it is."""
        version = store.find_newest_secret(tx, keys.tenant_id, webhook_id) + 1
        sealed = self._envelope.seal(keys, _place(keys, webhook_id, version), secret)
        store.add_secret(tx, keys.tenant_id, SealedSecret(webhook_id, version, sealed.wrapped_key, sealed.sealed))
        return version

    def replace(
        self, tx: Session, keys: TenantKeys, webhook_id: str, secret: Plaintext, previous_until: datetime
    ) -> None:
        """A new secret; the one before stays in force until then, and none that is older."""
        version = self.add(tx, keys, webhook_id, secret)
        store.change_secret_expiry(tx, keys.tenant_id, webhook_id, version - 1, previous_until)
        store.remove_secrets_before(tx, keys.tenant_id, webhook_id, version - 1)

    def open(self, partner_id: str, tenant_id: str, webhook_id: str, now: datetime) -> SigningSecrets:
        """Those in force. Unavailable, also if they do not open: nothing may leave without a signature."""
        with self._database.session() as session:
            rows = store.list_secrets(session, tenant_id, webhook_id, now)
        if not rows:
            raise Unavailable("The webhook has no secret to sign with.")
        try:
            opened = self.with_keys(partner_id, tenant_id, lambda keys: self._opened(keys, rows))
        except TamperedCiphertext as tampered:
            raise Unavailable("The webhook's secret does not open.") from tampered
        return SigningSecrets(opened[0], opened[1] if len(opened) > 1 else None)

    def _opened(self, keys: TenantKeys, rows: Sequence[SealedSecret]) -> list[Plaintext]:
        return [
            self._envelope.open(keys, _place(keys, row.webhook_id, row.version), Sealed(row.sealed, row.wrapped_key))
            for row in rows
        ]


def place_of(webhook_id: str) -> str:
    """No secret's: a path has no colon."""
    return f"webhook:{webhook_id}"


def _place(keys: TenantKeys, webhook_id: str, version: int) -> Place:
    return Place(keys.partner_id, keys.tenant_id, place_of(webhook_id), version)
