"""llm-d's manifests and values: what becomes of them, beyond what the golden files show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.conftest import Wayside, here, wayside
from wayside.cli.files import read
from wayside.runtime import compile_policy
from wayside.translate import llm_d, translate, translate_all

__all__ = ["here", "wayside"]  # fixtures
POOL = {
    "apiVersion": "inference.networking.k8s.io/v1",
    "kind": "InferencePool",
    "metadata": {"name": "llama"},
    "spec": {"targetPorts": [{"number": 8000}], "selector": {"matchLabels": {"app": "vllm"}}},
}
PICKER = {
    "apiVersion": "llm-d.ai/v1alpha1",
    "kind": "EndpointPickerConfig",
    "plugins": [{"type": "queue-scorer"}, {"type": "random-picker"}],
}


def test_what_kubectl_lists_is_read_as_documents() -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [POOL, PICKER]})
    loaded = read(text.encode(), "standard input", env={})
    assert loaded.format == "llm_d"
    discover = loaded.settings.models["llama"].discover
    assert discover is not None and discover.kubernetes is not None
    assert (discover.kubernetes.pods, discover.kubernetes.port) == ("app=vllm", 8000)
    assert loaded.settings.picking is not None
    compile_policy(loaded.settings, needs_endpoints=False)


def test_a_config_map_brings_the_pickers_file() -> None:
    held = {"kind": "ConfigMap", "apiVersion": "v1", "data": {"p.yaml": json.dumps(PICKER)}}
    found = translate_all([POOL, held])
    assert found is not None and found.settings["picking"]["picker"] == "random"


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        ({"plugins": [{"type": "queu-scorer"}]}, "plugins[0].type", "queue-scorer"),
        ({"plugins": [{"type": "dcgm-data-source"}]}, "plugins[0].type", "is not done here"),
        ({"schedulingProfiles": [{"name": "a", "plugins": [{"pluginRef": "x"}]}]},
         "schedulingProfiles[0].plugins[0].pluginRef", "no plugin 'x'"),
    ],
)  # fmt: skip
def test_a_picker_that_cannot_be_kept_whole_is_left_out_whole(
    change: dict[str, Any], where: str, what: str
) -> None:
    found = translate({**PICKER, **change})
    assert found is not None and "picking" not in found.settings
    (note,) = [n for n in found.notes if n.path == where]
    assert note.severity == "refused" and what in note.what


def test_a_pool_is_found_by_one_picker_only() -> None:
    found = translate_all([POOL, PICKER, PICKER])
    assert found is not None
    assert any("one picker's configuration is taken" in note.what for note in found.notes)


def test_a_pool_that_selects_nothing_takes_nobodys_pods() -> None:
    found = translate({**POOL, "spec": {"targetPorts": [{"number": 8000}]}})
    assert found is not None and "models" not in found.settings


def test_other_manifests_are_not_taken_for_it() -> None:
    assert not llm_d.recognises({"kind": "Deployment", "apiVersion": "apps/v1"})
    assert not llm_d.recognises({"kind": "InferencePool", "apiVersion": "example.com/v1"})
    assert not llm_d.recognises({"router": {"name": "x"}})


def test_values_of_two_charts_are_converted_together(wayside: Wayside, here: Any) -> None:
    (here / "pool.yaml").write_text(
        "inferencePool: {modelServers: {matchLabels: {app: vllm}}}\n"
        "inferenceExtension: {replicas: 1}\n"
    )
    (here / "model.yaml").write_text("modelArtifacts: {name: Qwen/Qwen3-8B}\n")
    said = wayside("config", "convert", "pool.yaml", "model.yaml", "--json")
    assert list(json.loads(said.out)["models"]) == ["Qwen/Qwen3-8B"]
