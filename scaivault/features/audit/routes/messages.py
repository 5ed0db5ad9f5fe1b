"""What can be asked of the trail over HTTP, and what is answered."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic import WithJsonSchema as JsonSchema

from scaivault.edge.messages import IN_DIGITS, Name, Page, PageReply, Query, Reply, Timestamp
from scaivault.features.audit.model import KNOWN_ACTIONS, LogEntry, Summary
from scaivault.kernel.caller import IdentityType
from scaivault.kernel.paths import parse_prefix

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _instant(text: object) -> datetime:
    if not (isinstance(text, str) and _RFC3339.fullmatch(text)):
        raise ValueError("write a time as 2026-01-31T09:30:00Z, or with an offset (in a URL, '+' is '%2B')")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("there is no such time") from None


def _actions(text: object) -> tuple[str, ...]:
    names = text.split(",") if isinstance(text, str) else []
    if not names or not set(names) <= set(KNOWN_ACTIONS):
        raise ValueError(f"one or more of: {', '.join(KNOWN_ACTIONS)}; separated by commas")
    return tuple(sorted(set(names)))


def _flag(text: object) -> bool:
    if text not in ("true", "false"):
        raise ValueError("'true' or 'false'")
    return text == "true"


def _client_address(text: object) -> IPv4Address | IPv6Address:
    try:
        address = ip_address(str(text))
    except ValueError:
        address = None
    if address is None or "%" in str(address):
        raise ValueError("an IPv4 or IPv6 address") from None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _prefix(text: object) -> str:
    return parse_prefix(str(text))


_INSTANT_SCHEMA = {"type": "string", "format": "date-time", "examples": ["2026-01-31T09:30:00Z"]}
_ACTIONS_SCHEMA = {"type": "string", "examples": ["read", "write,delete"]}
_ADDRESS_SCHEMA = {"type": "string", "examples": ["10.0.0.7", "2001:db8::7"]}

When = Annotated[datetime, BeforeValidator(_instant), JsonSchema(_INSTANT_SCHEMA)]
Actions = Annotated[tuple[str, ...], BeforeValidator(_actions), JsonSchema(_ACTIONS_SCHEMA)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Address = Annotated[IPv4Address | IPv6Address, BeforeValidator(_client_address), JsonSchema(_ADDRESS_SCHEMA)]
Prefix = Annotated[str, BeforeValidator(_prefix), JsonSchema({"type": "string", "maxLength": 512})]
RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")]


class WindowQuery(Query):
    """`from` is inside, `to` is not."""

    since: When | None = Field(default=None, alias="from")
    until: When | None = Field(default=None, alias="to")

    @field_validator("until")
    @classmethod
    def _in_order(cls, until: datetime | None, info: ValidationInfo) -> datetime | None:
        since = info.data.get("since")
        if until is not None and since is not None and since > until:
            raise ValueError("'to' is before 'from'")
        return until


class TrailQuery(WindowQuery, Page):
    """A piece of a trail."""

    limit: Annotated[int, Field(ge=1, le=1000), IN_DIGITS] = 100


class LogsQuery(TrailQuery):
    """Filters; those that are given must all hold."""

    action: Actions | None = None
    identity_id: Name | None = None
    identity_type: IdentityType | None = None
    path_prefix: Prefix | None = None
    success: Flag | None = None
    source_ip: Address | None = None
    request_id: RequestId | None = None


class EntryReply(Reply):
    """One operation of one identity, allowed or refused."""

    id: str
    timestamp: Timestamp
    action: str
    identity_type: str
    identity_id: str
    secret_path: str | None
    source_ip: str
    user_agent: str
    success: bool
    duration_ms: float
    request_id: str
    trace_id: str
    extra_data: Mapping[str, Any]

    @classmethod
    def of(cls, entry: LogEntry) -> Self:
        return cls(
            id=entry.id,
            timestamp=entry.occurred_at,
            action=entry.action,
            identity_type=entry.identity_type,
            identity_id=entry.identity_id,
            secret_path=entry.secret_path,
            source_ip=str(entry.source_ip),
            user_agent=entry.user_agent,
            success=entry.success,
            duration_ms=round(entry.duration_ms, 3),
            request_id=entry.request_id,
            trace_id=entry.trace_id,
            extra_data=entry.extra_data,
        )


class SummaryReply(Reply):
    """Numbers, and the window they are true for.

    Counting is bounded, newest entries first. Where the bound was reached, `is_complete` is false and `from` is where
    counting stopped; ask for a smaller window to have the rest.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)

    since: Timestamp = Field(alias="from")
    until: Timestamp = Field(alias="to")
    is_complete: bool
    total_events: int
    successful_events: int
    failed_events: int
    by_action: Mapping[str, int]
    unique_identities: int
    unique_secrets: int

    @classmethod
    def of(cls, summary: Summary) -> Self:
        tally = summary.tally
        return cls(
            since=summary.since,
            until=summary.until,
            is_complete=summary.is_complete,
            total_events=tally.total_events,
            successful_events=tally.successful_events,
            failed_events=tally.total_events - tally.successful_events,
            by_action=tally.by_action,
            unique_identities=tally.unique_identities,
            unique_secrets=tally.unique_secrets,
        )


class LogsReply(PageReply):
    """Entries, newest first."""

    logs: list[EntryReply]


class TrailReply(LogsReply):
    """A trail, and the sum of its last 30 days."""

    summary: SummaryReply
