"""The exporter, as a child of the supervisor: a program of its own, of which nothing is imported."""

import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from scaivault.dev import processes
from scaivault.dev.plan import Plan
from scaivault.dev.processes import DevFault
from scaivault.settings import Settings

READY_SECONDS = 30
STOP_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Server:
    process: subprocess.Popen[bytes]

    def stop(self) -> bool:
        return processes.stop(self.process, signal.SIGTERM, STOP_SECONDS)


def start(plan: Plan, environ: Mapping[str, str]) -> Server:
    """Started; not yet answering."""
    command = processes.leashed([sys.executable, "-m", "exporter"], on_our_death="KILL")
    return Server(processes.spawn(command, plan.logs / "exporter.log", {**environ, "PYTHONUNBUFFERED": "1"}))


def await_ready(server: Server, plan: Plan, settings: Settings) -> None:
    """Return once it answers; DevFault when it ends or time is up."""
    log = plan.logs / "exporter.log"
    deadline = time.monotonic() + READY_SECONDS
    while server.process.poll() is None and time.monotonic() < deadline:
        if _answers(settings):
            return
        time.sleep(0.05)
    raise DevFault(f"The exporter did not start; {log} ends:\n{processes.last_lines(log, 20)}")


def _answers(settings: Settings) -> bool:
    address = settings.exporter_bind_address.reachable
    connection = http.client.HTTPConnection(address.host, address.port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
