"""What `/v1/rotation` takes and gives."""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field, RootModel, model_validator

from scaivault.edge.messages import IN_DIGITS, Body, Duration, Flag, Name, Page, PageReply, Reply, Text, Timestamp
from scaivault.features.rotation import model
from scaivault.features.rotation.model import DEFAULT_GRACE, MOST_AT_ONCE, MOST_THRESHOLDS, MOST_WEBHOOKS
from scaivault.kernel.durations import spell_duration
from scaivault.kernel.renewal import Trigger


def _split(value: object) -> object:
    """'7d,1d' is what ['7d', '1d'] is; an empty text is no threshold."""
    if isinstance(value, str):
        return [each.strip() for each in value.split(",")] if value.strip() else []
    if not isinstance(value, list):
        raise ValueError("a list of durations, or a text of them with commas")  # noqa: TRY004 - what the library takes
    return value


Thresholds = Annotated[
    list[Duration],
    BeforeValidator(_split, json_schema_input_type=str | list[str]),
    Field(max_length=MOST_THRESHOLDS, examples=[["7d", "1d"], "7d,1d"]),
]
WebhookIds = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=MOST_WEBHOOKS)]
SecretPolicyId = Annotated[str, Field(min_length=1, max_length=100)]
Path = Annotated[str, Field(min_length=1, max_length=1_000)]


class RotationPolicyBody(Body):
    """`interval` is at least 10s, and longer than each threshold. `warn_before` is a list, or a text with commas.

    `secret_policy_id` makes the values of secrets that have none of their own.
    """

    name: Name
    description: Text = ""
    interval: Duration
    # The library's own spelling of a default would be one that we refuse.
    grace_period: Duration = Field(DEFAULT_GRACE, json_schema_extra={"default": spell_duration(DEFAULT_GRACE)})
    warn_before: Thresholds = Field(default_factory=list)
    auto_generate: bool = False
    secret_policy_id: SecretPolicyId | None = None
    webhook_ids: WebhookIds = Field(default_factory=list)
    is_active: bool = True

    def to_model(self) -> model.Draft:
        return model.Draft(
            name=self.name,
            description=self.description,
            interval=self.interval,
            grace=self.grace_period,
            warn_before=self.warn_before,
            auto_generate=self.auto_generate,
            secret_policy_id=self.secret_policy_id,
            webhook_ids=self.webhook_ids,
            is_active=self.is_active,
        )


class RotationPolicyPatch(Body):
    """What is left out stays as it is; null takes `secret_policy_id` away."""

    # By factory: the schema shows no default then, and there is none.
    name: Name = Field(default_factory=str)
    description: Text = Field(default_factory=str)
    interval: Duration = Field(default_factory=timedelta)
    grace_period: Duration = Field(default_factory=timedelta)
    warn_before: Thresholds = Field(default_factory=list)
    auto_generate: bool = Field(default_factory=bool)
    secret_policy_id: SecretPolicyId | None = None
    webhook_ids: WebhookIds = Field(default_factory=list)
    is_active: bool = Field(default_factory=bool)

    @model_validator(mode="after")
    def _is_sound(self) -> "RotationPolicyPatch":
        if not self.model_fields_set:
            raise ValueError("give something to change")
        return self

    def to_model(self) -> model.Changes:
        given = self.model_fields_set
        return model.Changes(
            name=self.name if "name" in given else None,
            description=self.description if "description" in given else None,
            interval=self.interval if "interval" in given else None,
            grace=self.grace_period if "grace_period" in given else None,
            warn_before=self.warn_before if "warn_before" in given else None,
            auto_generate=self.auto_generate if "auto_generate" in given else None,
            secret_policy_id=self.secret_policy_id,
            secret_policy_is_given="secret_policy_id" in given,
            webhook_ids=tuple(dict.fromkeys(self.webhook_ids)) if "webhook_ids" in given else None,
            is_active=self.is_active if "is_active" in given else None,
        )


class AssignmentBody(Body):
    secret_path: Path


class RotateAllBody(Body):
    """Without `secret_paths`: all of the policy's secrets that the caller may rotate.

    At most 100, and what is made in about ten seconds: 409 `too_many_secrets` otherwise, before any is renewed.
    """

    secret_paths: Annotated[list[Path], Field(min_length=1, max_length=MOST_AT_ONCE)] | None = None


class PolicyQuery(Page):
    active_only: Flag = False


class HistoryQuery(Page):
    status: Annotated[model.Status, Field(strict=False)] | None = None


class DueQuery(Page):
    within_hours: Annotated[int, Field(ge=0, le=24 * 366), IN_DIGITS] = 24
    include_overdue: Flag = True
    policy_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class RotationPolicy(Reply):
    id: str
    name: str
    description: str
    interval: str
    interval_seconds: int
    grace_period: str
    warn_before: list[str]
    auto_generate: bool
    secret_policy_id: str | None
    webhook_ids: list[str]
    is_active: bool
    secrets_count: int
    revision: int
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, policy: model.Policy) -> "RotationPolicy":
        terms = policy.terms
        return cls(
            id=policy.id,
            name=policy.name,
            description=policy.description,
            interval=spell_duration(terms.interval),
            interval_seconds=int(terms.interval.total_seconds()),
            grace_period=spell_duration(terms.grace),
            warn_before=[spell_duration(each) for each in terms.warn_before],
            auto_generate=terms.auto_generate,
            secret_policy_id=policy.secret_policy_id,
            webhook_ids=list(policy.webhook_ids),
            is_active=terms.is_active,
            secrets_count=policy.secrets_count,
            revision=policy.revision,
            created_at=policy.created_at,
            updated_at=policy.updated_at,
        )


class RotationPolicyPage(PageReply):
    data: list[RotationPolicy]


class SecretAssignment(Reply):
    """A secret under a policy. `state` is `awaited` when it is due and somebody is to write its next value.

    It is `failing` when it is due and `attempts` of a worker's have failed, the last one for `error_code`. From the end
    of the grace period on it is `overdue` instead.
    """

    secret_path: str
    rotation_policy_id: str
    rotation_policy_name: str
    auto_generate: bool
    state: model.State
    due_at: Timestamp | None
    overdue_at: Timestamp | None
    is_overdue: bool
    last_rotated_at: Timestamp | None
    attempts: int
    error_code: str | None
    next_attempt_at: Timestamp | None

    @classmethod
    def of(cls, assignment: model.Assignment) -> "SecretAssignment":
        return cls(
            secret_path=assignment.path,
            rotation_policy_id=assignment.policy_id,
            rotation_policy_name=assignment.policy_name,
            auto_generate=assignment.auto_generate,
            state=assignment.state,
            due_at=assignment.due_at,
            overdue_at=_overdue_at(assignment),
            is_overdue=assignment.state is model.State.OVERDUE,
            last_rotated_at=assignment.rotated_at,
            attempts=assignment.attempts,
            error_code=assignment.error_code,
            next_attempt_at=assignment.next_attempt_at,
        )


def _overdue_at(assignment: model.Assignment) -> datetime | None:
    due_at = assignment.due_at
    return None if due_at is None else due_at + timedelta(seconds=assignment.grace_seconds)


class AssignmentPage(PageReply):
    secrets: list[SecretAssignment]


class AssignmentQuery(Page):
    pass


class HistoryItem(Reply):
    """One rotation: done, failed with as many attempts so far, or waited for. `error_code` says why it failed.

    `out_of_time`, of no attempt: the request had no time left for it.
    """

    id: str
    rotation_policy_id: str | None
    secret_path: str
    status: model.Status
    triggered_by: Trigger
    rotated_by: str
    attempts: int
    error_code: str | None
    due_at: Timestamp | None
    started_at: Timestamp
    completed_at: Timestamp | None
    old_version: int | None
    new_version: int | None
    grace_period_ends: Timestamp | None

    @classmethod
    def of(cls, item: model.Item) -> "HistoryItem":
        return cls(
            id=item.id,
            rotation_policy_id=item.policy_id,
            secret_path=item.path,
            status=item.status,
            triggered_by=item.triggered_by,
            rotated_by=item.identity_id,
            attempts=item.attempts,
            error_code=item.reason,
            due_at=item.due_at,
            started_at=item.started_at,
            completed_at=item.ended_at,
            old_version=item.old_version,
            new_version=item.new_version,
            grace_period_ends=item.grace_period_ends,
        )


class HistoryPage(PageReply):
    history: list[HistoryItem]


class RotatedReply(Reply):
    path: str
    version: int
    created_at: Timestamp


class HistoryItems(RootModel[list[HistoryItem]]):
    """What became of each secret."""
