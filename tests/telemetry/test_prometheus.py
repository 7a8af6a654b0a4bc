"""A real Prometheus scrapes a real router of two workers, evaluates its rules, and answers the
queries of its dashboards (AX-10)."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.telemetry.collector import collecting
from tests.telemetry.prometheus import Prometheus, eventually, free_port, prometheus, promtool
from wayside.manifests.alerts import ALERTS, groups
from wayside.manifests.dashboards import DASHBOARDS
from wayside.sim import SimModel, SimServer, serve_sim

TRACE = "0af7651916cd43dd8448eb211c80319c"
USER, WORDS = "alice@example.com", "a tangerine integral"
KEY = "sk-proj-0123456789abcdefghij"


class Site(NamedTuple):
    url: str
    management: str
    prometheus: Prometheus

    def ask(self, model: str = "auto", **headers: str) -> int:
        message = {"role": "user", "content": WORDS}
        body = json.dumps({"model": model, "messages": [message], "user": USER}).encode()
        given = {"content-type": "application/json", "authorization": f"Bearer {KEY}", **headers}
        request = urllib.request.Request(f"{self.url}/v1/chat/completions", body, given)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return int(error.code)


def quick(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rules as they are, but that they fire at once, and over a short while."""
    rules = copy.deepcopy(rules)
    for group in rules:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "0s"
            rule["expr"] = re.sub(r"\[\d+m\]", "[3s]", rule["expr"])
    return rules


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    sims = serve_sim([SimServer((SimModel("m"),))])
    (sim,) = asyncio.run_coroutine_threadsafe(sims.__aenter__(), loop).result(10)
    port, management = free_port(), free_port()
    config = {
        "listen": {"port": port},
        "management": {"port": management},
        "models": {
            "m": {"endpoints": [sim.url]},
            "down": {"endpoints": ["http://127.0.0.1:9"], "retries": {"attempts": 1},
                     "breaker": {"failures": 1}},
        },
        "routing": {
            "default_model": "m",
            "signals": {"keyword": {"maths": {"keywords": ["integral"]}}},
            "decisions": [{"name": "sums", "when": "keyword:maths", "models": ["m"]}],
        },
    }  # fmt: skip
    (folder / "wayside.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "wayside", "serve", "--workers", "2"]
    with collecting() as collector:
        env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        with (folder / "wayside.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "-c", str(folder / "wayside.yaml")], stderr=log, stdout=log, env=env
            )
            try:
                rules = {"groups": quick(groups("wayside"))}
                where = f"127.0.0.1:{management}"
                with prometheus(folder, [where], rules) as server:
                    found = Site(f"http://127.0.0.1:{port}", f"http://{where}", server)
                    eventually(lambda: ready(found.management), 30)
                    yield found
            finally:
                process.terminate()
                process.wait(30)
                asyncio.run_coroutine_threadsafe(sims.__aexit__(None, None, None), loop).result(10)
                loop.call_soon_threadsafe(loop.stop)
                thread.join()
                loop.close()


def ready(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/ready", timeout=5) as answer:
        return bool(answer.status == 200)


def test_rules_are_valid_and_fire_when_they_should(tmp_path: Path) -> None:
    """promtool reads them, and plays what each is about: it fires after its time, not before."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": groups("wayside")}))
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(rules))
    bad = {
        "WaysideServerDown": (
            {'wayside_endpoint_healthy{namespace="n",model="m",endpoint="e"}': "0x20",
             'wayside_endpoint_healthy{namespace="n",model="m",endpoint="f"}': "1x20"},
            {"model": "m", "endpoint": "e"}, "4m", "6m",
        ),
        "WaysideModelDown": (
            {'wayside_endpoint_healthy{namespace="n",model="m",endpoint="e"}': "0x20",
             'wayside_endpoint_healthy{namespace="n",model="k",endpoint="f"}': "1x20"},
            {"model": "m"}, "30s", "2m",
        ),
        "HighRequestErrorRate": (
            {'wayside_requests_total{namespace="n"}': "0+60x40",
             'wayside_request_errors_total{namespace="n"}': "0+6x40"},
            {}, "5m", "15m",
        ),
        "WaysideConfigurationRefused": (
            {'wayside_config_last_reload_successful{namespace="n"}': "0x20"}, {}, "4m", "6m",
        ),
        "HighTTFTP95": (
            {'wayside_time_to_first_byte_seconds_bucket{namespace="n",le="5.0"}': "0+1x40",
             'wayside_time_to_first_byte_seconds_bucket{namespace="n",le="10.0"}': "0+60x40",
             'wayside_time_to_first_byte_seconds_bucket{namespace="n",le="+Inf"}': "0+60x40"},
            {}, "5m", "16m",
        ),
        "WaysideSignalsUnknown": (
            {'wayside_requests_total{namespace="n"}': "0+60x40",
             'wayside_signals_unknown_total{namespace="n"}': "0+60x40"},
            {}, "5m", "15m",
        ),
    }  # fmt: skip
    by_name = {each.name: each for each in ALERTS}
    tests = []
    for name, (series, labels, before, after) in bad.items():
        alert = by_name[name]
        fires = {
            "exp_labels": {"severity": alert.severity, "namespace": "n", **labels},
            "exp_annotations": {"summary": alert.summary},
        }
        tests.append(
            {
                "interval": "1m",
                "input_series": [{"series": s, "values": v} for s, v in series.items()],
                "alert_rule_test": [
                    {"eval_time": before, "alertname": name, "exp_alerts": []},
                    {"eval_time": after, "alertname": name, "exp_alerts": [fires]},
                ],
            }
        )
    cases = tmp_path / "tests.yaml"
    cases.write_text(
        yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "30s", "tests": tests})
    )
    promtool("test", "rules", str(cases))


def test_two_workers_are_scraped_as_one(site: Site) -> None:
    """Every request is counted once, whichever worker had it; exemplars come along."""
    asked = 12
    for _ in range(asked):
        assert site.ask(traceparent=f"00-{TRACE}-b7ad6b7169203331-01") == 200
    counted = 'sum(wayside_requests_total{model="m",decision="sums"})'
    eventually(lambda: site.prometheus.value(counted) == asked)
    assert site.prometheus.value("min(up)") == 1
    found = eventually(
        lambda: site.prometheus.get(
            "query_exemplars",
            query="wayside_request_duration_seconds_bucket",
            start="0",
            end="4102444800",
        )
    )
    traces = {e["labels"]["trace_id"] for each in found for e in each["exemplars"]}
    assert traces == {TRACE}


def test_every_panel_of_every_dashboard_can_be_asked(site: Site) -> None:
    """Each query is answered; what there has been traffic for has data."""
    site.ask()
    eventually(lambda: site.prometheus.value("sum(rate(wayside_requests_total[1m])) > 0"))
    empty = []
    for dashboard in DASHBOARDS:
        for row in dashboard.rows:
            for panel in row.panels:
                for query in panel.queries:
                    expression = query.expression
                    for variable, value in (
                        ("$namespace", ".*"), ("$model", ".*"), ("$__rate_interval", "1m"),
                    ):  # fmt: skip
                        expression = expression.replace(variable, value)
                    found = site.prometheus.get("query", query=expression)["result"]
                    if not found:
                        empty.append(panel.title)
    for title in ("Requests", "Requests by model", "Decisions", "Tokens by model", "First byte",
                  "Signals that matched", "In rotation", "Configuration", "Routing"):  # fmt: skip
        assert title not in empty
    assert len(empty) < 25, empty


def test_rules_are_evaluated_and_an_alert_fires_when_a_model_is_down(site: Site) -> None:
    found = site.prometheus.get("rules")["groups"]
    assert {rule["health"] for group in found for rule in group["rules"]} <= {"ok", "unknown"}
    assert "WaysideModelDown" not in site.prometheus.firing()

    def noticed() -> dict[str, str] | None:
        assert site.ask("down") in (502, 503)  # both workers have to see it
        return site.prometheus.firing().get("WaysideModelDown")

    labels = eventually(noticed, 30)
    assert labels["model"] == "down"
    assert labels["severity"] == "critical"


def test_no_label_tells_who_asked_or_what(site: Site) -> None:
    """Users, keys, prompts and ids of requests are in no label (spec 4.5)."""
    site.ask("nobody-has-this-model", **{"x-request-id": "request-id-of-a-client"})
    site.ask(**{"x-authz-user-id": USER, "x-request-id": KEY})
    with urllib.request.urlopen(f"{site.management}/metrics", timeout=5) as answer:
        page = answer.read().decode()
    for secret in (USER, "alice", KEY, "tangerine", "request-id-of-a-client",
                   "nobody-has-this-model"):  # fmt: skip
        assert secret not in page
