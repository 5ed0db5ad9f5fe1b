"""How full buckets are, for the exporter."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from redis import Redis

from scaivault.kernel.limits import BY_ADDRESS, RateCategory
from scaivault.observability.catalogue.requests import RATE_LIMIT_BUCKET_FILL
from scaivault.observability.catalogue.vocabulary import MOST_BUCKETS, OVERFLOW
from scaivault.ratelimit.buckets import key_of
from scaivault.ratelimit.sizes import MINUTE, SECOND

CATEGORIES = tuple(category for category in RateCategory if category not in BY_ADDRESS)


def bucket_fill(redis: Redis) -> Iterable[Metric]:
    """What is left in the emptiest buckets of each category, and in the fullest of the rest.

    One round trip, whose cost does not grow with the number of identities. Buckets of client addresses stay unseen.
    """
    with redis.pipeline(transaction=False) as asked:
        asked.time()
        for category in CATEGORIES:
            asked.zrange(key_of(category), 0, MOST_BUCKETS, desc=True, withscores=True)
            asked.zrange(key_of(category), 0, 0, withscores=True)
        (seconds, microseconds), *found = asked.execute()
    now = seconds * SECOND + microseconds
    family = GaugeMetricFamily(
        RATE_LIMIT_BUCKET_FILL.name, RATE_LIMIT_BUCKET_FILL.help, labels=tuple(RATE_LIMIT_BUCKET_FILL.labels)
    )
    for category, (emptiest, fullest) in zip(CATEGORIES, list(pairwise(found))[::2], strict=True):
        for identity, full_at in emptiest[:MOST_BUCKETS]:
            family.add_metric((category.value, _text(identity)), _fill(full_at, now))
        if len(emptiest) > MOST_BUCKETS:
            family.add_metric((category.value, OVERFLOW), _fill(fullest[0][1], now))
    return [family]


def _fill(full_at: float, now: int) -> float:
    """The share that is left: a bucket comes back evenly, within a minute."""
    return min(1.0, max(0.0, 1 - (full_at - now) / MINUTE))


def _text(identity: Any) -> str:  # noqa: ANN401 - bytes, or text if the client decodes
    return identity.decode(errors="replace") if isinstance(identity, bytes) else str(identity)
