"""How gunicorn runs the API: `gunicorn -c python:scaivault.gunicorn_conf scaivault.wsgi:app`.

Read in the master, before the fork. Nothing is opened and no metric is written there; each worker opens its own
connections once its application is loaded and closes them when it ends.
"""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Protocol

from scaivault.gunicorn_ending import Ending, Master
from scaivault.observability import logs, slots
from scaivault.observability.catalogue.vocabulary import API
from scaivault.observability.listener import is_taken
from scaivault.observability.logs import GunicornLogger
from scaivault.settings import Settings, SettingsInvalid

try:
    settings = Settings.from_env()
except SettingsInvalid as invalid:
    raise SystemExit(f"The configuration has faults:\n{invalid}") from None


class Worker(Protocol):
    """What we ask of gunicorn's."""

    pid: int
    ending: Ending
    tell: Callable[[bool], None]
    refused: Callable[[int, str], None]

    def lend(self) -> AbstractContextManager[None]: ...


LAST_WORDS_SECONDS = 4  # to write down what was put off and hang up on the servers, whatever state those are in


bind = [str(settings.bind_address)]
# A plain sync worker starves the probes: two slow requests held them for 4.7 s.
worker_class = "scaivault.gunicorn_worker.BoundedThreadWorker"
workers = settings.web_concurrency
threads = settings.web_threads
# When the master loses its patience, which is after its workers have lost theirs.
graceful_timeout = settings.drain_seconds + settings.shutdown_seconds + LAST_WORDS_SECONDS + 1
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
_ending = Ending(settings.drain_seconds, settings.shutdown_seconds)
logs.configure(settings.log_level, settings.log_format)


def on_starting(server: Master) -> None:
    """An earlier run's numbers belong to processes that are gone; today's are for us alone to read."""
    os.umask(0o077)
    _master_stack.callback(slots.Run(metrics_dir, API).end)
    address = settings.ops_bind_address
    if not server.master_pid and is_taken((address.host, address.port)):
        # Not refused: they may be workers of a master that was killed, which are about to end.
        logs.logger("scaivault.server")("warn", "ops_address_is_shared", address=str(address))


def when_ready(server: Master) -> None:
    """The master begins; from here on its workers learn from it what is to become of them."""
    _ending.watch(server)


def pre_exec(server: Master) -> None:
    """A second master is to be started as the first was, by `python -m gunicorn`, over the same metrics.

    gunicorn would run the file behind that, and then its folder comes first among the places that modules are looked
    for in: its `http` would be taken for the standard library's.
    """
    server.cfg.env_orig["METRICS_DIR"] = str(metrics_dir)  # also one that we made ourselves
    script = Path(sys.argv[0])
    if script.name == "__main__.py" and script.parent.name == "gunicorn":
        server.START_CTX["args"] = [sys.executable, "-m", "gunicorn", *sys.argv[1:]]


def pre_fork(_server: object, worker: Worker) -> None:
    """Give a worker what it shares with the master."""
    worker.ending = _ending


def post_worker_init(worker: Worker) -> None:
    """Open this worker's connections and its share of the internal listener."""
    from scaivault import wsgi  # noqa: PLC0415 - loaded by the worker, never by the master

    instruments = wsgi.services.instruments
    instruments.join(metrics_dir)
    logs.configure(settings.log_level, settings.log_format, instruments.log_message)
    _worker_stack.callback(wsgi.services.stop)
    wsgi.services.start()
    worker.tell = wsgi.services.leave
    worker.refused = wsgi.services.refused
    wsgi.services.lend_by(worker.lend)


def worker_exit(_server: object, _worker: Worker) -> None:
    """Close what post_worker_init opened, in bounded time.

    Neither a server that stands still nor a request that was cut short keeps a worker from ending.
    """
    _bound_last_words()
    _worker_stack.close()


def _bound_last_words() -> None:
    end = threading.Timer(LAST_WORDS_SECONDS, os._exit, (0,))
    end.daemon = True
    end.start()


def on_exit(_server: object) -> None:
    """Leave nothing of ours in the temporary folder, unless a successor is at work there."""
    _master_stack.close()
