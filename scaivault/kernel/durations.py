"""Durations as the API writes them: '90d', '48h', '15m', '30s'."""

import re
from datetime import timedelta
from typing import Final

from scaivault.kernel.errors import InvalidDuration

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
FORM: Final = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)
LONGEST = timedelta(days=36_500)


def parse_duration(text: str) -> timedelta:
    """'90d' → 90 days. At least a second, at most a hundred years; anything else is InvalidDuration."""
    match = FORM.fullmatch(text)
    if match is None:
        raise InvalidDuration
    duration = timedelta(seconds=int(match[1]) * _UNIT_SECONDS[match[2]])
    if not timedelta(seconds=1) <= duration <= LONGEST:
        raise InvalidDuration("A duration is at least 1s and at most 36500d.")
    return duration


def spell_duration(duration: timedelta) -> str:
    """The shortest spelling that `parse_duration` reads as this many whole seconds: 90 days → '90d'."""
    seconds = int(duration.total_seconds())
    unit, size = max(
        ((unit, size) for unit, size in _UNIT_SECONDS.items() if seconds % size == 0), key=lambda each: each[1]
    )
    return f"{seconds // size}{unit}"
