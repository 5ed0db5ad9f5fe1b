"""What a healthy vault does all day, in small: writes, reads, look-ups, webhooks that are told of it."""

import itertools
import threading

import requests

PATHS = 20
PAUSE_SECONDS = 0.05


class Load:
    """Two clients, from `start` to `stop`. What they are answered is the vault's affair: faults are injected into it."""

    def __init__(self, stack):
        self._stack = stack
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, name="load", daemon=True) for _ in range(2)]

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _work(self):
        with requests.Session() as session:
            for number, (method, path, body) in enumerate(itertools.cycle(_requests())):
                if self._stopping.wait(PAUSE_SECONDS):
                    return
                try:
                    self._stack.call(method, path.format(number % PATHS), body, session=session, seconds=20)
                except requests.RequestException:
                    session.close()  # its connections; the next request makes another


def _requests():
    yield "PUT", "secrets/app/{}", {"data": {"key": "value"}}
    for _ in range(4):
        yield "GET", "secrets/app/{}", None
    yield "GET", "secrets?prefix=app/", None
    yield "GET", "auth/whoami", None
