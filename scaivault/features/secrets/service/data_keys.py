"""Data keys of secrets, for a rotation of their tenant's key."""

from scaivault.crypto.data_keys import Shelf, StoredDataKeys
from scaivault.features.secrets import store
from scaivault.storage.database import Database

# About 25 ms: so long may a writer that erases or prunes one of them have to wait.
BATCH = 1_000


def secret_data_keys(database: Database) -> StoredDataKeys:
    shelf = Shelf(
        count=store.count_versions_before,
        claim=store.claim_versions_before,
        change=store.change_wrapped_keys,
        place=str,
        title="secret {} version {}",
        batch=BATCH,
    )
    return StoredDataKeys(database, shelf)
