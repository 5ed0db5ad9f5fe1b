"""What others hear of secrets: which, what became of it and by whom, and never what it says."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from scaivault.features.secrets.model import Notice, SealedVersion, Secret, tags_of
from scaivault.kernel.caller import Caller
from scaivault.kernel.durations import spell_duration
from scaivault.kernel.events import Event, EventType, Fact
from scaivault.kernel.paths import SecretPath


def written(caller: Caller, before: Secret, after: Secret, *, is_rotation: bool = False, **more: Fact) -> Event:
    """Of a new version: the first one, or one after another."""
    if before.current_version == 0:
        return _about(
            EventType.SECRET_CREATED,
            caller,
            after,
            version=after.current_version,
            secret_type=after.secret_type,
            created_by=caller.identity_id,
            tags=sorted(tags_of(after.metadata)),
            expires_at=after.expires_at,
        )
    return changed(caller, before, after, is_rotation=is_rotation, **more)


def changed(caller: Caller, before: Secret, after: Secret, *, is_rotation: bool = False, **more: Fact) -> Event:
    """Of whatever else is different now; the versions are the same where the value is."""
    return _about(
        EventType.SECRET_UPDATED,
        caller,
        after,
        old_version=before.current_version,
        new_version=after.current_version,
        updated_by=caller.identity_id,
        is_rotation=is_rotation,
        **more,
    )


def deleted(caller: Caller, secret: Secret) -> Event:
    """Into the trash, if it says until when it can be recovered, else for good; after how many versions."""
    is_permanent = secret.recoverable_until is None
    more: dict[str, Fact] = {} if is_permanent else {"recoverable_until": secret.recoverable_until}
    return _about(
        EventType.SECRET_DELETED,
        caller,
        secret,
        version_count=secret.current_version,
        deleted_by=caller.identity_id,
        permanent=is_permanent,
        **more,
    )


def accessed(caller: Caller, found: SealedVersion) -> Event:
    return Event(
        EventType.SECRET_ACCESSED,
        caller,
        SecretPath(found.path),
        {"version": found.version, "secret_type": found.secret_type, "accessed_by": caller.identity_id},
        found.secret_type,
        tags_of(found.metadata),
    )


def ending(caller: Caller, notice: Notice, now: datetime) -> Event:
    """That it will have expired before long, or has."""
    threshold = notice.threshold_passed(now)
    if threshold is None:
        kind = EventType.SECRET_EXPIRED
        facts: dict[str, Fact] = {"expired_at": notice.expires_at, "version": notice.current_version}
    else:
        kind = EventType.SECRET_EXPIRING
        facts = {
            "expires_at": notice.expires_at,
            "days_remaining": math.ceil((notice.expires_at - now) / timedelta(days=1)),
            "threshold": spell_duration(timedelta(seconds=threshold)),
        }
    return Event(kind, caller, SecretPath(notice.path), facts, notice.secret_type, tags_of(notice.metadata))


def destroyed(caller: Caller, secret: Secret, versions: Sequence[int]) -> Event:
    """Of versions that are gone, of a secret that is still there."""
    return changed(caller, secret, secret, destroyed_versions=sorted(versions))


def _about(kind: EventType, caller: Caller, secret: Secret, **data: Fact) -> Event:
    return Event(kind, caller, SecretPath(secret.path), data, secret.secret_type, tags_of(secret.metadata))
