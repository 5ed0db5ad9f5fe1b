"""Starting servers that can neither outlive us nor run as root, and files that only we can read."""

import os
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

NOBODY = 65534


class DevFault(Exception):
    """The development servers cannot run; the message says what to do."""


def leashed(command: Sequence[str], *, on_our_death: str) -> list[str]:
    """`command` so that the kernel sends it the signal `on_our_death` when this process ends, however it ends."""
    return [_setpriv(), "--pdeathsig", on_our_death, "--", *command]


def unprivileged(command: Sequence[str], *, on_our_death: str) -> list[str]:
    """Leashed, and as `nobody` when we are root (PostgreSQL refuses root).

    The checkout may stand under /root, where nobody may not even look: the one capability `dac_override` is kept for
    that. `no_setuid_fixup` keeps it effective for access(2) too, and `/bin/sh` does the exec since setpriv looks the
    program up before its ambient set is in force.
    """
    if os.geteuid() != 0:
        return leashed(command, on_our_death=on_our_death)
    identity = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    capability = ["--securebits", "+no_setuid_fixup", "--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
    through_shell = ["/bin/sh", "-c", 'exec "$0" "$@"']
    return [_setpriv(), *identity, *capability, "--pdeathsig", on_our_death, "--", *through_shell, *command]


def _setpriv() -> str:
    found = shutil.which("setpriv", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if found is None:
        raise DevFault("`setpriv` is missing: install the package util-linux (`make run` works on Linux only).")
    return found


def spawn(command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start `command`, its output added to `log`, out of reach of the terminal's Ctrl-C: we stop it in order."""
    with private_append(log) as sink:
        return subprocess.Popen(  # noqa: S603 - our own argument lists, no shell input
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=environ,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], number: int, within_seconds: float) -> bool:
    """Ask with signal `number`, wait, then insist on it and all it started. True when asking was enough."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(within_seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False
    return True


def outlive_predecessor(pid_file: Path, argument: str, within_seconds: float) -> None:
    """Wait for the server that a killed supervisor left ending; remove its pid file.

    It is recognised by an argument of its command line: the bare number may, after a reboot, be anybody's.
    """
    if not pid_file.exists():
        return
    first = pid_file.read_text().split("\n", 1)[0]
    pid = int(first) if first.isdigit() else 0
    cmdline = Path(f"/proc/{pid}/cmdline")
    alive = cmdline.exists() and os.fsencode(argument) in cmdline.read_bytes().split(b"\0")
    if alive and not await_end(pid, within_seconds):
        raise DevFault(f"Process {pid} of an earlier run still works in {pid_file.parent}: end it with `kill {pid}`.")
    pid_file.unlink(missing_ok=True)


def await_end(pid: int, within_seconds: float) -> bool:
    """True once the process `pid`, not necessarily our child, has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        readable, _, _ = select.select([handle], [], [], within_seconds)
    finally:
        os.close(handle)
    return bool(readable)


def private_folder(folder: Path) -> Path:
    """`folder`, there and 0700."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def private_append(file: Path) -> BinaryIO:
    """Open `file` to write at its end, 0600."""
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def write_private(file: Path, text: str) -> None:
    """Replace `file` by `text` in one step; never readable by others, not even for a moment."""
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as sink:
        sink.write(text)
        sink.flush()
        os.fsync(sink.fileno())
    draft.replace(file)


def port_is_free(address: str, port: int) -> bool:
    """True when a listener could be opened there now."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def kept_port(file: Path) -> int:
    """The loopback port chosen yesterday, or a new one, remembered in `file`, when that is taken."""
    if file.exists():
        kept = file.read_text().strip()
        if kept.isdigit() and port_is_free("127.0.0.1", int(kept)):
            return int(kept)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    write_private(file, f"{port}\n")
    return port


def last_lines(log: Path, count: int = 5) -> str:
    """The end of a log, for a message about a server that died."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
