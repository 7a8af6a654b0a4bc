"""Write what ``deploy/monitoring`` and the chart have of rules and dashboards; ``--check`` only
says whether it is fresh."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from wayside.manifests import dashboards
from wayside.manifests.alerts import groups
from wayside.manifests.router_config import written

ROOT = Path(__file__).parents[1]
MONITORING = ROOT / "deploy" / "monitoring"
RULES = MONITORING / "rules.yaml"
MAPS = MONITORING / "dashboards.yaml"
CHART = ROOT / "deploy" / "helm" / "semantic-router" / "dashboards"
HEAD = """\
# Made by scripts/monitoring.py of src/wayside/manifests/alerts.py; change that instead.
# For routers of every namespace; `monitoring: true` of an intent brings those of its own.
"""
MAPS_HEAD = """\
# Made by scripts/monitoring.py of src/wayside/manifests/dashboards.py; change that instead.
# Grafana's sidecar finds them by their label; `monitoring: true` of an intent brings its own.
"""


def files() -> Iterator[tuple[Path, str]]:
    """Every file with its text."""
    rules = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "semantic-router", "labels": {"app.kubernetes.io/name": "wayside"}},
        "spec": {"groups": groups("semantic-router")},
    }
    yield RULES, HEAD + written(rules)
    maps = dashboards.config_maps("semantic-router", "", {"app.kubernetes.io/name": "wayside"})
    yield MAPS, MAPS_HEAD + "---\n".join([written(each) for each in maps])
    for name, text in dashboards.files():
        yield MONITORING / name, text
        yield CHART / name, text


if __name__ == "__main__":
    for path, text in files():
        if "--check" in sys.argv:
            if not path.exists() or path.read_text("utf-8") != text:
                sys.exit(f"{path.relative_to(ROOT)} is stale: run scripts/monitoring.py")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
