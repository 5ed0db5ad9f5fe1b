"""JSON that somebody else wrote, request bodies included: one reading of it, or none."""

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 8


class RepeatedName(ValueError):
    """An object has the same name twice: parsers differ in which one counts."""


class NoJsonConstant(ValueError):
    """NaN or an infinity, by name: Python reads them, the standard does not know them."""


class NumberOutOfRange(ValueError):
    """A number beyond the floats, which would be read as infinite."""


def parse_strictly(text: str) -> Any:  # noqa: ANN401 - JSON is any of its types
    """The one JSON value in `text`.

    JSONDecodeError, RepeatedName, NoJsonConstant, NumberOutOfRange; a plain ValueError for an integer of too many
    digits, RecursionError for what is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)


def parse_document(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`; ValueError, which quotes nothing, if there is none or it can be read in two ways.

    No name twice in an object, no number beyond the floats, no nesting deeper than MAX_DEPTH.
    """
    try:
        value = parse_strictly(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError("not a JSON document of ours") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - a fault of the text, as the others are
    _check_depth(value, MAX_DEPTH)
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise RepeatedName
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise NoJsonConstant(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NumberOutOfRange
    return number


def _check_depth(value: object, allowed: int) -> None:
    if not isinstance(value, dict | list):
        return
    if not allowed:
        raise ValueError("nested too deeply")
    for item in value.values() if isinstance(value, dict) else value:
        _check_depth(item, allowed - 1)
