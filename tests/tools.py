"""Programs of others that tests run: what `make tools` unpacked from Debian, else what the system has.

- `prometheus`, `promtool`: their paths. Where one is missing a test says so, and fails in CI.
"""

import shutil
from pathlib import Path

import pytest

from scaivault.settings import process_environ

UNPACKED = Path(__file__).parents[1] / ".venv/debian/usr/bin"


def program(name: str) -> str:
    """The path of a program that comes from Debian, for a fixture."""
    found = shutil.which(name, path=UNPACKED) or shutil.which(name)
    if found is None:
        missing = f"{name} is missing: `make tools` unpacks it on Debian"
        (pytest.fail if process_environ().get("CI") else pytest.skip)(missing)
    return str(found)


@pytest.fixture(scope="session")
def promtool() -> str:
    return program("promtool")


@pytest.fixture(scope="session")
def prometheus() -> str:
    return program("prometheus")
