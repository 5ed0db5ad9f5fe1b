"""Where the development servers live and listen, and the environment that the API gets."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from scaivault.dev import processes
from scaivault.dev.processes import DevFault

LOOPBACK = "127.0.0.1"
PARTNER, TENANT = "ptn_dev", "tnt_dev"
DEFAULT_FOLDER = ".dev"
DEFAULT_PORTS = {"PORT": 8443, "OPS_PORT": 9464, "EXPORTER_PORT": 9465, "WORKER_PORT": 9466}
HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Plan:
    """What `DEV_DIR` and the ports say, over the environment we were started with."""

    folder: Path
    port: int
    ops_port: int
    exporter_port: int
    worker_port: int
    environ: Mapping[str, str]

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Plan":
        """The plan, or DevFault about the first variable that makes no sense."""
        ports = {name: _port(environ, name, default) for name, default in DEFAULT_PORTS.items()}
        for (name, port), (other, other_port) in combinations(ports.items(), 2):
            if port == other_port:
                raise DevFault(f"{name} and {other} are both {port}: choose two.")
        folder = Path(environ.get("DEV_DIR") or DEFAULT_FOLDER).absolute()
        port, ops_port, exporter_port, worker_port = ports.values()
        return cls(folder, port, ops_port, exporter_port, worker_port, environ)

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def key_file(self) -> Path:
        return self.folder / "kms" / "local.key"

    @property
    def env_file(self) -> Path:
        return self.folder / "env"

    @property
    def api_pid_file(self) -> Path:
        return self.folder / "api.pid"

    @property
    def api_name(self) -> str:
        """An argument by which our gunicorn is told from others."""
        return f"scaivault in {self.folder}"

    @property
    def own_urls_file(self) -> Path:
        return self.folder / "urls"

    def brings(self, name: str) -> bool:
        """True when the user has a server of their own: not one of ours, from a shell that has sourced `env`."""
        given = self.environ.get(name)
        return bool(given and given not in self._own_urls()) or bool(self.environ.get(f"{name}_FILE"))

    def _own_urls(self) -> list[str]:
        return self.own_urls_file.read_text().split() if self.own_urls_file.exists() else []

    def api_environ(self, found: Mapping[str, str]) -> dict[str, str]:
        """The API's environment: ours where development needs it, the user's word on everything else."""
        proposed = {
            "BASE_URL": f"http://{LOOPBACK}:{self.port}",
            "BIND_ADDRESS": f"{LOOPBACK}:{self.port}",
            "OPS_BIND_ADDRESS": f"{LOOPBACK}:{self.ops_port}",
            "EXPORTER_BIND_ADDRESS": f"{LOOPBACK}:{self.exporter_port}",
            "EXPORTER_INTERVAL_SECONDS": "5",
            "WORKER_OPS_BIND_ADDRESS": f"{LOOPBACK}:{self.worker_port}",
            "METRICS_DIR": str(self.folder / "metrics"),
            "DRAIN_SECONDS": "0",
        }
        fixed = {
            "SCAIVAULT_ENV": "development",
            "KMS_PROVIDER": "local",
            "KMS_LOCAL_KEY_FILE": str(self.key_file),
        }
        given = {name: value for name, value in self.environ.items() if value}
        return {**proposed, **given, **fixed, **found}

    def require_free_ports(self) -> None:
        """DevFault, naming the variable, when somebody listens there already."""
        ports = (self.port, self.ops_port, self.exporter_port, self.worker_port)
        for name, port in zip(DEFAULT_PORTS, ports, strict=True):
            if not processes.port_is_free(LOOPBACK, port):
                what = f"Port {port} is taken (or may not be opened)"
                raise DevFault(
                    f"{what}: stop what listens there, or choose another with `make run {name}={port + 1000}`."
                )


def make_folders(plan: Plan) -> None:
    """DEV_DIR and what is in it, 0700."""
    try:
        for folder in (plan.folder, plan.logs, plan.key_file.parent):
            processes.private_folder(folder)
    except OSError as failure:
        raise DevFault(f"DEV_DIR {plan.folder} cannot be used ({failure.strerror}): set DEV_DIR to another.") from None
    if plan.folder.stat().st_uid != os.geteuid():
        raise DevFault(f"DEV_DIR {plan.folder} belongs to another user: set DEV_DIR to a folder of your own.")


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= HIGHEST_PORT):
        raise DevFault(f"{name} must be a port number from 1 to {HIGHEST_PORT}.")
    return int(text)
