"""Buckets in Redis, which all processes share. One call a question, one sorted set a category.

A set's members are whoever is counted, their scores the microsecond, by Redis's clock, at which the bucket is full
again: that one number is the whole state of a token bucket. Who is not in it has a full one.
"""

from collections.abc import Mapping
from typing import Final

from scaivault.kernel.limits import Level, RateCategory
from scaivault.ratelimit.sizes import sizes_of
from scaivault.storage.redis import RedisCalls, Script, packed

# Time is Redis's own: clocks of API hosts differ, and a host that is fast must not refill everybody's buckets. If that
# clock is set back, a level is cut to the whole bucket, which then fills within a minute.
# Who is found full is a moment to clear away a few more that are: a set grows only by such, so it never holds many more
# than were active within a minute. When nobody asks for longer than that, the set ends by itself.
# The answer is how long until the bucket is full; of one that refuses, as a number below zero.
TAKE: Final = Script(
    b"""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local units, unit, whole = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local full_at = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or now)
local missing = math.min(math.max(full_at - now, 0), whole)
local after = math.max(missing + units * unit, 0)
if units > 0 and after > whole then
  if full_at > now + whole then
    redis.call('ZADD', KEYS[1], now + whole, ARGV[1])
  end
  return -1 - missing
end
redis.call('ZADD', KEYS[1], now + after, ARGV[1])
redis.call('PEXPIRE', KEYS[1], math.ceil(whole / 500))
if missing == 0 then
  local full = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 8)
  if #full > 0 then
    redis.call('ZREMRANGEBYRANK', KEYS[1], 0, #full - 1)
  end
end
return after
""",
    arguments=6,
)


def key_of(category: RateCategory) -> str:
    """Where the buckets of a category are."""
    return f"scaivault:limit:{category.value}"


class RedisBuckets:
    """The shared buckets. Unavailable when Redis does not answer, at once or within RedisCalls' deadline."""

    def __init__(self, calls: RedisCalls, limits: Mapping[RateCategory, int], script: Script = TAKE) -> None:
        self._calls = calls
        self._script = script
        self._sizes = sizes_of(limits)
        # All of a command that is the same every time.
        self._heads = {category: packed("1", key_of(category)) for category in limits}
        self._tails = {size.category: packed(str(size.unit), str(size.whole)) for size in self._sizes.values()}

    def take(self, category: RateCategory, whose: str, units: int = 1) -> Level:
        """Take the units if they are all there, else none."""
        size = self._sizes[category]
        arguments = self._heads[category] + packed(whose, str(units)) + self._tails[category]
        answer = self._calls.run(self._script, arguments)
        if answer >= 0:
            return size.level(answer)
        missing = -1 - answer
        return size.level(missing, missing + units * size.unit - size.whole)
