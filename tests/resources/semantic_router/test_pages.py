"""Every SemanticRouter on the pages about clusters can be applied, and is understood."""

from __future__ import annotations

import pytest
import yaml

from tests.cluster import Kubectl
from tests.docs.pages import ROOT, Block, blocks
from tests.resources.worlds import FakeWorld
from wayside.manifests.crd import crd
from wayside.resources import kinds
from wayside.resources.semantic_router import SEMANTIC_ROUTERS, SemanticRouter
from wayside.vocab.resource import SERVICES

HOW_TO = ROOT / "docs" / "how-to"
PAGES = [HOW_TO / "run-on-kubernetes.md", HOW_TO / "run-on-openshift.md"]
SHOWN = [block for page in PAGES for block in blocks(page, "yaml") if "kind: Sem" in block.text]
SERVICE = {
    "metadata": {"name": "vllm-llama", "namespace": "ns"},
    "spec": {"ports": [{"port": 8000}]},
}


def test_both_pages_show_some() -> None:
    assert {block.page for block in SHOWN} == set(PAGES)


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_what_is_shown_is_applied_and_understood(
    kubectl: Kubectl, namespace: str, block: Block
) -> None:
    """A1-103: kubectl's strict validation finds no unknown field, and the operator no problem."""
    (kind,) = (kind for kind in kinds("operator") if kind.resource == SEMANTIC_ROUTERS)
    kubectl.apply(crd(kind))
    kubectl("wait", "--for=condition=Established", "crd/semanticrouters.vllm.ai")
    shown = yaml.safe_load(block.text)
    kubectl.apply(shown, namespace=namespace)
    shown["metadata"] |= {"namespace": "ns", "uid": "u"}
    wish = SemanticRouter().desired(shown, FakeWorld(at={SERVICES: [SERVICE]}))
    said = {one.type: one for one in wish.conditions}
    assert said["ConfigValid"].status == "True", said["ConfigValid"].message
