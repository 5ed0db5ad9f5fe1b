"""A slot belongs to one live process, is free the moment that ends, and a run wipes only what is nobody's."""

import contextlib
import os
import subprocess
import sys

import pytest

from scaivault.observability.slots import Run, holders, lease, temporary_folder

HOLDER = """
import sys
from pathlib import Path
from scaivault.observability import slots
run = slots.Run(Path(sys.argv[1]), sys.argv[2])
print(slots.lease(Path(sys.argv[1]), sys.argv[2]).name, flush=True)
input()
"""


@contextlib.contextmanager
def holder(folder, kind="api"):
    """A process of its own with a slot, until it is killed."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, folder, kind], stdin=-1, stdout=-1, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def names(folder):
    return [held.slot for held in holders(folder)]


def test_every_process_gets_the_first_slot_that_is_free(tmp_path):
    with holder(tmp_path) as first:
        with holder(tmp_path) as second, holder(tmp_path, "exporter") as other:
            assert (first, second, other) == ("api-0", "api-1", "exporter-0")
            assert names(tmp_path) == ["api-0", "api-1", "exporter-0"]
        assert names(tmp_path) == ["api-0"]
        with holder(tmp_path) as again:
            assert again == "api-1"


def test_many_at_once_get_one_each(tmp_path):
    with contextlib.ExitStack() as stack:
        command = [sys.executable, "-c", HOLDER, tmp_path, "api"]
        started = [stack.enter_context(subprocess.Popen(command, stdin=-1, stdout=-1, text=True)) for _ in range(8)]
        for process in started:
            stack.callback(process.kill)
        assert {process.stdout.readline().strip() for process in started} == {f"api-{number}" for number in range(8)}


def test_a_holder_tells_who_it_is_and_what_it_does(tmp_path):
    slot = lease(tmp_path, "api")
    assert [(held.kind, held.state, held.pid) for held in holders(tmp_path)] == [("api", "starting", os.getpid())]
    for state in ("serving", "draining"):
        slot.set_state(state)
        assert [(held.state, held.pid) for held in holders(tmp_path)] == [(state, os.getpid())]
    slot.release()
    assert names(tmp_path) == []


def test_live_gauges_go_with_the_lease_and_counters_stay(tmp_path):
    for name in ("gauge_livesum_api-0.db", "gauge_livemax_api-0.db", "gauge_livesum_api-1.db", "counter_api-0.db"):
        (tmp_path / name).touch()
    slot = lease(tmp_path, "api")
    assert {file.name for file in tmp_path.glob("*.db")} == {"gauge_livesum_api-1.db", "counter_api-0.db"}
    slot.release()


def test_only_known_kinds_have_slots(tmp_path):
    with pytest.raises(ValueError, match="no kind of process"):
        lease(tmp_path, "../api")


LEFT = ("counter_api-0.db", "gauge_livesum_api-1.db", "histogram_api-7.exemplars", "counter_4711.db")


def leave(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()


def left(folder):
    return {file.name for file in folder.iterdir() if file.suffix in {".db", ".exemplars"}}


def test_a_new_run_wipes_what_an_earlier_one_left(tmp_path):
    leave(tmp_path, *LEFT, "counter_exporter-0.db")
    (tmp_path / "notes").touch()
    Run(tmp_path, "api").end()
    assert left(tmp_path) == {"counter_exporter-0.db"}
    assert (tmp_path / "notes").exists()


def test_who_joins_a_run_wipes_nothing(tmp_path):
    first = Run(tmp_path, "api")
    leave(tmp_path, *LEFT)
    second = Run(tmp_path, "api")
    first.end()
    third = Run(tmp_path, "api")
    assert left(tmp_path) == set(LEFT)
    second.end()
    third.end()


def test_a_run_lasts_while_a_process_of_it_does(tmp_path):
    with holder(tmp_path):
        leave(tmp_path, *LEFT)
        Run(tmp_path, "api").end()
        assert left(tmp_path) == set(LEFT)
    Run(tmp_path, "api").end()
    assert left(tmp_path) == set()


def test_a_slot_that_is_held_is_not_wiped_even_by_another_run(tmp_path):
    slot = lease(tmp_path, "api")
    leave(tmp_path, "counter_api-0.db", "counter_api-1.db")
    Run(tmp_path, "api").end()
    assert left(tmp_path) == {"counter_api-0.db"}
    slot.release()


def test_the_last_of_a_run_takes_a_temporary_folder_along_and_no_other():
    folder = temporary_folder()
    first, second = Run(folder, "api"), Run(folder, "api")
    first.end()
    assert folder.exists()
    second.end()
    assert not folder.exists()


def test_a_given_folder_stays(tmp_path):
    Run(tmp_path / "made", "api").end()
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
