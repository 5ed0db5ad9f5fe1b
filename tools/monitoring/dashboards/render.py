"""A dashboard as Grafana's classic JSON: of version 37, which Grafana 9 to 12 take and bring up to date themselves."""

import json
from collections.abc import Iterator

from tools.monitoring.dashboards.panel import Dashboard, Kind, Panel, Row, Text, Variable
from tools.monitoring.dashboards.promql import scoped
from tools.monitoring.runbooks import RUNBOOK_BASE

Json = dict[str, object]

TAG = "scaivault"
SCHEMA_VERSION = 37
COLUMNS = 24
COUNT = "short"
_DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
# An address of the reader's own copy may be set instead: it is a variable, of which every link is made.
_REDUCED: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def render(dashboard: Dashboard) -> str:
    return json.dumps(_dashboard(dashboard), indent=2, ensure_ascii=False) + "\n"


def _dashboard(dashboard: Dashboard) -> Json:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [_others(), _link("Runbooks", "${runbooks}")],
        "annotations": {"list": []},
        "templating": {"list": [_choice_of_source(), *map(_variable, dashboard.variables), _runbooks()]},
        "panels": list(_placed(dashboard)),
    }


def _others() -> Json:
    return {
        "type": "dashboards",
        "title": "ScaiVault",
        "tags": [TAG],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }


def _link(title: str, url: str) -> Json:
    return {
        "type": "link",
        "title": title,
        "url": url,
        "targetBlank": True,
        "icon": "doc",
        "tooltip": "",
        "tags": [],
        "asDropdown": False,
        "includeVars": False,
        "keepTime": False,
    }


def _choice_of_source() -> Json:
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data Source",
        "query": "prometheus",
        "regex": "",
        "current": {},
        "options": [],
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "refresh": 1,
        "skipUrlSync": False,
    }


def _variable(variable: Variable) -> Json:
    query = f"label_values({variable.series}, {variable.name})"
    return {
        "type": "query",
        "name": variable.name,
        "label": variable.label,
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": f"{variable.name}-values"},
        "refresh": 2,  # with the time range: what was there then
        "regex": "",
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": variable.all_value,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
        "hide": 0,
        "skipUrlSync": False,
    }


def _runbooks() -> Json:
    return {
        "type": "constant",
        "name": "runbooks",
        "label": "Where the runbooks are",
        "query": RUNBOOK_BASE,
        "current": {"selected": False, "text": RUNBOOK_BASE, "value": RUNBOOK_BASE},
        "options": [{"selected": True, "text": RUNBOOK_BASE, "value": RUNBOOK_BASE}],
        "hide": 2,
        "skipUrlSync": True,
    }


def _placed(dashboard: Dashboard) -> Iterator[Json]:
    """From left to right, in shelves as high as their highest."""
    x = y = height = 0
    for part in dashboard.parts:
        width = COLUMNS if isinstance(part, Row) else part.width
        if x + width > COLUMNS:
            x, y, height = 0, y + height, 0
        place: Json = {"x": x, "y": y, "w": width, "h": 1 if isinstance(part, Row) else part.height}
        yield _row(part, place) if isinstance(part, Row) else _panel(part, place)
        x, height = x + width, max(height, 1 if isinstance(part, Row) else part.height)


def _row(row: Row, place: Json) -> Json:
    return {"id": row.id, "type": "row", "title": row.title, "collapsed": False, "panels": [], "gridPos": place}


def _panel(panel: Panel, place: Json) -> Json:
    return {
        "id": panel.id,
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": place,
        "links": [
            {"title": f"Runbook: {alert}", "url": f"${{runbooks}}/{alert}", "targetBlank": True}
            for alert in panel.alerts
        ],
        "targets": list(_targets(panel)),
        "fieldConfig": {"defaults": _field(panel), "overrides": _overrides(panel)},
        "options": _options(panel),
        "transformations": _TRANSFORMATIONS.get(panel.kind, []),
    }


def _targets(panel: Panel) -> Iterator[Json]:
    is_instant = panel.kind in {Kind.BARS, Kind.TABLE}
    for number, query in enumerate(panel.queries):
        yield {
            "refId": chr(ord("A") + number),
            "datasource": _DATASOURCE,
            "editorMode": "code",
            "expr": scoped(query.expr),
            "legendFormat": query.legend,
            "instant": is_instant,
            "range": not is_instant,
            "format": "table" if panel.kind is Kind.TABLE else "time_series",
        }


def _field(panel: Panel) -> Json:
    steps = [{"color": panel.base, "value": None}, *({"color": color, "value": at} for at, color in panel.steps)]
    bounds = {"min": panel.least, "max": panel.most}
    return {
        "unit": panel.unit,
        **_decimals(panel),
        **({"noValue": panel.while_empty} if panel.while_empty else {}),
        **{name: bound for name, bound in bounds.items() if bound is not None},
        "color": {"mode": "palette-classic" if panel.kind is Kind.LINES else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": [_mapping(panel.texts)] if panel.texts else [],
        "custom": _custom(panel),
    }


def _decimals(panel: Panel) -> Json:
    """There is no half of what is counted."""
    return {"decimals": 0} if panel.unit == COUNT else {}


def _mapping(texts: tuple[Text, ...]) -> Json:
    shown = {
        str(each.value): {"text": each.text, "color": each.color, "index": index} for index, each in enumerate(texts)
    }
    return {"type": "value", "options": shown}


def _custom(panel: Panel) -> Json:
    if panel.kind is Kind.STATES:
        return {"fillOpacity": 70, "lineWidth": 0}
    if panel.kind is not Kind.LINES:
        return {}
    return {
        **_room(panel),
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 60 if panel.is_stacked else 10,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.is_stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if panel.steps else "off"},
    }


def _room(panel: Panel) -> Json:
    """An axis that goes up to the first line at least: nothing but zeros is drawn up to 100 else."""
    if panel.most is not None or panel.unit not in _LEAST_ROOM:
        return {}
    return {"axisSoftMax": min([_LEAST_ROOM[panel.unit], *(at for at, _ in panel.steps)])}


def _options(panel: Panel) -> Json:
    """Few lines whose names are known are told in a row, and in the order they are written in; others by size."""
    options = _OPTIONS[panel.kind]
    if panel.kind is not Kind.LINES or any("{{" in query.legend for query in panel.queries):
        return options
    row = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]}
    return {**options, "legend": row}


def _overrides(panel: Panel) -> list[Json]:
    return [
        {
            # Between slashes: without them Grafana wants all of a legend to match.
            "matcher": {"id": "byRegexp", "options": f"/{legend}/"},
            "properties": [{"id": "color", "value": {"mode": "shades", "fixedColor": color}}],
        }
        for legend, color in panel.shades.items()
    ]


_LEAST_ROOM = {COUNT: 1.0, "none": 1.0, "reqps": 0.1, "ops": 0.1, "cps": 0.1}
_OPTIONS: dict[Kind, Json] = {
    Kind.LINES: {
        "legend": {
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["lastNotNull", "max"],
            "sortBy": "Max",
            "sortDesc": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    Kind.STAT: {
        "reduceOptions": _REDUCED,
        "colorMode": "background",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
    },
    Kind.BARS: {
        "reduceOptions": _REDUCED,
        "displayMode": "basic",
        "namePlacement": "top",  # names of identities are long
        "sizing": "auto",
        "orientation": "horizontal",
        "showUnfilled": True,
        "minVizHeight": 10,
        "minVizWidth": 0,
    },
    Kind.TABLE: {"showHeader": True},
    Kind.STATES: {
        "alignValue": "center",
        "mergeValues": True,
        "rowHeight": 0.8,
        "showValue": "auto",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single", "sort": "none"},
    },
}
_TRANSFORMATIONS: dict[Kind, list[Json]] = {
    Kind.TABLE: [
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True},
                "indexByName": {name: at for at, name in enumerate(("job", "version", "revision", "python", "Value"))},
                "renameByName": {"Value": "processes"},
            },
        }
    ]
}
