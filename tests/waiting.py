"""Waiting for what tells nobody that it has come about."""

import time

PATIENCE_SECONDS = 60
IN_FORCE_SECONDS = 1.0


def await_true(check, seconds=PATIENCE_SECONDS, every=0.02):
    """What `check` says once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(every)
    return found


def await_in_force(ask, is_so):
    """What is answered once it goes by a change of who may do what: which is whatever is asked a second later.

    By then it must; how long an answer takes is no part of it.
    """
    changed_at = time.monotonic()
    while True:
        asked_at = time.monotonic()
        if is_so(answer := ask()):
            return answer
        assert asked_at - changed_at < IN_FORCE_SECONDS, answer
        time.sleep(0.02)
