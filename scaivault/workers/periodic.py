"""Small upkeep inside every API process: each job every so many seconds, one thread for all of them."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from scaivault.kernel.clock import SystemClock
from scaivault.kernel.ports import Clock


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do every `seconds`, give or take a tenth so that processes do not march in step.

    `is_owed_at_end` of what would be lost if it were not done once more; what waits in a table for anybody is not.
    """

    name: str
    seconds: float
    run: Callable[[], object]
    is_owed_at_end: bool = True


@dataclass(slots=True)
class Record:
    """When a job last ended well, and when not; None if never."""

    last_success: datetime | None = None
    last_failure: datetime | None = None


class OnFailure(Protocol):
    def __call__(self, job: str, failure: Exception) -> None: ...


class Periodic:
    """Runs jobs from `open` to `close`. A job that fails is reported and tried again when it is next due."""

    def __init__(self, jobs: Sequence[Job], on_failure: OnFailure, clock: Clock | None = None) -> None:
        self._jobs = jobs
        self._clock = clock or SystemClock()
        self.records = {job.name: Record() for job in jobs}
        self._on_failure = on_failure
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        if not self._jobs:
            return
        self._stopping.clear()
        self._thread = threading.Thread(target=self._work, name="periodic", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and do every job that is owed once more: what was put off must not be lost by an orderly end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None
            for job in self._jobs:
                if job.is_owed_at_end:
                    self._run(job)

    def _work(self) -> None:
        due = {job.name: time.monotonic() + _spread(job.seconds) for job in self._jobs}
        while not self._stopping.wait(max(0.0, min(due.values()) - time.monotonic())):
            for job in self._jobs:
                if due[job.name] <= time.monotonic():
                    self._run(job)
                    due[job.name] = time.monotonic() + _spread(job.seconds)

    def _run(self, job: Job) -> None:
        try:
            job.run()
        except Exception as failure:  # noqa: BLE001 - one job's fault must not end the thread that all of them share
            self.records[job.name].last_failure = self._clock.now()
            self._on_failure(job.name, failure)
        else:
            self.records[job.name].last_success = self._clock.now()


def _spread(seconds: float) -> float:
    # The system's randomness: a thread must not stir the generator that everybody in the process shares.
    return seconds * random.SystemRandom().uniform(0.9, 1.1)
