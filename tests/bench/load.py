"""Eight clients at once: a process each, a connection each, the next request as soon as the last is answered."""

import itertools
import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import Connection

from tests.bench.wire import BenchFault, Line, Request

HEAD_START_SECONDS = 0.2
NUMBERS_EACH = 1_000_000


@dataclass(frozen=True)
class Order:
    """What every client is to do, from one instant of the machine's monotonic clock on."""

    port: int
    requests: Sequence[Request]
    begin_at: float
    seconds: float


@dataclass(frozen=True)
class Share:
    """What one client has seen. `latencies` are of right answers, in seconds."""

    latencies: Sequence[float]
    elapsed: float
    faults: int
    first_fault: str
    cpu_seconds: float


@dataclass(frozen=True)
class Outcome:
    """What all clients have seen."""

    shares: Sequence[Share]

    @cached_property
    def latencies(self) -> list[float]:
        return sorted(itertools.chain.from_iterable(share.latencies for share in self.shares))

    @property
    def rate(self) -> float:
        """Right answers a second. By client, since each ends with an answer of its own."""
        return sum(len(share.latencies) / share.elapsed for share in self.shares)

    @property
    def faults(self) -> int:
        return sum(share.faults for share in self.shares)

    @property
    def cpu_seconds(self) -> float:
        return sum(share.cpu_seconds for share in self.shares)

    def check(self) -> "Outcome":
        """Itself; BenchFault if an answer was wrong or none came."""
        if self.faults or not self.latencies:
            told = next((share.first_fault for share in self.shares if share.faults), "no answer at all")
            raise BenchFault(f"{self.faults} wrong answers of {self.faults + len(self.latencies)}; the first: {told}")
        return self


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Clients:
    """Processes that wait for orders."""

    def __init__(self, pipes: Sequence[Connection]) -> None:
        self._pipes = pipes

    def run(self, port: int, requests: Sequence[Request], seconds: float) -> Outcome:
        """Load for so many seconds; every answer is checked."""
        order = Order(port, requests, time.monotonic() + HEAD_START_SECONDS, seconds)
        for pipe in self._pipes:
            pipe.send(order)
        return Outcome([pipe.recv() for pipe in self._pipes]).check()

    def each(self, port: int, requests: Sequence[Request]) -> None:
        """Every request once."""
        line = Line(port)
        for each in requests:
            status, body = line.ask(each.raw)
            if not each.is_answered_by(status, body):
                raise BenchFault(f"Answered {status}: {body[:500].decode()}")
        line.close()


@contextmanager
def clients(count: int) -> Iterator[Clients]:
    """So many processes, started anew: nothing of ours is in them."""
    context = multiprocessing.get_context("spawn")
    pipes = []
    for number in range(count):
        ours, theirs = context.Pipe()
        context.Process(target=_serve, args=(number, theirs), daemon=True).start()
        theirs.close()
        pipes.append(ours)
    try:
        yield Clients(pipes)
    finally:
        for pipe in pipes:
            pipe.close()


def _serve(number: int, pipe: Connection) -> None:
    numbers = itertools.count(number * NUMBERS_EACH)
    shuffler = random.Random(number)
    try:
        while True:
            pipe.send(_obey(pipe.recv(), numbers, shuffler))
    except (EOFError, KeyboardInterrupt):
        return


def _obey(order: Order, numbers: Iterator[int], shuffler: random.Random) -> Share:
    requests = shuffler.sample(order.requests, len(order.requests))
    latencies: list[float] = []
    faults, first_fault = 0, ""
    line = Line(order.port)
    line.open()
    time.sleep(max(0.0, order.begin_at - time.monotonic()))
    cpu = time.process_time()
    begun = before = time.perf_counter()
    end = begun + order.seconds
    for template in itertools.cycle(requests):
        wanted = template.numbered(next(numbers)) if template.is_numbered else template
        before = time.perf_counter()
        try:
            status, body = line.ask(wanted.raw)
        except OSError as failure:
            status, body = 0, repr(failure).encode()
        after = time.perf_counter()
        if wanted.is_answered_by(status, body):
            latencies.append(after - before)
        else:
            faults += 1
            first_fault = first_fault or f"{status} {body[:300].decode(errors='replace')}"
        if after >= end:
            break
    line.close()
    return Share(latencies, after - begun, faults, first_fault, time.process_time() - cpu)
