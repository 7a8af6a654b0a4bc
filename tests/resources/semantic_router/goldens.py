"""Specs and the configurations that they become, kept as files that people can read.

Each folder has ``in.yaml``, the spec (where it names no endpoint, one model ``m``), and what is
made of it. ``WAYSIDE_UPDATE_GOLDEN=1`` writes the others anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.resources.worlds import FakeWorld
from wayside.resources.semantic_router import backends, config
from wayside.resources.semantic_router.config import RouterConfig
from wayside.resources.semantic_router.spec import SemanticRouterSpec

HERE = Path(__file__).with_name("goldens")
CASES = sorted(path.parent for path in HERE.glob("*/in.yaml"))
NAMESPACE = "ns"
ONE = {
    "name": "m",
    "model": "m",
    "backend": {"type": "service", "service": {"name": "m", "port": 8000}},
}


def spec_of(raw: dict[str, Any]) -> SemanticRouterSpec:
    return SemanticRouterSpec.model_validate({"vllmEndpoints": [ONE], **raw})


def world_of(spec: SemanticRouterSpec) -> FakeWorld:
    """Every Service that the spec names is there, and nothing else."""
    world = FakeWorld()
    for endpoint in spec.vllm_endpoints:
        named = endpoint.backend.service
        if named is not None:
            meta = {"name": named.name, "namespace": named.namespace or NAMESPACE}
            found = {"metadata": meta, "spec": {"ports": [{"port": named.port}]}}
            world.put(backends.SERVICES, found)
    return world


def make(raw: dict[str, Any], **more: Any) -> RouterConfig:
    """The configuration of a spec in a cluster that has what it names."""
    spec = spec_of(raw)
    found = backends.resolve(spec, NAMESPACE, world_of(spec))
    return config.make(spec, "sr", NAMESPACE, found, **more)


def config_of(**config: Any) -> RouterConfig:
    """The configuration of a spec that has this ``config``."""
    return make({"config": config})


def load(case: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((case / "in.yaml").read_text(encoding="utf-8")))


def told(made: RouterConfig) -> str:
    """What is to be mounted, and what is remarked."""
    lines = [f"mount {use.kind} {use.name} {use.key} as {use.file}" for use in made.secrets]
    lines += [f"problem ({made.reason}): {problem}" for problem in made.problems]
    lines += [f"waiting: {made.waiting}"] if made.waiting else []
    return "".join(f"{line}\n" for line in [*lines, *(f"note: {note}" for note in made.notes)])
