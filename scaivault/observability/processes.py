"""What is told of live processes at a scrape, by whoever is asked: nobody has to be well to be counted."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from scaivault.observability.catalogue import requests
from scaivault.observability.catalogue.vocabulary import API, WORKER_STATES
from scaivault.observability.page import Fact
from scaivault.observability.slots import Holder

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def facts(live: Sequence[Holder]) -> Iterable[Fact]:
    if any(holder.kind == API for holder in live):
        samples = [((("state", state),), float(count)) for state, count in states(live).items()]
        yield Fact(requests.WORKERS.name, requests.WORKERS.help, samples)
    memory: Counter[str] = Counter()
    for holder in live:
        memory[holder.kind] += _resident_bytes(holder.pid)
    series = requests.RESIDENT_MEMORY
    yield Fact(series.name, series.help, [((("process", kind),), float(memory[kind])) for kind in sorted(memory)])


def states(live: Iterable[Holder]) -> dict[str, int]:
    """How many processes of the API are in each state."""
    found = Counter(holder.state for holder in live if holder.kind == API)
    return {state: found[state] for state in WORKER_STATES}


def _resident_bytes(pid: int) -> int:
    """0 for one that has ended meanwhile, or that is not to be seen from here."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    return 0
