"""The worker process: started by `scaivault server worker`, ended by SIGTERM."""

import os
import secrets
import signal
import socket
import sys
import threading
from types import FrameType

from scaivault.bootstrap.worker import build_worker
from scaivault.observability import logs
from scaivault.settings import Settings

# What may take longer than SHUTDOWN_SECONDS is cut off: what was not written down another worker does again.
MARGIN_SECONDS = 2.0


def run(settings: Settings) -> int:
    """Work until SIGTERM or SIGINT. The exit status: 0, or 1 if something was cut off at the end."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    services = build_worker(settings, f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")
    logs.configure(settings.log_level, settings.log_format, services.instruments.log_message)
    try:
        services.start()
    except OSError as failure:
        taken = settings.worker_ops_bind_address
        sys.stderr.write(f"WORKER_OPS_BIND_ADDRESS {taken} can not be had: {failure.strerror}.\n")
        return 1
    services.log("info", "worker_started")
    stopping.wait()
    services.log("info", "worker_stopping")
    overdue = threading.Timer(settings.shutdown_seconds + MARGIN_SECONDS, _end)
    overdue.daemon = True
    overdue.start()
    has_ended = services.stop(settings.shutdown_seconds)
    overdue.cancel()
    services.log("info", "worker_stopped")
    return 0 if has_ended else 1


def _end() -> None:
    sys.stderr.flush()
    os._exit(1)
