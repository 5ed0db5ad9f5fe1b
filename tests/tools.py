"""Programs of others that tests run: what `make tools` unpacked from Debian, else what the system has.

- `prometheus`, `promtool`, `alertmanager`, `amtool`: their paths. Where one is missing a test says so, and fails in CI.
"""

import shutil
from pathlib import Path

import pytest

from scaivault.settings import process_environ

TEMPLATES = "/usr/share/prometheus/alertmanager"
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


@pytest.fixture(scope="session")
def amtool() -> str:
    return program("amtool")


@pytest.fixture(scope="session")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The beginning of its command line: it runs in a folder of its own, so that paths behind it must be absolute.

    Debian's build looks for its templates where the package would put them and knows no option for it. In a copy that
    place is the folder it is started in, spelled as long.
    """
    unpacked, folder = Path(program("prometheus-alertmanager")), tmp_path_factory.mktemp("alertmanager")
    for template in (unpacked.parents[1] / TEMPLATES.removeprefix("/usr/")).glob("*.tmpl"):
        shutil.copy(template, folder)
    here = "./" * (len(TEMPLATES) // 2)
    copy = folder / "alertmanager"
    copy.write_bytes(unpacked.read_bytes().replace(TEMPLATES.encode(), here.encode()))
    copy.chmod(0o700)
    return ["env", "-C", str(folder), str(copy)]
