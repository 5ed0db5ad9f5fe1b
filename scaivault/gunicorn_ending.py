"""How gunicorn's master tells its workers what is to become of them: a page of memory that all of them see.

A signal says only "end". Whether everything ends, so that probes must turn traffic away, or somebody else serves on
the same socket already (a reload, a second master), the master alone knows; it writes it down the moment that it is
told, before any worker is signalled, whatever else it is busy with.
"""

import mmap
import os
import signal
import struct
import time
from collections.abc import Iterator
from enum import IntEnum
from types import FrameType
from typing import Any, Protocol

ALIVE_SECONDS = 3.0  # a worker says once a second at least that it serves; one that was killed is silent soon
_BEAT = struct.Struct("=d")
_PLACES = mmap.PAGESIZE // _BEAT.size - 1


class Phase(IntEnum):
    SERVING = 0
    DRAINING = 1  # everything ends
    HURRIED = 2  # and was told so twice
    REPLACED = 3  # another master serves on the same sockets


class Configuration(Protocol):
    """gunicorn's; `env_orig` is the environment that a successor is started in."""

    env_orig: dict[str, str]


class Master(Protocol):
    """What we ask of gunicorn's arbiter."""

    cfg: Configuration
    reexec_pid: int
    master_pid: int
    START_CTX: dict[str | int, Any]

    def signal(self, number: int, frame: FrameType | None) -> None: ...


class Ending:
    """Made in the master before any fork. An age is gunicorn's number of a worker: no two of a master's share one."""

    def __init__(self, drain_seconds: float, shutdown_seconds: float) -> None:
        self.drain_seconds = drain_seconds
        self.shutdown_seconds = shutdown_seconds
        self._page = mmap.mmap(-1, mmap.PAGESIZE)

    @property
    def phase(self) -> Phase:
        return Phase(self._page[0])

    def watch(self, master: Master) -> None:
        """From now on SIGTERM is written down before the master does with it what it does."""
        pid = os.getpid()

        def told(number: int, frame: FrameType | None) -> None:
            if os.getpid() == pid:  # and not a child's that has no handler of its own yet
                self.told(is_replaced=_other_master_serves(master))
            master.signal(number, frame)

        signal.signal(signal.SIGTERM, told)

    def told(self, *, is_replaced: bool) -> None:
        """The master was asked to end, once or more often."""
        if is_replaced:
            self._page[0] = Phase.REPLACED
        elif self.phase is Phase.SERVING:
            self._page[0] = Phase.DRAINING
        else:
            self._page[0] = Phase.HURRIED

    def beat(self, age: int) -> None:
        """This worker serves."""
        self._note(age, time.monotonic())

    def leave(self, age: int) -> None:
        """This worker is about to end, and serves until another one does."""
        self._note(age, -time.monotonic())

    def others_serve(self) -> bool:
        """Whether any worker serves that is not about to end."""
        since = time.monotonic() - ALIVE_SECONDS
        return any(beat > since for beat in self._beats(1))

    def others_stay(self, age: int) -> bool:
        """Whether another worker that is about to end is the one to stay: of all of them the one in the last place.

        Each would wait for the others for ever, since a worker is only replaced when it has ended.
        """
        since = time.monotonic() - ALIVE_SECONDS
        return any(-beat > since for beat in self._beats(2 + age % _PLACES))

    def _beats(self, first: int) -> Iterator[float]:
        return (_BEAT.unpack_from(self._page, place * _BEAT.size)[0] for place in range(first, _PLACES + 1))

    def _note(self, age: int, instant: float) -> None:
        _BEAT.pack_into(self._page, (1 + age % _PLACES) * _BEAT.size, instant)


def _other_master_serves(master: Master) -> bool:
    """Whether this master has started its successor, or is one whose predecessor still lives."""
    return master.reexec_pid != 0 or (master.master_pid != 0 and master.master_pid == os.getppid())
