"""Exporters as processes, seen from outside."""

import http.client
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.faults.test_dependencies import free_port
from tests.waiting import await_true

CHECKOUT = Path(__file__).parents[2]
INTERVAL_SECONDS = 5
CLUSTER = re.compile("scaivault_(secrets|top_readers|kms_key)")


class Exporter:
    """One `python -m exporter`."""

    def __init__(self, environ, *arguments):
        self.port = free_port()
        own = {"EXPORTER_BIND_ADDRESS": f"127.0.0.1:{self.port}", "EXPORTER_INTERVAL_SECONDS": str(INTERVAL_SECONDS)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "exporter", *arguments],
            cwd=CHECKOUT,
            env={"PATH": os.defpath} | own | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def samples(self):
        """Name and label values to number; empty while it does not answer."""
        try:
            text = self.get("/metrics")[1]
        except OSError:
            return {}
        return samples(text)

    def leads(self):
        return self.samples().get(("scaivault_exporter_leader",)) == 1

    def tells(self, name="scaivault_secrets"):
        return any(key[0] == name for key in self.samples())

    def await_telling(self, name="scaivault_secrets"):
        await_true(lambda: self.is_running() and self.tells(name))
        return self

    def is_running(self):
        """Else a port that somebody was quicker to take would look like an exporter that does not tell."""
        assert self.process.poll() is None, self.process.stderr.read()
        return True

    def send(self, number):
        self.process.send_signal(number)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.communicate()


def samples(text):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def cluster(found):
    """Those that only one exporter may tell."""
    return {key: value for key, value in found.items() if CLUSTER.match(key[0])}
