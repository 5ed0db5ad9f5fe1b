"""A worker, as a child of the supervisor."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from scaivault.dev import processes
from scaivault.dev.plan import Plan
from scaivault.settings import Settings

MARGIN_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Server:
    """One worker."""

    process: subprocess.Popen[bytes]
    drain_seconds: int

    def stop(self) -> bool:
        """Let what is under way finish, then end."""
        return processes.stop(self.process, signal.SIGTERM, self.drain_seconds + MARGIN_SECONDS)


def start(plan: Plan, environ: Mapping[str, str], settings: Settings) -> Server:
    """A worker, started; it works off what there is when it is ready, and nobody needs to wait for that."""
    command = processes.leashed([sys.executable, "-m", "scaivault.cli", "server", "worker"], on_our_death="TERM")
    process = processes.spawn(command, plan.logs / "worker.log", {**environ, "PYTHONUNBUFFERED": "1"})
    return Server(process, settings.shutdown_seconds)
