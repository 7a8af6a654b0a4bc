"""Dashboards ask for what there is, say what they show, and are what Grafana reads (spec 4.5)."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
import yaml
from scripts import monitoring

from tests.deploy.test_promql import exported, labels_of
from wayside.manifests.dashboards import DASHBOARDS, LABEL, config_maps, rendered

SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
LABELS_IN = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
GROUPS = re.compile(r"\bby \(([^)]*)\)")
FROM_KUBERNETES = {"namespace", "pod"}
"""Labels that Prometheus puts on what it scrapes in a cluster."""

PANEL: dict[str, Any] = {
    "type": "object",
    "required": ["id", "type", "title", "gridPos"],
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "type": {"enum": ["row", "timeseries", "stat", "bargauge"]},
        "title": {"type": "string", "minLength": 1},
        "description": {"type": "string"},
        "gridPos": {
            "type": "object",
            "required": ["h", "w", "x", "y"],
            "additionalProperties": False,
            "properties": {
                "h": {"type": "integer", "minimum": 1},
                "w": {"type": "integer", "minimum": 1, "maximum": 24},
                "x": {"type": "integer", "minimum": 0, "maximum": 23},
                "y": {"type": "integer", "minimum": 0},
            },
        },
        "datasource": {
            "type": "object",
            "required": ["type", "uid"],
            "properties": {"type": {"const": "prometheus"}, "uid": {"const": "${datasource}"}},
        },
        "targets": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["refId", "expr", "datasource"],
                "properties": {"refId": {"pattern": "^[A-Z]$"}, "expr": {"minLength": 1}},
            },
        },
        "fieldConfig": {
            "type": "object",
            "required": ["defaults", "overrides"],
            "properties": {
                "defaults": {
                    "type": "object",
                    "required": ["unit", "thresholds"],
                    "properties": {
                        "thresholds": {
                            "type": "object",
                            "required": ["mode", "steps"],
                            "properties": {
                                "mode": {"enum": ["absolute", "percentage"]},
                                "steps": {
                                    "type": "array",
                                    "minItems": 1,
                                    "items": {
                                        "required": ["color", "value"],
                                        "properties": {"value": {"type": ["number", "null"]}},
                                    },
                                },
                            },
                        }
                    },
                }
            },
        },
    },
    "if": {"properties": {"type": {"const": "row"}}},
    "else": {"required": ["targets", "fieldConfig", "options", "description", "datasource"]},
}
DASHBOARD: dict[str, Any] = {
    "type": "object",
    "required": ["uid", "title", "schemaVersion", "panels", "templating", "time", "annotations"],
    "properties": {
        "uid": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"},
        "schemaVersion": {"type": "integer", "minimum": 36},
        "refresh": {"type": "string"},
        "panels": {"type": "array", "items": PANEL, "minItems": 1},
        "templating": {
            "type": "object",
            "required": ["list"],
            "properties": {
                "list": {
                    "type": "array",
                    "items": {"required": ["name", "type", "query", "hide"]},
                }
            },
        },
    },
}
"""What Grafana's documentation ("Dashboard JSON model") wants of a dashboard, as far as it is used
here."""


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=[each.name for each in DASHBOARDS])
def test_it_is_what_grafana_reads(dashboard: Any) -> None:
    found = rendered(dashboard)
    jsonschema.validate(found, DASHBOARD)
    ids = [panel["id"] for panel in found["panels"]]
    assert len(ids) == len(set(ids))
    variables = {each["name"]: each["type"] for each in found["templating"]["list"]}
    assert variables["datasource"] == "datasource"
    taken: set[tuple[int, int]] = set()
    for panel in found["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not taken & cells, f"{panel['title']} lies over another panel"
        taken |= cells
        for used in re.findall(r"\$\{?([a-z]\w*)", json.dumps(panel.get("targets", []))):
            assert used in variables, f"{panel['title']}: ${used} is no variable"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=[each.name for each in DASHBOARDS])
def test_every_panel_says_what_it_shows(dashboard: Any) -> None:
    """A title of its own, a whole sentence, a unit; thresholds that rise or fall."""
    panels = [panel for row in dashboard.rows for panel in row.panels]
    assert len(panels) >= 20
    titles = [panel.title for panel in panels]
    assert len(titles) == len(set(titles))
    for panel in panels:
        assert panel.unit, panel.title
        assert panel.description.endswith("."), panel.title
        assert list(panel.thresholds) == sorted(panel.thresholds, reverse=panel.low_is_bad)
        for query in panel.queries:
            if panel.unit == "s":
                assert "_seconds" in query.expression, panel.title
            if panel.unit == "bytes":
                assert "_bytes" in query.expression, panel.title
            if "rate(" in query.expression:
                assert "$__rate_interval" in query.expression, panel.title


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=[each.name for each in DASHBOARDS])
def test_no_query_names_a_label_that_is_not_there(dashboard: Any) -> None:
    """Nor a metric, nor a label to group by, nor one in a legend that is grouped away."""
    for row in dashboard.rows:
        for panel in row.panels:
            for query in panel.queries:
                known: set[str] = set()
                for name, inside in SELECTOR.findall(query.expression):
                    assert name in exported(), f"{panel.title}: {name}"
                    there = labels_of(name) | FROM_KUBERNETES
                    known |= there
                    asked = set(LABELS_IN.findall(inside))
                    assert asked <= there, f"{panel.title}: {name} has no {asked - there}"
                grouped: set[str] = set()
                for group in GROUPS.findall(query.expression):
                    grouped |= {label.strip() for label in group.split(",")}
                assert grouped <= known, f"{panel.title}: {grouped - known}"
                legend = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
                assert legend <= grouped, f"{panel.title}: legend {legend - grouped}"


def test_the_files_that_are_shipped_are_fresh() -> None:
    for path, text in monitoring.files():
        assert path.read_text("utf-8") == text, "run scripts/monitoring.py"


def test_config_maps_are_found_by_grafanas_sidecar() -> None:
    """Labelled as the sidecar wants them, and small enough for an object of the cluster."""
    maps = config_maps("router", "ns", {"app": "x"})
    assert len(maps) == len(DASHBOARDS)
    for each in maps:
        assert each["metadata"]["labels"].items() >= LABEL.items()
        (text,) = each["data"].values()
        assert json.loads(text)["uid"].startswith("wayside-")
        assert len(yaml.safe_dump(each)) < 900_000
