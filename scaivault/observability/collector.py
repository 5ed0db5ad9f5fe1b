"""All processes' numbers, merged at a scrape.

What a file holds is remembered from one scrape to the next, by its inode: entries are only ever added and never move,
so a scrape looks up eight bytes a number and parses nothing twice. A file that is mapped keeps its inode, so that no
other can come by it. How numbers are put together follows prometheus_client, whose collector says the same of the same
folder; but live gauges count only while somebody holds their slot.
"""

import json
import mmap
import os
import struct
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from scaivault.observability import exemplars, merging, tables
from scaivault.observability.exemplars import Exemplar
from scaivault.observability.slots import LIVE_PREFIX, NUMBERS

Labels = tuple[tuple[str, str], ...]
Identity = tuple[str, str, Labels]
_Key = tuple[int, str, str, bool]  # the inode, and for files that are still empty, and so not mapped, what they are
_ASIDE = -1


class File(NamedTuple):
    """A file of one process: of a shelf's numbers, or of its exemplars."""

    path: Path
    shelf: str
    owner: str
    has_exemplars: bool = False


def files_in(folder: Path, live: Container[str]) -> Iterator[File]:
    """The files that count, where `live` are the slots that somebody holds."""
    for path in folder.iterdir():
        shelf, _, owner = path.stem.rpartition("_")
        if path.suffix in {NUMBERS, exemplars.SUFFIX} and (owner in live or not shelf.startswith(LIVE_PREFIX)):
            yield File(path, shelf, owner, has_exemplars=path.suffix == exemplars.SUFFIX)


class Spot(NamedTuple):
    """One sample of the merged page."""

    shelf: str
    metric: str
    sample: str
    labels: Labels
    help: str

    @property
    def identity(self) -> Identity:
        return self.metric, self.sample, self.labels


class _Source:
    """One file as far as it has been read."""

    def __init__(self, file: File) -> None:
        self.shelf = file.shelf
        self.spots: list[Spot] = []
        self.places: list[int] = []
        self._owner = file.owner
        self._record_bytes = exemplars.RECORD_BYTES if file.has_exemplars else tables.VALUE_BYTES
        self._memory = memoryview(bytes(tables.HEADER_BYTES))
        self.doubles = self._memory.cast("d")
        self._read_to = 0

    def read(self, path: Path, found: os.stat_result, known: dict[str, Spot]) -> None:
        """Take notice of what was added. An entry that can not be read yet is tried again at the next scrape."""
        if found.st_size > len(self._memory):
            self._map(path, found)
        with suppress(tables.Unreadable, ValueError, TypeError, AttributeError, struct.error):
            for raw, record in tables.entries(self._memory, self._read_to, self._record_bytes):
                self.spots.append(_spot(raw.decode(), self.shelf, self._owner, known))
                self.places.append(record // 8)
                self._read_to = record + self._record_bytes

    def record(self, place: int) -> bytes:
        return bytes(self._memory[8 * place : 8 * place + self._record_bytes])

    def _map(self, path: Path, found: os.stat_result) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if os.fstat(descriptor).st_ino == found.st_ino:
                self._memory = memoryview(mmap.mmap(descriptor, found.st_size, prot=mmap.PROT_READ))
                self.doubles = self._memory.cast("d")
        finally:
            os.close(descriptor)


def _spot(raw: str, shelf: str, owner: str, known: dict[str, Spot]) -> Spot:
    """The same object for the same entry of another process, unless it stands for the process."""
    name = f"{shelf} {raw}"
    spot = known.get(name)
    if spot is None:
        metric, sample, labels, help_text = json.loads(raw)
        spot = known[name] = Spot(shelf, metric, sample, tuple(sorted(labels.items())), help_text)
    return spot._replace(labels=(*spot.labels, ("pid", owner))) if merging.keeps_apart(shelf) else spot


class Layout:
    """Which number of which file goes where. Good until a file gains an entry, comes or goes."""

    def __init__(self, sources: Sequence[_Source]) -> None:
        self.spots: list[Spot] = []
        self._routes: list[tuple[_Source, list[int]]] = []
        index_of: dict[Identity, int] = {}
        for source in sources:
            route = []
            for spot in source.spots:
                index = index_of.setdefault(spot.identity, len(self.spots))
                if index == len(self.spots):
                    self.spots.append(spot)
                # Two releases side by side may disagree about a series: the first that is met is believed.
                route.append(index if self.spots[index].shelf == source.shelf else _ASIDE)
            self._routes.append((source, route))
        self._before = [0.0 if merging.how(spot.shelf) is merging.add else None for spot in self.spots]

    def values(self) -> list[float | None]:
        """Each spot's number now; None where it was never set."""
        values: list[float | None] = [*self._before, 0.0]
        stamps: dict[int, float] = {}
        for source, route in self._routes:
            merging.how(source.shelf)(values, stamps, source.doubles, zip(route, source.places, strict=False))
        return values[:_ASIDE]


class Merged(NamedTuple):
    """A scrape: the layout's spots with their numbers, and the latest exemplar of those that have one."""

    layout: Layout
    values: Sequence[float | None]
    exemplars: Mapping[Identity, Exemplar]


class Collector:
    """Remembers what it has read. Not for two threads at once."""

    def __init__(self) -> None:
        self._sources: dict[_Key, _Source] = {}
        self._known: dict[str, Spot] = {}
        self._layout = Layout(())
        self._layout_of: Sequence[tuple[_Key, int]] = ()

    def collect(self, files: Iterable[File], *, with_exemplars: bool = False) -> Merged:
        """Read these files; one that is gone meanwhile counts no more."""
        found = {False: dict[_Key, _Source](), True: dict[_Key, _Source]()}
        for file in files:
            with suppress(FileNotFoundError):
                status = file.path.stat()
                key = status.st_ino, file.shelf, file.owner, file.has_exemplars
                source = self._sources.get(key) or _Source(file)
                source.read(file.path, status, self._known)
                found[file.has_exemplars][key] = source
        self._sources = found[False] | found[True]
        values = self._laid_out(found[False]).values()
        return Merged(self._layout, values, _latest(found[True].values()) if with_exemplars else {})

    def _laid_out(self, sources: Mapping[_Key, _Source]) -> Layout:
        now = [(key, len(source.places)) for key, source in sources.items()]
        if now != self._layout_of:
            self._layout, self._layout_of = Layout(list(sources.values())), now
        return self._layout


def _latest(sources: Iterable[_Source]) -> dict[Identity, Exemplar]:
    latest: dict[Identity, Exemplar] = {}
    for source in sources:
        for spot, place in zip(source.spots, source.places, strict=True):
            found = exemplars.unpack(source.record(place))
            before = latest.get(spot.identity)
            if found and (before is None or before.timestamp < found.timestamp):
                latest[spot.identity] = found
    return latest
