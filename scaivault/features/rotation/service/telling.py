"""What others hear of rotations: which secret, by which policy, and never a value.

Webhooks that the policy names hear all of it.
"""

from datetime import datetime, timedelta

from scaivault.features.rotation.model import Policy, Scheduled
from scaivault.kernel.caller import Caller
from scaivault.kernel.durations import spell_duration
from scaivault.kernel.events import Event, EventType, Fact
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.renewal import Renewal, Trigger


def rotated(caller: Caller, renewal: Renewal, policy: Policy | None, grace_period_ends: datetime) -> Event:
    return _renewal(
        EventType.SECRET_ROTATED,
        caller,
        renewal,
        policy,
        grace_period_ends=grace_period_ends,
        auto_generated=renewal.trigger is not Trigger.WRITE,
    )


def completed(
    caller: Caller, renewal: Renewal, policy: Policy | None, grace_period_ends: datetime, next_at: datetime | None
) -> Event:
    return _renewal(
        EventType.ROTATION_COMPLETED,
        caller,
        renewal,
        policy,
        grace_period_ends=grace_period_ends,
        triggered_by=renewal.trigger.value,
        next_rotation_at=next_at,
    )


def warned(caller: Caller, secret: Scheduled, due_at: datetime, threshold: timedelta) -> Event:
    spelled = spell_duration(threshold)
    return _due(EventType.ROTATION_DUE, caller, secret, due_at, due_now=False, warn_before=spelled, threshold=spelled)


def due(caller: Caller, secret: Scheduled, due_at: datetime) -> Event:
    return _due(EventType.ROTATION_DUE, caller, secret, due_at, due_now=True, grace_period_ends=_grace(secret, due_at))


def overdue(caller: Caller, secret: Scheduled, due_at: datetime) -> Event:
    return _due(EventType.ROTATION_OVERDUE, caller, secret, due_at, grace_period_ended=_grace(secret, due_at))


def failed(caller: Caller, secret: Scheduled, due_at: datetime, reason: str, next_at: datetime | None) -> Event:
    attempts = secret.schedule.failures + 1
    return _due(
        EventType.ROTATION_FAILED, caller, secret, due_at, error=reason, attempts=attempts, next_attempt_at=next_at
    )


def _grace(secret: Scheduled, due_at: datetime) -> datetime:
    return due_at + secret.terms.grace


def _renewal(kind: EventType, caller: Caller, renewal: Renewal, policy: Policy | None, **data: Fact) -> Event:
    facts: dict[str, Fact] = {
        "old_version": renewal.old_version,
        "new_version": renewal.new_version,
        "rotation_policy_id": None if policy is None else policy.id,
        "rotation_policy_name": None if policy is None else policy.name,
    }
    also_to = () if policy is None else policy.webhook_ids
    return Event(kind, caller, renewal.path, {**facts, **data}, renewal.secret_type, renewal.tags, also_to=also_to)


def _due(kind: EventType, caller: Caller, secret: Scheduled, due_at: datetime, **data: Fact) -> Event:
    facts: dict[str, Fact] = {
        "rotation_policy_id": secret.policy_id,
        "rotation_policy_name": secret.policy_name,
        "due_at": due_at,
        "version": secret.current_version,
        "auto_generate": secret.terms.auto_generate,
    }
    tags = secret.metadata.get("tags")
    named = frozenset(map(str, tags)) if isinstance(tags, list) else frozenset()
    return Event(
        kind,
        caller,
        SecretPath(secret.path),
        {**facts, **data},
        secret.secret_type,
        named,
        also_to=secret.webhook_ids,
    )
