"""The tree that the Dockerfile makes, made by its own steps outside of Docker, and its programs run as its user."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
DOCKERFILE = CHECKOUT / "Dockerfile"
SERVICE = 10001
SOON = 60


class Image:
    """The tree that the Dockerfile's first stage makes, under a folder of ours instead of `/`."""

    def __init__(self, root):
        self.root = root
        self.prefix = root / "opt" / "scaivault"

    def build(self, python):
        """Run every COPY and RUN of the first stage, with `python` in place of the image's."""
        source = self.root / "src"
        source.mkdir()
        first_stage, last_stage = DOCKERFILE.read_text().split("\nFROM ")[1:]
        self.environ = dict(re.findall(r"(\w+)=(\S+)", re.search(r"^ENV (.+)$", last_stage, re.MULTILINE)[1]))
        for verb, rest in re.findall(r"^(COPY|RUN) (.+)$", first_stage, re.MULTILINE):
            if verb == "COPY":
                *names, target = rest.split()
                for name in names:
                    copy(CHECKOUT / name, source / target if target != "./" else source / name)
            else:
                command = rest.replace("/opt/scaivault", str(self.prefix)).replace("python3", python)
                command = command.replace("--no-cache-dir ", "")  # a test may be quick
                subprocess.run(["/bin/sh", "-ec", command], cwd=source, check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(source)
        for each in [self.prefix, *self.prefix.rglob("*")]:
            if not each.is_symlink():
                each.chmod(each.stat().st_mode & ~0o222)

    def start(self, *arguments, program="scaivault", **environ):
        """`scaivault …` as the service's user, with nothing of the checkout in sight."""
        image = self.environ | {"PATH": f"{self.prefix / 'bin'}:{os.defpath}", "HOME": "/nonexistent"}
        return subprocess.Popen(
            as_service([str(self.prefix / "bin" / program), *arguments]),
            cwd="/",
            env=image | {"TMPDIR": str(self.root / "tmp")} | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments, **environ):
        process = self.start(*arguments, **environ)
        out, err = process.communicate(timeout=SOON)
        return process.returncode, out, err


def copy(origin, target):
    if origin.is_dir():
        shutil.copytree(origin, target, ignore=shutil.ignore_patterns("__pycache__"))
    elif origin.exists() or origin.name != "README.md":
        shutil.copy(origin, target)


def as_service(command):
    """`command` as the image's user, if we are root; through a shell, since setpriv's own exec still sees as root."""
    if os.geteuid() != 0:
        return command
    identity = ["setpriv", f"--reuid={SERVICE}", f"--regid={SERVICE}", "--clear-groups", "--"]
    return [*identity, "/bin/sh", "-c", 'exec "$0" "$@"', *command]


def interpreter():
    """A python3 that the service's user may run too: not one below /root."""
    for python in (getattr(sys, "_base_executable", sys.executable), "/usr/bin/python3.11", "/usr/bin/python3"):
        command = [python, "-c", "import ensurepip, venv, sys; sys.exit(sys.version_info < (3, 11))"]
        tried = subprocess.run(as_service(command), check=False, stderr=subprocess.DEVNULL)
        if tried.returncode == 0:
            return python
    return pytest.fail("no python3 with venv outside /root: apt-get install python3-venv")


@contextlib.contextmanager
def built_image(parent):
    """An image below a new folder of `parent`, and two folders that its user may write to."""
    root = Path(tempfile.mkdtemp(prefix="scaivault-image-", dir=parent))
    root.chmod(0o755)
    for name in ("tmp", "keys"):
        (root / name).mkdir()
        if os.geteuid() == 0:
            os.chown(root / name, SERVICE, SERVICE)
    built = Image(root)
    try:
        built.build(interpreter())
        yield built
    finally:
        for each in root.rglob("*"):
            if each.is_dir() and not each.is_symlink():
                each.chmod(0o700)
        shutil.rmtree(root)
