"""A Prometheus of a test's own."""

import os
import signal
from http.client import SERVICE_UNAVAILABLE

import requests

from scaivault.dev import processes
from tests.ports import free_port
from tests.tools import program


class Prometheus:
    """With this configuration, in this folder. It scrapes until it is closed."""

    def __init__(self, folder, configuration):
        file = folder / "prometheus.yml"
        file.write_text(configuration)
        self.url = f"http://127.0.0.1:{free_port()}"
        command = [
            *(program("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"),
            *(f"--web.listen-address={self.url.removeprefix('http://')}", "--log.level=warn"),
            # By default a minute: what is said before Alertmanager is found would be repeated no sooner.
            "--rules.alert.resend-delay=5s",
        ]
        leashed = processes.leashed(command, on_our_death="TERM")
        self.process = processes.spawn(leashed, folder / "prometheus.log", {"PATH": os.defpath})

    def close(self):
        processes.stop(self.process, signal.SIGTERM, 10)

    def get(self, path, **query):
        """What the API answers; None while it does not, or is not ready to."""
        try:
            answer = requests.get(f"{self.url}/api/v1/{path}", query, timeout=10)
        except requests.ConnectionError:
            return None
        return None if answer.status_code == SERVICE_UNAVAILABLE else answer.json()["data"]

    def targets(self):
        return (self.get("targets", state="active") or {"activeTargets": []})["activeTargets"]

    def value(self, query):
        found = self.get("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None
