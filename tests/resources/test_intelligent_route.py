"""IntelligentRoute: rules nest, several models and every kind of signal have room (AX-02)."""

from __future__ import annotations

from typing import Any

import yaml

from tests.cluster import Kubectl
from tests.resources.test_intelligent_pool import installed
from wayside.resources.intelligent_route import IntelligentRouteSpec

ROUTE: dict[str, Any] = {
    "apiVersion": "vllm.ai/v1alpha1",
    "kind": "IntelligentRoute",
    "metadata": {"name": "nested"},
    "spec": {
        "signals": {
            "keywords": [{"name": "k", "operator": "OR", "keywords": ["x"], "fuzzy": True}],
            "language": [{"name": "de"}],
            "pii": [{"name": "secrets", "threshold": 0.8}],
        },
        "decisions": [
            {
                "name": "d",
                "signals": {
                    "operator": "AND",
                    "conditions": [
                        {"type": "keyword", "name": "k"},
                        {
                            "operator": "OR",
                            "conditions": [
                                {"type": "pii", "name": "secrets"},
                                {
                                    "operator": "NOT",
                                    "conditions": [{"type": "language", "name": "de"}],
                                },
                            ],
                        },
                    ],
                },
                "modelRefs": [{"model": "a", "weight": 2}, {"model": "b"}],
                "algorithm": {"type": "static", "static": {"anything": [1, {"x": None}]}},
                "plugins": [{"type": "pii", "configuration": {"action": "mask"}}],
            }
        ],
    },
}


def test_what_is_ours_alone_is_kept_by_the_server(kubectl: Kubectl) -> None:
    """AX-02: nothing of a nested rule, an algorithm or a further kind of signal is pruned."""
    installed(kubectl)
    kubectl.apply(ROUTE)
    kept = yaml.safe_load(kubectl("get", "iroute", "nested", "-o", "yaml"))["spec"]
    (decision,) = kept["decisions"]
    inner = decision["signals"]["conditions"][1]["conditions"][1]["conditions"][0]
    assert inner == {"type": "language", "name": "de"}
    assert decision["algorithm"]["static"]["anything"][0] == 1
    assert decision["modelRefs"][0]["weight"] == 2
    assert kept["signals"]["pii"] == [{"name": "secrets", "threshold": 0.8}]
    assert kept["signals"]["keywords"][0]["fuzzy"] is True
    kubectl("delete", "iroute", "nested")


def test_it_is_read_as_it_is_written() -> None:
    spec = IntelligentRouteSpec.model_validate(ROUTE["spec"])
    assert [ref.model for ref in spec.decisions[0].model_refs] == ["a", "b"]
