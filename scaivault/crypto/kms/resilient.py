"""A key service across a network: asked again when that may help, within a deadline, and left alone when it is down."""

import random
import time
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from scaivault.crypto.errors import KeyServiceAway, TamperedCiphertext
from scaivault.crypto.kms.breaker import Breaker
from scaivault.kernel.ports import KeyService, KeyState

Answer = TypeVar("Answer")
MOST_RETRIES = 2
FIRST_PAUSE_SECONDS = 0.1
MOST_FAILURES = 3
OPEN_SECONDS = 10.0
# The system's randomness: forked workers that share a generator's state would come back in step.
_SYSTEM_RANDOM = random.SystemRandom()


class ResilientKeys:
    """Retries KeyServiceAway at most twice, with full jitter, behind a circuit breaker.

    Every operation may be repeated: wrapping twice leaves one result unused, opening and signing change nothing.

    The deadline holds because no attempt begins that could outlast it: `attempt_seconds` is what the provider's own
    time-outs allow one attempt. Python can not abandon a call that is under way.
    """

    def __init__(
        self,
        inner: KeyService,
        *,
        attempt_seconds: float,
        deadline_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        uniform: Callable[[float, float], float] = _SYSTEM_RANDOM.uniform,
    ) -> None:
        self._inner = inner
        self._attempt_seconds = attempt_seconds
        self._deadline_seconds = deadline_seconds
        self._monotonic = monotonic
        self._sleep = sleep
        self._uniform = uniform
        self._breaker = Breaker(most_failures=MOST_FAILURES, open_seconds=OPEN_SECONDS, monotonic=monotonic)

    @property
    def key_id(self) -> str:
        return self._inner.key_id

    def encrypt(self, plaintext: bytes, context: bytes) -> bytes:
        """Wrap `plaintext`; KeyServiceAway at once while the circuit is open."""
        return self._guarded(lambda: self._inner.encrypt(plaintext, context))

    def decrypt(self, sealed: bytes, context: bytes) -> bytes:
        """Undo `encrypt`; KeyServiceAway at once while the circuit is open."""
        return self._guarded(lambda: self._inner.decrypt(sealed, context))

    def sign(self, message: bytes) -> bytes:
        """A signature; KeyServiceAway at once while the circuit is open."""
        return self._guarded(lambda: self._inner.sign(message))

    def state(self) -> KeyState:
        """The inner one's, past the circuit: a disabled key opens it, and health must still say 'disabled'."""
        return self._inner.state()

    def _guarded(self, call: Callable[[], Answer]) -> Answer:
        ticket = self._breaker.enter()
        if ticket is None:
            raise KeyServiceAway
        try:
            answer = self._retried(call)
        except TamperedCiphertext:
            # An answer, and a sound one: hostile ciphertexts must not open the circuit for everybody.
            self._breaker.settle(ticket, well=True)
            raise
        except BaseException:
            # Every kind: a probe that is never settled would leave the circuit half open for ever.
            self._breaker.settle(ticket, well=False)
            raise
        self._breaker.settle(ticket, well=True)
        return answer

    def _retried(self, call: Callable[[], Answer]) -> Answer:
        until = self._monotonic() + self._deadline_seconds
        for retries in count():
            try:
                return call()
            except KeyServiceAway:
                pause = self._uniform(0.0, FIRST_PAUSE_SECONDS * 2**retries)
                if retries == MOST_RETRIES or self._monotonic() + pause + self._attempt_seconds > until:
                    raise
            self._sleep(pause)
        raise AssertionError("unreachable")
