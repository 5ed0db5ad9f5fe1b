"""What deliveries are signed with, sealed under the tenant's keys like any value."""

import hmac
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from scaivault.crypto.envelope import Envelope, Place, Sealed
from scaivault.crypto.errors import TamperedCiphertext, UnknownKeyVersion
from scaivault.crypto.keys import TenantKeys
from scaivault.crypto.rotation import Batch
from scaivault.features.events.store import secrets as store
from scaivault.features.events.store.secrets import SealedSecret
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.plaintext import Plaintext
from scaivault.storage.database import Database, Session
from scaivault.storage.errors import ConstraintViolated

BATCH = 500

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
    """Seals, opens and re-wraps them. Also crypto.rotation.DataKeys, so that a key rotation knows of them."""

    def __init__(self, database: Database, envelope: Envelope) -> None:
        self._database = database
        self._envelope = envelope

    def with_keys(self, partner_id: str, tenant_id: str, use: Callable[[TenantKeys], Result]) -> Result:
        """Run a transaction that seals; begun again, once, if a rotation has overtaken the keys it was given."""
        try:
            return use(self._envelope.keys_for(partner_id, tenant_id))
        except ConstraintViolated as violated:
            if violated.constraint != store.KEY_CONSTRAINT:
                raise
        self._envelope.forget(tenant_id)
        return use(self._envelope.keys_for(partner_id, tenant_id))

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
            opened = self._opened(self._envelope.keys_for(partner_id, tenant_id), rows)
        except UnknownKeyVersion:
            self._envelope.forget(tenant_id)
            opened = self._opened_at_last(self._envelope.keys_for(partner_id, tenant_id), rows)
        except TamperedCiphertext as tampered:
            raise Unavailable("The webhook's secret does not open.") from tampered
        return SigningSecrets(opened[0], opened[1] if len(opened) > 1 else None)

    def count_before(self, tenant_id: str, version: int) -> int:
        """How many of the tenant's rows are under an older version of its key than this."""
        with self._database.session() as session:
            return store.count_secrets_before(session, tenant_id, version)

    def rewrap(self, keys: TenantKeys) -> Iterator[Batch]:
        """Once through the tenant's rows under older versions."""
        after = ("", 0)
        while claimed := self._rewrap_beyond(keys, after):
            batch, after = claimed
            yield batch

    def _rewrap_beyond(self, keys: TenantKeys, after: tuple[str, int]) -> tuple[Batch, tuple[str, int]] | None:
        with self._database.transaction() as tx:
            claimed = store.claim_secrets_before(tx, keys.tenant_id, keys.active_version, after, BATCH)
            if not claimed:
                return None
            changed, unreadable = [], []
            for each in claimed:
                place = _place(keys, each.webhook_id, each.version)
                try:
                    changed.append(replace(each, wrapped_key=Envelope.rewrap(keys, place, each.wrapped_key)))
                except TamperedCiphertext:
                    unreadable.append(f"webhook {each.webhook_id} secret {each.version}")
            store.change_wrapped_keys(tx, keys.tenant_id, changed)
        return Batch(len(changed), unreadable), (claimed[-1].webhook_id, claimed[-1].version)

    def _opened(self, keys: TenantKeys, rows: Sequence[SealedSecret]) -> list[Plaintext]:
        return [
            self._envelope.open(keys, _place(keys, row.webhook_id, row.version), Sealed(row.sealed, row.wrapped_key))
            for row in rows
        ]

    def _opened_at_last(self, keys: TenantKeys, rows: Sequence[SealedSecret]) -> list[Plaintext]:
        """These are all the keys there are."""
        try:
            return self._opened(keys, rows)
        except TamperedCiphertext as tampered:
            raise Unavailable("The webhook's secret does not open.") from tampered


def _place(keys: TenantKeys, webhook_id: str, version: int) -> Place:
    """No secret's: a path has no colon."""
    return Place(keys.partner_id, keys.tenant_id, f"webhook:{webhook_id}", version)
