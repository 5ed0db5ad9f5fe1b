"""grafana/ is what its data makes, keeps the rules of Grafana's linter and the catalogue's, and each rule finds its fault."""

import copy
import json
import re
import subprocess
from pathlib import Path

import pytest

from scaivault.observability.catalogue import CATALOGUE
from tests.contract import dashboard_rules
from tests.contract.dashboard_rules import EXCEPTED, RULES, exceptions_of, lint, panels
from tests.contract.promql import selectors
from tools.monitoring import dashboards

FOLDER = Path("grafana")
COMMITTED = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.json"))}
DASHBOARDS = {name.removesuffix(".json"): json.loads(text) for name, text in COMMITTED.items()}
BY_NAME = {series.name: series for series in CATALOGUE}

# The panels that the first page about monitoring starts with, and where they are.
SEED = {
    "Request rate and status": "Request rate and status",
    "P50/P95/P99 latency": "P95 latency by category",
    "Active leases": None,
    "Rotation queue depth": "Rotation queue depth",
    "Certificates expiring in the next 30 days": None,
    "Webhook success rate (24h)": "Webhook success rate (24h)",
    "Top readers": "Top readers (1h)",
}
# Where alerts lead: to a panel of that title.
LED_TO = {
    "scaivault-overview": [
        *("Traffic", "Errors", "Latency", "Saturation"),
        *("Up and ready", "Error budget", "Latency budget", "Refused by limits", "Labels dropped"),
    ],
    "scaivault-dependencies": [
        *("PostgreSQL latency", "PostgreSQL pool", "Redis latency", "Limited without Redis"),
        *("Key service latency", "Key service errors", "Root key"),
    ],
    "scaivault-background": [
        *("Rotation queue", "Rotations", "Rotations overdue", "Webhook queue", "Webhook success", "Workers' duties"),
        "Exporter",
    ],
    "scaivault-access": ["Audit append", "Policy violations"],
}


def test_what_is_committed_is_what_is_built():
    assert dashboards.files() == COMMITTED, "run `make docs`"


@pytest.mark.parametrize("uid", LED_TO)
def test_a_dashboard_keeps_every_rule(uid):
    assert lint(DASHBOARDS[uid]) == []


def test_every_exception_is_made_use_of():
    assert set().union(*map(exceptions_of, DASHBOARDS.values())) == EXCEPTED.keys()


def test_dashboards_have_names_and_numbers_of_their_own():
    assert {each["uid"] for each in DASHBOARDS.values()} == LED_TO.keys() == DASHBOARDS.keys()
    assert len({each["title"] for each in DASHBOARDS.values()}) == len(DASHBOARDS)


@pytest.mark.parametrize(("uid", "title"), [(uid, title) for uid, titles in LED_TO.items() for title in titles])
def test_a_panel_that_is_led_to_is_there(uid, title):
    (panel,) = [panel for panel in panels(DASHBOARDS[uid]) if panel["title"] == title]
    assert dashboards.panel_path(uid, title) == f"/d/{uid}?viewPanel={panel['id']}"


def test_there_is_no_way_to_a_panel_that_is_not():
    with pytest.raises(KeyError):
        dashboards.panel_path("scaivault-overview", "Weather")


@pytest.mark.parametrize("asked", SEED)
def test_a_panel_of_the_first_page_is_there_or_is_listed_as_to_come(asked):
    titles = {panel["title"] for panel in panels(DASHBOARDS["scaivault-overview"])}
    assert (asked in dashboards.TO_COME) is (SEED[asked] not in titles)
    assert (SEED[asked] is None) is (asked in dashboards.TO_COME)


def test_what_is_to_come_comes_with_its_series():
    """When one of these series is there, its panel has to be."""
    for names in dashboards.TO_COME.values():
        assert all(not BY_NAME[name].is_here for name in names)


def test_every_series_that_there_is_is_seen_somewhere():
    seen = {each.series for _, _, expr in dashboards.queries() for each in selectors(expr)}
    assert {series.name for series in CATALOGUE if series.is_here} - seen == {"scaivault_secrets_total"}  # by its alias


def test_prometheus_understands_every_query(promtool, tmp_path):
    assert complaint_of(promtool, tmp_path, [expr for *_, expr in dashboards.queries()]) == ""


def test_prometheus_does_not_understand_everything(promtool, tmp_path):
    assert "could not parse expression" in complaint_of(promtool, tmp_path, ["sum(up", "up"])


def complaint_of(promtool, folder, exprs):
    """What promtool says of expressions, each in a rule."""
    rules = [{"record": f"panel:query:{number}", "expr": expr} for number, expr in enumerate(exprs)]
    file = folder / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))  # JSON is YAML
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert (f"SUCCESS: {len(rules)} rules found" in done.stdout) is (done.returncode == 0)
    return done.stderr if done.returncode else ""


def test_a_query_is_given_with_everything_filled_in():
    found = list(dashboards.queries())
    assert len(found) == sum(len(panel["targets"]) for each in DASHBOARDS.values() for panel in panels(each))
    assert not [expr for *_, expr in found if re.search(r"\$(?!\{1\}xx)", expr)]
    assert found[0][:2] == ("scaivault-overview", "Traffic")
    assert found[0][2] == 'sum(rate(scaivault_requests_total{namespace=~".*", job=~".+"}[1m]))'


def test_panels_lead_to_the_runbooks_of_the_alerts_that_lead_to_them():
    for each in DASHBOARDS.values():
        (constant,) = [one for one in each["templating"]["list"] if one["name"] == "runbooks"]
        assert constant["type"] == "constant"
        assert constant["query"].startswith("https://")
        for panel in panels(each):
            assert all(re.fullmatch(r"\$\{runbooks\}/ScaiVault[A-Za-z]+", link["url"]) for link in panel["links"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_finds_what_it_is_for(rule):
    dashboard = copy.deepcopy(DASHBOARDS["scaivault-overview"])
    before = {panel for panel, _ in rule(dashboard)}
    FAULTS[rule.__name__](dashboard, panels(dashboard)[0])
    assert {panel for panel, _ in rule(dashboard)} - before


def _ask(expr, legend="x"):
    def plant(_dashboard, panel):
        panel["targets"][0] |= {"expr": expr, "legendFormat": legend}

    return plant


def _set(**more):
    return lambda _dashboard, panel: panel.update(more)


def _set_dashboard(**more):
    return lambda dashboard, _panel: dashboard.update(more)


def _set_variable(variable, **more):
    def plant(dashboard, _panel):
        next(each for each in dashboard["templating"]["list"] if each["name"] == variable).update(more)

    return plant


FAULTS = {
    "template_datasource_rule": _set_variable("datasource", name="ds"),
    "template_job_rule": _set_variable("job", allValue=""),
    "template_label_promql_rule": _set_variable("namespace", query={"query": "label_values(scaivault_gone, job)"}),
    "template_on_time_change_reload_rule": _set_variable("namespace", refresh=1),
    "template_all_rule": _set_variable("namespace", allValue=".+"),
    "panel_datasource_rule": _set(datasource={"type": "prometheus", "uid": "mine"}),
    "panel_title_description_rule": _set(description="Shows requests."),
    "panel_units_rule": _set(fieldConfig={"defaults": {"unit": "furlongs"}}),
    "panel_no_targets_rule": _set(targets=[]),
    "target_rate_interval_rule": _ask("sum(rate(scaivault_requests_total[5m]))"),
    "target_job_rule": _ask('sum(rate(scaivault_requests_total{namespace=~"$namespace"}[$__rate_interval]))'),
    "target_counter_agg_rule": _ask("sum(scaivault_requests_total)"),
    "uneditable_dashboard_rule": _set_dashboard(editable=True),
    "catalogue_series_rule": _ask("sum(rate(http_requests_total[5m]))"),
    "catalogue_labels_rule": _ask("sum by (route) (rate(scaivault_requests_total[5m]))"),
    "catalogue_values_rule": _ask('sum(rate(scaivault_requests_total{path_category="secret"}[5m]))'),
    "legend_rule": _ask("sum by (method) (rate(scaivault_requests_total[5m]))", "{{status}}"),
    "cluster_scope_rule": _ask("sum by (tenant) (scaivault_secrets)"),
    "pod_scope_rule": _ask("max(scaivault_active_requests)"),
    "quantile_rule": _ask("histogram_quantile(0.9, rate(scaivault_db_latency_seconds_bucket[5m]))"),
    "import_rule": _set_dashboard(__inputs=[]),
    "panel_kind_rule": _set(type="graph"),
    "panel_shades_rule": _set(fieldConfig={"overrides": [{"matcher": {"id": "byRegexp", "options": "2xx$"}}]}),
    "panel_ids_rule": _set(id=2),
    "grid_rule": _set(gridPos={"x": 3, "y": 1, "w": 6, "h": 4}),
}


@pytest.mark.parametrize(
    ("expr", "rule"),
    [
        ("scaivault_secrets", "cluster_scope_rule"),
        ("avg(sum(scaivault_rotation_queue_depth))", "cluster_scope_rule"),
        ("max(rate(scaivault_rotation_queue_depth[5m]))", "target_counter_agg_rule"),
        ("sum(scaivault_db_latency_seconds)", "catalogue_series_rule"),
        ("sum(rate(scaivault_requests_total_bucket[5m]))", "catalogue_series_rule"),
        ("scaivault_requests_totl", "catalogue_series_rule"),
        ("sum(scaivault_active_requests) / sum(requests_at_once)", "catalogue_series_rule"),
        ("scaivault_db_pool_size", "pod_scope_rule"),
        ('max(scaivault_worker_last_success_timestamp_seconds{le="1"})', "catalogue_labels_rule"),
        ('sum(rate(scaivault_requests_total{code="500"}[5m]))', "catalogue_labels_rule"),
        ('sum(rate(scaivault_worker_jobs_total{exported_job="sweeping"}[5m]))', "catalogue_values_rule"),
        ('sum(rate(scaivault_kms_errors_total{operation=~"decrypt|open"}[5m]))', "catalogue_values_rule"),
    ],
)
def test_a_rule_finds_this_query(expr, rule):
    dashboard = copy.deepcopy(DASHBOARDS["scaivault-overview"])
    _ask(expr)(dashboard, panels(dashboard)[0])
    assert [panel for panel, _ in getattr(dashboard_rules, rule)(dashboard)] == ["Traffic"]
