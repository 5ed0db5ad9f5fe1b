"""SQL of secrets and their versions. A function, a statement; the tenant in every predicate."""

from scaivault.features.secrets.store.expiry import change_notices, claim_due_notices
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
    claim_secrets,
    find_secret,
    remove_secret,
)
from scaivault.features.secrets.store.versions import (
    FIND_READABLE_VERSION,
    KEY_CONSTRAINT,
    PresentVersion,
    add_version,
    change_versions_destroyed,
    change_wrapped_keys,
    claim_versions_before,
    count_versions_before,
    find_version,
    list_present_versions,
    list_versions,
    remove_versions_before,
)

__all__ = [
    "FIND_READABLE_VERSION",
    "KEY_CONSTRAINT",
    "PresentVersion",
    "add_secret",
    "add_tags",
    "add_version",
    "change_deleted",
    "change_last_accessed",
    "change_notices",
    "change_secret",
    "change_versions_destroyed",
    "change_wrapped_keys",
    "claim_due_notices",
    "claim_secret",
    "claim_secrets",
    "claim_versions_before",
    "count_versions_before",
    "find_secret",
    "find_version",
    "list_present_versions",
    "list_secrets",
    "list_versions",
    "remove_secret",
    "remove_tags",
    "remove_versions_before",
]
