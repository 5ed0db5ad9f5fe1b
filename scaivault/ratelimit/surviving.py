"""Limits that outlive Redis."""

from collections.abc import Callable

from scaivault.kernel.errors import Unavailable
from scaivault.kernel.limits import Level, RateCategory
from scaivault.ratelimit.buckets import RedisBuckets
from scaivault.ratelimit.local import LocalBuckets


class SurvivingBuckets:
    """Redis's buckets while it answers. When it does not, this process's own go on from what it saw there last."""

    def __init__(self, shared: RedisBuckets, own: LocalBuckets, on_local: Callable[[str], None]) -> None:
        self._shared = shared
        self._own = own
        self._on_local = on_local

    def take(self, category: RateCategory, whose: str, units: int = 1) -> Level:
        try:
            level = self._shared.take(category, whose, units)
        except Unavailable:
            self._on_local(category.value)
            return self._own.take(category, whose, units)
        self._own.note(category, whose, level)
        return level

    def known(self, category: RateCategory, whose: str) -> Level:
        return self._own.known(category, whose)
