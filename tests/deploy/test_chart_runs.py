"""What the chart starts is started: its commands, as its user, on its read-only tree, with its files and variables."""

import re
import shlex

import pytest

from tests.deploy.charts import Rendered, example, merged
from tests.deploy.image import built_image
from tests.deploy.kubelet import Pod, require_mounts
from tests.ports import free_ports

IMAGE = "registry.example.com/scaivault"


@pytest.fixture(scope="module")
def image():
    require_mounts()
    # Not below /tmp, which in a pod is a volume of its own.
    with built_image("/var/tmp") as built:  # noqa: S108 - a new folder in it that has a name of its own
        yield built


@pytest.fixture
def chart():
    api, ops, exporter, worker = free_ports(4)
    changes = {
        "api": {"port": api, "opsPort": ops},
        "exporter": {"port": exporter},
        "worker": {"opsPort": worker},
        "config": {"DRAIN_SECONDS": 4, "SHUTDOWN_SECONDS": 20},
    }
    return Rendered(merged(example("minimal"), changes))


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
def pods(chart, image, stored, tmp_path):
    made = {name: Pod(template, image, tmp_path / name, stored) for name, template in chart.pods().items()}
    yield made
    for pod in made.values():
        pod.kill()


def test_from_nothing_to_a_vault_and_to_its_end(chart, pods):
    """The order of an installation: the Job, then all pods, then what the notes say to do, and SIGTERM for all."""
    (migration,) = pods["migration"].spec["containers"]
    status, said = pods["migration"].run(migration)
    assert status == 0, said
    assert "up to date" in said
    pods["api"].up()
    pods["worker"].up()

    command = shlex.split(re.search(r"-c api -- \\\n(.*)", chart.notes)[1])
    status, said = pods["api"].run(pods["api"].container("api"), command)
    assert status == 0, said
    assert re.search(r"^skt_\S{43}$", said, re.MULTILINE)
    assert pods["api"].running["api"].get("api", "/v1/health")[0] == 200

    for pod in (pods["api"], pods["worker"]):
        assert set(pod.down().values()) == {0}
        for each in pod.running.values():
            assert "Traceback" not in each.log.read_text()
