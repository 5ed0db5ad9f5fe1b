"""One key in Redis, written by whoever knows and read by whoever is asked; it may be gone at any time."""

import time
from collections.abc import Callable

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from scaivault.kernel.errors import Unavailable


def client(url: str, answer_seconds: float) -> Redis:
    """A connection that is made when needed, gives up after so long and does not try again."""
    return Redis.from_url(
        url,
        socket_timeout=answer_seconds,
        socket_connect_timeout=answer_seconds,
        retry=Retry(NoBackoff(), 0),
    )


class Blackboard:
    """What is written is forgotten by itself. Unavailable when Redis does not answer."""

    def __init__(self, url: str, answer_seconds: float, observe: Callable[[float], None]) -> None:
        self._redis = client(url, answer_seconds)
        self._observe = observe

    def write(self, key: str, content: bytes, seconds: float) -> None:
        """For `seconds`, in place of what is there."""
        self._timed(lambda: self._redis.set(key, content, px=max(1, round(seconds * 1_000))))

    def read(self, key: str, most_bytes: int) -> bytes | None:
        """None if there is nothing, or more than so much, which is not fetched."""
        size = self._timed(lambda: self._redis.strlen(key))
        if not isinstance(size, int) or not 0 < size <= most_bytes:
            return None
        found = self._timed(lambda: self._redis.get(key))
        return found if isinstance(found, bytes) else None

    def close(self) -> None:
        self._redis.close()

    def _timed(self, call: Callable[[], object]) -> object:
        started = time.perf_counter()
        try:
            return call()
        except (RedisError, OSError) as failure:
            raise Unavailable from failure
        finally:
            self._observe(time.perf_counter() - started)
