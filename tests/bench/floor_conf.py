"""How gunicorn runs the floor: with the very values of the API, given BIND_ADDRESS of its own."""

from scaivault.gunicorn_conf import (
    bind,
    control_socket_disable,
    graceful_timeout,
    keepalive,
    threads,
    timeout,
    worker_class,
    worker_tmp_dir,
    workers,
)

__all__ = [
    "bind",
    "control_socket_disable",
    "graceful_timeout",
    "keepalive",
    "threads",
    "timeout",
    "worker_class",
    "worker_tmp_dir",
    "workers",
]
