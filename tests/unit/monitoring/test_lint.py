"""The lint finds each kind of fault: every case plants one in a rule that is otherwise right."""

import pytest

from tools.monitoring.promql import Judge
from tools.monitoring.rules.lint import complaints, runbook_complaints
from tools.monitoring.rules.model import Alert, Panel

RECORD = {
    "record": "cluster:scaivault_secrets:max",
    "expr": "max without (instance, pod) (scaivault_secrets)",
}
GOOD = {
    "alert": "ScaiVaultOdd",
    "expr": 'sum without (instance, pod) (rate(scaivault_rate_limit_hits_total{category="read"}[5m])) > 1',
    "for": "5m",
    "labels": {"severity": "ticket"},
    "annotations": {
        "summary": "{{ $labels.category }} is refused",
        "description": "{{ $value | humanize }} a second.",
        "runbook_url": "https://vault.test/runbooks/ScaiVaultOdd",
        "dashboard": "/d/overview",
    },
}

PLANTED = {
    "a series that nobody makes": ("rate(scaivault_reads_total[5m]) > 0", "nobody makes scaivault_reads_total"),
    "a series of a later release": ("scaivault_leases_active > 0", "nobody makes scaivault_leases_active"),
    "a histogram without its part": ("rate(scaivault_db_latency_seconds[5m]) > 0", "nobody makes"),
    "a part of what is no histogram": ("rate(scaivault_secret_reads_total_count[5m]) > 0", "nobody makes"),
    "a record that there is not": ("cluster:scaivault_secretz:max > 0", "nobody makes"),
    "a selector without a name": ('{job="scaivault"} > 0', "nobody makes"),
    "a label that there is not": ('rate(scaivault_secret_reads_total{path="a"}[5m]) > 0', "has no label path"),
    "a label's value that there is not": (
        'rate(scaivault_rate_limit_hits_total{category="reads"}[5m]) > 0',
        "nothing is selected",
    ),
    "a pattern that meets no value": (
        'rate(scaivault_requests_total{path_category=~"secret|leases"}[5m]) > 0',
        "nothing is selected",
    ),
    "an exclusion that excludes nothing": (
        'rate(scaivault_requests_total{path_category!="health"}[5m]) > 0',
        "leaves out",
    ),
    "a bucket that there is not": (
        'rate(scaivault_db_latency_seconds_bucket{le="0.2"}[5m]) > 0',
        "nothing is selected",
    ),
    "a job that nobody scrapes": ('up{job="vault"} == 0', "nothing is selected"),
    "a job that does not make it": ('max(scaivault_secrets{job="scaivault"}) > 0', "nothing is selected"),
    "the vault's label job": ('scaivault_ready{exported_job="heartbeat"} > 0', "has no label"),
    "a range of three scrapes": ("rate(scaivault_secret_writes_total[45s]) > 0", "less than 4 scrapes"),
    "a counter without a rate": ("sum(scaivault_secret_writes_total) > 0", "is a counter"),
    "a bucket without a rate": ('sum(scaivault_db_latency_seconds_bucket{le="0.1"}) > 0', "is a counter"),
    "a counter's greatest value": ("max_over_time(scaivault_secret_writes_total[5m]) > 0", "is a counter"),
    "a gauge's rate": ("rate(scaivault_db_pool_available[5m]) < 0", "is a gauge"),
    "a record's rate": ("increase(cluster:scaivault_secrets:max[5m]) < 0", "is a gauge"),
    "a sum of what each leader told": ("sum(scaivault_secrets) > 0", "never a sum"),
    "an average of it": ("avg without (instance) (scaivault_secrets) > 0", "never a sum"),
    "it, as it is": ("scaivault_kms_key_usable == 0", "never a sum"),
    "a list of the greatest": ("topk(5, cluster:scaivault_secrets:max) > 0", "returns other series"),
    "a sum by a label that there is not": ("sum by (tenants) (rate(scaivault_secret_writes_total[5m])) > 0", "tenants"),
    "a sum without one": ("sum without (method) (rate(scaivault_secret_writes_total[5m])) > 0", "method"),
    "sides that never meet": (
        "rate(scaivault_rate_limit_hits_total[5m]) > 0 and rate(scaivault_secret_writes_total[5m]) > 0",
        "never meet: not both have category, tenant",
    ),
    "sides that do not meet on a label": ("scaivault_ready == 0 and on (tenant) up == 1", "never meet"),
    "what is not PromQL": ("sum(", "is not PromQL"),
}
# Of the deployment: a target may have them.
DEPLOYED = ("cluster", "namespace", "release")
# A summary that says nothing of labels, for expressions that return others.
PLAIN = {**GOOD["annotations"], "summary": "Odd"}


def found(rule):
    return complaints({"rules.yaml": {"groups": [{"rules": [RECORD, rule]}]}})


def test_what_is_right_is_not_complained_of():
    assert found(GOOD) == []


@pytest.mark.parametrize(("expr", "complaint"), PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_of_an_expression_is_found(expr, complaint):
    said = found({**GOOD, "expr": expr, "annotations": PLAIN})
    assert len(said) == 1, said
    assert said[0].startswith("ScaiVaultOdd: ")
    assert complaint in said[0]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"for": "0s"}, "two or more"),
        ({"for": "15s"}, "two or more"),
        ({"labels": {"severity": "critical"}}, "nobody routes"),
        ({"labels": {}}, "nobody routes"),
        ({"labels": {"severity": "page", "load": "{{ $value }}"}}, "another alert of every change"),
        ({"annotations": {**PLAIN, "summary": "{{ $labels.tenant }}"}}, "tells of the label tenant"),
        ({"annotations": {**PLAIN, "summary": "{{ $labels.instance }}"}}, "tells of the label instance"),
        ({"annotations": {**PLAIN, "description": "{{ $value }}"}}, "humanize it"),
        ({"annotations": {"summary": "Odd", "description": "Odd."}}, "it has no dashboard, runbook_url"),
    ],
)
def test_a_planted_fault_of_an_alert_is_found(change, complaint):
    said = found({**GOOD, **change})
    assert len(said) == 1, said
    assert complaint in said[0]


def test_a_missing_for_is_found():
    assert "two or more" in found({key: value for key, value in GOOD.items() if key != "for"})[0]


def test_a_records_name_tells_its_level():
    assert "level:metric:operation" in found({**RECORD, "record": "scaivault_secrets_max"})[0]


@pytest.mark.parametrize(
    ("expr", "labels"),
    [
        ("scaivault_ready", {"job", "instance", "pod", *DEPLOYED}),
        ("max without (instance, pod) (scaivault_exporter_up)", {"job", "collector", *DEPLOYED}),
        ("sum by (collector, zone) (scaivault_exporter_up)", {"collector"}),
        ("sum by (collector, cluster, release) (scaivault_exporter_up)", {"collector", "cluster", "release"}),
        ("sum(scaivault_exporter_up)", set()),
        ('absent(up{job="scaivault"})', {"job"}),
        ("scaivault_exporter_up or scaivault_ready", {"job", "instance", "pod", *DEPLOYED}),
        ("scaivault_exporter_up * on (job) scaivault_ready", {"job"}),
        (
            "scaivault_exporter_up * on (job) group_left scaivault_ready",
            {"job", "instance", "pod", "collector", *DEPLOYED},
        ),
        ("time() - scaivault_exporter_up", {"job", "instance", "pod", "collector", *DEPLOYED}),
        ("scaivault_worker_last_success_timestamp_seconds", {"job", "instance", "pod", "exported_job", *DEPLOYED}),
        ("scaivault_db_latency_seconds_bucket", {"job", "instance", "pod", "le", *DEPLOYED}),
        ("cluster:scaivault_secrets:max", {"job", "tenant", *DEPLOYED}),
    ],
)
def test_labels_of_an_expression_are_known(expr, labels):
    assert Judge({RECORD["record"]: RECORD["expr"]}).labels(expr) == labels


def test_a_runbook_without_an_alert_and_an_alert_without_a_runbook_are_found(tmp_path):
    (tmp_path / "README.md").touch()
    (tmp_path / "ScaiVaultGone.md").touch()
    alert = Alert("ScaiVaultNew", "page", "up == 0", "5m", "", "", Panel("a", "b"), ())
    assert runbook_complaints([alert], tmp_path) == [
        "ScaiVaultNew: there is no runbook",
        "ScaiVaultGone: there is a runbook and no alert",
    ]
