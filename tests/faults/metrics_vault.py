"""A real gunicorn to be mistreated, and what its metrics say of it."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scaivault.crypto.kms.local import write_key_file
from tests.house import PLENTY
from tests.ports import free_port
from tests.waiting import await_true

CHECKOUT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30
WORKERS, THREADS = 2, 4


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

    def __init__(self, folder, database_url, redis_url, *arguments, before=None, **environ):
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
            "DRAIN_SECONDS": "0",
            "SHUTDOWN_SECONDS": "5",
            **PLENTY,
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
                preexec_fn=before,  # noqa: PLW1509 - no thread of ours holds anything yet
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
        """What was counted, by category and status, where there was any."""
        counted, found = self.samples("scaivault_requests_total"), Counter()
        for (_, category, status), value in (counted or {}).items():
            found[category, int(status)] += value
        return counted and +found

    @property
    def serving(self):
        return (self.samples("scaivault_workers") or {}).get(("serving",), 0)

    def await_serving(self, number=WORKERS):
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

        def start(*arguments, is_awaited=True, **options):
            vault = Vault(tmp_path, database_url, redis_url, *arguments, **options)
            stack.callback(vault.stop)
            if is_awaited:
                vault.await_serving()
            return vault

        yield start
