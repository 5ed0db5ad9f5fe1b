"""Processes of the vault that are not there, or do not tell of themselves."""

import resource
from contextlib import contextmanager

from tests.faults.test_dependencies import family_of

# A slot of metrics fits, and nothing larger. For a file, a limit of the process is what a full disk is.
LITTLE_BYTES = 16_384


def api_killed(stack):
    return stack.killed("api")


def worker_killed(stack):
    return stack.killed("worker")


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
