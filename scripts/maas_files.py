"""Write the files of ``deploy/openshift/maas-integration`` and ``deploy/kserve`` that people apply
by hand, as the targets ``maas-dual-gateway`` and ``kserve`` make them of their own examples.

``--check`` only says whether they are fresh.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from wayside.deploy import Manifest, Object, Target
from wayside.deploy.applying.scene import Offline, rendered
from wayside.deploy.intent import Intent
from wayside.deploy.parts import kserve as parts
from wayside.deploy.targets import kserve, maas_dual_gateway
from wayside.manifests.router_config import written

ROOT = Path(__file__).parents[1]
MAAS = ROOT / "deploy" / "openshift" / "maas-integration"
KSERVE = ROOT / "deploy" / "kserve"
NOTE = "Made by scripts/maas_files.py of the target {}; change that instead."
QWEN = """\
models:
  Qwen3-0.6B: {run: vllm, source: Qwen/Qwen3-0.6B, kserve: qwen-0-6b}
"""
"""A real model, on one GPU."""


def files() -> Iterator[tuple[Path, str]]:
    """Every file with its text."""
    text = (MAAS / "wayside.yaml").read_text()
    intent = Intent.model_validate(yaml.safe_load(text))
    target = maas_dual_gateway.MaasDualGateway()
    for manifest in _manifests(target, intent, domain="apps.example.com"):
        head = [NOTE.format(maas_dual_gateway.NAME)]
        for made in manifest.objects:
            if made["kind"] == "HTTPRoute":
                # Without hostnames it has its listener's, which is maas.DOMAIN.
                del made["spec"]["hostnames"]
                head += _ROUTE
        yield MAAS / manifest.path, _objects(manifest.objects, head)
    intent = Intent.model_validate(yaml.safe_load(kserve.EXAMPLE))
    head = [NOTE.format(kserve.NAME)]
    router: list[Object] = []
    for manifest in _manifests(kserve.Kserve(), intent):
        if manifest.path.startswith("models/"):
            (model,) = manifest.objects
            name = f"{model['metadata']['name']}-simulator.yaml"
            yield KSERVE / "inference-examples" / name, _objects([model], [*head, *_SIMULATOR])
        else:
            router += manifest.objects
    yield KSERVE / "deployment.yaml", _objects(router, [*head, *_ROUTER])
    qwen = parts.of_kserve(Intent.model_validate(yaml.safe_load(QWEN)))
    ((name, served),) = qwen.models.items()
    made = parts.inference_service(qwen, name, served, "v1alpha2", routed=False)
    yield (
        KSERVE / "inference-examples" / f"{served.kserve}.yaml",
        _objects([made], [*head, *_QWEN]),
    )


def _manifests(target: Target, intent: Intent, **told: str) -> Iterator[Manifest]:
    for step in rendered(target, intent, Offline(told)):
        yield from step.manifests


def _objects(found: Sequence[Object], head: Sequence[str]) -> str:
    documents = [written(one) for one in found]
    return "".join([*(f"# {line}\n" for line in head), "---\n", "---\n".join(documents)])


_ROUTE = (
    "It holds for the hostname of its listener; apply-maas-integration.sh writes the cluster's.",
)
_SIMULATOR = ("A model that needs no GPU and no weights, and runs as no particular user.",)
_QWEN = ("A small real model. KServe 0.17 has v1alpha2; write v1alpha1 for 0.16.",)
_ROUTER = (
    "The router beside inference-examples/model-*-simulator.yaml: namespace, configuration, pod",
    "and Service. `./deploy.sh --namespace NS --simulator` does all of it, anywhere else, too.",
)


def main() -> int:
    stale = [path for path, text in files() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not fresh: run scripts/maas_files.py")
        return 1 if stale else 0
    for path, text in files():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
