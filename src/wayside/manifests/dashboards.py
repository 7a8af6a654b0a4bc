"""Two Grafana dashboards over the router's own metrics, made of a short description of each panel.

One is for whoever keeps the platform running (traffic, errors, servers, the router itself), one
for whoever decides which model answers what (decisions, signals, tokens, money, speed, cache).
Every query may be narrowed to a namespace and to models; the data source is a variable.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from wayside.manifests import panels_ai, panels_platform
from wayside.manifests.panels import Panel, Row

Object = dict[str, Any]

LABEL: Final = {"grafana_dashboard": "1"}
"""By which Grafana's sidecar finds dashboards among ConfigMaps."""
SCHEMA: Final = 39
"""The version of Grafana's JSON that is written: Grafana 10 and later read it."""
COLUMNS: Final = 24
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_COLOURS: Final = ("green", "orange", "red")


@dataclass(frozen=True, slots=True)
class Dashboard:
    """``name`` is its file, and with ``wayside-`` before it how Grafana knows it."""

    name: str
    title: str
    description: str
    rows: tuple[Row, ...]


DASHBOARDS: Final = (
    Dashboard(
        "platform",
        "Wayside / Platform",
        "Traffic, errors, models' servers, and the router itself.",
        panels_platform.ROWS,
    ),
    Dashboard(
        "ai-engineer",
        "Wayside / AI engineer",
        "Which prompts go where and why, what they take and cost, and how soon they are answered.",
        panels_ai.ROWS,
    ),
)


def rendered(dashboard: Dashboard) -> Object:
    """``dashboard`` as Grafana's JSON."""
    return {
        "uid": f"wayside-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["wayside", "llm"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "fiscalYearStartMonth": 0,
        "weekStart": "",
        "timepicker": {},
        "annotations": {"list": [_reloads()]},
        "links": [
            {
                "title": "Wayside",
                "type": "dashboards",
                "tags": ["wayside"],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "url": "",
            }
        ],
        "templating": {"list": list(_variables())},
        "panels": list(_placed(dashboard.rows)),
    }


def files() -> Iterator[tuple[str, str]]:
    """Each dashboard's file name and JSON."""
    for dashboard in DASHBOARDS:
        yield f"{dashboard.name}.json", json.dumps(rendered(dashboard), indent=1) + "\n"


def config_maps(
    name: str, namespace: str, labels: Mapping[str, str], folder: str = "Wayside"
) -> tuple[Object, ...]:
    """One ConfigMap for each dashboard, as Grafana's sidecar takes them."""
    return tuple(
        [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": f"{name}-dashboard-{dashboard.name}",
                    **({"namespace": namespace} if namespace else {}),
                    "labels": {**labels, **LABEL},
                    "annotations": {"grafana_folder": folder},
                },
                "data": {
                    f"wayside-{dashboard.name}.json": json.dumps(
                        rendered(dashboard), separators=(",", ":")
                    )
                },
            }
            for dashboard in DASHBOARDS
        ]
    )


def _reloads() -> Object:
    return {
        "name": "New configuration",
        "datasource": _SOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "blue",
        "expr": 'changes(wayside_config_generation{namespace=~"$namespace"}[1m]) > 0',
        "step": "60s",
        "titleFormat": "A new configuration is in force",
    }


def _variables() -> Iterator[Object]:
    yield {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
    }
    for label, title in (("namespace", "Namespace"), ("model", "Model")):
        query = f"label_values(wayside_requests_total, {label})"
        yield {
            "name": label,
            "label": title,
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": query, "refId": "V"},
            "definition": query,
            "includeAll": True,
            "allValue": ".*",
            "multi": True,
            "current": {"selected": True, "text": "All", "value": "$__all"},
            "hide": 0,
            "options": [],
            "refresh": 2,
            "regex": "",
            "sort": 1,
        }


def _placed(rows: Sequence[Row]) -> Iterator[Object]:
    """Panels with their places: rows from top to bottom, panels from left to right."""
    number = y = 0
    for row in rows:
        number += 1
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
        yield {
            "id": number, "type": "row", "title": row.title, "collapsed": False,
            "gridPos": place, "panels": [],
        }  # fmt: skip
        y += 1
        x = tallest = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            yield _panel(panel, number, {"h": panel.height, "w": panel.width, "x": x, "y": y})
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest


def _panel(panel: Panel, number: int, place: Object) -> Object:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": "ABCDEFGH"[i],
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
                "range": panel.kind == "timeseries",
                "instant": panel.kind != "timeseries",
                "exemplar": panel.kind == "timeseries" and "_bucket" in query.expression,
            }
            for i, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
    }


def _defaults(panel: Panel) -> Object:
    steps: list[Object] = [{"color": _COLOURS[0], "value": None}]
    if panel.low_is_bad:
        steps = [{"color": _COLOURS[2], "value": None}]
        colours: Sequence[str] = _COLOURS[1::-1] if len(panel.thresholds) > 1 else _COLOURS[:1]
    else:
        colours = _COLOURS[1:] if len(panel.thresholds) > 1 else _COLOURS[2:]
    steps += [
        {"color": colour, "value": value}
        for colour, value in zip(colours, panel.thresholds, strict=False)
    ]
    found: Object = {
        "unit": panel.unit,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.most is not None:
        found |= {"min": 0, "max": panel.most}
    elif panel.kind == "timeseries":
        found["min"] = 0
    if panel.kind == "timeseries":
        found["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 60 if panel.stacked else 8,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if panel.thresholds else "off"},
        }
    if panel.names:
        found["mappings"] = [
            {
                "type": "value",
                "options": {
                    str(value): {"text": text, "index": i}
                    for i, (value, text) in enumerate(panel.names)
                },
            }
        ]
    return found


_CALCULATED: Final = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: Final[Mapping[Literal["timeseries", "stat", "bargauge"], Object]] = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": _CALCULATED,
        "textMode": "auto",
    },
    "bargauge": {
        "displayMode": "gradient",
        "orientation": "horizontal",
        "reduceOptions": _CALCULATED,
        "showUnfilled": True,
        "valueMode": "color",
    },
}
