"""What is told, as a table: headers, the envelope, and for each event that this release tells what it says.

docs/webhooks.md and the OpenAPI document say the same, and tests hold both, and what is told, to this one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from scaivault.kernel.events import WITHOUT_PATH, EventType

TEST_EVENT: Final = "webhook.test"
USER_AGENT: Final = "ScaiVault-Webhook/1.0"


class Form(StrEnum):
    """What a fact is, spelled in JSON."""

    TEXT = "text"
    NUMBER = "number"
    TRUTH = "truth"
    INSTANT = "instant"
    TEXTS = "texts"
    NUMBERS = "numbers"


@dataclass(frozen=True, slots=True)
class Part:
    """A fact's form, and whether it can be null where there is none."""

    form: Form
    may_be_null: bool = False


@dataclass(frozen=True, slots=True)
class Header:
    """What is sent beside the body; not always, if it is not needed."""

    name: str
    says: str
    is_always_sent: bool = True


@dataclass(frozen=True, slots=True)
class Telling:
    """An event: what has happened, and what its `data` has always and sometimes. None of it is a secret's value."""

    happened: str
    always: Mapping[str, Part]
    sometimes: Mapping[str, Part] = field(default_factory=dict)


HEADERS: Final[Sequence[Header]] = (
    Header("X-ScaiVault-Event-Id", "As `event_id` in the body; the same in every attempt, and when it is redelivered."),
    Header("X-ScaiVault-Event-Type", "As `event_type` in the body. Not signed: branch on the body's."),
    Header(
        "X-ScaiVault-Timestamp",
        "Unix seconds of this attempt. Refuse what is more than 300 s away, and keep your clock right.",
    ),
    Header(
        "X-ScaiVault-Signature",
        "`sha256=` and, in hex, the HMAC-SHA256 of `{timestamp}.{body}` under the webhook's secret.",
    ),
    Header(
        "X-ScaiVault-Signature-Previous",
        "The same under the secret before it, while that is in force.",
        is_always_sent=False,
    ),
    Header("User-Agent", f"`{USER_AGENT}`"),
    Header("Content-Type", "`application/json`"),
)
ENVELOPE: Final[Mapping[str, str]] = {
    "event_id": "`evt_…`; for telling what came twice.",
    "event_type": "One of the table below. New ones and new fields come with new releases: ignore what you do not "
    "know.",
    "timestamp": "When it happened, UTC, with microseconds: `2026-07-15T12:00:00.123456Z`.",
    "tenant_id": "Where it happened.",
    "partner_id": "Where it happened.",
    "identity_id": "Who did it: `user:…`, `sa:…`, `system:…`.",
    "path": "Which path it is about. Only there where it is about one.",
    "data": "As below. Never a secret's value.",
    "request_id": "Of the request that did it, as in the audit trail.",
}

_TEXT, _NUMBER, _TRUTH, _INSTANT = Part(Form.TEXT), Part(Form.NUMBER), Part(Form.TRUTH), Part(Form.INSTANT)
_TEXT_IF_ANY, _INSTANT_IF_ANY = Part(Form.TEXT, may_be_null=True), Part(Form.INSTANT, may_be_null=True)
_RENEWAL: Final = {
    "old_version": _NUMBER,
    "new_version": _NUMBER,
    "rotation_policy_id": _TEXT_IF_ANY,
    "rotation_policy_name": _TEXT_IF_ANY,
    "grace_period_ends": _INSTANT,
}
_DUE: Final = {
    "rotation_policy_id": _TEXT,
    "rotation_policy_name": _TEXT,
    "due_at": _INSTANT,
    "version": _NUMBER,
    "auto_generate": _TRUTH,
}
_POLICY: Final = {
    "policy_id": _TEXT,
    "name": _TEXT,
    "revision": _NUMBER,
    "rule_count": _NUMBER,
    "is_active": _TRUTH,
}
_BINDING: Final = {
    "policy_id": _TEXT,
    "policy_name": _TEXT,
    "binding_id": _TEXT,
    "identity_type": _TEXT,
    "identity_id": _TEXT,
    "expires_at": _INSTANT_IF_ANY,
}
TOLD: Final[Mapping[str, Telling]] = {
    EventType.SECRET_CREATED: Telling(
        "a path has its first version",
        {
            "version": _NUMBER,
            "secret_type": _TEXT,
            "created_by": _TEXT,
            "tags": Part(Form.TEXTS),
            "expires_at": _INSTANT_IF_ANY,
        },
    ),
    EventType.SECRET_UPDATED: Telling(
        "there is a new version, or something else of it has changed",
        {"old_version": _NUMBER, "new_version": _NUMBER, "updated_by": _TEXT, "is_rotation": _TRUTH},
        {"changed": _TEXT, "rollback_to": _NUMBER, "destroyed_versions": Part(Form.NUMBERS)},
    ),
    EventType.SECRET_DELETED: Telling(
        "it is in the trash, or gone",
        {"version_count": _NUMBER, "deleted_by": _TEXT, "permanent": _TRUTH},
        {"recoverable_until": _INSTANT},
    ),
    EventType.SECRET_ACCESSED: Telling(
        "its value was read", {"version": _NUMBER, "secret_type": _TEXT, "accessed_by": _TEXT}
    ),
    EventType.SECRET_EXPIRING: Telling(
        "it will have expired before long", {"expires_at": _INSTANT, "days_remaining": _NUMBER, "threshold": _TEXT}
    ),
    EventType.SECRET_EXPIRED: Telling("it has expired", {"expired_at": _INSTANT, "version": _NUMBER}),
    EventType.SECRET_ROTATED: Telling("it was renewed, by a rotation", {**_RENEWAL, "auto_generated": _TRUTH}),
    EventType.ROTATION_COMPLETED: Telling(
        "the rotation is done, and when the next is due",
        {**_RENEWAL, "triggered_by": _TEXT, "next_rotation_at": _INSTANT_IF_ANY},
    ),
    EventType.ROTATION_DUE: Telling(
        "a rotation is due, or will be before long",
        {**_DUE, "due_now": _TRUTH},
        {"grace_period_ends": _INSTANT, "warn_before": _TEXT, "threshold": _TEXT},
    ),
    EventType.ROTATION_OVERDUE: Telling(
        "nobody has renewed it in its grace period", {**_DUE, "grace_period_ended": _INSTANT}
    ),
    EventType.ROTATION_FAILED: Telling(
        "a value could not be made, or the present one not opened",
        {**_DUE, "error": _TEXT, "attempts": _NUMBER, "next_attempt_at": _INSTANT_IF_ANY},
    ),
    EventType.POLICY_CREATED: Telling("there is a new policy", _POLICY),
    EventType.POLICY_UPDATED: Telling("a policy has changed", _POLICY),
    EventType.POLICY_DELETED: Telling("a policy is gone", {**_POLICY, "bindings_removed": _NUMBER}),
    EventType.POLICY_BINDING_CREATED: Telling("a policy counts for somebody", _BINDING),
    EventType.POLICY_BINDING_DELETED: Telling("it does not any more", _BINDING),
    EventType.POLICY_VIOLATION: Telling(
        "a request was refused", {"attempted": _TEXT, "reason": _TEXT, "failed_condition": _TEXT_IF_ANY}
    ),
    EventType.WEBHOOK_DISABLED: Telling(
        "another webhook has failed for too long", {"webhook_id": _TEXT, "consecutive_failures": _NUMBER}
    ),
    TEST_EVENT: Telling("somebody tries this webhook out; nobody listens for it", {"webhook_id": _TEXT}),
}
WITHOUT_A_PATH: Final = frozenset({*WITHOUT_PATH, TEST_EVENT})
# About a path where the request was.
_SOMETIMES_WITH_A_PATH: Final = frozenset({EventType.POLICY_VIOLATION})


def envelope_of(event_type: str) -> Sequence[str]:
    """The fields that every envelope of this event has."""
    lacks_path = event_type in WITHOUT_A_PATH or event_type in _SOMETIMES_WITH_A_PATH
    return [name for name in ENVELOPE if name != "path" or not lacks_path]
