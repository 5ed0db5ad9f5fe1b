"""Places in the metrics folder, one for each live process, that are taken over and never lost.

A process leases the first free slot of its kind. The lease is a lock of the kernel on the slot's file, which ends with
the process however that ends, so that nobody has to clear up behind it. Who comes next goes on with the slot's counters
and begins with fresh live gauges. There are never more slots than there were processes at once.

The locks belong to an open file (F_OFD_SETLK) and not to a process: they can be asked about without being taken.
"""

import fcntl
import itertools
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scaivault.observability import exemplars
from scaivault.observability.catalogue.vocabulary import PROCESSES, WORKER_STATES

LIVE_PREFIX = "gauge_live"
NUMBERS = ".db"
TEMPORARY = "temporary"
_SUFFIX = ".slot"
_LEASED, _LIVE = 0, 1  # bytes of a slot's file that are locked: by whoever has it, and once its old gauges are gone
_LOCK = struct.Struct("hhqqi4x")  # C's struct flock
RECORD_BYTES = 16


@dataclass(frozen=True, slots=True)
class Holder:
    """A live process, as its slot tells."""

    slot: str
    kind: str
    state: str
    pid: int


class Slot:
    """This process's place, from the lease until the process ends."""

    def __init__(self, folder: Path, name: str, descriptor: int) -> None:
        self.name = name
        self._folder = folder
        self._descriptor = descriptor

    def file(self, shelf: str, suffix: str = NUMBERS) -> Path:
        return self._folder / f"{shelf}_{self.name}{suffix}"

    def set_state(self, state: str) -> None:
        """One byte, so that nobody reads half a word."""
        os.pwrite(self._descriptor, b"%d" % WORKER_STATES.index(state), 0)

    def release(self) -> None:
        """Only for a process that outlives its slot and counts nothing more."""
        os.close(self._descriptor)


def lease(folder: Path, kind: str) -> Slot:
    """The first slot of this kind that nobody has; OSError if the folder has no room for one."""
    if kind not in PROCESSES:
        raise ValueError(f"no kind of process: {kind}")
    for number in itertools.count():
        name = f"{kind}-{number}"
        descriptor = os.open(folder / f"{name}{_SUFFIX}", os.O_RDWR | os.O_CREAT, 0o600)
        if _take(descriptor, _LEASED):
            break
        os.close(descriptor)
    try:
        for file in folder.glob(f"{LIVE_PREFIX}*_{name}{NUMBERS}"):
            file.unlink()
        os.pwrite(descriptor, b"0 %d" % os.getpid() + bytes(RECORD_BYTES), 0)
        _take(descriptor, _LIVE)
    except OSError:
        os.close(descriptor)
        raise
    return Slot(folder, name, descriptor)


def holders(folder: Path) -> Iterator[Holder]:
    """Who lives now."""
    for file in sorted(folder.glob(f"*{_SUFFIX}")):
        with suppress(FileNotFoundError):
            descriptor = os.open(file, os.O_RDONLY)
            try:
                if _is_held(descriptor, _LIVE):
                    yield _holder(file.stem, os.pread(descriptor, RECORD_BYTES, 0))
            finally:
                os.close(descriptor)


def _holder(name: str, record: bytes) -> Holder:
    state, pid = record.rstrip(b"\0").split()
    return Holder(name, name.partition("-")[0], WORKER_STATES[int(state)], int(pid))


def temporary_folder() -> Path:
    """One that goes when the last of its run has gone."""
    folder = Path(tempfile.mkdtemp(prefix="scaivault-metrics-"))
    (folder / TEMPORARY).touch()
    return folder


class Run:
    """The processes of one kind that live at the same time over one folder, a successor and its predecessor included.

    It lasts while any of them does: forked processes share their parent's part in it, until they end.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        """Join the run that there is, or begin one: then what an earlier one left in the folder is wiped."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._descriptor = os.open(folder / f"{kind}.run", os.O_RDWR | os.O_CREAT, 0o600)
        if _take(self._descriptor, 0):
            _wipe(folder, kind)
        _share(self._descriptor)

    def end(self) -> None:
        """The last one to leave takes a folder along that was made for the run and not given to it."""
        if (self._folder / TEMPORARY).exists() and _take(self._descriptor, 0):
            shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._descriptor)


def _wipe(folder: Path, kind: str) -> None:
    """All numbers but other kinds', whose processes may live, and whoever of ours has outlived its run."""
    kept = tuple(f"_{other}-" for other in PROCESSES if other != kind)
    kept += tuple(f"_{holder.slot}." for holder in holders(folder))
    for file in folder.iterdir():
        if file.suffix in {NUMBERS, exemplars.SUFFIX} and not any(name in file.name for name in kept):
            file.unlink(missing_ok=True)


def _take(descriptor: int, byte: int) -> bool:
    """Whether it could be locked for this one alone."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _range(fcntl.F_WRLCK, byte))
    except BlockingIOError:
        return False
    return True


def _share(descriptor: int) -> None:
    """Wait until it is there for all; of a lock that is held for one alone this lets go without a gap."""
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW, _range(fcntl.F_RDLCK, 0))


def _is_held(descriptor: int, byte: int) -> bool:
    found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _range(fcntl.F_RDLCK, byte))
    return bool(_LOCK.unpack(found)[0] != fcntl.F_UNLCK)


def _range(kind: int, byte: int) -> bytes:
    return _LOCK.pack(kind, os.SEEK_SET, byte, 1, 0)
