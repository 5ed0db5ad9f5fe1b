"""Data keys of secrets under a new version of their tenant's key."""

from collections.abc import Iterator
from dataclasses import replace

from scaivault.crypto.envelope import Envelope, Place
from scaivault.crypto.errors import TamperedCiphertext
from scaivault.crypto.keys import TenantKeys
from scaivault.crypto.rotation import Batch
from scaivault.features.secrets import store
from scaivault.storage.database import Database

# About 25 ms: so long may a writer that erases or prunes one of them have to wait.
BATCH = 1_000


class SecretDataKeys:
    """crypto.rotation.DataKeys over the versions of secrets. Values are neither read nor written."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count_before(self, tenant_id: str, version: int) -> int:
        """How many data keys are under older versions of the tenant's key than this."""
        with self._database.session() as session:
            return store.count_versions_before(session, tenant_id, version)

    def rewrap(self, keys: TenantKeys) -> Iterator[Batch]:
        """Once through the tenant's versions under older keys, in the order of their paths."""
        after = ("", 0)
        while claimed := self._rewrap_beyond(keys, after):
            batch, after = claimed
            yield batch

    def _rewrap_beyond(self, keys: TenantKeys, after: tuple[str, int]) -> tuple[Batch, tuple[str, int]] | None:
        """A batch, and where it ended; None if there was nothing left to claim.

        Rows are claimed and changed in one transaction, with nothing but local arithmetic in between: a crash undoes
        it, and what a live writer holds was not claimed.
        """
        with self._database.transaction() as tx:
            claimed = store.claim_versions_before(tx, keys.tenant_id, keys.active_version, after, BATCH)
            if not claimed:
                return None
            changed, unreadable = [], []
            for each in claimed:
                place = Place(keys.partner_id, keys.tenant_id, each.path, each.version)
                try:
                    changed.append(replace(each, wrapped_key=Envelope.rewrap(keys, place, each.wrapped_key)))
                except TamperedCiphertext:
                    unreadable.append(f"secret {each.path} version {each.version}")
            store.change_wrapped_keys(tx, keys.tenant_id, changed)
        return Batch(len(changed), unreadable), (claimed[-1].path, claimed[-1].version)
