"""What a rotation policy is, and what changes of it come to."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Final

from scaivault.features.rotation.model.terms import Terms, longest_first

MOST_POLICIES: Final = 200
MOST_THRESHOLDS: Final = 10
MOST_WEBHOOKS: Final = 20


@dataclass(frozen=True, slots=True)
class Policy:
    """How secrets are renewed. `revision` counts its changes, `schedule_revision` those that schedules hear of."""

    id: str
    name: str
    description: str
    terms: Terms
    secret_policy_id: str | None
    webhook_ids: Sequence[str]
    revision: int
    schedule_revision: int
    created_at: datetime
    updated_at: datetime
    secrets_count: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """What a client decides about a policy."""

    name: str
    description: str
    interval: timedelta
    grace: timedelta
    warn_before: Sequence[timedelta]
    auto_generate: bool
    secret_policy_id: str | None
    webhook_ids: Sequence[str]
    is_active: bool

    def terms(self) -> Terms:
        terms = Terms(
            self.interval, self.grace, longest_first(self.warn_before), self.auto_generate, is_active=self.is_active
        )
        terms.check()
        return terms


@dataclass(frozen=True, slots=True)
class Changes:
    """Some of a draft; None is what stays as it is. `secret_policy_is_given` tells no policy from no change."""

    name: str | None = None
    description: str | None = None
    interval: timedelta | None = None
    grace: timedelta | None = None
    warn_before: Sequence[timedelta] | None = None
    auto_generate: bool | None = None
    secret_policy_id: str | None = None
    secret_policy_is_given: bool = False
    webhook_ids: Sequence[str] | None = None
    is_active: bool | None = None

    def named(self) -> list[str]:
        """What is to change."""
        given = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        given.remove("secret_policy_is_given")
        if self.secret_policy_is_given and self.secret_policy_id is None:
            given.append("secret_policy_id")
        return given

    def of(self, policy: Policy, now: datetime) -> Policy:
        """The policy as they leave it, a revision on, or as it is if that is what they say; ValidationFailed."""
        old = policy.terms
        terms = Terms(
            interval=self.interval or old.interval,
            grace=self.grace or old.grace,
            warn_before=old.warn_before if self.warn_before is None else longest_first(self.warn_before),
            auto_generate=old.auto_generate if self.auto_generate is None else self.auto_generate,
            is_active=old.is_active if self.is_active is None else self.is_active,
        )
        terms.check()
        secret_policy_id = self.secret_policy_id if self.secret_policy_is_given else policy.secret_policy_id
        changed = replace(
            policy,
            name=policy.name if self.name is None else self.name,
            description=policy.description if self.description is None else self.description,
            terms=terms,
            secret_policy_id=secret_policy_id,
            webhook_ids=policy.webhook_ids if self.webhook_ids is None else self.webhook_ids,
        )
        if changed == policy:
            return policy
        return replace(
            changed,
            revision=policy.revision + 1,
            schedule_revision=policy.schedule_revision + (terms != old or secret_policy_id != policy.secret_policy_id),
            updated_at=now,
        )
