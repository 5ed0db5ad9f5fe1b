"""Processes of the vault that are not there, or do not tell of themselves."""

import resource
import signal
from contextlib import contextmanager

from scaivault.dev import worker
from tests.faults.test_dependencies import await_true, family_of, send
from tests.ports import free_port

# A slot of metrics fits, and nothing larger. For a file, a limit of the process is what a full disk is.
LITTLE_BYTES = 16_384
BOTH = 2
LIVE = "SELECT id FROM workers WHERE seen_at > now() - interval '15 seconds'"


def api_killed(stack):
    return stack.killed("api")


def worker_killed(stack):
    return stack.killed("worker")


@contextmanager
def one_of_two_workers_killed(stack):
    """One that Prometheus never knew, beside one that goes on. It is not replaced, but forgotten: as after a day."""
    environ = stack.environ | {"WORKER_OPS_BIND_ADDRESS": f"127.0.0.1:{free_port()}"}
    second = worker.start(stack.plan, environ, stack.settings)
    with stack.connection() as connection:
        await_true(lambda: len(connection.execute(LIVE).fetchall()) == BOTH, 60)
        send(family_of(second.process.pid), signal.SIGKILL)
        second.process.wait()
        try:
            yield
        finally:
            connection.execute("DELETE FROM workers WHERE seen_at < now() - interval '20 seconds'")


def exporter_killed(stack):
    return stack.killed("exporter")


@contextmanager
def api_without_room(stack):
    """The API is started again where there is no room for its metrics; then there is some."""
    stack.end("api")
    log = stack.plan.logs / "api.log"
    log.rename(log.with_suffix(".before"))
    before = resource.prlimit(0, resource.RLIMIT_FSIZE, (LITTLE_BYTES, resource.RLIM_INFINITY))
    try:
        stack.start("api")
    finally:
        resource.prlimit(0, resource.RLIMIT_FSIZE, before)
    try:
        yield
    finally:
        for pid in family_of(stack.running["api"].process.pid):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
