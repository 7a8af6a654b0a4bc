"""What Models-as-a-Service publishes: MaaSModelRefs, and what they refer to.

Kinds of ``maas.opendatahub.io/v1alpha1`` (opendatahub-io/models-as-a-service). Where the cluster
does not have them, nothing is published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from wayside.kube.watch import Key
from wayside.vocab.objects import section, text
from wayside.vocab.resource import Resource

MODEL_REFS: Final = Resource("maas.opendatahub.io", "v1alpha1", "maasmodelrefs")
EXTERNAL_MODELS: Final = Resource("maas.opendatahub.io", "v1alpha1", "externalmodels")
_SERVED: Final = ("Ready", "Unhealthy")
"""Phases in which a model is published: one that fails its checks for a while stays a model, as
health checks and fallbacks know better."""


class Ref(msgspec.Struct, frozen=True):
    """A MaaSModelRef: the kind and name of what it refers to, and where it is served instead."""

    name: str
    namespace: str
    kind: str
    of: str
    override: str = ""


class External(msgspec.Struct, frozen=True):
    """An ExternalModel: whose it is, its host, what it is called there, and its Secret's name."""

    provider: str
    host: str
    model: str
    secret: str


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A model as it is published, and where it is served."""

    name: str
    namespace: str
    url: str
    model: str
    """What its servers call it."""
    external: External | None = None


def read_ref(found: Mapping[str, Any]) -> Ref | None:
    """``None`` for one that is not served."""
    meta, spec = section(found, "metadata"), section(found, "spec")
    if text(section(found, "status").get("phase")) not in _SERVED:
        return None
    to = section(spec, "modelRef")
    return Ref(
        text(meta.get("name")),
        text(meta.get("namespace")),
        text(to.get("kind")),
        text(to.get("name")),
        text(spec.get("endpointOverride")),
    )


def read_external(found: Mapping[str, Any]) -> External:
    spec = section(found, "spec")
    return External(
        text(spec.get("provider")),
        text(spec.get("endpoint")),
        text(spec.get("targetModel")),
        text(section(spec, "credentialRef").get("name")),
    )


def published(
    refs: Mapping[Key, Ref],
    served: Mapping[Key, tuple[str, str]],
    externals: Mapping[Key, External],
) -> Iterator[Published]:
    """What the refs come to, in the order of their names. ``served``: URL and model of each
    LLMInferenceService. A ref to nothing, or to what is served nowhere yet, is none."""
    for (namespace, name), ref in sorted(refs.items()):
        at = (namespace, ref.of)
        external = externals.get(at) if ref.kind == "ExternalModel" else None
        if external is not None:
            url, model = f"https://{external.host}", external.model
        elif ref.kind == "LLMInferenceService" and at in served:
            url, model = served[at]
        else:
            continue
        if url := ref.override or url:
            yield Published(
                name=name, namespace=namespace, url=url, model=model, external=external
            )


__all__ = ["EXTERNAL_MODELS", "MODEL_REFS", "Published", "published", "read_external", "read_ref"]
