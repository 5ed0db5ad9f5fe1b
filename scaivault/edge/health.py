"""Is it alive, can it serve, and how does it feel: answers that are right, and cheap to ask for."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from scaivault.kernel.errors import Unavailable

CACHE_SECONDS = 1.0
BAD_RESULTS_BEFORE_NOT_READY = 2


class Condition(StrEnum):
    """The closed vocabulary of unauthenticated health answers: never an exception's text."""

    OK = "ok"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    STARTING = "starting"
    DRAINING = "draining"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Check:
    """A dependency's proof of life. `probe` returns when it is well and raises when it is not."""

    probe: Callable[[], None]
    deadline_seconds: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `latency_ms` is None if it did not come back in time."""

    condition: Condition
    latency_ms: float | None


class OnChange(Protocol):
    """Hears when a component is lost, and of what its probe died, if it did; and when it is back."""

    def __call__(self, name: str, condition: Condition, failure: Exception | None, /) -> None: ...


@dataclass(slots=True)
class _Watch:
    check: Check
    running: Future[float] | None = None
    asked_at: float = 0.0
    bad_in_a_row: int = 0
    failure: Exception | None = None
    last: Finding = field(default_factory=lambda: Finding(Condition.OK, None))


class Readiness:
    """All checks at once, each with its deadline; one round in flight, its result good for a second.

    A component is reported bad from the second bad result in a row on, or at once if it has never been well: one
    slow answer must not empty the load balancer, and a fresh process must not claim what it has not seen. Nobody
    queues behind a round: who asks during one is told of the last, or that there has been none.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        on_close: Sequence[Callable[[], None]] = (),
        on_change: OnChange = lambda _name, _condition, _failure: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        # As if bad already, so that the first bad result counts.
        self._watches = {
            name: _Watch(check, bad_in_a_row=BAD_RESULTS_BEFORE_NOT_READY) for name, check in checks.items()
        }
        self._on_close = on_close
        self._on_change = on_change
        self._monotonic = monotonic
        self._turn = threading.Lock()
        self._workers = ThreadPoolExecutor(len(checks), thread_name_prefix="readiness")
        self._findings: Mapping[str, Finding] = dict.fromkeys(checks, Finding(Condition.STARTING, None))
        self._looked_at = float("-inf")

    def findings(self) -> Mapping[str, Finding]:
        """Each component's finding, at most a second old when no round is under way."""
        if self._monotonic() - self._looked_at > CACHE_SECONDS:
            self.look()
        return self._findings

    def last(self) -> Mapping[str, Finding]:
        """What was found last, however long ago; nothing is asked."""
        return self._findings

    def look(self) -> None:
        """One round, unless there is one under way."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            before, self._findings = self._findings, self._round()
            self._looked_at = self._monotonic()
            self._tell_changes(before)
        finally:
            self._turn.release()

    def close(self) -> None:
        self._workers.shutdown(wait=False, cancel_futures=True)
        for close in self._on_close:
            close()

    def _round(self) -> Mapping[str, Finding]:
        for watch in self._watches.values():
            # A probe that hangs keeps its thread; it is not asked again, nor waited for, until it has come back.
            if watch.running is None or watch.running.done():
                watch.running, watch.asked_at = self._workers.submit(_timed, watch.check.probe), self._monotonic()
        return {name: self._settle(watch) for name, watch in self._watches.items()}

    def _tell_changes(self, before: Mapping[str, Finding]) -> None:
        for name, found in self._findings.items():
            was_well = before[name].condition in {Condition.OK, Condition.STARTING}
            if was_well is not (found.condition is Condition.OK):
                self._on_change(name, found.condition, self._watches[name].failure)

    def _settle(self, watch: _Watch) -> Finding:
        finding = self._await(watch)
        if finding.condition is Condition.OK:
            watch.bad_in_a_row, watch.last = 0, finding
            return finding
        watch.bad_in_a_row += 1
        return finding if watch.bad_in_a_row >= BAD_RESULTS_BEFORE_NOT_READY else watch.last

    def _await(self, watch: _Watch) -> Finding:
        if watch.running is None:
            return Finding(Condition.ERROR, None)
        watch.failure = None
        left = max(0.0, watch.asked_at + watch.check.deadline_seconds - self._monotonic())
        try:
            return Finding(Condition.OK, watch.running.result(timeout=left) * 1_000)
        except TooSlow:
            return Finding(Condition.TIMEOUT, None)
        except Unavailable as failure:
            watch.failure = failure
            return Finding(Condition.UNREACHABLE, None)
        except Exception as failure:  # noqa: BLE001 - whatever a probe dies of, the answer is a word of the vocabulary
            watch.failure = failure
            return Finding(Condition.ERROR, None)


def _timed(probe: Callable[[], None]) -> float:
    started = time.perf_counter()
    probe()
    return time.perf_counter() - started
