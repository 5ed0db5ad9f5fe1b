"""Waiting for what tells nobody that it has come about."""

import time

PATIENCE_SECONDS = 60


def await_true(check, seconds=PATIENCE_SECONDS, every=0.02):
    """What `check` says once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(every)
    return found
