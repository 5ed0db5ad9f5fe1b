"""The way from the vault to one of its dependencies, which can be made long."""

import asyncio
import contextlib
import multiprocessing
from contextlib import contextmanager
from functools import partial

PIECE_BYTES = 65_536
START_SECONDS = 60
# Not forked: this process has threads.
_processes = multiprocessing.get_context("spawn")


class Strait:
    """A TCP proxy on a port of its own: every answer of the other side passes through it.

    In a process of its own, so that what goes through it waits for none of the drill's threads.
    """

    def __init__(self, port):
        self._delay_seconds = _processes.Value("d", 0.0)
        ours, theirs = _processes.Pipe()
        self._process = _processes.Process(target=_serve, args=(port, self._delay_seconds, theirs), daemon=True)
        self._process.start()
        assert ours.poll(START_SECONDS), "the strait did not open"
        self.port = ours.recv()

    @contextmanager
    def delayed(self, seconds):
        """Every answer arrives so much later."""
        self._delay_seconds.value = seconds
        try:
            yield
        finally:
            self._delay_seconds.value = 0.0

    def close(self):
        self._process.kill()
        self._process.join()


def _serve(port, delay_seconds, whom):
    asyncio.run(_listen(port, delay_seconds, whom))


async def _listen(port, delay_seconds, whom):
    """Until nobody is there any more who started it."""
    server = await asyncio.start_server(partial(_meet, port, delay_seconds), "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    orphaned = loop.create_future()
    loop.add_reader(multiprocessing.parent_process().sentinel, orphaned.set_result, None)
    whom.send(server.sockets[0].getsockname()[1])
    await orphaned


async def _meet(port, delay_seconds, reader, writer):
    try:
        there = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.transport.abort()
        return
    await _join((reader, writer), there, delay_seconds)


async def _join(here, there, delay_seconds):
    """Both directions, until either side hangs up; then so does the other."""
    to_and_fro = [
        asyncio.ensure_future(_pass(here[0], there[1], lambda: 0.0)),
        asyncio.ensure_future(_pass(there[0], here[1], lambda: delay_seconds.value)),
    ]
    await asyncio.wait(to_and_fro, return_when=asyncio.FIRST_COMPLETED)
    for each in to_and_fro:
        each.cancel()
    await asyncio.gather(*to_and_fro, return_exceptions=True)
    for _, writer in (here, there):
        writer.close()


async def _pass(reader, writer, delay_seconds):
    """Pieces in their order, each held back for as long as is asked for when it comes."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            if seconds := delay_seconds():
                await asyncio.sleep(seconds)
            writer.write(piece)
            await writer.drain()
