"""What the trail holds and what can be asked of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address

from scaivault.kernel.journal import Action

# Documented actions of features still to come: asking for them is no mistake, the answer is an empty list.
_ANNOUNCED = frozenset(
    {
        "dynamic_generate",
        "dynamic_renew",
        "dynamic_revoke",
        "export_created",
        "federation_sync",
        "pki_ca_create",
        "pki_issue",
        "pki_revoke",
        "pki_sign",
        "rotate",
    }
)
KNOWN_ACTIONS = tuple(sorted(_ANNOUNCED.union(action.value for action in Action)))


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One row of the trail."""

    id: str
    occurred_at: datetime
    action: str
    identity_type: str
    identity_id: str
    secret_path: str | None
    source_ip: IPv4Address | IPv6Address
    user_agent: str
    success: bool
    duration_ms: float
    request_id: str
    trace_id: str
    extra_data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the trail: its order is (occurred_at, id), newest first."""

    occurred_at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Filters:
    """What an entry must be like; None does not matter. `since` is inside the window, `until` is not."""

    since: datetime | None = None
    until: datetime | None = None
    actions: tuple[str, ...] | None = None
    identity_id: str | None = None
    identity_type: str | None = None
    secret_path: str | None = None
    path_prefix: str | None = None
    success: bool | None = None
    source_ip: IPv4Address | IPv6Address | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """A piece of the trail, newest first. `next` is where the following piece begins, None at the end."""

    entries: list[LogEntry]
    next: Position | None


@dataclass(frozen=True, slots=True)
class Tally:
    """What the counted entries add up to. `counted_since` is the oldest one's instant, None when there is none."""

    total_events: int
    successful_events: int
    unique_identities: int
    unique_secrets: int
    by_action: Mapping[str, int]
    counted_since: datetime | None


@dataclass(frozen=True, slots=True)
class Summary:
    """A tally and the window [since, until) it is true for.

    Counting stops at a bound, newest entries first; the window then begins where it stopped and `is_complete` is
    false, so that the numbers are true of the window they are shown with, however busy the vault is.
    """

    since: datetime
    until: datetime
    is_complete: bool
    tally: Tally


@dataclass(frozen=True, slots=True)
class Trail:
    """What one secret or one identity has been through, and its sum."""

    slice: Slice
    summary: Summary
