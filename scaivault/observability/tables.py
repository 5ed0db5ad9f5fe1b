"""Numbers in a file, so that what a process counted survives it and others can read it without asking.

The format is that of prometheus_client's multiprocess mode: how much is used, then entries that are only ever added and
never move, each a key and a record. `used` moves after the entry is whole, so that a kill in between leaves no trace.

A number is eight bytes at an address divisible by eight and is stored at once: nobody reads half of one. Every byte is
allocated before it is mapped: in a folder that is full, growing fails with an OSError that can be dealt with, where a
sparse file would kill the process with SIGBUS.
"""

import json
import mmap
import os
import struct
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

FIRST_BYTES = 65_536
HEADER_BYTES = 8
VALUE_BYTES = 16  # the number, and when it was set for those who need to know
MOST_KEY_BYTES = 65_536
_INT = struct.Struct("i")


class Unreadable(Exception):
    """The entries are not of our making, or not there yet."""


def key(metric: str, sample: str, labels: Mapping[str, str], help_text: str) -> str:
    """What an entry is filed under."""
    return json.dumps([metric, sample, labels, help_text], sort_keys=True)


def entries(memory: memoryview, begin: int, record_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Each key from `begin` on, and where its record is; Unreadable at the first that makes no sense."""
    used = min(_INT.unpack_from(memory, 0)[0], len(memory))
    position = max(begin, HEADER_BYTES)
    while position < used:
        length = _INT.unpack_from(memory, position)[0]
        record = position + 4 + _padded(length)
        if not 0 < length <= MOST_KEY_BYTES or record + record_bytes > used:
            raise Unreadable
        yield bytes(memory[position + 4 : position + 4 + length]), record
        position = record + record_bytes


def _padded(length: int) -> int:
    """With blanks up to the next address divisible by eight; at least one."""
    return length + 8 - (length + 4) % 8


class Table:
    """The one writer's side of a file. Not for two threads at once."""

    def __init__(self, descriptor: int, record_bytes: int = VALUE_BYTES) -> None:
        self.descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)
        self._record_bytes = record_bytes
        self._map(max(FIRST_BYTES, os.fstat(descriptor).st_size))
        self._used = max(HEADER_BYTES, _INT.unpack_from(self.memory, 0)[0])
        self._places = {name.decode(): place for name, place in entries(self.memory, 0, record_bytes)}

    @classmethod
    def at(cls, file: Path, record_bytes: int = VALUE_BYTES) -> "Table":
        """What the file holds goes on, if it can be read; else it begins anew."""
        try:
            return cls(_opened(file), record_bytes)
        except (Unreadable, UnicodeDecodeError):
            file.unlink()
            return cls(_opened(file), record_bytes)

    @classmethod
    def in_memory(cls, record_bytes: int = VALUE_BYTES) -> "Table":
        return cls(os.memfd_create("metrics"), record_bytes)

    def place(self, name: str) -> int:
        """Where the record of `name` is, for the life of the file; OSError if there is no room for a new one."""
        known = self._places.get(name)
        return self._add(name) if known is None else known

    def labels(self) -> Iterator[Mapping[str, str]]:
        """Those of every key."""
        return (json.loads(name)[2] for name in self._places)

    def _add(self, name: str) -> int:
        raw = name.encode()
        entry = _INT.pack(len(raw)) + raw.ljust(_padded(len(raw))) + bytes(self._record_bytes)
        while self._used + len(entry) > len(self.memory):
            self._map(2 * len(self.memory))
        self.memory[self._used : self._used + len(entry)] = entry
        self._used += len(entry)
        self.memory[:4] = _INT.pack(self._used)
        self._places[name] = self._used - self._record_bytes
        return self._places[name]

    def _map(self, size: int) -> None:
        """Whoever writes through an earlier, shorter view of the same file may go on doing so."""
        os.posix_fallocate(self.descriptor, 0, size)
        self.memory = memoryview(mmap.mmap(self.descriptor, size))
        self.doubles = self.memory.cast("d")


def _opened(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
