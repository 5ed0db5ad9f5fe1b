"""What a dashboard of grafana/ has to be like: the rules of Grafana's dashboard-linter, and those of the catalogue.

A rule takes a dashboard as JSON and yields (panel, complaint); `lint` adds the rule's name. `EXCEPTED` has its reasons.
Of the linter's rules three are not kept: template-instance-rule and target-instance-rule (facts about the vault come
from the exporter alone, so choosing an instance would empty every other panel), and target-promql-rule, which promtool
does better.
"""

import itertools
import re

from scaivault.observability.catalogue import CATALOGUE
from scaivault.observability.catalogue.series import Kind, Scope
from tests.contract.promql import RATES, grouped_by, made_labels, selectors
from tools.monitoring.rules.recording import RECORDS

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
BY_NAME = {series.name: series for series in CATALOGUE}
TARGET_LABELS = {"namespace", "job", "instance"}
RECORDED = {record.name for record in RECORDS}
UNITS = {"none", "short", "percentunit", "s", "bytes", "reqps", "ops", "cps", "dateTimeAsIso"}  # of the linter's list
KINDS = {"timeseries", "stat", "bargauge", "table", "state-timeline"}
COLUMNS = 24
DESCRIPTION = re.compile(r".+\.\n\n\*\*Normal:\*\* .+\n\n\*\*If not:\*\* .+", re.DOTALL)
# Read by another aggregation than `sum` although each pod tells its own: adding them up says nothing.
NOT_ADDITIVE = {
    "up": "one of a target",
    "scaivault:scaivault_request_errors:ratio_rate3d": "a share: the worst is told",
    "scaivault_ready": "whether it is so of a pod",
    "scaivault_dependency_ready": "whether it is so of a pod",
    "scaivault_build_info": "counted: it is always 1",
    "scaivault_worker_last_success_timestamp_seconds": "the latest of all workers counts",
    "scaivault_exporter_up": "one exporter leads, the others say 0",
    "scaivault_exporter_last_success_timestamp_seconds": "one exporter leads",
    "scaivault_exporter_collect_seconds": "one exporter leads",
}
COUNTED_WINDOW = "the window is what the panel is about"
EXCEPTED = {
    ("target-rate-interval-rule", "Error budget"): COUNTED_WINDOW,
    ("target-rate-interval-rule", "Latency budget"): COUNTED_WINDOW,
    ("target-rate-interval-rule", "Webhook success rate (24h)"): COUNTED_WINDOW,
    ("target-rate-interval-rule", "Webhook success"): COUNTED_WINDOW,
}


def lint(dashboard):
    """What is wrong, as (rule, panel, complaint), exceptions left out."""
    return [found for found in lint_strictly(dashboard) if found[:2] not in EXCEPTED]


def lint_strictly(dashboard):
    return [
        (rule.__name__.replace("_", "-"), panel, complaint) for rule in RULES for panel, complaint in rule(dashboard)
    ]


def exceptions_of(dashboard):
    """The exceptions that it makes use of."""
    return {found[:2] for found in lint_strictly(dashboard)} & EXCEPTED.keys()


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(dashboard):
    return [(panel["title"], target["expr"]) for panel in panels(dashboard) for target in panel["targets"]]


def _selected(dashboard):
    return [(title, each) for title, expr in expressions(dashboard) for each in selectors(expr)]


def _variables(dashboard, **wanted):
    listed = dashboard["templating"]["list"]
    return [each for each in listed if all(each.get(name) == value for name, value in wanted.items())]


# The linter's


def template_datasource_rule(dashboard):
    found = _variables(dashboard, type="datasource")
    if [(each["name"], each["label"], each["query"]) for each in found] != [
        ("datasource", "Data Source", "prometheus")
    ]:
        yield "", "one variable of type datasource, named so"


def template_job_rule(dashboard):
    for each in _variables(dashboard, name="job", type="query"):
        if each["datasource"] == DATASOURCE and each["multi"] and each["includeAll"] and each["allValue"] == ".+":
            return
    yield "", "a variable job of many values, all of them by `.+`"


def template_label_promql_rule(dashboard):
    for each in _variables(dashboard, type="query"):
        found = re.fullmatch(r"label_values\((?P<of>.+), (?P<label>\w+)\)", each["query"]["query"])
        asked = selectors(found["of"]) if found else []
        known = [one for one in asked if one.name in BY_NAME]
        labels = {label for one in known for label in BY_NAME[one.name].labels} | TARGET_LABELS
        if not found or len(known) != len(asked) or found["label"] not in labels:
            yield "", f"variable {each['name']} does not ask for a label of the catalogue"


def template_on_time_change_reload_rule(dashboard):
    for each in _variables(dashboard, type="query"):
        if each["refresh"] != 2:
            yield "", f"variable {each['name']} is not asked again with another time range"


def template_all_rule(dashboard):
    """'All' of a label that a target may not have is its absence as well."""
    for each in _variables(dashboard, type="query"):
        if each["name"] != "job" and each["allValue"] != ".*":
            yield "", f"variable {each['name']} leaves out what has no such label"


def panel_datasource_rule(dashboard):
    for panel in panels(dashboard):
        if any(each["datasource"] != DATASOURCE for each in (panel, *panel["targets"])):
            yield panel["title"], "asks another source than the variable's"


def panel_title_description_rule(dashboard):
    for panel in panels(dashboard):
        if not panel["title"] or not DESCRIPTION.fullmatch(panel["description"]):
            yield panel["title"], "a title, and what it shows, what is normal and what to do"


def panel_units_rule(dashboard):
    for panel in panels(dashboard):
        if panel["fieldConfig"]["defaults"]["unit"] not in UNITS:
            yield panel["title"], "no unit that Grafana knows"


def panel_no_targets_rule(dashboard):
    for panel in panels(dashboard):
        references = [target["refId"] for target in panel["targets"]]
        if not references or len(set(references)) != len(references):
            yield panel["title"], "no query, or two of a name"


def target_rate_interval_rule(dashboard):
    for title, each in _selected(dashboard):
        if set(each.inside[-1:]) & RATES and each.range != "$__rate_interval":
            yield title, f"{each.name} over {each.range}"


def target_job_rule(dashboard):
    for title, each in _selected(dashboard):
        wanted = {("job", "=~", "$job"), ("namespace", "=~", "$namespace")}
        if not wanted <= set(each.matchers):
            yield title, f"{each.name} is not held to the variables"


def target_counter_agg_rule(dashboard):
    for title, each in _selected(dashboard):
        is_counted = _is_of(each, Kind.COUNTER, Kind.HISTOGRAM)
        if is_counted is not bool(set(each.inside[-1:]) & RATES):
            yield title, f"{each.name} is a counter without its rate, or no counter with one"


def uneditable_dashboard_rule(dashboard):
    if dashboard["editable"]:
        yield "", "what is changed here is lost with the next release"


# The catalogue's


def _is_of(selector, *kinds):
    series = BY_NAME.get(selector.series)
    return series is not None and series.kind in kinds


def catalogue_series_rule(dashboard):
    for title, each in _selected(dashboard):
        is_part = each.name != each.series
        if each.name in RECORDED | {"up"}:
            continue
        if each.series not in BY_NAME or is_part is not _is_of(each, Kind.HISTOGRAM):
            yield title, f"{each.name} is not in the catalogue"


def catalogue_labels_rule(dashboard):
    for title, expr in expressions(dashboard):
        asked = selectors(expr)
        for each in asked:
            for label in {label for label, _, _ in each.matchers} - _labels(each):
                yield title, f"{each.name} has no label {label}"
        known = set().union(*map(_labels, asked)) | made_labels(expr)
        for label in grouped_by(expr) - known:
            yield title, f"nothing of this has a label {label}"


def _labels(selector):
    """As Prometheus has them, which keeps its own names for itself."""
    own = set(BY_NAME[selector.series].labels) if selector.series in BY_NAME else set()
    kept = {f"exported_{label}" if label in TARGET_LABELS else label for label in own}
    return kept | TARGET_LABELS | ({"le"} if selector.name.endswith("_bucket") else set())


def catalogue_values_rule(dashboard):
    """A value that a closed list has not selects nothing, ever."""
    for title, each in _selected(dashboard):
        for label, operator, value in each.matchers:
            own = label.removeprefix("exported_")
            bound = BY_NAME[each.series].labels.get(own) if each.series in BY_NAME else None
            alternatives = value.split("|") if operator.endswith("~") else [re.escape(value)]
            if isinstance(bound, tuple) and "$" not in value:
                for dead in [one for one in alternatives if not any(re.fullmatch(one, known) for known in bound)]:
                    yield title, f"{each.name} has no {label} {dead}"


def legend_rule(dashboard):
    for panel in panels(dashboard):
        for target in panel["targets"]:
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            if named - grouped_by(target["expr"]) or not (target["legendFormat"] or panel["type"] == "table"):
                yield panel["title"], f"legend {target['legendFormat']!r} names what the query does not give"


def cluster_scope_rule(dashboard):
    """Who told a fact before may still be remembered: added to the present it is told twice."""
    for title, each in _selected(dashboard):
        series = BY_NAME.get(each.series)
        if series and series.scope is Scope.CLUSTER and each.aggregation != "max":
            yield title, f"{each.name} is a fact about the deployment: max, not {each.aggregation}"


def pod_scope_rule(dashboard):
    for title, each in _selected(dashboard):
        series = BY_NAME.get(each.series)
        is_fact = series and series.scope is Scope.CLUSTER
        if not is_fact and each.series not in NOT_ADDITIVE and each.aggregation != "sum":
            yield title, f"{each.name} is measured in each pod: sum, not {each.aggregation}"


def quantile_rule(dashboard):
    for title, expr in expressions(dashboard):
        if "histogram_quantile" in expr and not re.search(r"histogram_quantile\([\d.]+, sum by \(le\b", expr):
            yield title, "a quantile of the sum by le, not of each pod"


# The page's


def import_rule(dashboard):
    """Nothing in it is of the Grafana that it came from, and nothing has to be filled in."""
    known = {"uid", "title", "description", "tags", "schemaVersion", "version", "editable", "graphTooltip", "refresh"}
    known |= {"time", "timezone", "links", "annotations", "templating", "panels"}
    if dashboard.keys() != known or not re.fullmatch(r"[a-z-]{1,40}", dashboard["uid"]):
        yield "", f"only {sorted(known)}"
    if dashboard["schemaVersion"] > 37:
        yield "", "newer than Grafana 9"
    if dashboard["tags"] != ["scaivault"] or not any(link["type"] == "dashboards" for link in dashboard["links"]):
        yield "", "does not find the other dashboards by their tag, or they not this one"


def panel_kind_rule(dashboard):
    for panel in panels(dashboard):
        if panel["type"] not in KINDS:
            yield panel["title"], f"{panel['type']} is not in every Grafana from 9 to 12"
        if panel["type"] == "state-timeline" and not panel["fieldConfig"]["defaults"]["mappings"]:
            yield panel["title"], "states without words"


def panel_shades_rule(dashboard):
    """Grafana takes a pattern without slashes for all of a name."""
    for panel in panels(dashboard):
        for override in panel["fieldConfig"].get("overrides", []):
            pattern = override["matcher"]["options"]
            if not re.fullmatch(r"/.+/", pattern):
                yield panel["title"], f"{pattern} would have to be a whole legend"


def panel_ids_rule(dashboard):
    ids = [panel["id"] for panel in dashboard["panels"]]
    titles = [panel["title"] for panel in panels(dashboard)]
    if len(set(ids)) != len(ids) or len(set(titles)) != len(titles):
        yield "", "two panels of a number or of a title"


def grid_rule(dashboard):
    """No panel upon another, none beyond the edge, no hole in a shelf."""
    cells = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        if place["x"] + place["w"] > COLUMNS:
            yield panel["title"], "beyond the edge"
        rows, columns = range(place["y"], place["y"] + place["h"]), range(place["x"], place["x"] + place["w"])
        for cell in itertools.product(rows, columns):
            if cells.setdefault(cell, panel["title"]) != panel["title"]:
                yield panel["title"], f"lies upon {cells[cell]}"
                break
    height = 1 + max(y for y, _ in cells)
    if len(cells) != height * COLUMNS:
        yield "", "a hole"


RULES = (
    template_datasource_rule,
    template_job_rule,
    template_label_promql_rule,
    template_on_time_change_reload_rule,
    template_all_rule,
    panel_datasource_rule,
    panel_title_description_rule,
    panel_units_rule,
    panel_no_targets_rule,
    target_rate_interval_rule,
    target_job_rule,
    target_counter_agg_rule,
    uneditable_dashboard_rule,
    catalogue_series_rule,
    catalogue_labels_rule,
    catalogue_values_rule,
    legend_rule,
    cluster_scope_rule,
    pod_scope_rule,
    quantile_rule,
    import_rule,
    panel_kind_rule,
    panel_shades_rule,
    panel_ids_rule,
    grid_rule,
)
