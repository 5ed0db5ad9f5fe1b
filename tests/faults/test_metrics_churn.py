"""Workers come and go under load, in every way there is, and no count is lost, doubled or left behind."""

import itertools
import os
import signal
import threading
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from tests.faults.metrics_vault import PATIENCE_SECONDS, WORKERS, ask
from tests.waiting import await_true

CLIENTS = 4
SHELVES = 5  # files of a slot: counters, histograms, live gauges by sum and by least, and the slot itself
TOKEN = "skt_" + "a" * 43
# Each leaves one count and needs nothing but the worker.
ASKED = {"/v1/health": ("system", 200), "/v1/secrets/none": ("secrets", 401), "/nowhere": ("unmatched", 404)}


class Load:
    """Clients who ask one thing after the other, and one who reads the page all the while: no count may fall."""

    def __init__(self, vault):
        self._vault = vault
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged, self.unanswered, self.falls, self.pages = Counter(), 0, [], 0
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        self._threads.append(threading.Thread(target=self._watch))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)

    @property
    def answered(self):
        with self._lock:
            return sum(self.acknowledged.values())

    def await_more(self, number):
        target = self.answered + number
        await_true(lambda: self.answered >= target)

    def _ask(self):
        for path in itertools.cycle(ASKED):
            if self._stop.is_set():
                return
            answer = ask(self._vault.port, path)
            with self._lock:
                if answer is None:
                    self.unanswered += 1
                else:
                    assert answer[0] == ASKED[path][1], answer
                    self.acknowledged[ASKED[path]] += 1

    def _watch(self):
        before = {}
        while not self._stop.is_set():
            counted = self._vault.requests()
            if counted is None:
                continue
            self.pages += 1
            self.falls += [(key, before[key], counted.get(key)) for key in before if counted.get(key, 0) < before[key]]
            before = counted


def test_nothing_acknowledged_is_lost_to_workers_that_are_killed_over_and_over(open_vault):
    vault = open_vault()
    with Load(vault) as load:
        for number in range(12):
            load.await_more(30)
            os.kill(vault.workers()[number % WORKERS], signal.SIGKILL)
            await_true(lambda: len(vault.workers()) == WORKERS)
        load.await_more(30)
    vault.await_serving()
    counted = vault.requests()
    assert not load.falls
    assert load.pages
    assert all(load.acknowledged[key] <= counted[key] for key in load.acknowledged)
    assert sum(counted.values()) <= load.answered + load.unanswered
    # A killed worker's slot is free at once: who comes next has it, and nothing piles up.
    slots = list(vault.metrics.glob("*.slot"))
    assert len(slots) <= WORKERS + 1
    assert len(list(vault.metrics.iterdir())) <= SHELVES * len(slots) + 1


@pytest.mark.parametrize("way", ["HUP", "USR2", "max_requests"])
def test_every_answer_is_counted_once_however_workers_are_replaced(way, open_vault):
    vault = open_vault(*(["--max-requests", "40"] if way == "max_requests" else []), METRICS_DIR="")
    first = set(vault.workers())
    with Load(vault) as load:
        load.await_more(60)
        if way == "HUP":
            vault.process.send_signal(signal.SIGHUP)
        elif way == "USR2":
            _replace_master(vault, load)
        else:
            await_true(lambda: not first & set(vault.workers()))
        load.await_more(60)
        if way == "HUP":
            await_true(lambda: not first & set(vault.workers()))
    await_true(lambda: vault.serving == WORKERS)
    assert not load.falls
    vault.await_counted(load.acknowledged)
    [folder] = vault.temporary.glob("scaivault-metrics-*")
    assert len(list(folder.glob("*.slot"))) <= 2 * WORKERS


def _replace_master(vault, load):
    """A second master starts, is at work beside the first, and is alone when the first one has ended."""
    vault.process.send_signal(signal.SIGUSR2)
    await_true(lambda: vault.serving == 2 * WORKERS)
    load.await_more(60)
    vault.process.terminate()
    vault.process.wait(PATIENCE_SECONDS)


def test_the_last_master_takes_its_own_folder_along(open_vault):
    vault = open_vault(METRICS_DIR="")
    assert len(list(vault.temporary.glob("scaivault-metrics-*"))) == 1
    vault.process.terminate()
    vault.process.wait(PATIENCE_SECONDS)
    assert not list(vault.temporary.glob("scaivault-metrics-*"))


def test_a_new_run_begins_at_zero_in_an_old_folder(open_vault):
    vault = open_vault()
    ask(vault.port, "/nowhere")
    assert vault.requests()["unmatched", 404] == 1
    os.killpg(vault.process.pid, signal.SIGKILL)
    vault.process.wait(PATIENCE_SECONDS)
    again = open_vault()
    assert ("unmatched", 404) not in again.requests()


def test_a_dead_workers_requests_are_active_no_more(open_vault, database_url):
    vault = open_vault()
    with psycopg.connect(database_url) as holder:
        # Whoever shows a token waits for this table.
        holder.execute("LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE")
        waiting = [
            threading.Thread(
                target=ask, args=(vault.port, "/v1/secrets/none"), kwargs={"Authorization": f"Bearer {TOKEN}"}
            )
            for _ in range(2 * WORKERS)
        ]
        for thread in waiting:
            thread.start()
        await_true(lambda: vault.samples("scaivault_active_requests")["secrets",] == len(waiting))
        for pid in vault.workers():
            os.kill(pid, signal.SIGKILL)
        # The page answers as soon as one of the new workers does; what it says is right from the first time on.
        active = await_true(lambda: vault.samples("scaivault_active_requests"))
        assert active["secrets",] == 0
        for thread in waiting:
            thread.join(PATIENCE_SECONDS)
    vault.await_serving()
    assert set(vault.samples("scaivault_active_requests").values()) == {0}


def test_the_master_counts_nothing(open_vault):
    vault = open_vault()
    master = {str(entry.readlink()) for entry in Path(f"/proc/{vault.process.pid}/fd").iterdir()}
    assert {Path(file).name for file in master if file.startswith(str(vault.metrics))} == {"api.run"}
    pids = {int(file.read_bytes().rstrip(b"\0").split()[1]) for file in vault.metrics.glob("*.slot")}
    assert pids == set(vault.workers())
