"""What is counted against a rate limit of its own, and how much of it a minute and identity may have (contract 13)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class RateCategory(StrEnum):
    """A token bucket each; the setting is RATE_LIMIT_ and the name."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    LIST = "list"
    BATCH_READ = "batch_read"
    BATCH_METADATA = "batch_metadata"
    AUDIT_QUERY = "audit_query"
    AUDIT_EXPORT = "audit_export"
    POLICY = "policy"
    POLICY_TEST = "policy_test"
    PKI_ISSUE = "pki_issue"
    PKI_ADMIN = "pki_admin"
    ACME = "acme"
    WEBHOOK = "webhook"
    SUBSCRIPTION = "subscription"
    SUBSCRIPTION_POLL = "subscription_poll"
    FEDERATION = "federation"
    DYNAMIC_CREDS = "dynamic_creds"
    DYNAMIC_ADMIN = "dynamic_admin"
    LEASE = "lease"
    IDENTITY_READ = "identity_read"
    IDENTITY_SYNC = "identity_sync"
    AUTH = "auth"
    # Of client addresses, where there is no identity yet.
    FAILED_AUTH = "failed_auth"
    OPEN = "open"


BY_ADDRESS: Final = frozenset({RateCategory.FAILED_AUTH, RateCategory.OPEN})


@dataclass(frozen=True, slots=True)
class Level:
    """A bucket after it was asked for units. If they were not all there, none was taken, and they are in `retry_in`."""

    category: RateCategory
    limit: int
    remaining: int
    full_in_seconds: float
    retry_in_seconds: float = 0.0

    @property
    def is_granted(self) -> bool:
        return self.retry_in_seconds == 0


PER_MINUTE: Final[Mapping[RateCategory, int]] = MappingProxyType(
    {
        RateCategory.READ: 1000,
        RateCategory.WRITE: 100,
        RateCategory.DELETE: 100,
        RateCategory.LIST: 100,
        RateCategory.BATCH_READ: 100,
        RateCategory.BATCH_METADATA: 100,
        RateCategory.AUDIT_QUERY: 50,
        RateCategory.AUDIT_EXPORT: 5,
        RateCategory.POLICY: 50,
        RateCategory.POLICY_TEST: 200,
        RateCategory.PKI_ISSUE: 50,
        RateCategory.PKI_ADMIN: 20,
        RateCategory.ACME: 30,
        RateCategory.WEBHOOK: 20,
        RateCategory.SUBSCRIPTION: 20,
        RateCategory.SUBSCRIPTION_POLL: 240,
        RateCategory.FEDERATION: 20,
        RateCategory.DYNAMIC_CREDS: 100,
        RateCategory.DYNAMIC_ADMIN: 20,
        RateCategory.LEASE: 100,
        RateCategory.IDENTITY_READ: 100,
        RateCategory.IDENTITY_SYNC: 5,
        RateCategory.AUTH: 300,
        RateCategory.FAILED_AUTH: 60,
        RateCategory.OPEN: 300,
    }
)
