"""A real Prometheus scrapes a real `make run`, by the README's configuration, and has every series there is."""

import re
from contextlib import closing

import pytest
import requests

from scaivault.observability.catalogue import CATALOGUE
from scaivault.observability.catalogue.series import Kind, Scope
from tests.deploy.test_dev_supervisor import CHECKOUT, READY, Dev, free_ports_of_dev
from tests.prometheus import Prometheus
from tests.receiver import Receiver
from tests.waiting import await_true

README = CHECKOUT / "README.md"
HERE = [series for series in CATALOGUE if series.is_here]
PATIENCE_SECONDS = 60
SECRET = "a-secret-that-only-the-receiver-knows"


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    dev = Dev(tmp_path_factory.mktemp("prometheus") / "dev", **free_ports_of_dev()).await_words(READY)
    try:
        yield dev
    finally:
        dev.process.terminate()
        dev.process.communicate()


@pytest.fixture(scope="module")
def prometheus(dev, tmp_path_factory):
    """The README's configuration, with the addresses of this run and a scrape a second."""
    configuration = re.search(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)[1]
    for name, address in (
        ("SCAIVAULT_OPS_URL", "127.0.0.1:9464"),
        ("SCAIVAULT_EXPORTER_URL", "127.0.0.1:9465"),
        ("SCAIVAULT_WORKER_URL", "127.0.0.1:9466"),
    ):
        assert address in configuration
        configuration = configuration.replace(address, dev.env[name].removeprefix("http://"))
    prometheus = Prometheus(tmp_path_factory.mktemp("data"), "global: {scrape_interval: 1s}\n" + configuration)
    try:
        with closing(Receiver(SECRET)) as receiver:
            use(dev.env, receiver.url)
            receiver.await_count(1)
        await_true(lambda: len(prometheus.targets()) == 3)
        yield prometheus
    finally:
        prometheus.close()


def use(env, hook_url):
    """Write, read, be told of it, be refused: what makes series that do not begin at 0."""
    hook = {"name": "told", "url": hook_url, "secret": SECRET, "events": ["secret.created"]}
    for method, path, token, body, status in (
        ("POST", "webhooks", "SCAIVAULT_TOKEN", hook, 201),
        ("PUT", "secrets/app/db", "SCAIVAULT_TOKEN", {"data": {"key": "value"}}, 201),
        ("GET", "secrets/app/db", "SCAIVAULT_TOKEN", None, 200),
        ("GET", "secrets/billing/db", "SCAIVAULT_READER_TOKEN", None, 403),
        # of which there are five a minute: the bucket is not full again before the exporter has looked
        *[("POST", "identity/sync", "SCAIVAULT_TOKEN", None, 202)] * 5,
    ):
        headers = {"Authorization": f"Bearer {env[token]}"}
        answer = requests.request(method, f"{env['SCAIVAULT_URL']}/v1/{path}", json=body, headers=headers, timeout=10)
        assert answer.status_code == status, answer.text


def test_every_target_is_up_without_a_scrape_error(prometheus):
    await_true(lambda: all(target["health"] == "up" for target in prometheus.targets()))
    assert [target["lastError"] for target in prometheus.targets()] == ["", "", ""]


@pytest.mark.parametrize("series", HERE, ids=lambda series: series.name)
def test_it_has_every_series_that_there_is(prometheus, series):
    name = f"{series.name}_count" if series.kind is Kind.HISTOGRAM else series.name
    await_true(lambda: prometheus.value(f"count(last_over_time({name}[5m]))"), PATIENCE_SECONDS)


def test_a_fact_about_the_deployment_is_told_once(prometheus):
    told = "count(count by (instance) (last_over_time({}[5m])))"
    for series in HERE:
        if series.scope is Scope.CLUSTER:
            assert await_true(lambda name=series.name: prometheus.value(told.format(name))) == 1
    await_true(lambda: prometheus.value("sum(scaivault_secrets)") == 1)


def test_a_read_is_found_among_the_top_readers(prometheus):
    """15 s after it: an entry is looked at when it is sure that none before it is still to come."""
    wanted = 'scaivault_top_readers{identity="tnt_dev/user:admin@dev.local"}'
    await_true(lambda: prometheus.value(wanted), PATIENCE_SECONDS)


def test_the_exporter_s_login_is_its_own_and_is_enough(dev):
    assert (dev.folder / "postgres" / "scaivault_exporter.password").stat().st_mode & 0o077 == 0
    assert "permission denied" not in (dev.folder / "logs" / "postgres.log").read_text()
    assert "look_failed" not in (dev.folder / "logs" / "exporter.log").read_text()
