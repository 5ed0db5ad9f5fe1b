"""A metrics folder without room costs counts nothing and nobody his answer."""

import json
import resource

from tests.faults.metrics_vault import WORKERS, ask
from tests.waiting import await_true

# A slot fits, and nothing larger. For a file, a limit of the process is what a full disk is.
LITTLE_BYTES = 16_384
REQUESTS = 40


def limit(pid):
    """What processes may write, from the next write on; the hard limit stays, so that it can be lifted by anybody."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (LITTLE_BYTES, resource.RLIM_INFINITY))


def lift(pid):
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def told(vault):
    lines = [json.loads(line) for line in vault.log.read_text().splitlines()]
    return [line for line in lines if line["event"] == "metrics_kept_in_memory"]


def test_counting_goes_on_without_room_and_is_made_good_when_there_is_some(open_vault):
    vault = open_vault(before=lambda: limit(0))
    workers = vault.workers()
    assert {ask(vault.port, "/nowhere")[0] for _ in range(REQUESTS)} == {404}
    assert vault.requests() == {}
    assert ask(vault.ops_port, "/v1/metrics")[0] == 200
    await_true(lambda: len(told(vault)) == WORKERS)
    assert {line["errno"] for line in told(vault)} == {27}
    assert vault.workers() == workers
    for pid in workers:
        lift(pid)
    await_true(lambda: vault.requests().get(("unmatched", 404)) == REQUESTS)
    assert len(told(vault)) == WORKERS
    assert vault.workers() == workers
