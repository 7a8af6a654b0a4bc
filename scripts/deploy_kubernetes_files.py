"""Write ``deploy/kubernetes``; ``--check`` only says whether it is fresh.

One function for each folder. The guides name these files, so their names and their namespaces
are the guides'; what is in them is what the targets make of the intents beside them here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import wayside.deploy
import wayside.deploy.targets
from wayside.catalog import discover
from wayside.deploy import Entry, Manifest
from wayside.deploy.applying.files import manifest_text, yaml_text
from wayside.deploy.applying.scene import Offline, rendered
from wayside.deploy.intent import Intent
from wayside.manifests.router_config import merge

ROOT = Path(__file__).parents[1]
KUBERNETES = ROOT / "deploy" / "kubernetes"
MADE = "Made by scripts/deploy_kubernetes_files.py from target {target}: change that, not this."

Files = Iterator[tuple[Path, str]]


def files() -> Files:
    """Every rendered file with its text."""
    yield from istio()
    yield from istio_public_llm()
    yield from llmd_base()
    yield from llmd_public_llm()


# --- what targets say --------------------------------------------------------------------------


def entry(target: str) -> Entry:
    """A target by its name."""
    discover(wayside.deploy.targets)
    return wayside.deploy.entries()[target]


@cache
def manifests(target: str, change: str = "{}") -> Mapping[str, Manifest]:
    """What a target makes of its example, by path. ``change``: YAML laid over the example."""
    about = entry(target)
    said: dict[str, Any] = merge(yaml.safe_load(about.example), yaml.safe_load(change))
    intent = Intent.model_validate(said)
    problems = about.target.problems(intent)
    assert not problems, problems
    steps = rendered(about.target, intent, Offline({}))
    return {m.path: m for step in steps for m in step.manifests}


def text(target: str, manifest: Manifest) -> str:
    """One file, with where it comes from."""
    comment = "\n".join(filter(None, [MADE.format(target=target), manifest.comment]))
    return manifest_text(Manifest(manifest.path, manifest.objects, comment))


def config_of(manifest: Manifest) -> str:
    """The router's configuration out of its ConfigMap."""
    (found,) = manifest.objects
    return str(found["data"]["config.yaml"])


# --- deploy/kubernetes: Istio, llm-d, a public model --------------------------------------------

PUBLIC = "istio-llmd-public"
PHI4 = """
models:
  phi4-mini:
    run: vllm
    source: microsoft/Phi-4-mini-instruct
    service: {name: phi4-mini, namespace: default, port: 80, target_port: 8000}
    pool: vllm-phi4-mini
    replicas: 2
    token: {secret: hf-token-secret, key: token}
    storage: 50Gi
    settings: {description: "Phi-4 mini, in this cluster."}
"""
"""The second local model of the guides, beside the one of the public target's example."""
ROUTER = ("namespace", "serviceaccount", "deployment", "service", "networkpolicy")
FOLDER_OF_THE_ROUTER = {
    "apiVersion": "kustomize.config.k8s.io/v1beta1",
    "kind": "Kustomization",
    "namespace": "vllm-semantic-router-system",
    "resources": [f"{name}.yaml" for name in ROUTER],
    "configMapGenerator": [{"name": "semantic-router-config", "files": ["config.yaml"]}],
}


def istio() -> Files:
    """Two local models behind Istio's gateway. The router's own objects are those of the public
    guide, which puts another configuration into this folder: its pods may ask for a key there."""
    folder, local, public = KUBERNETES / "istio", manifests("istio"), manifests(PUBLIC)
    for name in ROUTER:
        yield folder / f"{name}.yaml", text(PUBLIC, public[f"router/{name}.yaml"])
    for name in ("gateway", "destinationrule", "envoyfilter"):
        yield folder / f"{name}.yaml", text("istio", local[f"gateway/{name}.yaml"])
    for file, model in (("vLlama3", "llama-8b"), ("vPhi4", "phi4-mini")):
        yield folder / f"{file}.yaml", text("istio", local[f"models/{model}.yaml"])
    for model in ("llama3-8b", "phi4-mini"):
        yield folder / f"httproute-{model}.yaml", text("istio", local[f"routes/{model}.yaml"])
    yield folder / "config.yaml", config_of(local["router/config.yaml"])
    said = "Step 6 of the public guide copies another config.yaml here; its digest is part of the"
    said += "\n# ConfigMap's name, so that pods are replaced. ../istio-public-llm does the same"
    said += "\n# without changing a file."
    yield folder / "kustomization.yaml", f"# {said}\n{yaml_text(FOLDER_OF_THE_ROUTER)}"


def istio_public_llm() -> Files:
    """The same router with the public guide's configuration, as an overlay."""
    folder = KUBERNETES / "istio-public-llm"
    made = {
        **FOLDER_OF_THE_ROUTER,
        "resources": ["../istio"],
        "configMapGenerator": [
            {"name": "semantic-router-config", "behavior": "replace", "files": ["config.yaml"]}
        ],
    }
    said = "# The guide's step 6 without changing a tracked file: kubectl apply -k this folder.\n"
    yield folder / "kustomization.yaml", said + yaml_text(made)
    yield folder / "config.yaml", config_of(manifests(PUBLIC)["router/config.yaml"])


def llmd_base() -> Files:
    """Pools and pickers over both local models, and simulators where there is no GPU."""
    folder, both = KUBERNETES / "llmd-base", manifests(PUBLIC, PHI4)
    named = (("llama", "llama-8b", "llama3-8b"), ("phi4", "phi4-mini", "phi4-mini"))
    for short, service, model in named:
        yield folder / f"inferencepool-{short}.yaml", text(PUBLIC, both[f"pools/{service}.yaml"])
        rule = both[f"pools/{service}-picker-tls.yaml"]
        yield folder / f"dest-rule-epp-{short}.yaml", text(PUBLIC, rule)
        yield folder / f"httproute-{short}-pool.yaml", text(PUBLIC, both[f"routes/{model}.yaml"])
    simulated = manifests(PUBLIC, f"{PHI4}\ntargets: {{{PUBLIC}: {{gpus: 0}}}}")
    objects = [o for _, s, _ in named for o in simulated[f"models/{s}.yaml"].objects]
    said = "Simulators under the names of vLlama3.yaml and vPhi4.yaml: apply this in their place\n"
    said += "where there is no GPU. They are chosen from, scaled and routed to in the same way."
    yield folder / "inference-sim.yaml", text(PUBLIC, Manifest("", tuple(objects), said))


def llmd_public_llm() -> Files:
    """A provider: known to the mesh, TLS to it, its route, and both configurations."""
    folder, public = KUBERNETES / "llmd-base" / "llmd+public-llm", manifests(PUBLIC)
    openai = config_of(public["router/config.yaml"])
    yield folder / "config.yaml.openai", openai
    yield folder / "config.yaml.local", config_of(manifests("istio")["router/config.yaml"])
    yield folder / "svc-openai.yaml", text(PUBLIC, public["clouds/openai-service.yaml"])
    yield folder / "svc-entry-openai.yaml", text(PUBLIC, public["clouds/openai-entry.yaml"])
    yield folder / "dest-rule-openai.yaml", text(PUBLIC, public["clouds/openai-tls.yaml"])
    yield folder / "httproute-openai.template", text(PUBLIC, public["routes/gpt-4o-mini.yaml"])
    said = "# What step 13 of the guide makes of the template: with this template, a copy.\n"
    yield folder / ".gitignore", f"{said}httproute-openai.yaml\n"
    # As step 6 of the guide calls it in its text.
    yield folder.parent / "llmd+public" / "config.yaml", openai


def main() -> None:
    """Write them, or say which are not fresh."""
    stale = []
    for path, wanted in files():
        if path.exists() and path.read_text("utf-8") == wanted:
            continue
        stale.append(str(path.relative_to(ROOT)))
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted, "utf-8")
    if stale:
        print("\n".join(stale))
    sys.exit("--check" in sys.argv and bool(stale))


if __name__ == "__main__":
    main()
