"""What a secret is, and the rules about it that need no I/O."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum

from scaivault.features.secrets.errors import SecretExists, SecretNotFound, VersionConflict
from scaivault.kernel.errors import ValidationFailed
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.renewal import Trigger

Metadata = Mapping[str, object]

RETENTION = timedelta(days=30)
DEFAULT_MAX_VERSIONS = 10
# However many `max_versions` may ask for, and grace periods may spare.
MOST_VERSIONS = 100
MAX_METADATA_BYTES = 16 * 1024
NOTIFY_BEFORE = (30 * 86_400, 7 * 86_400, 86_400)


class SecretType(StrEnum):
    """A hint to consumers; it changes nothing about storage."""

    KV = "kv"
    JSON = "json"
    CERTIFICATE = "certificate"
    SSH_KEY = "ssh_key"
    API_KEY = "api_key"


class Unset(Enum):
    """What is not said, where None is a value: it means none."""

    UNSET = "unset"


UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True)
class Options:
    """How a secret is kept. None leaves what is; they stay in force for later writes.

    `expires_in` is how long each value lives: every write starts it anew. Zero means for ever. `notify_before` is how
    long before the end others are told of it. By `rotation_policy_id` it is renewed, by `secret_policy_id` its new
    values are made.
    """

    max_versions: int | None = None
    expires_in: timedelta | None = None
    notify_before: Sequence[timedelta] | None = None
    rotation_policy_id: str | Unset | None = UNSET
    secret_policy_id: str | Unset | None = UNSET

    def named(self) -> list[str]:
        """The names of the options that are given."""
        given = {
            "max_versions": self.max_versions,
            "expires_in": self.expires_in,
            "notify_before": self.notify_before,
        }
        policies = {"rotation_policy_id": self.rotation_policy_id, "secret_policy_id": self.secret_policy_id}
        return [name for name, value in given.items() if value is not None] + [
            name for name, value in policies.items() if value is not UNSET
        ]


@dataclass(frozen=True, slots=True)
class Write:
    """What a secret is to become. None leaves type or metadata as they are."""

    plaintext: Plaintext
    secret_type: SecretType | None = None
    metadata: Metadata | None = None
    options: Options = Options()
    expected_version: int | None = None
    trigger: Trigger | None = Trigger.WRITE
    """What a value that takes the place of another comes from; None if it is no new one."""
    may_reassign: bool = False
    """Whether the writer may take the secret from under the policy that renews it."""


@dataclass(frozen=True, slots=True)
class Secret:
    """All that is known of a secret but its value."""

    path: str
    secret_type: str
    current_version: int
    metadata: Metadata
    max_versions: int
    expires_in_seconds: int | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    deleted_at: datetime | None
    recoverable_until: datetime | None
    last_accessed_at: datetime | None
    last_accessed_by: str | None
    notify_before: Sequence[int] | None = None
    """In seconds, longest first; None is NOTIFY_BEFORE."""
    rotation_policy_id: str | None = None
    secret_policy_id: str | None = None

    @classmethod
    def unwritten(cls, path: SecretPath, now: datetime) -> "Secret":
        """A secret before its first version."""
        return cls(
            path=path,
            secret_type=SecretType.KV.value,
            current_version=0,
            metadata={},
            max_versions=DEFAULT_MAX_VERSIONS,
            expires_in_seconds=None,
            created_at=now,
            updated_at=now,
            expires_at=None,
            deleted_at=None,
            recoverable_until=None,
            last_accessed_at=None,
            last_accessed_by=None,
        )

    def after(self, write: Write, now: datetime) -> "Secret":
        """The secret as this write leaves it, one version on and its life begun anew."""
        written = replace(
            self.with_options(write.options, now),
            secret_type=(write.secret_type or SecretType(self.secret_type)).value,
            current_version=self.current_version + 1,
            metadata=self.metadata if write.metadata is None else write.metadata,
            updated_at=now,
        )
        return replace(written, expires_at=written.expiry_from(now))

    def with_options(self, options: Options, now: datetime) -> "Secret":
        """The secret kept in another way; a new lifetime counts from now."""
        changed = replace(self, max_versions=options.max_versions or self.max_versions)
        if options.notify_before is not None:
            seconds = {int(each.total_seconds()) for each in options.notify_before}
            changed = replace(changed, notify_before=sorted(seconds, reverse=True))
        if options.rotation_policy_id is not UNSET:
            changed = replace(changed, rotation_policy_id=options.rotation_policy_id)
        if options.secret_policy_id is not UNSET:
            changed = replace(changed, secret_policy_id=options.secret_policy_id)
        if options.expires_in is None:
            return changed
        changed = replace(changed, expires_in_seconds=int(options.expires_in.total_seconds()) or None)
        return replace(changed, expires_at=changed.expiry_from(now))

    def expiry_from(self, now: datetime) -> datetime | None:
        return now + timedelta(seconds=self.expires_in_seconds) if self.expires_in_seconds else None

    @property
    def thresholds(self) -> Sequence[int]:
        """How long before its end others are told of it, in seconds, longest first."""
        return NOTIFY_BEFORE if self.notify_before is None else self.notify_before

    @property
    def oldest_kept(self) -> int:
        """The first version that `max_versions` still has room for."""
        return max(1, self.current_version - self.max_versions + 1)

    @property
    def oldest_spared(self) -> int:
        """The first version that a grace period can keep beyond `max_versions`."""
        return max(1, self.current_version - MOST_VERSIONS + 1)

    def is_gone(self, now: datetime) -> bool:
        """Deleted, and its retention is over: as if it had never been."""
        return self.recoverable_until is not None and self.recoverable_until <= now

    def check_writable(self, expected_version: int | None) -> None:
        """SecretExists if it is in the trash, VersionConflict if it is not at the version the writer knows."""
        if self.deleted_at is not None:
            raise SecretExists(recoverable_until=f"{self.recoverable_until:%Y-%m-%dT%H:%M:%S.%fZ}")
        self.check_version(expected_version)

    def check_version(self, expected_version: int | None) -> None:
        """VersionConflict if it is not at the version that somebody expects."""
        if expected_version not in {None, self.current_version}:
            raise VersionConflict(current_version=self.current_version)


@dataclass(frozen=True, slots=True)
class SealedVersion:
    """One version as the database keeps it, with its secret's facts, as one look-up finds them."""

    path: str
    secret_type: str
    metadata: Metadata
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    last_accessed_at: datetime | None
    version: int
    version_created_at: datetime
    sealed: bytes = field(repr=False)
    wrapped_key: bytes = field(repr=False)
    rotation_policy_id: str | None
    secret_policy_id: str | None


@dataclass(frozen=True, slots=True)
class Notice:
    """A secret whose end is so near that somebody may want to hear of it, or past."""

    partner_id: str
    tenant_id: str
    path: str
    secret_type: str
    current_version: int
    metadata: Metadata
    expires_at: datetime
    notify_before: Sequence[int] | None

    def threshold_passed(self, now: datetime) -> int | None:
        """The shortest that has been passed, in seconds: of several at once, the one that is news. None at the end."""
        if self.expires_at <= now:
            return None
        return min((each for each in self._thresholds if self._instant(each) <= now), default=None)

    def next_after(self, now: datetime) -> datetime | None:
        """When the next word is due; None if the end has been told of."""
        return min((at for each in (*self._thresholds, 0) if (at := self._instant(each)) > now), default=None)

    @property
    def _thresholds(self) -> Sequence[int]:
        return NOTIFY_BEFORE if self.notify_before is None else self.notify_before

    def _instant(self, seconds: int) -> datetime:
        return self.expires_at - timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Version:
    """One line of a secret's history."""

    version: int
    created_at: datetime
    created_by: str
    destroyed_at: datetime | None
    readable_until: datetime | None = None
    """When the grace period of the rotation ends that replaced it; None if none has."""

    def is_readable(self, now: datetime) -> bool:
        return self.destroyed_at is None and (self.readable_until is None or self.readable_until > now)


@dataclass(frozen=True, slots=True)
class Written:
    """Where a write ended."""

    path: str
    version: int
    created_at: datetime
    is_rotation: bool = False
    reassignment: "Reassignment | None" = None


@dataclass(frozen=True, slots=True)
class Reassignment:
    """By which rotation policies a secret was renewed before and is from now on; None is by none."""

    before: str | None
    after: str | None

    @classmethod
    def between(cls, before: Secret, after: Secret) -> "Reassignment | None":
        """None if it is the same one."""
        ids = (before.rotation_policy_id, after.rotation_policy_id)
        return None if ids[0] == ids[1] else cls(*ids)

    def facts(self) -> dict[str, str | None]:
        """What the trail says of it."""
        return {"rotation_policy_id_before": self.before, "rotation_policy_id": self.after}


@dataclass(frozen=True, slots=True)
class Filters:
    """Which secrets a list is to show."""

    prefix: str = ""
    tag: str | None = None
    secret_type: SecretType | None = None
    owner: str | None = None
    expires_before: datetime | None = None
    include_deleted: bool = False


def tags_of(metadata: Metadata) -> frozenset[str]:
    """The tags in metadata, which are kept beside the secret too, for finding it."""
    tags = metadata.get("tags")
    return frozenset(map(str, tags)) if isinstance(tags, list) else frozenset()


def merged(metadata: Metadata, change: Metadata) -> Metadata:
    """`metadata` with `change` laid over it; a null removes its key (RFC 7396, one level).

    ValidationFailed if that is more than metadata may be: change by change it would grow without end.
    """
    together = {key: value for key, value in {**metadata, **change}.items() if value is not None}
    if len(json.dumps(together, ensure_ascii=False).encode()) > MAX_METADATA_BYTES:
        raise ValidationFailed(fields={"metadata": f"at most {MAX_METADATA_BYTES} bytes together with what is there"})
    return together


def live(secret: Secret | None) -> Secret:
    """The secret, if it is there and not in the trash; else SecretNotFound."""
    if secret is None or secret.deleted_at is not None:
        raise SecretNotFound
    return secret


@dataclass(frozen=True, slots=True)
class Range:
    """Paths from `low` up to but not including `high`, in the order of their bytes."""

    low: str
    high: str

    @classmethod
    def under(cls, prefix: str) -> "Range":
        """All paths that begin with `prefix`: none is beyond it followed by the last code point there is."""
        return cls(prefix, prefix + "\U0010ffff")


def ranges_within(prefix: str, reach: Sequence[str]) -> tuple[Range, ...]:
    """The parts of `prefix` that also lie under one of the sorted, disjoint prefixes in `reach`."""
    return tuple(
        Range.under(max(prefix, allowed, key=len))
        for allowed in reach
        if allowed.startswith(prefix) or prefix.startswith(allowed)
    )
