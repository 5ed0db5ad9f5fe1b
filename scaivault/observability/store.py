"""Where this process's numbers are: in memory at first, in the files of its slot from when it has one.

Whatever has no room in the files goes on being counted in memory, and moves when there is room.
"""

import os
import threading
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from scaivault.observability import exemplars, slots
from scaivault.observability.catalogue.vocabulary import WORKER_STATES
from scaivault.observability.collector import File
from scaivault.observability.slots import Holder, Slot
from scaivault.observability.tables import VALUE_BYTES, Table


class Cell:
    """One number. Move it under the store's lock: `cell.doubles[cell.at] += 1`."""

    __slots__ = ("at", "doubles", "key", "shelf")

    def __init__(self, shelf: str, key: str) -> None:
        self.shelf = shelf
        self.key = key
        self.doubles: memoryview[float] | array[float] = array("d", [0.0])
        self.at = 0

    def keep_in(self, table: Table) -> None:
        """What it counted elsewhere is added to what is there."""
        place = table.place(self.key) // 8
        table.doubles[place] += self.doubles[self.at]
        self.doubles, self.at = table.doubles, place


class Store:
    """Every number of one process. `on_kept` is told the labels of what it finds in the files of its slot."""

    def __init__(self, kind: str, on_kept: Callable[[Mapping[str, str]], None]) -> None:
        # One for all, and one that may be taken twice: a signal's handler or a finalizer that logs counts its line.
        self.lock = threading.RLock()
        self._kind = kind
        self._on_kept = on_kept
        self._state = WORKER_STATES[0]
        self._folder: Path | None = None
        self._slot: Slot | None = None
        self._cells: list[Cell] = []
        self._homeless: list[Cell] = []
        self._tables: dict[tuple[str, bool], Table] = {}
        self._trouble: OSError | None = None
        self._trouble_is_told = False

    def join(self, folder: Path) -> None:
        """Move to a slot of this folder, now or as soon as there is room."""
        with self.lock:
            self._folder = folder
            self._try_to_settle()

    def settle(self) -> OSError | None:
        """Move what is in memory; what is in the way, said once for each time that it begins."""
        with self.lock:
            self._try_to_settle()
            if self._trouble is None or self._trouble_is_told:
                return None
            self._trouble_is_told = True
            return self._trouble

    def set_state(self, state: str) -> None:
        with self.lock:
            self._state = state
            if self._slot is not None:
                self._slot.set_state(state)

    def cell(self, shelf: str, key: str) -> Cell:
        with self.lock:
            made = Cell(shelf, key)
            self._cells.append(made)
            try:
                made.keep_in(self._table(shelf))
            except OSError as failure:
                self._trouble = failure
                self._homeless.append(made)
            return made

    def note_trace(self, cell: Cell, trace_id: str, value: float) -> None:
        """Leave it beside the number, if there is room."""
        record = exemplars.pack(trace_id, value)
        if record is None:
            return
        with self.lock:
            try:
                table = self._table(cell.shelf, has_exemplars=True)
                place = table.place(cell.key)
            except OSError as failure:
                self._trouble = failure
            else:
                table.memory[place : place + len(record)] = record

    def files(self) -> Iterator[File]:
        """Those of a process that has joined no folder."""
        with self.lock:
            tables = list(self._tables.items())
        for (shelf, has_exemplars), table in tables:
            yield File(Path(f"/proc/self/fd/{table.descriptor}"), shelf, "", has_exemplars)

    def alone(self) -> Holder:
        """This process as its slot would tell of it."""
        return Holder("", self._kind, self._state, os.getpid())

    def _try_to_settle(self) -> None:
        if self._folder is None:
            return
        try:
            if self._slot is None:
                self._move_in(slots.lease(self._folder, self._kind))
            while self._homeless:
                self._homeless[-1].keep_in(self._table(self._homeless[-1].shelf))
                self._homeless.pop()
        except OSError as failure:
            self._trouble = failure
        else:
            self._trouble, self._trouble_is_told = None, False

    def _move_in(self, slot: Slot) -> None:
        slot.set_state(self._state)
        self._slot = slot
        self._homeless = list(self._cells)
        self._tables.clear()
        for shelf in ("counter", "histogram"):
            if slot.file(shelf).exists():
                for labels in self._table(shelf).labels():
                    self._on_kept(labels)

    def _table(self, shelf: str, *, has_exemplars: bool = False) -> Table:
        table = self._tables.get((shelf, has_exemplars))
        if table is None:
            record_bytes = exemplars.RECORD_BYTES if has_exemplars else VALUE_BYTES
            suffix = exemplars.SUFFIX if has_exemplars else slots.NUMBERS
            file = self._slot and self._slot.file(shelf, suffix)
            table = Table.at(file, record_bytes) if file else Table.in_memory(record_bytes)
            self._tables[shelf, has_exemplars] = table
        return table
