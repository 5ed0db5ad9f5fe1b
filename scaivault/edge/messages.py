"""What bodies, queries and answers are made of. The types that validate are the types that document."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic import WithJsonSchema as JsonSchema
from pydantic_core import PydanticCustomError

from scaivault.kernel.durations import parse_duration
from scaivault.kernel.errors import InvalidDuration, VaultError


class Body(BaseModel):
    """A JSON request body: unknown fields are refused by name, types are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Query(BaseModel):
    """A query string: unknown parameters are refused by name, text is read as the declared type."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reply(BaseModel):
    """A JSON answer."""

    model_config = ConfigDict(frozen=True)


def _digits(value: object) -> object:
    """The library would read `1_0` and `5.0` as numbers too."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("a whole number in digits")
    return value


# Of a whole number in a query; behind the bounds, which the document otherwise does not know for what they are.
IN_DIGITS = BeforeValidator(_digits)


class Page(Query):
    """A piece of a collection."""

    limit: Annotated[int, Field(ge=1, le=1000), IN_DIGITS] = 50
    cursor: Annotated[str, Field(max_length=2048)] | None = None


class PageReply(Reply):
    """`cursor` is what to ask for the next piece with; null when `has_more` is false."""

    cursor: str | None
    has_more: bool


def fault_of(refusal: VaultError) -> PydanticCustomError:
    """A refusal of a part as the library takes it, so that `bodies.validate` can say of which field it is."""
    return PydanticCustomError(refusal.code, "{reason}", {"reason": refusal.message})


def _duration(value: object) -> timedelta:
    if not isinstance(value, str):
        raise fault_of(InvalidDuration())
    try:
        return parse_duration(value)
    except InvalidDuration as refusal:
        raise fault_of(refusal) from None


def _flag(value: object) -> bool:
    if value not in {"true", "false", True, False}:
        raise ValueError("'true' or 'false'")
    return value in {"true", True}


def _timestamp(instant: datetime) -> str:
    # Not strftime: it writes the year 723 with three digits.
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _readable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters are not allowed")
    if not text.strip():
        raise ValueError("a name that can be seen")
    return text


_DURATION_SCHEMA: dict[str, Any] = {"type": "string", "pattern": "^[0-9]{1,9}[smhd]$", "examples": ["90d"]}

Duration = Annotated[timedelta, BeforeValidator(_duration), JsonSchema(_DURATION_SCHEMA)]
Timestamp = Annotated[
    datetime, PlainSerializer(_timestamp, return_type=str), JsonSchema({"type": "string", "format": "date-time"})
]
Flag = Annotated[bool, BeforeValidator(_flag), JsonSchema({"type": "boolean"})]
Instant = Annotated[AwareDatetime, Field(strict=False)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_readable)]
Text = Annotated[str, Field(max_length=2_000)]
