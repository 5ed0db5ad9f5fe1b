"""Request bodies: bounded in size, depth and count before anything else looks at them, then JSON, then a type.

The bounds come before authentication, so that a stranger can not make us build a large object (CVE-2025-6203).
"""

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scaivault.kernel.documents import NoJsonConstant, NumberOutOfRange, RepeatedName, parse_strictly
from scaivault.kernel.errors import (
    BodyTooLarge,
    InvalidDuration,
    InvalidGlob,
    InvalidRequest,
    ValidationFailed,
    VaultError,
)

MAX_DEPTH = 36  # 32 levels of secret data, inside a field, inside the body
MAX_PARTS = 20_000  # commas and brackets: keys, items, objects and lists together
MAX_FAULTS = 20

# Possessive, and content with a string that never ends: linear in the body, whatever is in it.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_STRUCTURE = re.compile(rb"[\[\]{},]")
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_NUL_ESCAPE = re.compile(rb"\\u0000")

# How the library begins: "String should have at least 1 character".
_LIBRARYS_OWN = re.compile(r"^[A-Z][a-z]+ should ")

# What parts of a body raise by `messages.fault_of`.
_REFUSALS: Mapping[str, type[VaultError]] = {each.code: each for each in (InvalidDuration, InvalidGlob)}

Message = TypeVar("Message", bound=BaseModel)


def parse_json(raw: bytes) -> Any:  # noqa: ANN401 - JSON is any of its types
    """The one JSON value in `raw`; InvalidRequest says what is wrong with it, never what it says."""
    _check_structure(raw)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not valid UTF-8.") from None
    try:
        value = parse_strictly(text)
    except json.JSONDecodeError as fault:
        raise InvalidRequest(
            f"The body is not valid JSON: line {fault.lineno}, column {fault.colno}: {fault.msg}."
        ) from None
    except RepeatedName:
        raise InvalidRequest("An object in the body has the same key twice.") from None
    except NoJsonConstant as constant:
        raise InvalidRequest(f"{constant} is not JSON.") from None
    except NumberOutOfRange:
        raise InvalidRequest("The body has a number that is out of range.") from None
    except (ValueError, RecursionError):
        raise InvalidRequest("The body has a number with too many digits.") from None
    _check_characters(raw, value)
    return value


def _check_structure(raw: bytes) -> None:
    depth = 0
    for parts, match in enumerate(_STRUCTURE.finditer(_STRING.sub(b"", raw)), start=1):
        if match[0] in b"[{":
            depth += 1
        elif match[0] in b"]}":
            depth -= 1
        if depth > MAX_DEPTH:
            raise InvalidRequest(f"The body is nested deeper than {MAX_DEPTH} levels.")
        if parts > MAX_PARTS:
            raise InvalidRequest(f"The body has more than {MAX_PARTS} keys and items.")


def _check_characters(raw: bytes, value: object) -> None:
    if _NUL_ESCAPE.search(raw):
        # An escaped backslash before "u0000" is text, not a NUL; look at the parsed value to tell.
        _refuse_character(value, "\x00", "The body contains a NUL character.")
    if _SURROGATE_ESCAPE.search(raw):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidRequest("The body contains a lone surrogate, which is not a character.") from None


def _refuse_character(value: object, character: str, message: str) -> None:
    if isinstance(value, str):
        if character in value:
            raise InvalidRequest(message)
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_character(key, character, message)
            _refuse_character(item, character, message)
    elif isinstance(value, list):
        for item in value:
            _refuse_character(item, character, message)


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`."""
    value = parse_json(raw)
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return value


def validate(kind: type[Message], value: object) -> Message:
    """`value` as a `kind`, or ValidationFailed with `details.fields`: a reason per field, never a value.

    Where a part has a refusal of its own, such as InvalidDuration, that one, with the same details.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as invalid:
        faults = invalid.errors(include_url=False, include_input=False)
        fields = {_field(fault, value): _reason(fault) for fault in faults[:MAX_FAULTS]}
        for fault in faults:
            if fault["type"] in _REFUSALS:
                raise _REFUSALS[fault["type"]](fault["msg"], fields=fields) from None
        raise ValidationFailed(fields=fields) from None


def _reason(fault: ErrorDetails) -> str:
    """In the words of JSON and the API: the library's name its own types, or repeat what came."""
    context = fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            return "there is no such field"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be an object"
        case "union_tag_not_found":
            return f"must say its {context['discriminator']}"
        case "union_tag_invalid":
            return f"its {context['discriminator']} must be one of {context['expected_tags']}"
        case "missing":
            return "is required"
    message = fault["msg"].removeprefix("Value error, ")
    return _LIBRARYS_OWN.sub("must ", message, count=1).partition(" after validation, not ")[0]


def _field(fault: ErrorDetails, value: object) -> str:
    """`rules.0.path_pattern`, as it was sent: the library also names which of several forms a part was read as.

    A name is shown only so far as it can be shown: the client wrote it.
    """
    location, here, shown = fault["loc"], value, list[str]()
    for number, part in enumerate(location, start=1):
        is_missing = fault["type"] == "missing" and number == len(location)
        is_sent = isinstance(part, int) or (isinstance(here, Mapping) and part in here)
        if not is_sent and not is_missing:
            continue
        shown.append(str(part)[:100])
        here = _part_of(here, part)
    return ".".join(shown) or "body"


def _part_of(whole: object, part: int | str) -> object:
    if isinstance(whole, Mapping):
        return whole.get(part)
    return whole[part] if isinstance(whole, list) and isinstance(part, int) and part < len(whole) else None


def check_size(declared: int | None, most: int) -> None:
    """BodyTooLarge before a byte is read."""
    if declared is not None and declared > most:
        raise BodyTooLarge(f"The body is {declared} bytes; this endpoint accepts {most}.")
