"""Redis, which may vanish at any time and take nothing with it."""

import time
from collections.abc import Callable

from redis import ConnectionPool
from redis.exceptions import RedisError

from scaivault.kernel.calls import OnCall, unheard
from scaivault.kernel.errors import Unavailable
from scaivault.storage.told import ToldRedis

ANSWER_SECONDS = 0.5


class RedisProbe:
    """Whether Redis answers, on a connection of its own."""

    def __init__(self, url: str, observe: Callable[[float], None], on_call: OnCall = unheard) -> None:
        pool = ConnectionPool.from_url(url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS)
        self._redis = ToldRedis(pool, on_call)
        self._observe = observe

    def check(self) -> None:
        """Return if it answers a ping, else Unavailable."""
        started = time.perf_counter()
        try:
            self._redis.ping()
        except (RedisError, OSError) as failure:
            raise Unavailable from failure
        finally:
            self._observe(time.perf_counter() - started)

    def memory_used_mb(self) -> float | None:
        """Megabytes in use, None if it does not say."""
        try:
            return int(self._redis.info("memory")["used_memory"]) / 1_000_000
        except (RedisError, OSError, KeyError):
            return None

    def close(self) -> None:
        self._redis.close()
