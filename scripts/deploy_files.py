"""Write the files of ``deploy/openshift/single-namespace`` that people apply by hand.

They are what the target ``openshift-split`` makes of its own example, cut where the guide cuts it:
what every cluster takes, the image that only OpenShift builds, Routes, and the template of the
configuration with the guide's placeholders. ``--check`` only says whether they are fresh.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from wayside.deploy import Object
from wayside.deploy.applying.scene import Offline
from wayside.deploy.intent import Intent
from wayside.deploy.parts import (
    meta,
    openshift_image,
    split_config,
    split_configured,
    split_objects,
)
from wayside.deploy.parts.split_config import Place
from wayside.deploy.parts.split_options import SplitOptions
from wayside.deploy.targets import openshift_split as split
from wayside.manifests.router_config import written

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "openshift" / "single-namespace"
NOTE = "Made by scripts/deploy_files.py of the target openshift-split; change that instead."


def files() -> Iterator[tuple[Path, str]]:
    """Every file with its text."""
    yield FOLDER / "wayside.yaml", _intent(_HEAD, split.EXAMPLE)
    yield FOLDER / "wayside-simulator.yaml", _intent(_SIMULATED, split.SIMULATED)
    intent = Intent.model_validate(yaml.safe_load(split.EXAMPLE))
    image = openshift_image.objects(intent)
    intent, _ = split_objects.with_image(intent, Offline())
    wish = SplitOptions(rollout=False)
    ports = {name: m.service.port for name, m in intent.models.items() if m.service is not None}
    places = {name: Place(f"{name.lower()}.invalid", port) for name, port in ports.items()}
    configuration = split_configured.configured(intent, wish, places)
    yield FOLDER / "image-split.yaml", _objects(image, _IMAGE)
    everything = [
        meta.namespace(intent),
        *split_objects.claims(intent, wish),
        *split_objects.models(intent, True),
        *split_objects.objects(intent, wish, configuration, True),
    ]
    yield FOLDER / "deployment-split.yaml", _objects(everything, _DEPLOYMENT)
    yield FOLDER / "routes-split.yaml", _objects(split_objects.routes(intent), _ROUTES)
    text = split_config.written(split_config.template(ports), [NOTE, *_TEMPLATE])
    yield FOLDER / "config-split.yaml", text


def _objects(found: Sequence[Object], head: Sequence[str]) -> str:
    documents = [written(one) for one in found]
    return "".join([*(f"# {line}\n" for line in (NOTE, *head)), "---\n", "---\n".join(documents)])


def _intent(head: Sequence[str], text: str) -> str:
    return "".join([*(f"# {line}\n" for line in (NOTE, *head)), text])


_HEAD = ("What `./deploy-split.sh` deploys: `wayside deploy plan` says what that would change.",)
_SIMULATED = (
    "What `./deploy-split.sh --simulator` deploys: no GPU, no weights, no image to build.",
)
_IMAGE = (
    "llm-katan's image, built by OpenShift once. Where the ImageStream is there already, leave",
    "this file out.",
)
_DEPLOYMENT = (
    "Everything of the split layout but its configuration: the router's pod waits for the",
    "ConfigMap semantic-router-config, under whichever of the keys config.yaml and",
    "dynamic-config.yaml it has its file.",
)
_ROUTES = (
    "TLS ends at OpenShift's edge. Metrics, ext_proc and Envoy's admin page have no Route.",
)
_TEMPLATE = (
    "Both addresses are placeholders of the guide: replace both, or write the Services' names",
    "(vllm-model-a.vllm-semantic-router-system.svc.cluster.local), which hold on every cluster.",
    "`wayside config check` names whichever was forgotten.",
)


def main() -> int:
    stale = [path for path, text in files() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not fresh: run scripts/deploy_files.py")
        return 1 if stale else 0
    for path, text in files():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
