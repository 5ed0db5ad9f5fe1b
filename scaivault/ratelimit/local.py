"""Buckets in a process's own memory: what it last saw in Redis, and what it goes by when Redis is away."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from scaivault.kernel.limits import Level, RateCategory
from scaivault.ratelimit.sizes import SECOND, sizes_of

MOST_REMEMBERED = 4_000  # of a category, the latest: a few hundred bytes each


class LocalBuckets:
    """Exact within this process. Whoever was not seen for long is forgotten first, and has a full bucket then."""

    def __init__(
        self,
        limits: Mapping[RateCategory, int],
        monotonic: Callable[[], float] = time.monotonic,
        most: int = MOST_REMEMBERED,
    ) -> None:
        self._sizes = sizes_of(limits)
        self._monotonic = monotonic
        self._most = most
        self._turn = threading.Lock()
        # When each is full again, by this process's clock.
        self._full_at: dict[RateCategory, OrderedDict[str, int]] = {category: OrderedDict() for category in limits}

    def take(self, category: RateCategory, whose: str, units: int = 1) -> Level:
        """Take the units if they are all there, else none."""
        size, now = self._sizes[category], self._now()
        with self._turn:
            missing = self._missing(category, whose, now)
            after = max(0, missing + units * size.unit)
            if units > 0 and after > size.whole:
                return size.level(missing, after - size.whole)
            self._keep(category, whose, now + after)
        return size.level(after)

    def known(self, category: RateCategory, whose: str) -> Level:
        """The bucket as it was last seen here, and what has come back since."""
        size = self._sizes[category]
        with self._turn:
            missing = self._missing(category, whose, self._now())
        return size.level(missing, missing + size.unit - size.whole)

    def note(self, category: RateCategory, whose: str, level: Level) -> None:
        """Remember how the bucket is that all processes share."""
        full_at = self._now() + round(level.full_in_seconds * SECOND)
        with self._turn:
            self._keep(category, whose, full_at)

    @property
    def remembered(self) -> int:
        """How many buckets there are in memory."""
        return sum(len(each) for each in self._full_at.values())

    def _now(self) -> int:
        return int(self._monotonic() * SECOND)

    def _missing(self, category: RateCategory, whose: str, now: int) -> int:
        return max(0, self._full_at[category].get(whose, now) - now)

    def _keep(self, category: RateCategory, whose: str, full_at: int) -> None:
        kept = self._full_at[category]
        kept[whose] = full_at
        kept.move_to_end(whose)
        if len(kept) > self._most:
            kept.popitem(last=False)
