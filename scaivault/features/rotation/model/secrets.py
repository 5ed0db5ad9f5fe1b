"""A secret under a policy, as each of those sees it that work on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from scaivault.features.rotation.model.schedules import Schedule, State
from scaivault.features.rotation.model.terms import Terms

MOST_AT_ONCE: Final = 100
# What making new values may take in one request: somebody waits for it, and nobody waits for longer than half a minute.
LONGEST_AT_ONCE: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A secret under a policy, with all that a step of it takes."""

    partner_id: str
    tenant_id: str
    path: str
    secret_type: str
    metadata: Mapping[str, object]
    current_version: int
    secret_policy_id: str | None
    """The secret's own, or else the policy's."""
    policy_id: str
    policy_name: str
    terms: Terms
    schedule: Schedule
    history_id: str | None
    webhook_ids: Sequence[str] = ()
    """Whom the policy names, to be told of it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A secret that is to be renewed now, whatever its schedule."""

    path: str
    current_version: int
    policy_id: str | None
    secret_policy_id: str | None


@dataclass(frozen=True, slots=True)
class Assignment:
    """A secret under a policy, and where it stands."""

    path: str
    policy_id: str
    policy_name: str
    auto_generate: bool
    state: State
    due_at: datetime | None
    rotated_at: datetime | None
    grace_seconds: int
    attempts: int
    """Of those that failed since it is due; the last of them for `error_code`, and the next is `next_attempt_at`."""
    error_code: str | None
    next_attempt_at: datetime | None
