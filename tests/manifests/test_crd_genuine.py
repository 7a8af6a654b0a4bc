"""Every CRD of ours on a genuine API server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scripts import core_schemas

from tests.cluster import Kubectl
from tests.crds import install, known
from wayside.kube.client import Client
from wayside.manifests.crd import crd
from wayside.vocab.resource import CRDS


def test_core_schemas_are_those_of_the_api_server(kubectl: Kubectl) -> None:
    """What a server says of its own types; ``scripts/core_schemas.py`` writes it down."""
    text = core_schemas.collect(lambda path: kubectl("get", "--raw", path))
    assert text == core_schemas.TARGET.read_text("utf-8")


@pytest.mark.parametrize("name", sorted(known()))
async def test_a_crd_is_established_and_kept_as_it_was_written(
    kubectl: Kubectl, admin: Client, name: str
) -> None:
    """A1-05: its schema is structural, every CEL rule compiles and is cheap enough, and
    the server takes away nothing of it."""
    made = crd(known()[name])
    install(kubectl, name)
    stored = await admin.get(CRDS, made["metadata"]["name"])
    (version,) = stored["spec"]["versions"]
    assert not lost(made["spec"]["versions"][0], version)
    states = {c["type"]: c["status"] for c in stored["status"]["conditions"]}
    assert states["Established"] == states["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in states
    kept = stored["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert len(kept) < 262_144
    assert json.loads(kept)["spec"] == made["spec"]


def lost(written: Any, stored: Any, path: str = "") -> list[str]:
    """What was written and is not stored so."""
    if isinstance(written, dict):
        if not isinstance(stored, dict):
            return [path]
        return [p for k, v in written.items() for p in lost(v, stored.get(k), f"{path}.{k}")]
    return [] if written == stored or (path.endswith(".priority") and not written) else [path]
