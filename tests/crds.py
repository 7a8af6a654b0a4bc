"""Our CRDs on the tests' API server."""

from __future__ import annotations

from typing import Any

import wayside.resources
from tests.cluster import Kubectl
from wayside.catalog import discover
from wayside.manifests.crd import crd
from wayside.resources import Kind, kinds

Object = dict[str, Any]


def known() -> dict[str, Kind]:
    """Every kind of ours, by its name."""
    discover(wayside.resources)
    return {each.kind: each for each in kinds()}


def install(kubectl: Kubectl, *names: str) -> None:
    """Apply the CRDs of these kinds and wait until they are served. It may be done again."""
    made = [crd(known()[name]) for name in names]
    kubectl.apply(*made)
    named = [f"crd/{each['metadata']['name']}" for each in made]
    kubectl("wait", "--for=condition=Established", "--timeout=30s", *named)


def semantic_router(name: str = "router", **spec: Any) -> Object:
    """A SemanticRouter with this spec."""
    return {
        "apiVersion": "vllm.ai/v1alpha1",
        "kind": "SemanticRouter",
        "metadata": {"name": name},
        "spec": spec,
    }
