"""What the seams to other systems tell of each call once it has ended, for whoever traces requests."""

from dataclasses import dataclass
from typing import Protocol


class OnCall(Protocol):
    def __call__(
        self, what: str, started: float, failure: BaseException | None = None, /, **details: str | int
    ) -> None:
        """A call that began at `started`, a reading of perf_counter in seconds, has just ended.

        `what` is a statement with placeholders, a command, an operation or a method: a constant, never a value.
        """


def unheard(_what: str, _started: float, _failure: BaseException | None = None, /, **_details: str | int) -> None:
    """Nobody traces."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told, by the kind of system that was called."""

    database: OnCall = unheard
    redis: OnCall = unheard
    kms: OnCall = unheard
    outbound: OnCall = unheard
