"""What a policy demands of each secret under it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from scaivault.kernel.errors import ValidationFailed

SHORTEST_INTERVAL: Final = timedelta(seconds=10)
DEFAULT_GRACE: Final = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a policy demands of each secret under it."""

    interval: timedelta
    grace: timedelta
    warn_before: Sequence[timedelta]
    auto_generate: bool
    is_active: bool

    @classmethod
    def of_seconds(
        cls, interval: int, grace: int, warn_before: Sequence[int], auto_generate: bool, is_active: bool
    ) -> "Terms":
        """As a row has them."""
        thresholds = tuple(timedelta(seconds=each) for each in warn_before)
        return cls(timedelta(seconds=interval), timedelta(seconds=grace), thresholds, auto_generate, is_active)

    def check(self) -> None:
        """ValidationFailed if it can not be kept."""
        if self.interval < SHORTEST_INTERVAL:
            raise ValidationFailed(fields={"interval": f"at least {SHORTEST_INTERVAL.seconds}s"})
        if any(each >= self.interval for each in self.warn_before):
            raise ValidationFailed(fields={"warn_before": "shorter than the interval, each of them"})

    def due(self, counts_from: datetime) -> datetime:
        return counts_from + self.interval

    def first_look(self, counts_from: datetime, now: datetime) -> datetime:
        """When the next thing happens of itself: a warning that is still to come, or the rotation."""
        due = self.due(counts_from)
        return min((at for each in self.warn_before if (at := due - each) > now), default=due)


def longest_first(spans: Sequence[timedelta]) -> tuple[timedelta, ...]:
    return tuple(sorted(set(spans), reverse=True))
