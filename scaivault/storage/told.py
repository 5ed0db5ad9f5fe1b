"""A client of Redis that tells of its commands."""

import time
from typing import Any

from redis import ConnectionPool, Redis

from scaivault.kernel.calls import OnCall


class ToldRedis(Redis):
    """Tells of each command when it has ended: its name, and nothing that is in it."""

    def __init__(self, pool: ConnectionPool, on_call: OnCall) -> None:
        super().__init__(connection_pool=pool)
        self.auto_close_connection_pool = True
        self._on_call = on_call

    def execute_command(self, *words: Any, **options: Any) -> Any:  # noqa: ANN401 - the library's signature
        """Send a command, and tell."""
        started, name = time.perf_counter(), str(words[0])
        try:
            answer = super().execute_command(*words, **options)  # type: ignore[no-untyped-call]  # the library's
        except BaseException as failure:
            self._on_call(name, started, failure)
            raise
        self._on_call(name, started)
        return answer
