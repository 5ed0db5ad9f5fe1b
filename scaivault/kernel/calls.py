"""What the seams to other systems tell of each call once it has ended, and workers of what they did, for who traces."""

from dataclasses import dataclass
from typing import Protocol


class OnCall(Protocol):
    def __call__(
        self, what: str, started: float, failure: BaseException | None = None, /, **details: str | int
    ) -> None:
        """A call that began at `started`, a reading of perf_counter in seconds, has just ended.

        `what` is a statement with placeholders, a command, an operation or a method: a constant, never a value.
        """


class OnWork(Protocol):
    def __call__(
        self, what: str, started: float, trace_id: str | None, error: str | None = None, /, **details: str | int
    ) -> None:
        """Something that no request waited for began at `started` and has just ended, with a word for why it failed.

        `trace_id` is of what caused it, where that is known. `what` is a constant; `details` are ids, codes and counts,
        and neither paths nor addresses.
        """


def unheard(_what: str, _started: float, _failure: BaseException | None = None, /, **_details: str | int) -> None:
    """Nobody traces."""


def unseen(
    _what: str, _started: float, _trace_id: str | None, _error: str | None = None, /, **_details: str | int
) -> None:
    """Nobody traces."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told, by the kind of system that was called; of `work`, what was done for nobody who waits."""

    database: OnCall = unheard
    redis: OnCall = unheard
    kms: OnCall = unheard
    outbound: OnCall = unheard
    work: OnWork = unseen
