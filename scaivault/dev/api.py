"""The API under gunicorn, as a child of the supervisor."""

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

READY_SECONDS = 60
MARGIN_SECONDS = 10  # gunicorn's own, and some
OK = 200


@dataclass(frozen=True, slots=True)
class Server:
    """Gunicorn's master; its workers are its own affair."""

    process: subprocess.Popen[bytes]
    patience_seconds: int

    def stop(self) -> bool:
        """Let the requests under way finish, then end."""
        return processes.stop(self.process, signal.SIGTERM, self.patience_seconds + MARGIN_SECONDS)


def start(plan: Plan, environ: Mapping[str, str], settings: Settings) -> Server:
    """Gunicorn, started; not yet answering."""
    command = [
        *(sys.executable, "-m", "gunicorn", "--config", "python:scaivault.gunicorn_conf"),
        *("--name", plan.api_name, "scaivault.wsgi:app"),
    ]
    leashed = processes.leashed(command, on_our_death="TERM")
    process = processes.spawn(leashed, plan.logs / "api.log", {**environ, "PYTHONUNBUFFERED": "1"})
    processes.write_private(plan.api_pid_file, f"{process.pid}\n")
    return Server(process, settings.drain_seconds + settings.shutdown_seconds)


def await_ready(server: Server, plan: Plan, settings: Settings) -> None:
    """Return once the readiness probe says yes; DevFault when gunicorn ends or time is up."""
    log = plan.logs / "api.log"
    deadline = time.monotonic() + READY_SECONDS
    answer = "no answer"
    while server.process.poll() is None and time.monotonic() < deadline:
        answer = _probe(settings)
        if answer == "":
            return
        time.sleep(0.05)
    raise DevFault(f"The API did not become ready ({answer}); {log} ends:\n{processes.last_lines(log, 20)}")


def _probe(settings: Settings) -> str:
    """Empty when ready, else what the probe got."""
    address = settings.ops_bind_address.reachable
    connection = http.client.HTTPConnection(address.host, address.port, timeout=5)
    try:
        connection.request("GET", "/v1/health/ready")
        response = connection.getresponse()
        body = response.read(500).decode(errors="replace")
    except (OSError, http.client.HTTPException) as failure:
        return f"no answer: {type(failure).__name__}"
    finally:
        connection.close()
    return "" if response.status == OK else f"{response.status}: {body}"
