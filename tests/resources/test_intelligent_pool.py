"""IntelligentPool: its CRD takes what the published one takes (AX-01, AX-02)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

import wayside.resources
from tests.cluster import CRDS, SHARED, Kubectl
from wayside.catalog import discover
from wayside.manifests.crd import crd
from wayside.resources import kinds
from wayside.resources.intelligent_pool import IntelligentPoolSpec
from wayside.resources.intelligent_route import IntelligentRouteSpec

discover(wayside.resources)
OURS = {kind.kind: crd(kind) for kind in kinds("router")}


def schema(definition: dict[str, Any]) -> dict[str, Any]:
    (version,) = definition["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


def narrower(ours: Any, theirs: Any, path: str = "spec") -> list[str]:
    """Where ``ours`` refuses what ``theirs`` takes, as far as schemas tell."""
    found: list[str] = []
    open_ = ours.get("x-kubernetes-preserve-unknown-fields") is True
    if open_ and "type" not in ours:
        return []
    if not open_ and ours.get("type") != theirs.get("type"):
        found.append(f"{path}: {ours.get('type')} where {theirs.get('type')} was")
    for bound, wider in (("maxItems", 1), ("maxLength", 1), ("maximum", 1), ("minItems", -1)):
        if bound in ours and bound in theirs and wider * ours[bound] < wider * theirs[bound]:
            found.append(f"{path}: {bound} {ours[bound]}")
    if "enum" in ours and not set(theirs.get("enum", ["?"])) <= set(ours["enum"]):
        found.append(f"{path}: enum {ours['enum']}")
    if "pattern" in ours and "pattern" not in theirs and "enum" not in theirs:
        found.append(f"{path}: pattern {ours['pattern']}")
    if extra := set(ours.get("required", ())) - set(theirs.get("required", ())):
        found.append(f"{path}: required {sorted(extra)}")
    for name, part in theirs.get("properties", {}).items():
        if name in ours.get("properties", {}):
            found += narrower(ours["properties"][name], part, f"{path}.{name}")
        elif not open_:
            found.append(f"{path}.{name} is gone")
    if "items" in theirs:
        found += narrower(ours.get("items", {}), theirs["items"], f"{path}[]")
    return found


@pytest.mark.shared
@pytest.mark.parametrize("kind", ["IntelligentPool", "IntelligentRoute"])
def test_what_the_published_schema_takes_is_taken(kind: str) -> None:
    """AX-01: their narrower schema stays valid."""
    path = CRDS / f"vllm.ai_{kind.lower()}s.yaml"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    theirs = yaml.safe_load(path.read_text())
    assert narrower(schema(OURS[kind]), schema(theirs)) == []
    assert OURS[kind]["spec"]["names"] == {
        **theirs["spec"]["names"],
        **{k: v for k, v in OURS[kind]["spec"]["names"].items() if k == "categories"},
    }


@pytest.mark.shared
def test_published_objects_apply_under_strict_validation(kubectl: Kubectl) -> None:
    """AX-01."""
    folder = SHARED / "data" / "vsr-configs" / "pool-and-route" / "input"
    if not folder.exists():
        pytest.skip(f"{folder} is not here")
    installed(kubectl)
    for path in sorted(folder.glob("*.yaml")):
        kubectl("apply", "--dry-run=server", "-f", str(path))


def installed(kubectl: Kubectl) -> None:
    kubectl.apply(*OURS.values())
    names = [f"crd/{definition['metadata']['name']}" for definition in OURS.values()]
    kubectl("wait", "--for=condition=Established", *names)


def test_a_typo_is_refused_where_the_schema_is_ours(kubectl: Kubectl) -> None:
    installed(kubectl)
    pool = {
        "apiVersion": "vllm.ai/v1alpha1",
        "kind": "IntelligentPool",
        "metadata": {"name": "typo"},
        "spec": {"defaultModel": "a", "models": [{"name": "a", "prising": {}}]},
    }
    text = yaml.safe_dump(pool)
    done = kubectl.run("apply", "--dry-run=server", "-f", "-", stdin=text, ok=False)
    assert done.returncode and 'unknown field "spec.models[0].prising"' in done.stderr


def test_prices_are_not_negative() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        IntelligentPoolSpec.model_validate(
            {
                "defaultModel": "a",
                "models": [{"name": "a", "pricing": {"inputTokenPrice": -1}}],
            }
        )


def test_a_route_needs_a_decision() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        IntelligentRouteSpec.model_validate({"decisions": []})
