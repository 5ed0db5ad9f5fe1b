"""Durations, as they are or compressed: a drill can not wait for an hour to see that a rule works."""

import re
from dataclasses import dataclass
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(\d+)([smhd])")
# In an expression a duration is what stands in brackets or behind `offset`; the names of records may hold others.
_IN_EXPRESSION = re.compile(r"(?<=\[)\d+[smhd](?=[\]:])|(?<=:)\d+[smhd](?=\])|(?<=offset )\d+[smhd]\b")


def seconds(duration: str) -> float:
    """Of one of Prometheus's durations that has one unit: `90s`, `10m`."""
    found = _DURATION.fullmatch(duration)
    if found is None:
        raise ValueError(f"not a duration of one unit: {duration}")
    return timedelta(**{_UNITS[found[2]]: int(found[1])}).total_seconds()


def durations_in(expr: str) -> list[str]:
    """Each range, step and offset of an expression."""
    return _IN_EXPRESSION.findall(expr)


@dataclass(frozen=True, slots=True)
class Pace:
    """Every duration divided by `divisor`, none that is not zero shorter than `shortest_seconds`."""

    divisor: float
    shortest_seconds: int

    def duration(self, duration: str) -> str:
        """`5m` is still `5m` at the real pace."""
        real = seconds(duration)
        if self.divisor == 1 or not real:
            return duration
        return f"{max(self.shortest_seconds, round(real / self.divisor))}s"

    def expression(self, expr: str) -> str:
        return _IN_EXPRESSION.sub(lambda found: self.duration(found[0]), expr)


REAL = Pace(1, 1)
