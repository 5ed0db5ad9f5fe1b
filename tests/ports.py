"""Ports for servers of the tests' own."""

import contextlib
import random
import socket

# Below those that the kernel gives to outgoing connections: one of these would be somebody's before the server is up.
LOWEST, HIGHEST = 10_000, 32_000
_any = random.SystemRandom()


def free_ports(count):
    """So many that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        found = []
        while len(found) < count:
            port = _any.randrange(LOWEST, HIGHEST)
            with contextlib.suppress(OSError):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                found.append(port)
        return found


def free_port():
    return free_ports(1)[0]
