"""The API with buckets that nobody counts: what it would be without limits. There is no such switch in the product."""

from scaivault.app import create_app
from scaivault.bootstrap.api import build
from scaivault.kernel.limits import Level, RateCategory
from scaivault.settings import Settings


class Bottomless:
    """Always full, and nobody is asked."""

    def __init__(self) -> None:
        self._levels = {category: Level(category, 1, 1, 0.0) for category in RateCategory}

    def take(self, category: RateCategory, _whose: str, _units: int = 1) -> Level:
        return self._levels[category]

    def known(self, category: RateCategory, _whose: str) -> Level:
        return self._levels[category]


services = build(Settings.from_env(), buckets=Bottomless())
app = create_app(services)
