"""How gunicorn runs the API without limits: as the API itself is run, over services of its own."""

from contextlib import ExitStack

from scaivault.gunicorn_conf import (
    Worker,
    bind,
    control_socket_disable,
    graceful_timeout,
    keepalive,
    logger_class,
    metrics_dir,
    on_exit,
    on_starting,
    pre_fork,
    settings,
    threads,
    timeout,
    when_ready,
    worker_class,
    worker_tmp_dir,
    workers,
)
from scaivault.observability import logs

__all__ = [
    "bind",
    "control_socket_disable",
    "graceful_timeout",
    "keepalive",
    "logger_class",
    "on_exit",
    "on_starting",
    "pre_fork",
    "threads",
    "timeout",
    "when_ready",
    "worker_class",
    "worker_tmp_dir",
    "workers",
]

_stack = ExitStack()


def post_worker_init(worker: Worker) -> None:
    from tests.bench import unlimited  # noqa: PLC0415 - loaded by the worker, never by the master

    unlimited.services.instruments.join(metrics_dir)
    logs.configure(settings.log_level, settings.log_format, unlimited.services.instruments.log_message)
    _stack.callback(unlimited.services.stop)
    unlimited.services.start()
    worker.tell = unlimited.services.leave


def worker_exit(_server: object, _worker: object) -> None:
    _stack.close()
