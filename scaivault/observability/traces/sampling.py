"""Which traces are kept: fair to every shape of id, and nobody's choice but ours."""

import os
import threading
import time
from collections.abc import Callable
from hashlib import blake2b

MOST_WISHES_PER_SECOND = 10
_WHOLE = 1 << 64


class Sampling:
    """A share of all traces, by a keyed hash of the id, and what callers who trace wish for, within bounds.

    The id itself is no measure: a UUID's fixed bits lie where the stock sampler looks. The key is this process's own,
    so that nobody can pick ids that are always kept. A caller that continues a trace has decided already whether it is
    kept, and is followed, lest half of it be missing; but a flag costs a stranger nothing, so no more than ten wishes
    a second are granted, and what is above is treated like everybody else.
    """

    def __init__(self, ratio: float, key: bytes | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._kept_below = round(ratio * _WHOLE)
        self._key = key or os.urandom(32)
        self._monotonic = monotonic
        self._turn = threading.Lock()
        self._wishes = float(MOST_WISHES_PER_SECOND)
        self._counted_at = monotonic()

    def keeps(self, trace_id: str, wished: bool | None) -> bool:
        """Whether to record; `wished` is the sampled flag of a caller's traceparent, None without one."""
        if wished is False:
            return False
        return (wished is True and self._grant()) or self._draw(trace_id)

    def _draw(self, trace_id: str) -> bool:
        drawn = blake2b(trace_id.encode(), digest_size=8, key=self._key).digest()
        return int.from_bytes(drawn) < self._kept_below

    def _grant(self) -> bool:
        with self._turn:
            now = self._monotonic()
            saved = self._wishes + (now - self._counted_at) * MOST_WISHES_PER_SECOND
            self._wishes, self._counted_at = min(saved, float(MOST_WISHES_PER_SECOND)), now
            if self._wishes < 1:
                return False
            self._wishes -= 1
            return True
