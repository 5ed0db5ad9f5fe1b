"""Pods of a manifest, run on this machine as far as a machine can that has no containers but mount namespaces.

What a kubelet would do: volumes with the modes and links that it gives them, a root file system out of the image that
nobody can write to, the user, groups and capabilities that the manifest asks for, its command, its environment and no
other, its probes, its grace. The network is the machine's. Where we are not root, the user stays who he is.
"""

import contextlib
import http.client
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.deploy.image import SOON

# What the machine has in place of the base image. Not /etc: there the manifest mounts things, and nothing is missed.
BASE = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
AS_ROOT = os.geteuid() == 0
NAMESPACE = ["unshare", "--mount"] if AS_ROOT else ["unshare", "--map-root-user", "--mount"]


def require_mounts():
    """Say so where the machine forbids what all of this is made of."""
    tried = subprocess.run([*NAMESPACE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.fail(f"pods are run in mount namespaces, which are forbidden here: {tried.stderr.strip()}")


class Pod:
    """The containers of a pod template, and the folders that are its volumes."""

    def __init__(self, template, image, folder, stored):
        """`stored`: what Secrets and ConfigMaps hold, by their names and keys, and the folders that can be claimed."""
        self.spec = template["spec"]
        self.image, self.folder = image, folder
        self.user = self.spec["securityContext"]
        self.volumes = {each["name"]: self._volume(each, stored) for each in self.spec["volumes"]}
        self.running = {}

    def container(self, name):
        return next(each for each in self.spec["containers"] if each["name"] == name)

    def start(self, container, log, command=None):
        """A container, or another command in its place as `kubectl exec` has it. What it writes is added to `log`."""
        root = self.folder / f"root-{container['name']}"
        root.mkdir(exist_ok=True)
        command = command or [*container["command"], *container.get("args", [])]
        script = "\n".join(
            [*self._mounts(container, root), shlex.join(["exec", *self._within(container, root, command)])]
        )
        with log.open("a") as sink:
            return subprocess.Popen(
                [*NAMESPACE, "/bin/sh", "-euc", script],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                start_new_session=True,
            )

    def run(self, container, command=None):
        """One that ends by itself: its exit status, and what it wrote."""
        log = self.folder / f"{container['name']}-{time.monotonic_ns()}.log"
        process = self.start(container, log, command)
        try:
            return process.wait(timeout=SOON), log.read_text()
        finally:
            end(process)

    def up(self):
        """Init containers one after the other, then all containers, until their probes are content."""
        for each in self.spec.get("initContainers", []):
            status, said = self.run(each)
            assert status == 0, said
        for each in self.spec["containers"]:
            log = self.folder / f"{each['name']}.log"
            self.running[each["name"]] = Running(each, self.start(each, log), log)
        for each in self.running.values():
            each.await_probes()

    def down(self):
        """End it as a pod is ended: the exit status of each container, or a failure where one would be killed."""
        assert not any("lifecycle" in each for each in self.spec["containers"]), "a hook to be run before SIGTERM"
        grace = self.spec["terminationGracePeriodSeconds"]
        until = time.monotonic() + grace
        for each in self.running.values():
            each.process.send_signal(signal.SIGTERM)
        try:
            return {name: each.process.wait(until - time.monotonic()) for name, each in self.running.items()}
        except subprocess.TimeoutExpired:
            return pytest.fail(f"a container did not end within the {grace} seconds of its grace")

    def kill(self):
        for each in self.running.values():
            end(each.process)

    def _volume(self, volume, stored):
        folder = self.folder / "volumes" / volume["name"]
        folder.mkdir(parents=True)
        if "persistentVolumeClaim" in volume:
            claimed = stored[volume["persistentVolumeClaim"]["claimName"]]
            subprocess.run(["cp", "--recursive", f"{claimed}/.", folder], check=True)
            subprocess.run(["chmod", "--recursive", "g+rwX", folder], check=True)
        elif "emptyDir" not in volume:
            mode, files = files_of(volume, stored)
            write_as_kubelet(folder, files, mode | 0o440)
        if AS_ROOT:
            for each in (folder, *folder.rglob("*")):
                os.chown(each, 0, self.user["fsGroup"], follow_symlinks=False)
        folder.chmod(0o2777)
        return folder

    def _mounts(self, container, root):
        """Shell that lays a root file system out at `root`."""
        prefix = self.image.prefix
        interpreter = (prefix / "bin" / "python3").resolve().parents[1]
        base = [place for place in (*map(Path, BASE), interpreter) if place.exists()]
        lines = [f"mount -t tmpfs -o mode=755 root {shlex.quote(str(root))}"]
        for place in (*base, prefix, Path("/dev"), Path("/proc")):
            lines += bind(place, root / place.relative_to("/"), read_only=place.name not in {"dev", "proc"})
        # Its scripts know it by the place where it was built.
        lines += bind(prefix, root / "opt/scaivault", read_only=True)
        lines.append(f"mount -t tmpfs -o mode=1777 shm {shlex.quote(str(root / 'dev' / 'shm'))}")
        for mount in container["volumeMounts"]:
            place = root / mount["mountPath"].lstrip("/")
            lines += bind(self.volumes[mount["name"]], place, read_only=mount.get("readOnly", False))
        if container["securityContext"]["readOnlyRootFilesystem"]:
            lines.append(f"mount -o remount,bind,ro {shlex.quote(str(root))}")
        return lines

    def _within(self, container, root, command):
        """`command` in that file system, as whom and with what the manifest says."""
        security = container["securityContext"]
        rights = ["--no-new-privs"] if security["allowPrivilegeEscalation"] is False else []
        if security["capabilities"]["drop"] == ["ALL"]:
            rights += ["--inh-caps=-all", "--bounding-set=-all"]
        if AS_ROOT:
            user = self.user
            rights += [f"--reuid={user['runAsUser']}", f"--regid={user['runAsGroup']}", f"--groups={user['fsGroup']}"]
        environ = self.image.environ | {each["name"]: each["value"] for each in container.get("env", [])}
        environ["PATH"] = environ["PATH"].replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
        variables = [f"{name}={value}" for name, value in environ.items()]
        # The shell does the exec: setpriv's own still sees as root.
        become = ["setpriv", *rights, "--pdeathsig", "KILL", "--", "/bin/sh", "-c", 'cd /; exec "$0" "$@"']
        return ["chroot", str(root), *become, "env", "--ignore-environment", *variables, *command]


class Running:
    """A container that was started."""

    def __init__(self, container, process, log):
        self.container, self.process, self.log = container, process, log
        self.ports = {each["name"]: each["containerPort"] for each in container["ports"]}

    def await_probes(self):
        """Started as soon as the manifest wants it, and then ready and alive."""
        startup = self.container["startupProbe"]
        self._await(startup, startup["periodSeconds"] * startup["failureThreshold"])
        for name in ("readinessProbe", "livenessProbe"):
            if name in self.container:
                self._await(self.container[name], SOON)

    def get(self, port, path):
        """What a page of a named port says: its status and its body. OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=5)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            connection.close()

    def _await(self, probe, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if self.get(probe["httpGet"]["port"], probe["httpGet"]["path"])[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        pytest.fail(f"{self.container['name']}: a probe was never content.\n{self.log.read_text()}")


def end(process):
    """With all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def bind(origin, target, *, read_only):
    """Shell that shows `origin` at `target`."""
    quoted = shlex.quote(str(target))
    lines = [f"mkdir -p {quoted}", f"mount --rbind {shlex.quote(str(origin))} {quoted}"]
    return [*lines, f"mount -o remount,bind,ro {quoted}"] if read_only else lines


def files_of(volume, stored):
    """The mode and the files of a volume out of Secrets and ConfigMaps, which all must be there."""
    if "projected" in volume:
        sources = [each["secret"] for each in volume["projected"]["sources"]]
        found = [(stored[each["name"]], each) for each in sources]
        mode = volume["projected"]["defaultMode"]
    else:
        source = volume.get("secret") or volume["configMap"]
        found = [(stored[source.get("secretName") or source["name"]], source)]
        mode = source.get("defaultMode", 0o644)
    files = {}
    for content, source in found:
        for item in source.get("items") or [{"key": key, "path": key} for key in content]:
            files[item["path"]] = content[item["key"]]
    return mode, files


def write_as_kubelet(folder, files, mode):
    """Links to a folder that is exchanged as a whole, by a link too."""
    generation = folder / "..2026_11_24"
    generation.mkdir()
    (folder / "..data").symlink_to(generation.name)
    for name, content in files.items():
        (generation / name).write_bytes(content)
        (generation / name).chmod(mode)
        (folder / name).symlink_to(Path("..data") / name)
