"""JSON that somebody else wrote: one reading of it, or none."""

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 8


def parse_document(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`; ValueError, which quotes nothing, if there is none or it can be read in two ways.

    No name twice in an object, no number beyond the floats, no nesting deeper than MAX_DEPTH.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
        )
    except (ValueError, RecursionError):
        raise ValueError("not a JSON document of ours") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - a fault of the text, as the others are
    _check_depth(value, MAX_DEPTH)
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("the same name twice")
    return value


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("no JSON constant")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number out of range")
    return number


def _check_depth(value: object, allowed: int) -> None:
    if not isinstance(value, dict | list):
        return
    if not allowed:
        raise ValueError("nested too deeply")
    for item in value.values() if isinstance(value, dict) else value:
        _check_depth(item, allowed - 1)
