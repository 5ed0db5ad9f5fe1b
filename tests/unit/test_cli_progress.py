"""What a rotation shows while it runs, to a terminal and to a log."""

import contextlib
import io

import pytest

from scaivault import cli


class Stderr(io.StringIO):
    is_terminal = False

    def isatty(self):
        return self.is_terminal


@pytest.fixture
def clock(monkeypatch):
    seconds = [100.0]
    monkeypatch.setattr(cli.time, "monotonic", lambda: seconds[0])
    return seconds


def work(clock):
    """Ten seconds of it, which are half of it."""
    progress = cli._Progress("data keys")
    for second in range(1, 11):
        clock[0] = 100.0 + second
        progress(second * 1_000, 20_000)
    return progress


def test_a_terminal_sees_one_line_that_changes_and_ends_with_the_work(clock):
    stderr = Stderr()
    stderr.is_terminal = True
    with contextlib.redirect_stderr(stderr):
        progress = work(clock)
        shown = stderr.getvalue().split("\r\x1b[K")
        progress(20_001, 20_000)
    assert len(shown) == 11
    assert shown[-1] == "data keys: 10,000 of 20,000, 1,000/s, 10 s left"
    assert stderr.getvalue().endswith("\r\x1b[Kdata keys: 20,001 of 20,001, 2,000/s\n")


def test_a_log_gets_a_line_now_and_then(clock):
    stderr = Stderr()
    with contextlib.redirect_stderr(stderr):
        work(clock)
    assert stderr.getvalue() == "data keys: 10,000 of 20,000, 1,000/s, 10 s left\n"
