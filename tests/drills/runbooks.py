"""A runbook's first command, as somebody pastes it who was just woken."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.drills.stack import CHECKOUT
from tests.tools import UNPACKED

FOLDER = CHECKOUT / "docs" / "runbooks"
COMMAND = re.compile(r"^## First command$.*?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 60


def first_command(runbook):
    found = COMMAND.search(runbook.read_text())
    assert found, f"{runbook.name} has no first command"
    return found[1]


def run(command, stack, monitoring):
    """Its end, and what it said."""
    urls = stack.ops_urls
    path = [str(Path(sys.executable).parent), str(UNPACKED), os.defpath]
    environ = {
        "PATH": os.pathsep.join(path),
        "HOME": str(stack.plan.folder),
        "SCAIVAULT_URL": stack.url,
        "SCAIVAULT_TOKEN": stack.tokens.administrator,
        "SCAIVAULT_OPS_URL": urls["scaivault"],
        "SCAIVAULT_WORKER_URL": urls["scaivault-worker"],
        "SCAIVAULT_EXPORTER_URL": urls["scaivault-exporter"],
        "PROMETHEUS_URL": monitoring.prometheus.url,
        "ALERTMANAGER_URL": monitoring.alertmanager_url,
        "DATABASE_URL": stack.environ["DATABASE_URL"],
        "REDIS_URL": stack.environ["REDIS_URL"],
    }
    return subprocess.run(
        ["sh", "-e", "-c", command],
        cwd=CHECKOUT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=SECONDS,
    )
