"""Rules, dashboards and pages ask for metrics that there are (AX-10, A2-47)."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from scripts import monitoring

from tests.deploy import shipped
from tests.deploy.shipped import ROOT, Shipped
from wayside.cli.app import App
from wayside.cli.config import EXAMPLE
from wayside.cli.files import read
from wayside.manifests.alerts import ALERTS, RECORDED, groups
from wayside.telemetry import Log
from wayside.telemetry.metrics import Counter, Histogram, Metrics
from wayside.telemetry.production_stack import StackMetrics

OF_OTHERS = {
    "authorized_hits": "Limitador: tokens that were let through, by Kuadrant",
    "authorized_calls": "Limitador: requests that were let through",
    "limited_calls": "Limitador: requests that were refused",
    "kube_pod_status_ready": "kube-state-metrics",
}
"""Metrics of other programs that a page or a rule of ours may ask for, and whose they are."""

WORDS = """and or unless by without on ignoring group_left group_right bool offset inf nan"""
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME = re.compile(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(\s*\()?")


def asked(expression: str) -> set[str]:
    """The metrics of a PromQL expression: its names that are no function, label or keyword."""
    rest = re.sub(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', '""', expression)
    named = set(re.findall(r'\{[^}]*__name__\s*=\s*"(\w+)"', expression))
    rest = re.sub(r"\{[^}]*\}|\[[^\]]*\]|#.*", " ", rest)
    rest = _GROUPING.sub(" ", rest)
    rest = re.sub(r"\b\d+(?:\.\d+)?(?:e[+-]?\d+)?(?:ms|[smhdwy])?\b", " ", rest, flags=re.I)
    return named | {
        name
        for name, call in _NAME.findall(rest)
        if not call and name.lower() not in WORDS.split()
    }


def test_names_are_found_in_promql() -> None:
    assert asked(
        "sum by (le, model) (rate(a_total{b=\"c}d\", e=~'f'}[5m])) / on (x) b:c > 0.5"
    ) == {
        "a_total",
        "b:c",
    }
    assert asked("histogram_quantile(0.95, rate(d_bucket[1h:5m] offset 1d)) and e unless f") == {
        "d_bucket",
        "e",
        "f",
    }
    assert asked("avg_over_time(x[5m]) * on(pod) group_left(node) y or vector(0)") == {"x", "y"}
    assert asked("1e3 > Inf") == set()


@cache
def _labels() -> dict[str, frozenset[str]]:
    """Every series that a router may show, with what histograms add; and its labels."""
    env = {"OPENAI_API_KEY": "unused"}
    app = App(read(EXAMPLE.encode(), "example.yaml", env=env), env=env, log=Log(io.StringIO()))
    stack = Metrics()
    StackMetrics(stack, dict, lambda: 60.0, Log(io.StringIO()))
    found: dict[str, frozenset[str]] = {}
    for registry in (app.telemetry.metrics, stack):
        kinds = {each.name: each for each in registry.declared()}
        shown = {name: name for name in kinds} | {t: o for o, t in registry.copies()}
        for name, ours in shown.items():
            labels = frozenset(kinds[ours].labels if name == ours else registry.labels_of(name))
            found[name] = labels
            if isinstance(kinds[ours], Histogram):
                found |= {f"{name}_sum": labels, f"{name}_count": labels}
                found[f"{name}_bucket"] = labels | {"le"}
            elif isinstance(kinds[ours], Counter):
                found[f"{name.removesuffix('_total')}_total"] = labels
    return found


def exported() -> frozenset[str]:
    """Every series that a router may show, with what histograms add."""
    return frozenset(_labels())


def labels_of(name: str) -> frozenset[str]:
    """The labels that a series of ours has."""
    return _labels()[name]


def expressions() -> Iterator[tuple[str, str]]:
    """Every PromQL in the repository: rules that are shipped or rendered, dashboards, pages."""
    for each in [*shipped.in_files(), *shipped.rendered()]:
        yield from _of_rules(each)
    for path in [*(ROOT / "deploy").rglob("*.json"), *(ROOT / "docs").rglob("*.json")]:
        for found in re.findall(r'"expr":\s*("(?:\\.|[^"\\])*")', path.read_text("utf-8")):
            yield str(path.relative_to(ROOT)), json.loads(found)
    for path in (ROOT / "docs").rglob("*.md"):
        text = path.read_text("utf-8")
        for block in re.findall(r"^```promql\n(.*?)^```", text, re.M | re.S):
            for line in filter(str.strip, block.splitlines()):
                yield str(path.relative_to(ROOT)), line
        for found in re.findall(
            r"`((?:sum|rate|histogram_quantile|increase|avg)\b[^`\n]*)`", text
        ):
            if "(" in found:
                yield str(path.relative_to(ROOT)), found


def _of_rules(each: Shipped) -> Iterator[tuple[str, str]]:
    if each.body["kind"] == "PrometheusRule":
        for group in each.body["spec"]["groups"]:
            for rule in group["rules"]:
                yield f"{each}: {rule.get('alert') or rule['record']}", str(rule["expr"])


def test_ax_10_every_metric_that_is_asked_for_is_exported() -> None:
    """AX-10, A2-47: or another program's, which is named here."""
    found = list(expressions())
    assert len(found) > 2 * len(ALERTS), "there are rules in a file and in rendered targets"
    wrong = [
        f"{where}: {name} is exported by nobody (docs/reference/metrics.md)"
        for where, expression in found
        for name in sorted(asked(expression) - exported() - set(OF_OTHERS) - set(RECORDED))
    ]
    assert not wrong, "\n".join(wrong)


def test_ax_10_the_alerts_that_a_deployment_needs_are_there() -> None:
    """AX-10: the seven of vLLM Semantic Router's OpenShift deployment, and ours."""
    assert {each.name for each in ALERTS} >= {
        "HighRequestErrorRate",
        "HighCompletionLatencyP95",
        "HighTTFTP95",
        "HighTPOTP95",
        "HighRoutingLatencyP95",
        "HighInflightRequests",
        "LowCacheHitRate",
    }
    (group,) = groups("r", "ns")
    for rule in group["rules"]:
        assert all(f'{name}{{namespace="ns"}}' in rule["expr"] for name in asked(rule["expr"]))
        assert "{MINE}" not in rule["expr"]
    assert "namespace=" not in json.dumps(groups("r"))


def test_thresholds_are_between_buckets_that_exist() -> None:
    """A quantile of a histogram is never above its last bound: the alert could not fire."""
    from wayside.telemetry.metrics import MICRO, SECONDS

    for alert in ALERTS:
        if alert.expression.startswith("histogram_quantile"):
            bounds = MICRO if "wayside_routing_seconds" in alert.expression else SECONDS
            threshold = float(alert.expression.rpartition(">")[2])
            assert bounds[0] < threshold < bounds[-1], alert.name


COMPATIBLE = (
    *("llm_model_requests_total", "llm_request_errors_total", "llm_model_tokens_total"),
    *("llm_model_completion_latency_seconds", "llm_model_ttft_seconds", "llm_model_tpot_seconds"),
    *("llm_model_routing_latency_seconds", "llm_signal_match_total", "llm_decision_match_total"),
    *("llm_model_prompt_tokens_total", "llm_model_completion_tokens_total"),
    *("llm_prompt_tokens_per_request_bucket", "llm_completion_tokens_per_request_bucket"),
    *("gen_ai_client_token_usage_sum", "gen_ai_client_operation_duration_seconds_bucket"),
    *("gen_ai_server_time_to_first_token_seconds_count", "llm_model_cost_total"),
    *("llm_cache_plugin_hits_total", "llm_cache_plugin_misses_total", "llm_cache_entries_total"),
)


@pytest.mark.parametrize("name", COMPATIBLE)
def test_names_that_upstreams_dashboards_use_are_exported(name: str) -> None:
    """AX-10: what is there of vLLM Semantic Router's names, made from our numbers."""
    assert name in exported()


def test_the_rules_that_are_shipped_are_fresh() -> None:
    for path, text in monitoring.files():
        assert path.read_text("utf-8") == text, "run scripts/monitoring.py"
    assert yaml.safe_load(monitoring.RULES.read_text("utf-8"))["kind"] == "PrometheusRule"
    assert Path(monitoring.RULES).is_relative_to(shipped.DEPLOY)
