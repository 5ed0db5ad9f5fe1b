"""Data keys of what webhooks sign with, for a rotation of their tenant's key."""

from scaivault.crypto.data_keys import Shelf, StoredDataKeys
from scaivault.features.events.service.secrets import place_of
from scaivault.features.events.store import secrets as store
from scaivault.storage.database import Database

BATCH = 500


def webhook_data_keys(database: Database) -> StoredDataKeys:
    shelf = Shelf(
        count=store.count_secrets_before,
        claim=store.claim_secrets_before,
        change=store.change_wrapped_keys,
        place=place_of,
        title="webhook {} secret {}",
        batch=BATCH,
    )
    return StoredDataKeys(database, shelf)
