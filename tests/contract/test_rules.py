"""prometheus-rules/ is what its data makes, Prometheus and our own lint have nothing to say of it, and it is complete."""

import re
import shutil
import subprocess
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import yaml

from scaivault.observability.catalogue.vocabulary import BUCKETS_SECONDS
from tools.monitoring import rules, write
from tools.monitoring.dashboards import DASHBOARDS
from tools.monitoring.promql import Judge
from tools.monitoring.rules.alerts import BY_MODULE
from tools.monitoring.rules.lint import complaints, runbook_complaints
from tools.monitoring.rules.recording import RECORDS
from tools.monitoring.rules.thresholds import DRILL
from tools.monitoring.runbooks import RUNBOOK_BASE
from tools.monitoring.thresholds import PRODUCTION

FOLDER = Path("prometheus-rules")
RUNBOOKS = Path("docs/runbooks")
# monitoring.md, section 6, for what exists.
PROMISED = {
    *("Down", "NotReady", "RateLimitingSustained", "DatabaseSlow", "DatabasePoolExhausted", "RedisSlow", "KmsSlow"),
    *("KmsErrors", "KmsKeyUnusable", "RotationQueueStuck", "RotationFailing", "RotationOverdue", "WebhookQueueGrowing"),
    *(
        "WebhookSuccessLow",
        "ExporterStale",
        "WorkerStalled",
        "AuditAppendSlow",
        "PolicyViolationSpike",
        "LabelsDropped",
    ),
    *("Watchdog", "ErrorBudgetBurnFast", "ErrorBudgetBurnMedium", "ErrorBudgetBurnSlow", "LatencyBudgetBurnFast"),
}
EVERY_PANEL = [(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
EVERY_ALERT = pytest.mark.parametrize("alert", rules.ALERTS, ids=lambda alert: alert.name)


def parsed(pace=rules.REAL):
    return {name: yaml.safe_load(text) for name, text in rules.files(pace).items()}


def of_pace(pace):
    return [rule for file in parsed(pace).values() for group in file["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("path", write.written(), ids=str)
def test_what_is_committed_is_what_is_made(path):
    assert path.read_text() == write.written()[path], "run `make docs`"


def test_alerts_and_panels_lead_to_each_other():
    led = {(alert, dashboard.uid, panel.title) for dashboard, panel in EVERY_PANEL for alert in panel.alerts}
    assert {(alert.name, alert.panel.uid, alert.panel.title) for alert in rules.ALERTS} <= led
    assert {alert for alert, _, _ in led} == {alert.name for alert in rules.ALERTS}


def test_nothing_else_is_committed_as_if_it_were_made():
    committed = {*FOLDER.glob("tests/*"), *FOLDER.glob("scaivault-*.yaml"), RUNBOOKS / "README.md"}
    assert committed == write.written().keys()


@pytest.mark.parametrize("pace", [rules.REAL, rules.Pace(60, 4)], ids=["real", "compressed"])
def test_prometheus_takes_the_rules(promtool, pace, tmp_path):
    for name, text in rules.files(pace).items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [promtool, "check", "rules", "--lint=all", "--lint-fatal", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(rules.files(pace))


def test_the_lint_has_nothing_to_say():
    assert complaints(parsed()) == []


def test_every_alert_that_is_promised_is_there():
    assert {alert.name for alert in rules.ALERTS} >= {f"ScaiVault{name}" for name in PROMISED}
    assert len({alert.name for alert in rules.ALERTS}) == len(rules.ALERTS)
    assert len({record.name for record in RECORDS}) == len(RECORDS)


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    assert runbook_complaints(rules.ALERTS, RUNBOOKS) == []


def test_runbooks_are_led_elsewhere_as_their_index_says(tmp_path):
    (command,) = re.findall(r"`(sed -i .+)`$", (RUNBOOKS / "README.md").read_text(), re.MULTILINE)
    for folder, pattern in (("prometheus-rules", "*.yaml"), ("grafana", "*.json")):
        (tmp_path / folder).mkdir()
        for file in Path(folder).glob(pattern):
            shutil.copy(file, tmp_path / folder)
    subprocess.run(["sh", "-e", "-c", command], cwd=tmp_path, check=True)
    texts = [file.read_text() for file in tmp_path.rglob("*.*") if file.is_file()]
    assert not any(RUNBOOK_BASE in text for text in texts)
    led = sum(text.count("https://wiki.example/vault") for text in texts)
    assert led >= len(rules.ALERTS) + len(list(Path("grafana").glob("*.json")))


@EVERY_ALERT
def test_a_runbook_has_what_whoever_is_woken_needs(alert):
    text = (RUNBOOKS / f"{alert.name}.md").read_text()
    assert text.startswith(f"# {alert.name}\n")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == ["Meaning", "Impact", "First command", "Causes", "Mitigation"]
    command = re.search(r"^## First command\n\n```sh\n(.+?)\n```$", text, re.MULTILINE | re.DOTALL)
    assert command is not None
    assert subprocess.run(["sh", "-n", "-c", command[1]], check=False).returncode == 0
    assert len(text.splitlines()) <= 60


@EVERY_ALERT
def test_an_alert_is_seen_firing_and_silent(alert):
    """But for the one that is never silent."""
    fires, keeps_silent = ([seen for seen in alert.stories if bool(seen.alerts) is wanted] for wanted in (True, False))
    assert fires
    assert keeps_silent or alert.severity == "none"


def test_every_number_stands_in_one_place_and_every_one_is_used():
    texts = [alert.expr + alert.summary + alert.description for alert in rules.ALERTS] + [each.expr for each in RECORDS]
    used = {name for text in texts for name in re.findall(r"<([a-z_]+)%?>", text)}
    assert used == {field.name for field in fields(PRODUCTION)}


@pytest.mark.parametrize("thresholds", [PRODUCTION, DRILL], ids=["production", "drill"])
def test_a_latency_is_the_bound_of_a_bucket(thresholds):
    """Those that stand behind `le`; ages are no latencies."""
    bounds = re.findall(r'le="<(\w+)>"', " ".join(record.expr for record in RECORDS))
    assert len(set(bounds)) == 5
    for name in bounds:
        assert asdict(thresholds)[name] in BUCKETS_SECONDS


def test_a_compressed_rule_is_the_same_but_for_its_durations_and_ages():
    real, quick = of_pace(rules.REAL), of_pace(rules.Pace(60, 4))
    assert [rule.get("alert") or rule["record"] for rule in real] == [
        rule.get("alert") or rule["record"] for rule in quick
    ]
    without_numbers = re.compile(r"\b\d+(\.\d+)?[smhd]?\b")
    for one, other in zip(real, quick, strict=True):
        assert without_numbers.sub("#", one["expr"]) == without_numbers.sub("#", other["expr"])


def test_alerts_read_what_several_tell_by_a_record():
    """Not one of them names a fact about the deployment itself: the judge would take a max as well."""
    written = of_pace(rules.REAL)
    judge = Judge({rule["record"]: rule["expr"] for rule in written if "record" in rule})
    assert [rule["alert"] for rule in written if "alert" in rule and judge.cluster_series(rule["expr"])] == []


def lines_of(name):
    return [line for line in (FOLDER / "tests" / name).read_text().splitlines() if line.startswith("- name:")]


@pytest.mark.parametrize("module", BY_MODULE)
def test_alerts_fire_and_keep_silent_at_real_durations(promtool, module):
    file = FOLDER / "tests" / f"{module}.yaml"
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(lines_of(file.name)) == sum(len(alert.stories) for alert in BY_MODULE[module])


def test_a_story_that_is_not_true_is_noticed(promtool, tmp_path):
    """promtool would pass over what it does not understand: the same stories, each turned around, all fail."""
    for name, text in rules.files().items():
        (tmp_path / name).write_text(text)
    told = yaml.safe_load(rules.stories()["dependencies.yaml"])
    for story in told["tests"]:
        check = story["promql_expr_test"][0]
        check["exp_samples"] = [] if check["exp_samples"] else [{"labels": "{}", "value": 1}]
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "turned.yaml").write_text(yaml.safe_dump(told))
    done = subprocess.run(
        [promtool, "test", "rules", tmp_path / "tests" / "turned.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert (done.stdout + done.stderr).count("exp: ") == len(told["tests"])


RENDERED = re.compile(r"Annotations:\{(.*?)\}(?=\s|\]|$)", re.DOTALL)


@pytest.mark.parametrize("module", BY_MODULE)
def test_what_an_alert_says_can_be_read(promtool, module, tmp_path):
    """Each is asked for and said not to be wanted, so that promtool shows it as it would be sent."""
    for name, text in rules.files().items():
        (tmp_path / name).write_text(text)
    told = yaml.safe_load(rules.stories()[f"{module}.yaml"])
    first = {}
    for story, alert in zip(told["tests"], [each for each in BY_MODULE[module] for _ in each.stories], strict=True):
        if story["promql_expr_test"][0]["exp_samples"] and alert.name not in first:
            at = story.pop("promql_expr_test")[0]["eval_time"]
            story["alert_rule_test"] = [{"eval_time": at, "alertname": alert.name, "exp_alerts": []}]
            first[alert.name] = story
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "shown.yaml").write_text(yaml.safe_dump({**told, "tests": list(first.values())}))
    done = subprocess.run(
        [promtool, "test", "rules", tmp_path / "tests" / "shown.yaml"], capture_output=True, text=True, check=False
    )
    shown = done.stdout + done.stderr
    assert len(first) == len(BY_MODULE[module])
    for alert in BY_MODULE[module]:
        said = re.search(rf"alertname: {alert.name}, time: .*?got:\[(.*?)\]\n", shown, re.DOTALL)
        assert said is not None, shown
        assert 'summary="' in said[1]
        assert re.search(r"<no value>|error|\{\{|%!|NaN|<[a-z_]+%?>", said[1]) is None, said[1]
