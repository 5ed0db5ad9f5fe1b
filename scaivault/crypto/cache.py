"""A bounded cache that expires, in which each entry is loaded by one thread at a time."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from scaivault.kernel.errors import Unavailable

Name = TypeVar("Name", bound=Hashable)
Held = TypeVar("Held")


@dataclass(frozen=True, slots=True)
class Kept(Generic[Held]):
    """What was loaded, and the monotonic instant from which it must not be served any more."""

    held: Held
    until_seconds: float


class ExpiringCache(Generic[Name, Held]):
    """Least recently used goes first; an expired entry is never served, whatever its reload comes to.

    The lock guards two dicts and is never held while something loads: a slow load delays those who ask for the same
    name, and nobody else. They share its outcome, also its failure: were each to try again in turn, a key service
    that times out would hold the last of n threads for n time-outs.
    """

    def __init__(self, *, most: int, monotonic: Callable[[], float], told: Callable[[str], None]) -> None:
        self._most = most
        self._monotonic = monotonic
        self._told = told
        self._lock = threading.Lock()
        self._kept: OrderedDict[Name, Kept[Held]] = OrderedDict()
        self._flights: dict[Name, Future[Kept[Held]]] = {}

    def get(self, name: Name, load: Callable[[], Kept[Held]]) -> Kept[Held]:
        """The entry, loaded if need be. Tells 'hit', 'miss' (this thread loads) or 'shared' (another one does)."""
        with self._lock:
            kept = self._fresh(name)
            flight = self._flights.get(name)
            mine = kept is None and flight is None
            if mine:
                flight = self._flights[name] = Future()
        if kept is not None:
            self._told("hit")
            return kept
        assert flight is not None  # noqa: S101 - for the type checker: found or made above
        if mine:
            return self._load(name, flight, load)
        self._told("shared")
        return flight.result()

    def forget(self, chosen: Callable[[Name], bool]) -> None:
        """Drop every entry whose name is `chosen`. What is loading right now reaches its askers but is not kept."""
        with self._lock:
            for name in [name for name in self._kept if chosen(name)]:
                del self._kept[name]
            for name in [name for name in self._flights if chosen(name)]:
                del self._flights[name]

    def _fresh(self, name: Name) -> Kept[Held] | None:
        kept = self._kept.get(name)
        if kept is None:
            return None
        if self._monotonic() >= kept.until_seconds:
            del self._kept[name]
            return None
        self._kept.move_to_end(name)
        return kept

    def _load(self, name: Name, flight: Future[Kept[Held]], load: Callable[[], Kept[Held]]) -> Kept[Held]:
        try:
            self._told("miss")
            kept = load()
        except BaseException as error:
            # Every kind, or those who wait would wait for ever.
            self._land(name, flight, None)
            # What ends this thread alone (an exit, an interrupt) is for the others a load that did not happen.
            flight.set_exception(error if isinstance(error, Exception) else Unavailable())
            raise
        self._land(name, flight, kept)
        flight.set_result(kept)
        return kept

    def _land(self, name: Name, flight: Future[Kept[Held]], kept: Kept[Held] | None) -> None:
        with self._lock:
            # `forget` came while this was loading: what was loaded may be older than what made it be forgotten.
            if self._flights.get(name) is not flight:
                return
            del self._flights[name]
            if kept is not None:
                self._kept[name] = kept
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
