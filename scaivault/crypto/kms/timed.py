"""A key service with a stop-watch."""

import time
from collections.abc import Callable
from typing import TypeVar

from scaivault.kernel.calls import OnCall, unheard
from scaivault.kernel.ports import KeyService, KeyState

Answer = TypeVar("Answer")


class TimedKeys:
    """Tells how long each operation took in seconds, and which failed, then passes the outcome on unchanged."""

    def __init__(
        self,
        inner: KeyService,
        observe: Callable[[str, float], None],
        failed: Callable[[str], None],
        on_call: OnCall = unheard,
    ) -> None:
        self._inner = inner
        self._observe = observe
        self._failed = failed
        self._on_call = on_call

    @property
    def key_id(self) -> str:
        return self._inner.key_id

    def encrypt(self, plaintext: bytes, context: bytes) -> bytes:
        """Wrap `plaintext`, timed as 'encrypt'."""
        return self._timed("encrypt", lambda: self._inner.encrypt(plaintext, context))

    def decrypt(self, sealed: bytes, context: bytes) -> bytes:
        """Undo `encrypt`, timed as 'decrypt'."""
        return self._timed("decrypt", lambda: self._inner.decrypt(sealed, context))

    def sign(self, message: bytes) -> bytes:
        """A signature, timed as 'sign'."""
        return self._timed("sign", lambda: self._inner.sign(message))

    def state(self) -> KeyState:
        """The inner one's, untimed: no request waits for it."""
        return self._inner.state()

    def _timed(self, operation: str, call: Callable[[], Answer]) -> Answer:
        started = time.perf_counter()
        try:
            answer = call()
        except Exception as failure:
            # Failures are timed too: a time-out is the very latency worth seeing.
            self._observe(operation, time.perf_counter() - started)
            self._failed(operation)
            self._on_call(operation, started, failure)
            raise
        self._observe(operation, time.perf_counter() - started)
        self._on_call(operation, started)
        return answer
