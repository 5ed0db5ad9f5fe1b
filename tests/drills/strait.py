"""The way from the vault to one of its dependencies, which can be made long, or closed."""

import asyncio
import contextlib
import threading
from contextlib import contextmanager

PIECE_BYTES = 65_536


class Strait:
    """A TCP proxy on a port of its own, in a thread of its own: every answer of the other side passes through it."""

    def __init__(self, port):
        self._there = port
        self._delay_seconds = 0.0
        self._tasks = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="strait", daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._meet, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]

    @contextmanager
    def delayed(self, seconds):
        """Every answer arrives so much later."""
        self._delay_seconds = seconds
        try:
            yield
        finally:
            self._delay_seconds = 0.0

    def close(self):
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _end(self):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _meet(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            try:
                there = await asyncio.open_connection("127.0.0.1", self._there)
            except OSError:
                writer.transport.abort()
                return
            await self._join((reader, writer), there)

    async def _join(self, here, there):
        """Both directions, until either side hangs up; then so does the other."""
        to_and_fro = [
            asyncio.ensure_future(_pass(here[0], there[1])),
            asyncio.ensure_future(_pass(there[0], here[1], lambda: self._delay_seconds)),
        ]
        try:
            await asyncio.wait(to_and_fro, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in to_and_fro:
                each.cancel()
            await asyncio.gather(*to_and_fro, return_exceptions=True)
            for _, writer in (here, there):
                writer.transport.abort() if writer.is_closing() else writer.close()


async def _pass(reader, writer, delay_seconds=lambda: 0.0):
    """Pieces in their order, each held back for as long as it is to be when it comes."""
    while piece := await reader.read(PIECE_BYTES):
        if seconds := delay_seconds():
            await asyncio.sleep(seconds)
        writer.write(piece)
        await writer.drain()
