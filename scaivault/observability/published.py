"""What the leading exporter knows of the deployment, as it lies in Redis for the API's `/v1/metrics`.

Redis is a cache that others may write to. So of a series only its name, its label values and its numbers are ever read
back, and they are held to the catalogue: what is not a series of cluster scope, has other labels, a value that is not
in its closed list, or too many of the rest, is nothing. Types and help come from the catalogue.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client.core import Metric

from scaivault.kernel.documents import parse_document
from scaivault.observability.catalogue import CATALOGUE
from scaivault.observability.catalogue.series import Scope, Series
from scaivault.observability.catalogue.vocabulary import OVERFLOW
from scaivault.observability.exposition import gauge

KEY = "scaivault:exporter:published"
MOST_BYTES = 1_000_000
MOST_CHARACTERS = 500  # of a label's value
MOST_SECONDS = 900.0  # that a part may be good for: three times the longest interval there is

_CLUSTER = {series.name: series for series in CATALOGUE if series.scope is Scope.CLUSTER}


@dataclass(frozen=True, slots=True)
class Part:
    """What one collector saw, when, and until when that may be told, in seconds since 1970."""

    good_until: float
    families: Sequence[Metric]
    taken_at: float = 0.0


class Unsound(Exception):
    """What was read is not what an exporter publishes."""


def encode(parts: Iterable[Part]) -> bytes:
    return json.dumps({"parts": [_spelled(part) for part in parts]}, separators=(",", ":")).encode()


def decode(raw: bytes) -> list[Part]:
    """The parts, all of them sound, or Unsound."""
    if len(raw) > MOST_BYTES:
        raise Unsound
    try:
        parts = [_part(each) for each in parse_document(raw)["parts"]]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as fault:
        raise Unsound from fault
    names = [family.name for part in parts for family in part.families]
    if len(set(names)) != len(names):
        raise Unsound
    return parts


def still_good(parts: Iterable[Part], now: float) -> list[Metric]:
    """The families that may still be told at `now`; one that claims to be good for ever never was."""
    return [family for part in parts if now <= part.good_until <= now + MOST_SECONDS for family in part.families]


def _spelled(part: Part) -> dict[str, object]:
    series = {
        family.name: [[list(each.labels.values()), each.value] for each in family.samples] for family in part.families
    }
    return {"good_until": part.good_until, "taken_at": part.taken_at, "series": series}


def _part(given: dict[str, dict[str, list[object]]]) -> Part:
    families = [_family(_CLUSTER[name], rows) for name, rows in given["series"].items()]
    return Part(_number(given["good_until"]), families, _number(given.get("taken_at", 0.0)))


def _family(series: Series, rows: list[object]) -> Metric:
    kept = [_row(series, row) for row in rows]
    if len({label_values for label_values, _ in kept}) != len(kept):
        raise Unsound
    for place, bound in enumerate(series.labels.values()):
        seen = {label_values[place] for label_values, _ in kept} - {OVERFLOW}
        if isinstance(bound, int) and len(seen) > bound * _groups(series):
            raise Unsound
    return gauge(series, kept)


def _groups(series: Series) -> int:
    """How often an open label's bound may be used up: once for each value of the closed labels beside it."""
    return math.prod(len(bound) for bound in series.labels.values() if isinstance(bound, tuple))


def _row(series: Series, row: object) -> tuple[tuple[str, ...], float]:
    match row:
        case [list(label_values), number] if len(label_values) == len(series.labels):
            return tuple(map(_label, label_values, series.labels.values())), _number(number)
    raise Unsound


def _label(value: object, bound: tuple[str, ...] | int) -> str:
    is_fit = isinstance(value, str) and len(value) <= MOST_CHARACTERS and value.isprintable()
    if not isinstance(value, str) or not is_fit or (isinstance(bound, tuple) and value not in bound):
        raise Unsound
    return value


def _number(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise Unsound
    return float(given)
