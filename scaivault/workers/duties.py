"""What a worker is there for: duties, each in a thread of its own, none of which can hold up another."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

LONGEST_PAUSE_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Duty:
    """Something to be done whenever there is some of it.

    `run` does one bounded batch, in transactions of its own, and says how much there was: after some it is called
    again at once, after none once `rest_seconds` are over, give or take a tenth, or somebody wakes it.
    """

    name: str
    rest_seconds: float
    run: Callable[[], int]


class Hearer(Protocol):
    """Is told of what the duties come to."""

    def did(self, duty: str, how_much: int) -> None: ...

    def failed(self, duty: str, failure: Exception) -> None: ...


class Crew:
    """Runs duties from `open` to `close`.

    One that fails is reported and tried again after a pause that doubles up to a minute, so that a fault of one of them
    is neither the others' nor a storm. A batch that is under way at the end is finished.
    """

    def __init__(self, duties: Sequence[Duty], hearer: Hearer) -> None:
        self._duties = duties
        self._hearer = hearer
        self._stopping = threading.Event()
        self._bells = {duty.name: threading.Event() for duty in duties}
        self._threads: list[threading.Thread] = []

    def open(self) -> None:
        for duty in self._duties:
            thread = threading.Thread(target=self._work, args=(duty,), name=duty.name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def wake(self, duty: str) -> None:
        """There is something to do for it, as far as somebody in this process knows."""
        self._bells[duty].set()

    def close(self, within_seconds: float) -> bool:
        """Begin nothing any more and wait for what is under way; False if that was still going on then."""
        self._stopping.set()
        for bell in self._bells.values():
            bell.set()
        deadline = time.monotonic() + within_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self, duty: Duty) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._bells[duty.name].clear()
            try:
                how_much = duty.run()
            except Exception as failure:  # noqa: BLE001 - one duty's fault must not end its thread for good
                failures += 1
                self._hearer.failed(duty.name, failure)
                # Not the bell: whoever rings can not know that it would be in vain.
                self._stopping.wait(pause_after(failures))
                continue
            failures = 0
            self._hearer.did(duty.name, how_much)
            if not how_much:
                self._bells[duty.name].wait(_spread(duty.rest_seconds))


def pause_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row: doubling, bounded, and anything up to twice as short."""
    longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 16), LONGEST_PAUSE_SECONDS)
    return longest * random.SystemRandom().uniform(0.5, 1.0)


def _spread(seconds: float) -> float:
    return seconds * random.SystemRandom().uniform(0.9, 1.1)
