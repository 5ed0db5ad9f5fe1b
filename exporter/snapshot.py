"""What a collector saw, for how long that is told, and the thread that looks."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client.core import Metric

from exporter.clock import boottime

INTERVALS_TO_KEEP = 3


@dataclass(frozen=True, slots=True)
class Collector:
    """Something to look at: `look` is only ever called by one thread, and not again before it has come back."""

    name: str
    look: Callable[[], Iterable[Metric]]
    deadline_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was seen. It is as old as the look's beginning, and true of one term only."""

    families: tuple[Metric, ...]
    term: int
    taken_at: float
    taken_at_wall: float


@dataclass(frozen=True, slots=True)
class _Look:
    """One look: under way while `seconds` is None."""

    began_at: float
    seconds: float | None = None
    has_succeeded: bool = False


class Watch:
    """One collector's thread and its last snapshot.

    A look that hangs keeps its thread: nobody else waits for it, it is not begun a second time, and what was seen
    before it grows old and is withdrawn.
    """

    def __init__(
        self,
        collector: Collector,
        interval_seconds: float,
        term: Callable[[], int | None],
        on_seen: Callable[[], None],
        on_failure: Callable[[str, Exception | None], None],
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.collector = collector
        self._interval_seconds = interval_seconds
        self._term = term
        self._on_seen = on_seen
        self._on_failure = on_failure
        self._clock = clock
        self._wall = wall
        self._due = threading.Event()
        self._stopping = False
        self._snapshot: Snapshot | None = None
        self._last: _Look | None = None
        self._present: _Look | None = None
        self._thread = threading.Thread(target=self._work, name=f"collector-{collector.name}", daemon=True)

    @property
    def good_for_seconds(self) -> float:
        return INTERVALS_TO_KEEP * self._interval_seconds

    def open(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """No further look. One that hangs is left to the end of the process."""
        self._stopping = True
        self._due.set()

    def wake(self) -> None:
        """Look now, if it is not looking already."""
        self._due.set()

    def fresh(self, term: int | None) -> Snapshot | None:
        """What may be told now, to whom asks for what was seen in this term."""
        snapshot = self._snapshot
        if snapshot is None or snapshot.term != term or self._clock() - snapshot.taken_at > self.good_for_seconds:
            return None
        return snapshot

    def is_up(self, term: int | None) -> bool:
        """The last look succeeded in time, and what it saw is being told."""
        last = self._last
        return last is not None and last.has_succeeded and not self.is_stuck() and self.fresh(term) is not None

    def is_stuck(self) -> bool:
        """A look has been under way for longer than it may."""
        present = self._present
        return present is not None and self._clock() - present.began_at > self.collector.deadline_seconds

    @property
    def last_seconds(self) -> float:
        """How long the last look took that came back."""
        last = self._last
        return last.seconds if last is not None and last.seconds is not None else 0.0

    @property
    def last_success_at(self) -> float:
        """By the wall clock; 0 if never. It outlives what was seen."""
        snapshot = self._snapshot
        return snapshot.taken_at_wall if snapshot is not None else 0.0

    def look(self, term: int) -> bool:
        """Look once; whether it succeeded, in time and still in the term that it was begun in."""
        present = self._present = _Look(self._clock())
        taken_at_wall = self._wall()
        failure: Exception | None = None
        families: tuple[Metric, ...] = ()
        try:
            families = tuple(self.collector.look())
        except Exception as fault:  # noqa: BLE001 - one collector's fault must not end the thread that looks again
            failure = fault
        seconds = self._clock() - present.began_at
        is_good = failure is None and seconds <= self.collector.deadline_seconds
        if is_good:
            self._snapshot = Snapshot(families, term, present.began_at, taken_at_wall)
        self._last, self._present = _Look(present.began_at, seconds, is_good), None
        if is_good:
            self._on_seen()
        else:
            self._on_failure(self.collector.name, failure)
        return is_good

    def _work(self) -> None:
        while not self._stopping:
            began_at = self._clock()
            if (term := self._term()) is not None:
                self.look(term)
            self._due.wait(max(0.0, began_at + self._interval_seconds - self._clock()))
            self._due.clear()
