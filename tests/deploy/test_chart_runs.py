"""What the chart starts is started: its commands, as its user, on its read-only tree, with its files and variables."""

import contextlib
import os
import re
import shlex
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from scaivault.settings import process_environ
from tests.deploy.charts import Rendered, example, merged
from tests.deploy.image import CHECKOUT, SOON
from tests.deploy.kubelet import AS_ROOT, Pod, require_mounts
from tests.issuer import ec_key
from tests.kms import aws, hsm
from tests.ports import free_ports


@pytest.fixture(scope="module", autouse=True)
def mounts():
    require_mounts()


def chart_with(name, **changes):
    """An example, on ports that are free and with little patience."""
    api, ops, exporter, worker = free_ports(4)
    here = {
        "api": {"port": api, "opsPort": ops},
        "exporter": {"port": exporter},
        "worker": {"opsPort": worker},
        "config": {"DRAIN_SECONDS": 4, "SHUTDOWN_SECONDS": 20},
    }
    return Rendered(merged(merged(example(name), here), changes))


@pytest.fixture
def stored(image, redis_url, empty_database_url):
    """What an operator puts into Secrets."""
    key_file = image.root / "keys" / "root.key"
    key_file.unlink(missing_ok=True)
    assert image.run("server", "generate-key", "--out", str(key_file))[0] == 0
    return {
        "scaivault": {"DATABASE_URL": empty_database_url.encode(), "REDIS_URL": redis_url.encode()},
        "scaivault-root-key": {"root.key": key_file.read_bytes()},
    }


@pytest.fixture
def pods_of(image, stored, tmp_path):
    """Makes the pods of a chart, which end with the test."""
    with contextlib.ExitStack() as stack:

        def make(chart):
            made = {name: Pod(template, image, tmp_path / name, stored) for name, template in chart.pods().items()}
            for pod in made.values():
                stack.callback(pod.kill)
            return made

        yield make


def migrate(pods):
    (migration,) = pods["migration"].spec["containers"]
    status, said = pods["migration"].run(migration)
    assert status == 0, said
    assert "up to date" in said


def test_from_nothing_to_a_vault_that_is_watched_and_to_its_end(pods_of):
    """The order of an installation: the Job, then all pods, then what the notes say to do, and SIGTERM for all."""
    chart = chart_with("minimal", monitoring={"podMonitors": {"enabled": True}})
    pods = pods_of(chart)
    migrate(pods)
    pods["api"].up()
    pods["worker"].up()

    command = shlex.split(re.search(r"-c api -- \\\n(.*)", chart.notes)[1])
    status, said = pods["api"].run(pods["api"].container("api"), command)
    assert status == 0, said
    assert re.search(r"^skt_\S{43}$", said, re.MULTILINE)
    assert pods["api"].running["api"].get("api", "/v1/health")[0] == 200
    assert_scraped(chart, pods)
    status, said = helm_tested(pods)
    assert (status, said.startswith('200 {"status":"ready"')) == (0, True), said

    for pod in (pods["api"], pods["worker"]):
        assert set(pod.down().values()) == {0}
        for each in pod.running.values():
            assert "Traceback" not in each.log.read_text()


def helm_tested(pods):
    """What `helm test` says, to which the Service is this machine."""
    (container,) = pods["test"].spec["containers"]
    *command, url = container["command"]
    port = pods["api"].running["api"].ports["api"]
    status, said = pods["test"].run(container, [*command, re.sub(r"//[^/]+/", f"//127.0.0.1:{port}/", url)])
    return status, said.strip()


def assert_scraped(chart, pods):
    """Every endpoint of every PodMonitor has what it is there for."""
    told = {}
    for monitor in chart.of("PodMonitor"):
        pod = pods[monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]]
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            (container,) = [each for each in pod.running.values() if endpoint["port"] in each.ports]
            query = "?scope=" + endpoint["params"]["scope"][0] if "params" in endpoint else ""
            status, told[endpoint["relabelings"][0]["replacement"]] = container.get(
                endpoint["port"], endpoint["path"] + query
            )
            assert status == 200
    assert told.keys() == {"scaivault", "scaivault-worker", "scaivault-exporter"}
    assert "scaivault_kms_key_usable" not in told["scaivault"]
    assert "scaivault_requests_total" in told["scaivault"]
    assert "scaivault_worker_" in told["scaivault-worker"]
    assert "scaivault_exporter_leader" in told["scaivault-exporter"]


def test_the_process_itself_may_speak_tls_as_whatever_user(pods_of, stored, tmp_path):
    stored["vault-example-com"], authority = certificate(tmp_path)
    anybody = {"runAsUser": 20_000, "runAsGroup": 20_001, "fsGroup": 20_002}
    pods = pods_of(chart_with("tls", listenHost="0.0.0.0", podSecurityContext=anybody))
    migrate(pods)
    pods["api"].up()
    port = pods["api"].running["api"].ports["api"]
    context = ssl.create_default_context(cafile=authority)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=SOON) as plain,
        context.wrap_socket(plain, server_hostname="vault.example.com") as secured,
    ):
        secured.sendall(b"GET /v1/health HTTP/1.1\r\nHost: vault.example.com\r\nConnection: close\r\n\r\n")
        assert secured.recv(100).startswith(b"HTTP/1.1 200")
    assert helm_tested(pods)[0] == 0
    pods["api"].down()
    assert helm_tested(pods)[0] != 0


def test_the_root_key_may_be_in_aws_kms(pods_of):
    """Ready means that a key was wrapped by it and unwrapped again, and so does the exporter's series."""
    kms, stop = aws.start()
    try:
        pods = pods_of(
            chart_with(
                "minimal",
                config={"SCAIVAULT_ENV": "development"},  # no TLS on the way to this one
                kms={
                    "provider": "aws",
                    "local": {"existingSecret": ""},
                    "aws": {"keyId": kms.add_key(), "endpointUrl": kms.url},
                },
                extraEnv=[{"name": name, "value": value} for name, value in aws.CREDENTIALS.items()],
            )
        )
        migrate(pods)
        assert_opens_its_key(pods["api"])
        assert {"Encrypt", "Decrypt", "DescribeKey"} <= set(kms.operations())
    finally:
        stop()


MAKE_TOKEN = """
import pathlib, sys
from tests.kms import hsm
token = hsm.make_token(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
token.add_root()
print(token.label)
"""


def test_the_root_key_may_be_in_an_hsm(pods_of, stored, tmp_path):
    """Its client's configuration and state come by a volume, and its library is in the image."""
    if not hsm.LIBRARY.exists():
        (pytest.fail if process_environ().get("CI") else pytest.skip)("SoftHSM is missing: apt-get install softhsm2")
    client = tmp_path / "client"
    (client / "tokens").mkdir(parents=True)
    (tmp_path / "here.conf").write_text(f"directories.tokendir = {client / 'tokens'}\nobjectstore.backend = file\n")
    (client / "there.conf").write_text("directories.tokendir = /opt/hsm/tokens\nobjectstore.backend = file\n")
    label = subprocess.run(
        [sys.executable, "-c", MAKE_TOKEN, client / "tokens", tmp_path],
        env={"PATH": os.defpath, "SOFTHSM2_CONF": str(tmp_path / "here.conf")},
        cwd=CHECKOUT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()
    stored |= {"hsm-pin": {"pin": hsm.PIN.encode()}, "hsm-client": client}
    pods = pods_of(
        chart_with(
            "pkcs11",
            kms={"pkcs11": {"library": str(hsm.LIBRARY), "tokenLabel": label, "keyLabel": hsm.ROOT_LABEL}},
            previousKms={"provider": "", "aws": {"keyId": "", "endpointUrl": ""}},
            extraVolumeMounts=[{"name": "hsm", "mountPath": "/opt/hsm"}],
            extraEnv=[{"name": "SOFTHSM2_CONF", "value": "/opt/hsm/there.conf"}],
        )
    )
    migrate(pods)
    assert_opens_its_key(pods["api"])


def assert_opens_its_key(pod):
    pod.up()
    exporter = pod.running["exporter"]
    until = time.monotonic() + SOON
    while "scaivault_kms_key_usable 1.0" not in (told := exporter.get("exporter", "/metrics")[1]):
        assert time.monotonic() < until, told
        time.sleep(0.1)


PROBE = """
id -u; id -g; grep -E '^(CapPrm|CapBnd|NoNewPrivs)' /proc/self/status
for place in / /opt/scaivault /opt/scaivault/bin /etc /usr /var /home /run /run/scaivault /run/scaivault/keys \
             /etc/scaivault/secrets /run/scaivault/metrics /tmp; do
  if (: > "$place/planted") 2>/dev/null; then echo "may write $place"; fi
done
cat /etc/scaivault/secrets/REDIS_URL /etc/scaivault/exporter-secrets/REDIS_URL 2>/dev/null | wc --lines
"""


@pytest.mark.parametrize("component", ["api", "worker", "migration"])
def test_a_process_may_write_to_its_volumes_and_nowhere_else(pods_of, component):
    """Which is also the proof that the other tests do run in such a place."""
    pod = pods_of(chart_with("minimal"))[component]
    container = pod.spec["containers"][0]
    status, said = pod.run(container, ["sh", "-c", PROBE])
    assert status == 0
    lines = said.splitlines()
    if AS_ROOT:
        assert lines[:2] == [str(pod.user["runAsUser"]), str(pod.user["runAsGroup"])]
    assert [line.split()[1] for line in lines[2:5]] == ["0" * 16, "0" * 16, "1"]
    writable = {each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")}
    assert {line.removeprefix("may write ") for line in lines if line.startswith("may")} == writable


USE_KEY = """
import pathlib, sys
from scaivault.crypto.kms.local import LocalKeys
print(LocalKeys(pathlib.Path(sys.argv[1]), development=False).key_id)
"""


def test_the_vault_takes_a_key_file_only_as_the_init_container_leaves_it(pods_of):
    """A mounted Secret is a link to a file that others own."""
    pod = pods_of(chart_with("minimal"))["worker"]
    (keys,) = pod.spec["initContainers"]
    status, said = pod.run(keys, ["python", "-c", USE_KEY, "/etc/scaivault/keys/kms/key"])
    assert status == 1
    assert "UnsafeKeyFile" in said
    assert pod.run(keys) == (0, "")
    status, said = pod.run(pod.spec["containers"][0], ["python", "-c", USE_KEY, "/run/scaivault/keys/kms"])
    assert status == 0, said
    assert said.startswith("local:")


def certificate(folder):
    """A certificate as a Secret has it, and the file of who vouches for it, which is itself."""
    key, name = ec_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vault.example.com")])
    now = datetime.now(UTC)  # noqa: TID251 - TLS looks at the real clock
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("vault.example.com")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public = signed.public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "authority.pem").write_bytes(public)
    return {"tls.crt": public, "tls.key": private}, folder / "authority.pem"
