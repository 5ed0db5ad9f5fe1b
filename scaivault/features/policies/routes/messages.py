"""What `/v1/policies` takes and gives.

Shapes only: whether a pattern, a range or a zone means anything is for the model to say, and how many of them there
may be. Those bounds are in the schema all the same. What an answer says inside of `rules`, a body accepts.
"""

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic import WithJsonSchema as JsonSchema

from scaivault.edge.messages import Body, Flag, Instant, Name, Page, PageReply, Query, Reply, Text, Timestamp
from scaivault.features.policies.model.conditions import DAYS, MAX_IP_RANGES, Condition, Day
from scaivault.features.policies.model.policies import BINDABLE, PolicyScope
from scaivault.features.policies.model.rules import MAX_RULES, Effect
from scaivault.kernel.caller import IdentityType, Permission
from scaivault.kernel.globs import MAX_STARS
from scaivault.kernel.paths import MAX_PATH_CHARACTERS, MAX_PATH_SEGMENTS

EARLIEST_YEAR, LATEST_YEAR = 1970, 2999


def _prose(text: str) -> str:
    if not all(line.isprintable() for line in text.replace("\t", " ").split("\n")):
        raise ValueError("control characters other than tab and newline are not allowed")
    return text


def _bindable(kind: IdentityType) -> IdentityType:
    if kind not in BINDABLE:
        raise ValueError(f"one of {', '.join(BINDABLE)}")
    return kind


def _text_only(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("write a time as 2026-01-31T09:30:00Z")  # noqa: TRY004 - what pydantic reports
    return value


def _sane(instant: datetime) -> datetime:
    # Beyond these, changing the zone of an instant can overflow.
    if not EARLIEST_YEAR <= instant.year <= LATEST_YEAR:
        raise ValueError(f"a time lies between the years {EARLIEST_YEAR} and {LATEST_YEAR}")
    return instant


def _address(value: object) -> object:
    if not isinstance(value, str) or "%" in value:
        raise ValueError("an IPv4 or IPv6 address")
    try:
        return ip_address(value)
    except ValueError:
        raise ValueError("an IPv4 or IPv6 address") from None


def _schema(example: str, **more: Any) -> JsonSchema:  # noqa: ANN401 - JSON schema keywords
    return JsonSchema({"type": "string", "examples": [example], **more})


def _some(most: int) -> Any:  # noqa: ANN401 - pydantic's own word for a field
    return Field(json_schema_extra={"minItems": 1, "maxItems": most})


_PATTERN_RULES = f"At most {MAX_PATH_SEGMENTS} segments and {MAX_STARS} stars; `**` stands alone in a segment."

Prose = Annotated[Text, AfterValidator(_prose)]
Pattern = Annotated[str, _schema("app/**", maxLength=MAX_PATH_CHARACTERS, description=_PATTERN_RULES)]
IpRange = Annotated[str, _schema("10.0.0.0/8")]
TimeOfDay = Annotated[str, _schema("09:00", pattern="^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
MaxAge = Annotated[str, _schema("15m", pattern="^[0-9]{1,9}[smhd]$")]
Zone = Annotated[str, _schema("Europe/Berlin", maxLength=100)]
Moment = Annotated[Instant, BeforeValidator(_text_only), AfterValidator(_sane)]
Address = Annotated[IPv4Address | IPv6Address, BeforeValidator(_address), _schema("203.0.113.7")]
WhichScope = Annotated[PolicyScope, Field(strict=False)]
Granted = Annotated[Permission, Field(strict=False)]
Kind = Annotated[
    IdentityType,
    Field(strict=False),
    AfterValidator(_bindable),
    JsonSchema({"type": "string", "enum": [kind.value for kind in BINDABLE]}),
]
IdentityId = Annotated[str, Field(min_length=1, max_length=256, examples=["user:ada@example.com", "group:sre"])]


class _Shape(BaseModel):
    """Both taken and given."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TimeWindow(_Shape):
    """From `start` until just before `end`. With an earlier end it runs past midnight and belongs to its first day."""

    days: Annotated[list[Annotated[Day, Field(strict=False)]], _some(len(DAYS))] = list(DAYS)
    start: TimeOfDay
    end: TimeOfDay
    timezone: Zone = "UTC"


class Conditions(_Shape):
    """All that are given must hold."""

    ip_ranges: Annotated[list[IpRange], _some(MAX_IP_RANGES)] | None = None
    require_mfa: bool = False
    mfa_max_age: MaxAge | None = None
    time_window: TimeWindow | None = None


class Rule(_Shape):
    """`admin` stands for all permissions. A deny whose conditions hold wins over every allow."""

    path_pattern: Pattern
    permissions: Annotated[list[Granted], _some(len(Permission))]
    effect: Annotated[Effect, Field(strict=False)] = Effect.ALLOW
    conditions: Conditions | None = None


Rules = Annotated[list[Rule], _some(MAX_RULES)]


class PolicyBody(Body):
    name: Name
    description: Prose = ""
    rules: Rules
    is_active: bool = True
    scope: WhichScope = PolicyScope.TENANT


class PolicyPatch(Body):
    """What is left out stays as it is."""

    # By factory: the schema shows no default then, and there is none.
    name: Name = Field(default_factory=str)
    description: Prose = Field(default_factory=str)
    rules: Rules = Field(default_factory=list)
    is_active: bool = Field(default_factory=bool)
    scope: WhichScope = Field(default_factory=lambda: PolicyScope.TENANT)


class BindingBody(Body):
    identity_type: Kind
    identity_id: IdentityId
    expires_at: Moment | None = None


class TrialContext(Body):
    source_ip: Address | None = None
    mfa_verified: bool = False
    timestamp: Moment | None = None


class TrialBody(Body):
    """`groups` are those of the identity if left out, `identity_type` is read off the id."""

    identity_id: IdentityId
    identity_type: Kind | None = None
    groups: Annotated[list[IdentityId], Field(max_length=500)] | None = None
    path: str
    permission: Granted
    context: TrialContext = Field(default_factory=TrialContext)


class PolicyQuery(Page):
    scope: WhichScope = PolicyScope.TENANT
    include_inactive: Flag = False


class DeleteQuery(Query):
    force: bool = False


class Binding(Reply):
    id: str
    policy_id: str
    identity_type: IdentityType
    identity_id: str
    expires_at: Timestamp | None
    created_at: Timestamp


class BindingPage(PageReply):
    bindings: list[Binding]


class _Heading(Reply):
    id: str
    name: str
    description: str
    scope: PolicyScope = PolicyScope.TENANT
    is_active: bool
    revision: int
    created_at: Timestamp
    updated_at: Timestamp


class Policy(_Heading):
    rules: Rules
    bindings: list[Binding]


class PolicySummary(_Heading):
    rule_count: int
    binding_count: int


class PolicyPage(PageReply):
    policies: list[PolicySummary]


class Match(Reply):
    """The rule that decided, by its position from 0."""

    policy_id: str
    policy_name: str
    rule: int
    path_pattern: str
    effect: Effect


class Evaluated(Reply):
    policy_id: str
    policy_name: str
    matched: bool
    reason: str


class TrialResult(Reply):
    """`evaluated` are the policies that the identity is bound to, `matched` is the one that decided."""

    allowed: bool
    matched: Match | None
    reason: str
    failed_condition: Condition | None
    evaluated: list[Evaluated]
