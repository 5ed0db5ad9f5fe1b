"""The example for Alertmanager, in a real one: who is told of what, and what is not told because something worse is."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import requests
import yaml

from scaivault.dev import processes
from tests.ports import free_ports
from tests.waiting import await_true
from tools.monitoring import rules

FILE = Path("prometheus-rules/alertmanager.yml")
CONFIGURATION = yaml.safe_load(FILE.read_text())
RECEIVERS = {"page": "pager", "ticket": "tickets", "none": "nobody"}
NAMES = {alert.name: alert for alert in rules.ALERTS}


@pytest.fixture(scope="module")
def running(alertmanager, tmp_path_factory):
    """Alertmanager's address."""
    folder = tmp_path_factory.mktemp("alertmanager")
    port, cluster = free_ports(2)
    process = processes.spawn(
        [
            *(*alertmanager, f"--config.file={FILE.absolute()}", f"--storage.path={folder}", "--log.level=warn"),
            *(f"--web.listen-address=127.0.0.1:{port}", f"--cluster.listen-address=127.0.0.1:{cluster}"),
        ],
        folder / "alertmanager.log",
        {"PATH": os.defpath},
    )
    url = f"http://127.0.0.1:{port}/api/v2"

    def is_up():
        try:
            return requests.get(f"{url}/status", timeout=10).ok
        except requests.ConnectionError:
            assert process.poll() is None, (folder / "alertmanager.log").read_text()
            return False

    try:
        await_true(is_up, 60)
        yield url
    finally:
        processes.stop(process, signal.SIGTERM, 10)


def installation(namespace, cluster="eu", release="vault"):
    return {"cluster": cluster, "namespace": namespace, "release": release}


def states(url, of):
    wanted = [f'{label}="{value}"' for label, value in of.items()]
    listed = requests.get(f"{url}/alerts", {"filter": wanted}, timeout=10).json()
    return {alert["labels"]["alertname"]: alert["status"]["state"] for alert in listed}


def tell(url, of, names, job="scaivault"):
    """So many alerts of an installation fire; what state each of them is in when Alertmanager has looked at them all."""
    labels = [{"alertname": name, "severity": NAMES[name].severity, "job": job, **of} for name in names]
    assert requests.post(f"{url}/alerts", json=[{"labels": each} for each in labels], timeout=10).ok
    return await_true(lambda: (found := states(url, of)).keys() == set(names) and found, 60)


def test_alertmanager_takes_it(amtool):
    done = subprocess.run([amtool, "check-config", FILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", rules.ALERTS, ids=lambda alert: alert.name)
def test_an_alert_goes_to_whom_its_severity_concerns(amtool, alert):
    wanted = "dead-mans-switch" if alert.name == "ScaiVaultWatchdog" else RECEIVERS[alert.severity]
    done = subprocess.run(
        [
            *(amtool, "config", "routes", "test", f"--config.file={FILE}", f"--verify.receivers={wanted}"),
            *(f"alertname={alert.name}", f"severity={alert.severity}", "namespace=vault"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("matcher", [*CONFIGURATION["inhibit_rules"]], ids=lambda rule: str(rule["source_matchers"]))
def test_what_silences_and_what_is_silenced_are_alerts_that_there_are(matcher):
    for matchers in (matcher["source_matchers"], matcher["target_matchers"]):
        text = " ".join(matchers)
        patterns = re.findall(r'alertname=~?"([^"]+)"', text)
        assert [name for name in NAMES if any(re.fullmatch(pattern, name) for pattern in patterns)], text
    for word in re.findall(r"[(|](\w+)(?=[)|])", " ".join([*matcher["source_matchers"], *matcher["target_matchers"]])):
        assert any(word in name for name in NAMES), word


DOWN_LEAVES = {
    "ScaiVaultDown",
    "ScaiVaultWatchdog",
    "ScaiVaultKmsKeyUnusable",
    "ScaiVaultPolicyViolationSpike",
    "ScaiVaultWorkerDown",
    "ScaiVaultExporterDown",
}
NOT_READY_LEAVES = NAMES.keys() - {
    *("ScaiVaultInstanceNotReady", "ScaiVaultDatabasePoolExhausted", "ScaiVaultExporterStale"),
    "ScaiVaultCategoryFailing",
    *(name for name in NAMES if "BudgetBurn" in name),
}


@pytest.mark.parametrize(
    ("worst", "also", "told"),
    [
        ("ScaiVaultDown", NAMES, DOWN_LEAVES),
        ("ScaiVaultNotReady", NAMES.keys() - DOWN_LEAVES, NOT_READY_LEAVES - DOWN_LEAVES),
        ("ScaiVaultExporterDown", ["ScaiVaultExporterStale", "ScaiVaultKmsSlow"], {"ScaiVaultKmsSlow"}),
        ("ScaiVaultWorkerDown", ["ScaiVaultWebhookQueueGrowing", "ScaiVaultKmsSlow"], {"ScaiVaultKmsSlow"}),
        ("ScaiVaultErrorBudgetBurnFast", ["ScaiVaultErrorBudgetBurnMedium", "ScaiVaultErrorBudgetBurnSlow"], set()),
        ("ScaiVaultErrorBudgetBurnMedium", ["ScaiVaultErrorBudgetBurnSlow"], set()),
        ("ScaiVaultLatencyBudgetBurnFast", ["ScaiVaultLatencyBudgetBurnSlow"], set()),
        ("ScaiVaultKmsKeyUnusable", ["ScaiVaultKmsErrors", "ScaiVaultKmsSlow"], set()),
        ("ScaiVaultRedisUnavailable", ["ScaiVaultRedisSlow"], set()),
    ],
)
def test_what_follows_from_something_worse_is_not_told(running, worst, also, told):
    of = installation(f"with-{worst.lower()}")
    tell(running, of, {worst, *also})
    wanted = {worst} | (set(told) - _silenced_among(told))
    assert await_true(lambda: {name for name, state in states(running, of).items() if state == "active"} == wanted, 60)


def _silenced_among(names):
    """Of those that are left, what another of them silences."""
    pairs = {
        "ScaiVaultKmsErrors": "ScaiVaultKmsKeyUnusable",
        "ScaiVaultKmsSlow": "ScaiVaultKmsKeyUnusable",
        "ScaiVaultRedisSlow": "ScaiVaultRedisUnavailable",
        "ScaiVaultWorkerStalled": "ScaiVaultWorkerDown",
        "ScaiVaultWorkerMissing": "ScaiVaultWorkerDown",
        "ScaiVaultRotationQueueStuck": "ScaiVaultWorkerDown",
        "ScaiVaultWebhookQueueGrowing": "ScaiVaultWorkerDown",
    }
    return {name for name in names if pairs.get(name) in names}


@pytest.mark.parametrize(
    ("worst", "job"),
    [
        ("ScaiVaultDown", "scaivault"),
        ("ScaiVaultWorkerDown", "scaivault-worker"),
        ("ScaiVaultExporterDown", "scaivault-exporter"),
    ],
)
@pytest.mark.parametrize("instances_job", ["scaivault", "scaivault-worker", "scaivault-exporter"])
def test_an_instance_that_is_down_is_told_unless_all_of_its_job_are(running, worst, job, instances_job):
    of = installation(f"{instances_job}-beside-{job}")
    tell(running, of, [worst, "ScaiVaultInstanceDown"], instances_job)
    wanted = "suppressed" if instances_job == job else "active"
    assert await_true(lambda: states(running, of) == {worst: "active", "ScaiVaultInstanceDown": wanted}, 60)


@pytest.mark.parametrize(
    "another",
    [
        installation("production", cluster="us"),
        installation("staging"),
        installation("production", release="two"),
        installation("production", cluster="", release=""),
    ],
    ids=["of another cluster", "of another namespace", "of another release", "of which less is known"],
)
def test_another_installation_s_alerts_are_told(running, another):
    worst, consequences = "ScaiVaultDown", ["ScaiVaultErrorBudgetBurnFast", "ScaiVaultDatabaseSlow"]
    tell(running, another, [worst])
    tell(running, installation("production"), consequences)
    wanted = dict.fromkeys(consequences, "active")
    assert await_true(lambda: states(running, installation("production")) == wanted, 60)


def test_one_notification_is_of_one_installation():
    assert CONFIGURATION["route"]["group_by"] == ["alertname", *installation("any")]
