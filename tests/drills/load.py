"""Clients: what a healthy vault does all day, in small, and those that do too much of something."""

import itertools
import threading
from contextlib import contextmanager

import requests

PATHS = 20
CLIENTS = 2
PAUSE_SECONDS = 0.04
ANSWER_SECONDS = 20


@contextmanager
def everyday(stack):
    """Writes, of which webhooks are told, and reads. What they are answered is the vault's affair."""
    with clients(stack, CLIENTS, PAUSE_SECONDS, list(_everyday(stack))):
        yield


@contextmanager
def hammering(stack, threads, pause_seconds, method, path, token):
    """The same request, over and over."""
    with clients(stack, threads, pause_seconds, [(method, path, None, token)]):
        yield


@contextmanager
def clients(stack, threads, pause_seconds, requests_of_a_round):
    """So many at once, each on a connection of its own, until the block ends."""
    stopping = threading.Event()

    def work():
        with requests.Session() as session:
            for method, path, body, token in itertools.cycle(requests_of_a_round):
                if stopping.wait(pause_seconds):
                    return
                try:
                    stack.call(method, path, body, token=token, session=session, seconds=ANSWER_SECONDS)
                except requests.RequestException:
                    session.close()  # what it was on; the next request makes another

    crowd = [threading.Thread(target=work, name="client", daemon=True) for _ in range(threads)]
    for thread in crowd:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in crowd:
            thread.join()


def _everyday(stack):
    """In a round everything once that panels show, refusals too: somebody always mistypes a path."""
    administrator, reader = stack.tokens.administrator, stack.tokens.reader
    for number in range(PATHS):
        path = f"secrets/app/{number}"
        yield "PUT", path, {"data": {"key": "value"}}, administrator
        yield from [("GET", path, None, reader)] * 4
        yield "GET", "secrets?prefix=app/&limit=10", None, reader
    yield "GET", "audit/logs?limit=5", None, administrator
    yield "GET", "secrets/nowhere", None, administrator
    yield "GET", "secrets/billing/db", None, reader
