"""What one audit entry says. Named, typed fields only: there is no place to put a secret's value."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from scaivault.kernel.caller import Caller
from scaivault.kernel.paths import SecretPath

Extra = str | int | bool | None | list[str] | list[int]


class Action(StrEnum):
    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    LIST = "list"
    IDENTITY_SYNC = "identity_sync"
    KEY_ROTATE = "key_rotate"
    POLICY_CREATE = "policy_create"
    POLICY_UPDATE = "policy_update"
    POLICY_DELETE = "policy_delete"
    POLICY_BIND = "policy_bind"
    POLICY_UNBIND = "policy_unbind"
    POLICY_VIOLATION = "policy_violation"
    ROLE_ASSIGN = "role_assign"
    ROTATE = "rotate"
    ROTATION_ASSIGN = "rotation_assign"
    ROTATION_POLICY_CREATE = "rotation_policy_create"
    ROTATION_POLICY_DELETE = "rotation_policy_delete"
    ROTATION_POLICY_UPDATE = "rotation_policy_update"
    ROTATION_UNASSIGN = "rotation_unassign"
    REQUEST_REFUSED = "request_refused"
    SECRET_POLICY_CREATE = "secret_policy_create"  # noqa: S105 - an action's name
    SECRET_POLICY_DELETE = "secret_policy_delete"  # noqa: S105 - an action's name
    SECRET_POLICY_PREVIEW = "secret_policy_preview"  # noqa: S105 - an action's name
    SECRET_POLICY_UPDATE = "secret_policy_update"  # noqa: S105 - an action's name
    SUBSCRIPTION_ACK = "subscription_ack"
    SUBSCRIPTION_CREATE = "subscription_create"
    SUBSCRIPTION_DELETE = "subscription_delete"
    SUBSCRIPTION_EVENT = "subscription_event"
    SUBSCRIPTION_UPDATE = "subscription_update"
    TOKEN_CREATE = "token_create"  # noqa: S105 - an action's name
    TOKEN_REVOKE = "token_revoke"  # noqa: S105 - an action's name
    TRUST_CREATE = "trust_create"
    TRUST_DELETE = "trust_delete"
    WEBHOOK_CREATE = "webhook_create"
    WEBHOOK_DELETE = "webhook_delete"
    WEBHOOK_DELIVERY = "webhook_delivery"
    WEBHOOK_REDELIVER = "webhook_redeliver"
    WEBHOOK_TEST = "webhook_test"
    WEBHOOK_UPDATE = "webhook_update"


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation of one caller. `extra` holds identifiers, counts and reasons, never content."""

    action: Action
    caller: Caller
    path: SecretPath | None
    success: bool
    duration_ms: float
    extra: Mapping[str, Extra]

    @classmethod
    def of(
        cls,
        action: Action,
        caller: Caller,
        path: SecretPath | None = None,
        *,
        success: bool = True,
        **extra: Extra,
    ) -> "Entry":
        """An entry about `caller`'s request, timed from the request's start until now."""
        duration_ms = (time.perf_counter() - caller.origin.started) * 1_000
        if (home := caller.principal.home) is not None:
            # A name belongs to its tenant: this trail may know another one of the same name.
            extra["home_tenant_id"] = home.tenant_id
        return cls(action, caller, path, success, duration_ms, extra)
