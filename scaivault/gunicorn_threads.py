"""Threads that serve requests: at most so many at work at once, and those that wait do not count.

A pool of fixed size is full when as many requests wait as it has threads. Here a request that waits lends its place:
another thread, one more if need be, serves in it, and whoever comes back takes a place before any new request does.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class _Task:
    future: "Future[Any]"
    call: Callable[[], object]

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.call()
        except BaseException as failure:  # noqa: BLE001 - the future tells whoever asked for the work
            self.future.set_exception(failure)
        else:
            self.future.set_result(result)


class LendingThreads:
    """In the form of an executor, as far as gunicorn asks for one. How many wait is for those who let them to bound."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._turn = threading.Condition()
        self._tasks: deque[_Task] = deque()
        self._busy = 0  # places that are taken
        self._lent = 0  # threads whose request waits
        self._returning = 0  # of those, how many want a place again
        self._threads = 0
        self._is_over = False

    def submit(self, call: Callable[..., object], *arguments: object) -> "Future[Any]":
        """Have it called by a thread when there is a place."""
        task = _Task(Future(), lambda: call(*arguments))
        with self._turn:
            if self._is_over:
                raise RuntimeError("these threads serve nobody any more")
            self._tasks.append(task)
            self._staff()
            self._turn.notify()
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Begin nothing that is not submitted yet, and with `cancel_futures` nothing at all."""
        with self._turn:
            self._is_over = True
            while cancel_futures and self._tasks:
                self._tasks.popleft().future.cancel()
            self._turn.notify_all()
            while wait and self._threads:
                self._turn.wait()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """For a thread of ours whose request waits: somebody else may have its place until it is back."""
        with self._turn:
            self._lent += 1
            self._busy -= 1
            self._staff()
            self._turn.notify_all()
        try:
            yield
        finally:
            with self._turn:
                self._returning += 1
                self._turn.wait_for(lambda: self._busy < self._places)
                self._returning -= 1
                self._busy += 1
                self._lent -= 1
                self._turn.notify_all()  # those who stood back for this one

    def _staff(self) -> None:
        """A thread more, where there is a task and as yet fewer threads than places."""
        if self._tasks and self._threads - self._lent < self._places:
            self._threads += 1
            threading.Thread(target=self._serve, name="request", daemon=True).start()

    def _serve(self) -> None:
        while (task := self._next()) is not None:
            task.run()
            del task  # or the last request of a quiet hour, and all that hangs on it, would stay until the next one
            with self._turn:
                self._busy -= 1
                if self._returning or self._is_over:
                    self._turn.notify_all()

    def _next(self) -> _Task | None:
        """A task, and a place for it; None if this thread is one too many, or all is over."""
        with self._turn:
            while True:
                if self._tasks and self._busy < self._places and not self._returning:
                    self._busy += 1
                    return self._tasks.popleft()
                if (self._is_over and not self._tasks) or self._threads - self._lent > self._places:
                    self._threads -= 1
                    self._turn.notify_all()
                    return None
                self._turn.wait()
