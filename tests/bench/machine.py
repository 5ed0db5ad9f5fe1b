"""What a run was made on."""

import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import psycopg

from tests.bench.load import percentile

SYNCS = 200
BLOCK = bytes(8_192)


def describe(database_url: str, folder: Path) -> Mapping[str, str]:
    """The facts that figures depend on."""
    with psycopg.connect(database_url) as connection:
        version, settings = connection.execute(
            "SELECT current_setting('server_version'), string_agg(name || '=' || setting, ', ' ORDER BY name)"
            "  FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes')"
        ).fetchone()
    return {
        "CPU": f"{_field('/proc/cpuinfo', 'model name')}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB",
        "disk": _disk(folder),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "PostgreSQL": f"{version}, {settings}, otherwise as installed",
        "commit": _commit(),
        "load before": f"{os.getloadavg()[0]:.1f} (1 minute, of everything on the machine)",
    }


def _field(file: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.+)$", Path(file).read_text(), re.MULTILINE)
    return found[1] if found else "unknown"


def _disk(folder: Path) -> str:
    """What a durable commit waits for."""
    file = folder / "sync"
    times = []
    handle = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for _ in range(SYNCS):
            os.pwrite(handle, BLOCK, 0)
            started = time.perf_counter()
            os.fdatasync(handle)
            times.append(time.perf_counter() - started)
    finally:
        os.close(handle)
        file.unlink()
    return (
        f"fdatasync of 8 kB takes {median(times) * 1_000:.2f} ms, p99 {percentile(sorted(times), 0.99) * 1_000:.2f} ms"
    )


def _commit() -> str:
    try:
        return _git("rev-parse", "--short=12", "HEAD") + (" and changes to it" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
