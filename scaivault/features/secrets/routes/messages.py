"""What the secrets' addresses take and give."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from scaivault.edge.messages import IN_DIGITS, Body, Duration, Flag, Page, PageReply, Query, Reply, Timestamp
from scaivault.features.secrets.errors import InvalidSecretType
from scaivault.features.secrets.model import (
    MAX_METADATA_BYTES,
    MOST_VERSIONS,
    UNSET,
    Filters,
    Options,
    SealedVersion,
    Secret,
    SecretType,
    Version,
    Write,
)
from scaivault.features.secrets.service.batch import MOST_PATHS
from scaivault.kernel.durations import spell_duration
from scaivault.kernel.errors import InvalidRequest, ValidationFailed, VaultError
from scaivault.kernel.paths import parse_prefix
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.ports import Clock

MAX_DATA_BYTES = 1024 * 1024
MAX_DATA_DEPTH = 32
MAX_BODY_BYTES = MAX_DATA_BYTES + MAX_METADATA_BYTES + 64 * 1024
MOST_THRESHOLDS = 10


def _secret_type(value: object) -> SecretType:
    try:
        return SecretType(str(value))
    except ValueError:
        raise InvalidSecretType from None


SecretTypeField = Annotated[SecretType, BeforeValidator(_secret_type)]
Tag = Annotated[str, Field(min_length=1, max_length=100)]
PolicyId = Annotated[str, Field(min_length=1, max_length=100)]
Scalar = str | int | float | bool | None


class Metadata(Body):
    """Not secret, and searchable. Keys of your own are welcome; their values are text, numbers or booleans."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    __pydantic_extra__: dict[str, Scalar] = Field(init=False)

    description: Annotated[str, Field(max_length=2_000)] | None = None
    tags: Annotated[list[Tag], Field(max_length=50)] | None = None
    owner: Annotated[str, Field(min_length=1, max_length=200)] | None = None

    @model_validator(mode="after")
    def _bounded(self) -> "Metadata":
        if any(len(key) > 100 or not key for key in self.model_extra or {}):  # noqa: PLR2004 - said in the message
            raise ValueError("a key has 1 to 100 characters")
        if len(self.model_dump_json().encode()) > MAX_METADATA_BYTES:
            raise ValueError(f"metadata has at most {MAX_METADATA_BYTES} bytes")
        return self


class SecretOptions(Body):
    """They stay in force for later writes. `expires_in` counts from each write; null means for ever.

    `notify_before` is how long before the end `secret.expiring` is told, 30d, 7d and 1d unless said otherwise.
    Null takes `rotation_policy_id` and `secret_policy_id` away. Another `rotation_policy_id` than the one that is
    there, or none, takes the permission `rotate` on the path, or an administrator of the tenant. What a rotation has
    replaced is kept beyond `max_versions` until its grace period ends, up to 100 versions in all; the first write
    after that removes it.
    """

    max_versions: Annotated[int, Field(ge=1, le=MOST_VERSIONS)] | None = None
    expires_in: Duration | None = None
    notify_before: Annotated[list[Duration], Field(max_length=MOST_THRESHOLDS)] | None = None
    rotation_policy_id: PolicyId | None = None
    secret_policy_id: PolicyId | None = None
    expected_version: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None

    def expected(self, if_match: int | None) -> int | None:
        """The version that the caller knows, said in either place; InvalidRequest if the two disagree."""
        if None not in {self.expected_version, if_match} and self.expected_version != if_match:
            raise InvalidRequest("If-Match and options.expected_version name different versions.")
        return if_match if self.expected_version is None else self.expected_version

    def to_model(self) -> Options:
        is_cleared = "expires_in" in self.model_fields_set and self.expires_in is None
        given = self.model_fields_set
        return Options(
            self.max_versions,
            timedelta(0) if is_cleared else self.expires_in,
            self.notify_before,
            self.rotation_policy_id if "rotation_policy_id" in given else UNSET,
            self.secret_policy_id if "secret_policy_id" in given else UNSET,
        )


class WriteBody(Body):
    data: Annotated[dict[str, Any], Field(repr=False)]
    secret_type: SecretTypeField | None = None
    metadata: Metadata | None = None
    options: SecretOptions = SecretOptions()

    def to_model(self, if_match: int | None) -> Write:
        return Write(
            plaintext=_plaintext(self.data),
            secret_type=self.secret_type,
            metadata=self.metadata.model_dump(exclude_none=True) if self.metadata is not None else None,
            options=self.options.to_model(),
            expected_version=self.options.expected(if_match),
        )


class MetadataBody(Body):
    """Given keys replace those of the same name; null removes one."""

    metadata: Metadata = Metadata()
    options: SecretOptions = SecretOptions()

    @model_validator(mode="after")
    def _changes_something(self) -> "MetadataBody":
        if not (self.metadata.model_fields_set or self.metadata.model_extra or self.options.model_fields_set):
            raise ValueError("give metadata or options to change")
        return self


class RollbackBody(Body):
    version: Annotated[int, Field(ge=1, le=2**31 - 1)]


class DestroyBody(Body):
    versions: Annotated[list[Annotated[int, Field(ge=1, le=2**31 - 1)]], Field(min_length=1, max_length=MOST_VERSIONS)]


class BatchOptions(Body):
    include_metadata: bool = False
    fail_fast: bool = False
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None


class BatchBody(Body):
    paths: Annotated[list[Annotated[str, Field(max_length=1_000)]], Field(min_length=1, max_length=MOST_PATHS)]
    options: BatchOptions = BatchOptions()


class BatchMetadataBody(Body):
    paths: Annotated[list[Annotated[str, Field(max_length=1_000)]], Field(min_length=1, max_length=MOST_PATHS)]
    expand_wildcards: bool = False


class ReadQuery(Query):
    version: Annotated[int, Field(ge=1, le=2**31 - 1), IN_DIGITS] | None = None


class DeleteQuery(Query):
    permanent: Flag = False


class ListQuery(Page):
    prefix: Annotated[str, Field(max_length=1_000)] = ""
    tag: Tag | None = None
    type: SecretTypeField | None = None
    owner: Annotated[str, Field(max_length=200)] | None = None
    expiring_within: Duration | None = None
    include_deleted: Flag = False

    def filters(self, clock: Clock) -> Filters:
        within = self.expiring_within
        return Filters(
            prefix=parse_prefix(self.prefix),
            tag=self.tag,
            secret_type=self.type,
            owner=self.owner,
            expires_before=clock.now() + within if within else None,
            include_deleted=self.include_deleted,
        )


class WrittenReply(Reply):
    path: str
    version: int
    created_at: Timestamp


class SecretReply(Reply):
    path: str
    secret_type: SecretType
    version: int
    data: Annotated[dict[str, Any], Field(repr=False)]
    metadata: dict[str, Any]
    created_at: Timestamp
    updated_at: Timestamp
    version_created_at: Timestamp
    expires_at: Timestamp | None
    last_accessed_at: Timestamp | None
    rotation_policy_id: str | None = None
    secret_policy_id: str | None = None

    @classmethod
    def of(cls, found: SealedVersion, plaintext: Plaintext) -> "SecretReply":
        return cls(
            path=found.path,
            secret_type=SecretType(found.secret_type),
            version=found.version,
            data=_data(plaintext),
            metadata=dict(found.metadata),
            created_at=found.created_at,
            updated_at=found.updated_at,
            version_created_at=found.version_created_at,
            expires_at=found.expires_at,
            last_accessed_at=found.last_accessed_at,
            rotation_policy_id=found.rotation_policy_id,
            secret_policy_id=found.secret_policy_id,
        )


class MetadataReply(Reply):
    path: str
    secret_type: SecretType
    version: int
    metadata: dict[str, Any]
    max_versions: int
    created_at: Timestamp
    updated_at: Timestamp
    expires_at: Timestamp | None
    deleted_at: Timestamp | None
    recoverable_until: Timestamp | None
    last_accessed_at: Timestamp | None
    last_accessed_by: str | None
    notify_before: list[str]
    rotation_policy_id: str | None = None
    secret_policy_id: str | None = None

    @classmethod
    def of(cls, secret: Secret) -> "MetadataReply":
        return cls(
            path=secret.path,
            secret_type=SecretType(secret.secret_type),
            version=secret.current_version,
            metadata=dict(secret.metadata),
            max_versions=secret.max_versions,
            created_at=secret.created_at,
            updated_at=secret.updated_at,
            expires_at=secret.expires_at,
            deleted_at=secret.deleted_at,
            recoverable_until=secret.recoverable_until,
            last_accessed_at=secret.last_accessed_at,
            last_accessed_by=secret.last_accessed_by,
            notify_before=[spell_duration(timedelta(seconds=each)) for each in secret.thresholds],
            rotation_policy_id=secret.rotation_policy_id,
            secret_policy_id=secret.secret_policy_id,
        )


class SecretPage(PageReply):
    secrets: list[MetadataReply]


class VersionReply(Reply):
    version: int
    created_at: Timestamp
    created_by: str
    destroyed_at: Timestamp | None
    readable_until: Timestamp | None
    is_readable: bool
    is_current: bool


class VersionsReply(PageReply):
    """The whole history: it has at most 100 versions. What a rotation has replaced is readable for its grace period."""

    path: str
    versions: list[VersionReply]

    @classmethod
    def of(cls, secret: Secret, versions: Sequence[Version], now: datetime) -> "VersionsReply":
        shown = [
            VersionReply(
                version=version.version,
                created_at=version.created_at,
                created_by=version.created_by,
                destroyed_at=version.destroyed_at,
                readable_until=version.readable_until,
                is_readable=version.is_readable(now),
                is_current=version.version == secret.current_version,
            )
            for version in versions
        ]
        return cls(path=secret.path, versions=shown, cursor=None, has_more=False)


class DeletedReply(Reply):
    path: str
    deleted_at: Timestamp | None
    recoverable_until: Timestamp | None


class ErrorReply(Reply):
    code: str
    message: str

    @classmethod
    def of_each(cls, errors: Mapping[str, VaultError]) -> "dict[str, ErrorReply]":
        return {path: cls(code=error.code, message=error.message) for path, error in errors.items()}


class BatchItem(Reply):
    data: Annotated[dict[str, Any], Field(repr=False)]
    version: int
    secret_type: SecretType
    metadata: dict[str, Any] | None = None

    @classmethod
    def of(cls, found: SealedVersion, plaintext: Plaintext, *, with_metadata: bool) -> "BatchItem":
        return cls(
            data=_data(plaintext),
            version=found.version,
            secret_type=SecretType(found.secret_type),
            metadata=dict(found.metadata) if with_metadata else None,
        )


class BatchReply(Reply):
    secrets: dict[str, BatchItem]
    errors: dict[str, ErrorReply]


class BatchMetadataReply(Reply):
    secrets: dict[str, MetadataReply]
    errors: dict[str, ErrorReply]
    truncated: bool


def _plaintext(data: Mapping[str, Any]) -> Plaintext:
    _check_depth(data, MAX_DATA_DEPTH)
    serialised = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    if len(serialised) > MAX_DATA_BYTES:
        raise ValidationFailed(fields={"data": f"at most {MAX_DATA_BYTES} bytes of JSON, not {len(serialised)}"})
    return Plaintext(serialised)


def _check_depth(value: object, levels: int) -> None:
    if not isinstance(value, dict | list):
        return
    if levels == 0:
        raise ValidationFailed(fields={"data": f"nested deeper than {MAX_DATA_DEPTH} levels"})
    for item in value.values() if isinstance(value, dict) else value:
        _check_depth(item, levels - 1)


def _data(plaintext: Plaintext) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(plaintext.reveal())
    return data
