"""The collector says what prometheus_client's says of the same folder, scrape after scrape, and survives what that does not."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families as text_families

from scaivault.observability.collector import Collector, files_in
from scaivault.observability.page import Pages
from scaivault.observability.tables import Table, key

OWNERS = ("api-0", "api-1", "worker-0", "4711")
MODES = ("all", "min", "max", "sum", "mostrecent", "liveall", "livemin", "livemax", "livesum", "livemostrecent")
SHELVES = ("counter", "summary", "histogram", *(f"gauge_{mode}" for mode in MODES))
BOUNDS = ("0.005", "0.25", "1.0", "10.0", "+Inf")

# Sums of these are exact, in whatever order they are added up.
numbers = st.integers(-(2**20), 2**20).map(lambda number: number / 64) | st.sampled_from([float("inf"), float("nan")])
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def families(draw):
    """A family with some of its label sets: its shelf, and each sample's name and labels."""
    shelf = draw(st.sampled_from(SHELVES))
    name = f"m{draw(st.integers(0, 3))}_{shelf}"
    help_text = f"h{draw(words)}"
    labels = draw(st.lists(st.sampled_from(["a", "b", "method"]), unique=True, max_size=2))
    samples = []
    for values in draw(st.lists(st.tuples(*(words for _ in labels)), unique=True, min_size=1, max_size=3)):
        given = dict(zip(labels, values, strict=True))
        if shelf == "histogram":
            samples += [(f"{name}_bucket", {**given, "le": bound}) for bound in BOUNDS]
            samples.append((f"{name}_sum", given))
        else:
            samples.append((f"{name}_total" if shelf == "counter" else name, given))
    return shelf, name, help_text, samples


@st.composite
def writes(draw):
    """What processes write: where, and what."""
    shelf, name, help_text, samples = draw(
        st.shared(st.lists(families(), min_size=1, max_size=4, unique_by=lambda f: f[1]), key="all").flatmap(
            st.sampled_from
        )
    )
    owner = draw(st.sampled_from(OWNERS))
    written = draw(st.lists(st.tuples(st.sampled_from(samples), numbers, st.integers(0, 9)), min_size=1, max_size=6))
    return owner, shelf, name, help_text, written


def write(folder, owner, shelf, name, help_text, written):
    file = MmapedDict(str(folder / f"{shelf}_{owner}.db"))
    for (sample, labels), value, timestamp in written:
        file.write_value(
            mmap_key(name, sample, list(labels), list(labels.values()), help_text), value, float(timestamp)
        )
    file.close()


def said(parsed):
    """A page's families and samples, apart from the order."""
    families, samples = {}, {}
    for family in parsed:
        families[family.name] = family.type, family.documentation
        for sample in family.samples:
            place = sample.name, tuple(sorted(sample.labels.items()))
            assert place not in samples
            samples[place] = repr(sample.value)
    return families, samples


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(writes(), min_size=1, max_size=5), min_size=1, max_size=3))
def test_it_says_what_prometheus_clients_collector_says_at_every_scrape(rounds):
    collector, pages = Collector(), Pages()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for round_ in rounds:
            for each in round_:
                write(folder, *each)
            stock = CollectorRegistry()
            MultiProcessCollector(stock, name)
            merged = collector.collect(files_in(folder, OWNERS))
            assert said(text_families(pages.text(merged))) == said(text_families(generate_latest(stock).decode()))
            ours, theirs = pages.openmetrics(merged), generate_openmetrics(stock).decode()
            assert ours.endswith("# EOF\n")
            assert said(lenient(ours)) == said(lenient(theirs))


def lenient(page):
    """OpenMetrics but for what its parser, and not the collector, has to say of negative counters and the like."""
    return text_families(page.removesuffix("# EOF\n"))


def totals(collector, folder, owners=()):
    merged = collector.collect(files_in(folder, owners))
    return {spot.sample: value for spot, value in zip(merged.layout.spots, merged.values, strict=True)}


def counted(folder, owner, sample, value, shelf="counter"):
    table = Table.at(folder / f"{shelf}_{owner}.db")
    table.doubles[table.place(key(sample, sample, {}, "help")) // 8] = value
    return table


def test_live_gauges_of_slots_that_nobody_holds_do_not_count(tmp_path):
    for owner in ("api-0", "api-1"):
        counted(tmp_path, owner, "live", 1.0, "gauge_livesum")
        counted(tmp_path, owner, "kept", 1.0, "gauge_sum")
    assert totals(Collector(), tmp_path, ["api-1"]) == {"live": 1.0, "kept": 2.0}
    assert totals(Collector(), tmp_path) == {"kept": 2.0}


def test_a_file_that_outgrows_its_first_size_is_read_to_its_end(tmp_path):
    collector, table = Collector(), counted(tmp_path, "api-0", "first", 1.0)
    assert totals(collector, tmp_path) == {"first": 1.0}
    for number in range(2_000):
        place = table.place(key("m", f"m{number}", {}, "help" * 10)) // 8
        table.doubles[place] = number
    assert (tmp_path / "counter_api-0.db").stat().st_size > 65_536
    assert totals(collector, tmp_path) == {"first": 1.0} | {f"m{number}": number for number in range(2_000)}


def test_a_file_that_is_made_anew_under_its_old_name_is_read_anew(tmp_path):
    collector = Collector()
    for number in range(5):
        counted(tmp_path, "api-0", f"m{number}", 1.0)
        assert totals(collector, tmp_path) == {f"m{number}": 1.0}
        (tmp_path / "counter_api-0.db").unlink()
    assert totals(collector, tmp_path) == {}
    assert not collector._sources


@pytest.mark.parametrize(
    "rubbish",
    [b"", b"\x01", b"\xff" * 64, b"\x40\0\0\0\0\0\0\0" + b"\x08\0\0\0not json" + bytes(52), os.urandom(4_096)],
)
def test_a_file_of_rubbish_costs_the_others_nothing(tmp_path, rubbish):
    counted(tmp_path, "api-1", "m", 1.0)
    (tmp_path / "counter_api-0.db").write_bytes(rubbish)
    (tmp_path / "counter_api-0.exemplars").write_bytes(rubbish)
    (tmp_path / "README").write_bytes(rubbish)
    assert totals(Collector(), tmp_path) == {"m": 1.0}
    # And who comes to write there begins anew.
    counted(tmp_path, "api-0", "m", 1.0)
    assert totals(Collector(), tmp_path) == {"m": 2.0}


def test_two_releases_that_disagree_about_a_series_do_not_break_the_page(tmp_path):
    counted(tmp_path, "api-0", "m", 1.0, "gauge_sum")
    counted(tmp_path, "api-1", "m", 1.0, "gauge_max")
    counted(tmp_path, "api-2", "m", 1.0)
    merged = Collector().collect(files_in(tmp_path, ()))
    assert Pages().text(merged).count("\nm 1.0") == 1


HAMMER = """
import sys
from pathlib import Path
from scaivault.observability.tables import Table, key
table = Table.at(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(10_000_000):
    place = table.place(key("m", f"m{number % 400}", {}, "help")) // 8
    table.doubles[place] = float(sys.argv[2 + number % 3 % 2])
"""
ENTRIES = 400
WHOLE = (1.0000000000000002e-300, 1.9999999999999998e300)  # every byte of one is another in the other


def test_no_scrape_sees_half_of_a_number_or_half_of_an_entry(tmp_path):
    command = [sys.executable, "-c", HAMMER, tmp_path / "counter_api-0.db", *(repr(number) for number in WHOLE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"ready\n"
        collector, found = Collector(), {}
        while len(found) < ENTRIES:
            found = totals(collector, tmp_path)
            assert set(found.values()) <= {0.0, *WHOLE}
        for _ in range(500):
            assert set(totals(collector, tmp_path).values()) <= {0.0, *WHOLE}
        writer.kill()
