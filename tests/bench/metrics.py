"""What it costs to count, to log and to be scraped, with prometheus_client's own multiprocess mode beside it."""

import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from scaivault.observability import logs
from scaivault.observability.catalogue.vocabulary import BUCKETS_SECONDS
from scaivault.observability.collector import Collector, files_in
from scaivault.observability.instruments import Instruments
from scaivault.observability.page import Pages
from scaivault.observability.tables import Table, key
from tests.bench.load import Clients
from tests.bench.options import Options
from tests.bench.report import Finding
from tests.bench.stage import Stage
from tests.bench.throughput import Say, put_secrets, read_of
from tests.bench.wire import BenchFault, Line, request

SLOTS, SERIES, HISTOGRAMS = 16, 600, 20
SCRAPES, STOCK_SCRAPES = 60, 5
SCRAPE_MS = 5
DEATHS = 1_000
CALLS, TURNS = 500, 40
COUNTING_US, LOGGING_US = 25, 40
WARM_SECONDS, SCRAPE_EVERY_SECONDS = 1.0, 1.0


def costs(stage: Stage, clients: Clients, options: Options, say: Say) -> list[Finding]:
    """All of it."""
    findings = [_merging(), *_churn(say), _counting(), _logging()]
    say("metrics and logs are measured alone")
    return [*findings, _scraped(stage, clients, options, say)]


def _merging() -> Finding:
    with _folder() as folder:
        for number in range(SLOTS):
            _fill(folder, f"api-{number}")
        ours, stock = _ours(folder), _stock(folder)
    beside = f"{SCRAPE_MS} ms; prometheus_client {median(stock):.1f} ms"
    what = f"scrape of {SLOTS} processes with {SERIES} series each, merged and written"
    return Finding(what, f"{median(ours):.2f} ms", beside, [each / SCRAPE_MS for each in ours], bar=1)


def _churn(say: Say) -> list[Finding]:
    """The same scrape after one worker was killed, and after a thousand."""
    with _folder() as folder, _folder() as stock_folder:
        scraper = Instruments()
        scraper.join(folder)
        _die(folder)
        _fill(stock_folder, "1")
        first, stock_first = _rendered(scraper), _stock(stock_folder)
        for number in range(2, DEATHS + 1):
            _die(folder)
            for file in stock_folder.glob("*_1.db"):
                shutil.copy(file, stock_folder / file.name.replace("_1.db", f"_{number}.db"))
        last, stock_last = _rendered(scraper), _stock(stock_folder)
        files = len(list(folder.iterdir()))
    say(f"{DEATHS} workers were killed and left {files} files; a scrape took {median(last):.2f} ms")
    what = f"scrape after {DEATHS:,} killed workers, to one after the first"
    ratios = [after / median(first) for after in last]
    stock_ratios = [after / median(stock_first) for after in stock_last]
    return [
        Finding(what, f"{median(last):.2f} ms", f"{median(first):.2f} ms", ratios, bar=1.2),
        Finding(
            f"{what}: prometheus_client", f"{median(stock_last):.0f} ms", f"{median(stock_first):.2f} ms", stock_ratios
        ),
    ]


def _counting() -> Finding:
    with _folder() as folder:
        instruments = Instruments()
        instruments.join(folder)
        times = _timed(lambda: _read(instruments))
    what = "counting of an audited read"
    return Finding(what, f"{median(times):.1f} µs", f"{COUNTING_US} µs", [each / COUNTING_US for each in times], bar=1)


def _read(instruments: Instruments) -> None:
    """The updates of one."""
    instruments.request_started("secrets")
    for cache in ("token", "policy", "tenant_key"):
        instruments.cache_request(cache, "hit")
    instruments.observe_db(0.0012)
    instruments.observe_audit("read", success=True, seconds=0.0013)
    instruments.secret_read("tnt_bench", "kv")
    instruments.log_message("info")
    instruments.request_ended("GET", "secrets", 200, 0.002)


def _logging() -> Finding:
    fields = {
        "request_id": "0af76519-16cd-43dd-8448-eb211c80319c",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "method": "GET",
        "route": "/v1/secrets/<path:path>",
        "path_category": "secrets",
        "tenant_id": "tnt_bench",
        "identity_id": "user:deploy@bench.example",
        "status": 200,
        "duration_ms": 2.145,
    }
    log = logs.logger("scaivault.request")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with Path(os.devnull).open("w") as nowhere:
        logs.configure("info", "json", stream=nowhere)
        try:
            times = _timed(lambda: log("info", "request", **fields))
        finally:
            root.handlers, root.level = handlers, level
    what = "the canonical log line of a request"
    return Finding(what, f"{median(times):.1f} µs", f"{LOGGING_US} µs", [each / LOGGING_US for each in times], bar=1)


def _scraped(stage: Stage, clients: Clients, options: Options, say: Say) -> Finding:
    """Reads in turns alone and while somebody asks for the page every second."""
    paths = put_secrets(stage, clients, "scraped")
    reads = [read_of(stage.tokens.deployer, path, b'"username":"billing"') for path in paths]
    clients.run(stage.plan.port, reads, WARM_SECONDS)
    alone, scraped = [], []
    for number in range(options.rounds):
        alone.append(clients.run(stage.plan.port, reads, options.seconds).rate)
        with _scraper(stage.plan.ops_port):
            scraped.append(clients.run(stage.plan.port, reads, options.seconds).rate)
        say(f"round {number + 1} of {options.rounds}: alone {alone[-1]:,.0f}/s, scraped {scraped[-1]:,.0f}/s")
    ratios = [with_it / without for with_it, without in zip(scraped, alone, strict=True)]
    what = "audited read, 8 clients, while the metrics are scraped every second"
    return Finding(what, f"{median(scraped):,.0f}/s", f"alone {median(alone):,.0f}/s", ratios, 0.97, is_throughput=True)


@contextmanager
def _scraper(port: int) -> Iterator[None]:
    """Asks at once and every second until the block ends; BenchFault if it was ever refused."""
    ended, statuses = threading.Event(), []

    def scrape() -> None:
        while True:
            line = Line(port)
            statuses.append(line.ask(request("GET", "/v1/metrics", "none").raw)[0])
            line.close()
            if ended.wait(SCRAPE_EVERY_SECONDS):
                return

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if set(statuses) != {200}:
        raise BenchFault(f"The scrapes were answered {statuses}")


def _die(folder: Path) -> None:
    """A worker comes, counts and is killed."""
    child = os.fork()
    if child == 0:
        instruments = Instruments()
        instruments.join(folder)
        _read(instruments)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def _fill(folder: Path, owner: str) -> None:
    """One process's files: a third of the series in histograms, as they are in ours."""
    histograms, counters = (Table.at(folder / f"{shelf}_{owner}.db") for shelf in ("histogram", "counter"))
    bounds = [*(repr(bound) for bound in BUCKETS_SECONDS), "+Inf"]
    name, told = "bench_duration_seconds", "Time from a request's arrival until its answer was ready."
    keys = [
        key(name, f"{name}_bucket", {"method": "GET", "path_category": str(number), "le": bound}, told)
        for number in range(HISTOGRAMS)
        for bound in bounds
    ]
    keys += [key(name, f"{name}_sum", {"method": "GET", "path_category": str(n)}, told) for n in range(HISTOGRAMS)]
    for each in keys:
        histograms.doubles[histograms.place(each) // 8] = 1.5
    for number in range(SERIES - len(keys)):
        labels = {"method": "GET", "path_category": "secrets", "status": str(number)}
        place = counters.place(key("bench_requests", "bench_requests_total", labels, "Requests answered.")) // 8
        counters.doubles[place] = 2.5


def _ours(folder: Path) -> list[float]:
    collector, pages = Collector(), Pages()
    return _milliseconds(lambda: pages.text(collector.collect(files_in(folder, ()))).encode(), SCRAPES)


def _rendered(scraper: Instruments) -> list[float]:
    return _milliseconds(lambda: scraper.render(""), SCRAPES)


def _stock(folder: Path) -> list[float]:
    def scrape() -> bytes:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(folder))
        return generate_latest(registry)

    return _milliseconds(scrape, STOCK_SCRAPES)


def _milliseconds(scrape: Callable[[], object], number: int) -> list[float]:
    """Of a processor, for each but the first, which reads what is then remembered."""
    scrape()
    times = []
    for _ in range(number):
        started = time.thread_time()
        scrape()
        times.append((time.thread_time() - started) * 1_000)
    return times


def _timed(call: Callable[[], object]) -> list[float]:
    """Microseconds of a processor that a call takes, in each of many short turns."""
    times = []
    for _ in range(TURNS):
        started = time.thread_time()
        for _ in range(CALLS):
            call()
        times.append((time.thread_time() - started) / CALLS * 1e6)
    return times


@contextmanager
def _folder() -> Iterator[Path]:
    """In memory where there is room for it, as METRICS_DIR should be."""
    memory = next((place for place in ("/dev/shm",) if os.access(place, os.W_OK)), None)  # noqa: S108 - and in it a folder of its own
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)
