"""What a master tells its workers, and how a door is shut. Real forks, real sockets; nothing sleeps."""

import contextlib
import errno
import os
import select
import signal
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault import gunicorn_ending
from scaivault.gunicorn_drain import admit_nobody_new
from scaivault.gunicorn_ending import Ending, Phase

PATIENCE_SECONDS = 10
SYN_SENT = "02"


class Master:
    """What an arbiter is to an Ending: who else there is, and a handler for its signals."""

    def __init__(self, reexec_pid=0, master_pid=0):
        self.reexec_pid = reexec_pid
        self.master_pid = master_pid
        self.heard = []

    def signal(self, number, _frame):
        self.heard.append(number)


@pytest.fixture
def ending():
    return Ending(5, 30)


@pytest.fixture
def old_handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


class TestPhases:
    def test_at_first_everybody_serves(self, ending):
        assert ending.phase is Phase.SERVING

    @given(told=st.lists(st.booleans(), max_size=6))
    def test_once_it_ends_it_never_serves_again(self, told):
        ending = Ending(5, 30)
        for is_replaced in told:
            ending.told(is_replaced=is_replaced)
        if not told:
            assert ending.phase is Phase.SERVING
        elif told[-1]:
            assert ending.phase is Phase.REPLACED
        else:
            assert ending.phase is (Phase.DRAINING if len(told) == 1 else Phase.HURRIED)

    @pytest.mark.parametrize(
        ("master", "phase"),
        [
            (Master(), Phase.DRAINING),
            (Master(reexec_pid=4711), Phase.REPLACED),  # its successor is there
            (Master(master_pid=os.getppid()), Phase.REPLACED),  # its predecessor is still there
            (Master(master_pid=1 + os.getppid()), Phase.DRAINING),  # was, once
        ],
    )
    def test_a_signal_is_written_down_and_passed_on(self, ending, old_handler, master, phase):
        ending.watch(master)
        signal.raise_signal(signal.SIGTERM)
        assert ending.phase is phase
        assert master.heard == [signal.SIGTERM]

    def test_workers_see_what_the_master_writes(self, ending):
        ready, go = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            os.write(ready[1], bytes([ending.phase]))
            os.read(go[0], 1)
            os.write(ready[1], bytes([ending.phase]))
            os._exit(0)
        assert os.read(ready[0], 1) == bytes([Phase.SERVING])
        ending.told(is_replaced=False)
        os.write(go[1], b"x")
        assert os.read(ready[0], 1) == bytes([Phase.DRAINING])
        os.waitpid(child, 0)
        for end in (*ready, *go):
            os.close(end)

    def test_a_child_that_has_no_handler_of_its_own_yet_speaks_for_nobody(self, ending, old_handler):
        ending.watch(Master())
        child = os.fork()
        if child == 0:
            signal.raise_signal(signal.SIGTERM)
            os._exit(0)
        os.waitpid(child, 0)
        assert ending.phase is Phase.SERVING


class TestOthers:
    def test_nobody_serves_at_first(self, ending):
        assert not ending.others_serve()

    @pytest.mark.parametrize("age", [1, 2, 510, 511, 512, 100_000])
    def test_one_that_serves_is_seen_until_it_leaves(self, ending, age):
        ending.beat(age)
        assert ending.others_serve()
        ending.leave(age)
        assert not ending.others_serve()
        assert ending.phase is Phase.SERVING

    @pytest.mark.parametrize("ages", [(1, 2, 3), (510, 511, 512), (100_000, 100_001)])
    def test_of_those_that_are_about_to_end_one_stays(self, ending, ages):
        for age in ages:
            ending.leave(age)
        assert [ending.others_stay(age) for age in ages].count(False) == 1
        assert not ending.others_serve()

    def test_who_serves_is_nobody_to_stay_in_place_of_another(self, ending):
        ending.leave(1)
        ending.beat(2)
        assert (ending.others_serve(), ending.others_stay(1)) == (True, False)

    def test_one_that_has_been_silent_is_gone(self, ending, monkeypatch):
        ending.beat(1)
        monkeypatch.setattr(gunicorn_ending, "ALIVE_SECONDS", -1.0)
        assert not ending.others_serve()


class TestDoor:
    @pytest.fixture
    def listener(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield listener

    @pytest.fixture
    def late(self):
        with socket.socket() as late:
            late.setblocking(False)
            yield late

    def knock(self, late, port):
        with contextlib.suppress(BlockingIOError):
            late.connect(("127.0.0.1", port))
        mine, theirs = f":{late.getsockname()[1]:04X}", f":{port:04X}"
        states = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        assert [line[3] for line in states if line[1].endswith(mine) and line[2].endswith(theirs)] == [SYN_SENT], (
            "nobody has answered"
        )

    def test_who_is_in_stays_in_and_who_comes_late_is_told_that_nobody_is_there(self, listener, late):
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as early:
            admit_nobody_new(listener)
            self.knock(late, port)
            served, _ = listener.accept()
            with served:
                early.sendall(b"?")
                assert served.recv(1) == b"?"
                served.sendall(b"!")
                assert early.recv(1) == b"!"
        listener.close()
        assert select.select([], [late], [], PATIENCE_SECONDS)[1]
        assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED

    def test_or_finds_who_has_taken_the_place_meanwhile(self, listener, late):
        port = listener.getsockname()[1]
        admit_nobody_new(listener)
        self.knock(late, port)
        listener.close()
        with socket.create_server(("127.0.0.1", port)):
            assert select.select([], [late], [], PATIENCE_SECONDS)[1]
            assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
