"""SQL of secrets and their versions. A function, a statement; the tenant in every predicate."""

from scaivault.features.secrets.store.listing import (
    add_tags,
    list_secrets,
    remove_tags,
)
from scaivault.features.secrets.store.secrets import (
    add_secret,
    change_deleted,
    change_last_accessed,
    change_secret,
    claim_secret,
    find_secret,
    remove_secret,
)
from scaivault.features.secrets.store.versions import (
    FIND_READABLE_VERSION,
    add_version,
    change_versions_destroyed,
    find_version,
    list_versions,
    remove_versions_before,
)

__all__ = [
    "FIND_READABLE_VERSION",
    "add_secret",
    "add_tags",
    "add_version",
    "change_deleted",
    "change_last_accessed",
    "change_secret",
    "change_versions_destroyed",
    "claim_secret",
    "find_secret",
    "find_version",
    "list_secrets",
    "list_versions",
    "remove_secret",
    "remove_tags",
    "remove_versions_before",
]
