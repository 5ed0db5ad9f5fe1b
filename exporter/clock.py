"""Time that goes on while a process is frozen or its machine suspended: by it, freshness and leadership end."""

import time


def boottime() -> float:
    """Seconds since the machine was started, those asleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
