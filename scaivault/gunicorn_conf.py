"""How gunicorn runs the API: `gunicorn -c python:scaivault.gunicorn_conf scaivault.wsgi:app`.

Read in the master, before the fork. Nothing is opened and no metric is written there; each worker opens its own
connections once its application is loaded and closes them when it ends.
"""

import os
from contextlib import ExitStack
from typing import Protocol

from scaivault.observability import logs, slots
from scaivault.observability.catalogue.vocabulary import API, SERVING
from scaivault.observability.logs import GunicornLogger
from scaivault.settings import Settings, SettingsInvalid

try:
    settings = Settings.from_env()
except SettingsInvalid as invalid:
    raise SystemExit(f"The configuration has faults:\n{invalid}") from None


class Configuration(Protocol):
    """gunicorn's; `env_orig` is the environment that a successor is started in."""

    env_orig: dict[str, str]


class Arbiter(Protocol):
    """gunicorn's master."""

    cfg: Configuration
    START_CTX: dict[str, list[str]]


bind = [str(settings.bind_address)]
# A plain sync worker starves the probes: two slow requests held them for 4.7 s.
worker_class = "scaivault.gunicorn_worker.BoundedThreadWorker"
workers = settings.web_concurrency
threads = settings.web_threads
graceful_timeout = settings.shutdown_seconds
timeout = 60  # of a worker's main loop, which serves no request itself
keepalive = 75  # longer than a load balancer's, so that it never reuses a connection that we are closing
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - the heartbeat, off the disk
control_socket_disable = True  # its thread in the master lives beside every fork
logger_class = GunicornLogger

certfile = str(settings.tls_cert_file) if settings.tls_cert_file else None
keyfile = str(settings.tls_key_file) if settings.tls_key_file else None

# No forwarding header is believed here: the edge decides with TRUSTED_PROXIES.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
proxy_protocol = "off"
header_map = "drop"

limit_request_line = 8_190
limit_request_fields = 64
limit_request_field_size = 8_190

metrics_dir = settings.metrics_dir or slots.temporary_folder()
_master_stack = ExitStack()
_worker_stack = ExitStack()
logs.configure(settings.log_level, settings.log_format)


def on_starting(_server: object) -> None:
    """An earlier run's numbers belong to processes that are gone; today's are for us alone to read."""
    os.umask(0o077)
    _master_stack.callback(slots.Run(metrics_dir, API).end)


def pre_exec(server: Arbiter) -> None:
    """After USR2: the new master shares the folder, also the one that we made ourselves."""
    server.cfg.env_orig["METRICS_DIR"] = str(metrics_dir)
    # `python -m gunicorn` would be started again as a script, from whose folder gunicorn's own `http` hides Python's.
    if server.START_CTX["args"][1].endswith("__main__.py"):
        server.START_CTX["args"][1:2] = ["-m", "gunicorn"]


def post_worker_init(_worker: object) -> None:
    """Open this worker's connections and its share of the internal listener."""
    from scaivault import wsgi  # noqa: PLC0415 - loaded by the worker, never by the master

    instruments = wsgi.services.instruments
    instruments.join(metrics_dir)
    logs.configure(settings.log_level, settings.log_format, instruments.log_message)
    _worker_stack.callback(wsgi.services.stop)
    wsgi.services.start()
    instruments.set_state(SERVING)


def worker_exit(_server: object, _worker: object) -> None:
    """Close what post_worker_init opened."""
    _worker_stack.close()


def on_exit(_server: object) -> None:
    """Leave nothing of ours in the temporary folder, unless a successor is at work there."""
    _master_stack.close()
