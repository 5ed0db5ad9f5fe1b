"""Ctrl-C and SIGTERM as an exception, raised where it can do no harm."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """We were asked to end. No error, so that nothing that handles errors swallows it."""


class Interrupts:
    """Raises StopRequested on a signal: at once, or at the end of an `atomic` block."""

    def __init__(self) -> None:
        self._held = False
        self._pending = False
        for number in STOPPING:
            signal.signal(number, self._arrived)

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """What starts a server and what will stop it belong together."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending:
            raise StopRequested

    def ignore(self) -> None:
        """We are ending already; every wait from here on is bounded."""
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)

    def _arrived(self, _number: int, _frame: FrameType | None) -> None:
        self._pending = True
        if not self._held:
            raise StopRequested
