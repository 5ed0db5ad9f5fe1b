"""How large a bucket is, in whole microseconds: a level is told by how long until the bucket is full again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from scaivault.kernel.limits import Level, RateCategory

SECOND = 1_000_000
MINUTE = 60 * SECOND


@dataclass(frozen=True, slots=True)
class Size:
    """The bucket of one category. `unit` is how long one unit takes to come back, `whole` how long all of them do.

    Rounded up, so that no rounding ever gives a unit away; a limit of more than a million units a second is none.
    """

    category: RateCategory
    limit: int
    unit: int
    whole: int

    @classmethod
    def of(cls, category: RateCategory, limit: int) -> Self:
        unit = -(-MINUTE // limit)
        return cls(category, limit, unit, unit * limit)

    def level(self, missing: int, short: int = 0) -> Level:
        """The level of a bucket that is full in `missing` and, if it refused, had what was wanted in `short`."""
        return Level(
            self.category, self.limit, (self.whole - missing) // self.unit, missing / SECOND, max(0, short) / SECOND
        )


def sizes_of(limits: Mapping[RateCategory, int]) -> dict[RateCategory, Size]:
    return {category: Size.of(category, limit) for category, limit in limits.items()}
