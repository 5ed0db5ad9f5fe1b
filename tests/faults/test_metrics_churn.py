"""Workers come and go under load, in every way there is, and no count is lost, doubled or left behind."""

import contextlib
import http.client
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from scaivault.crypto.kms.local import write_key_file

CHECKOUT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30
WORKERS, THREADS, CLIENTS = 2, 4, 4
GONE_SECONDS = 2
SHELVES = 4  # files of a slot: counters, histograms, live gauges, and the slot itself
TOKEN = "skt_" + "a" * 43
# Each leaves one count and needs nothing but the worker.
ASKED = {"/v1/health": ("system", 200), "/v1/secrets/none": ("secrets", 401), "/nowhere": ("unmatched", 404)}


def await_true(check, seconds=PATIENCE_SECONDS):
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, path, **headers):
    """A status and a body, on a connection of its own; None if there was no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Vault:
    """Gunicorn as it is run; METRICS_DIR is left to it unless it is given."""

    def __init__(self, folder, database_url, redis_url, *arguments, **environ):
        self.port, self.ops_port = free_port(), free_port()
        self.temporary = folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        environ = {
            "SCAIVAULT_ENV": "development",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "BASE_URL": f"http://127.0.0.1:{self.port}",
            "BIND_ADDRESS": f"127.0.0.1:{self.port}",
            "OPS_BIND_ADDRESS": f"127.0.0.1:{self.ops_port}",
            "KMS_PROVIDER": "local",
            "KMS_LOCAL_KEY_FILE": str(folder / "kms.key"),
            "METRICS_DIR": str(folder / "metrics"),
            "WEB_CONCURRENCY": str(WORKERS),
            "WEB_THREADS": str(THREADS),
            "SHUTDOWN_SECONDS": "5",
            "TMPDIR": str(self.temporary),
            "PATH": os.defpath,
            "PYTHONPATH": str(CHECKOUT),
            **environ,
        }
        command = [sys.executable, "-m", "gunicorn", "--config", "python:scaivault.gunicorn_conf", *arguments]
        self.log = folder / f"api-{self.port}.log"
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                [*command, "scaivault.wsgi:app"],
                cwd=CHECKOUT,
                env={name: value for name, value in environ.items() if value},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        self.metrics = Path(environ["METRICS_DIR"])

    def stop(self):
        """The whole group: a master that took over is no child of ours."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE_SECONDS)

    def samples(self, name):
        """Values by labels; None if nobody answers."""
        answer = ask(self.ops_port, "/v1/metrics")
        if answer is None:
            return None
        assert answer[0] == 200, answer
        return {
            tuple(sample.labels.values()): sample.value
            for family in text_string_to_metric_families(answer[1].decode())
            for sample in family.samples
            if sample.name == name
        }

    def requests(self):
        """What was counted, by category and status."""
        counted = self.samples("scaivault_requests_total")
        return counted and {(category, int(status)): value for (_, category, status), value in counted.items()}

    @property
    def serving(self):
        return (self.samples("scaivault_workers") or {}).get(("serving",), 0)

    def await_serving(self, number=WORKERS):
        await_true(lambda: self.process.poll() is None or self.log.read_text())
        await_true(lambda: self.serving == number)

    def await_counted(self, counts):
        """The number of an answer is there before the answer is."""
        assert {key: self.requests().get(key, 0) for key in counts} == counts

    def workers(self, master=None):
        master = master or self.process.pid
        text = Path(f"/proc/{master}/task/{master}/children").read_text()
        return [int(pid) for pid in text.split()]


@pytest.fixture
def open_vault(tmp_path, database_url, redis_url):
    write_key_file(tmp_path / "kms.key", development=True)
    with contextlib.ExitStack() as stack:

        def start(*arguments, **environ):
            vault = Vault(tmp_path, database_url, redis_url, *arguments, **environ)
            stack.callback(vault.stop)
            vault.await_serving()
            return vault

        yield start


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
            threading.Thread(target=ask, args=(vault.port, "/v1/secrets/none"), kwargs={"Authorization": f"Bearer {TOKEN}"})
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
    master = {os.readlink(entry) for entry in Path(f"/proc/{vault.process.pid}/fd").iterdir()}
    assert {Path(file).name for file in master if file.startswith(str(vault.metrics))} == {"api.run"}
    pids = {int(file.read_bytes().rstrip(b"\0").split()[1]) for file in vault.metrics.glob("*.slot")}
    assert pids == set(vault.workers())
