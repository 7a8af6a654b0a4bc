"""Resources of the Gateway API Inference Extension, old groups and new, as values.

Pure functions from objects to :mod:`wayside.vocab.inference`. They believe no schema: what cannot
be read is left out so that it does less, never more, than was written. A rule whose matches are
all of an unknown type matches nothing, rather than everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from wayside.kube.client import Object
from wayside.vocab.inference import (
    MAX_WEIGHT,
    Objective,
    PoolRef,
    PoolSpec,
    Rewrite,
    RewriteRule,
    Target,
)
from wayside.vocab.objects import port, section, sections, text, texts, whole
from wayside.vocab.resource import Resource

GROUP: Final = "inference.networking.k8s.io"
OLD_GROUP: Final = "inference.networking.x-k8s.io"
POOLS: Final = {
    GROUP: Resource(GROUP, "v1", "inferencepools"),
    OLD_GROUP: Resource(OLD_GROUP, "v1alpha2", "inferencepools"),
}
"""By API group, as the picker's ``--pool-group`` names it."""
OBJECTIVES: Final = Resource("llm-d.ai", "v1alpha2", "inferenceobjectives")
OLD_OBJECTIVES: Final = Resource(OLD_GROUP, "v1alpha2", "inferenceobjectives")
REWRITES: Final = Resource("llm-d.ai", "v1alpha2", "inferencemodelrewrites")
OLD_REWRITES: Final = Resource(OLD_GROUP, "v1alpha2", "inferencemodelrewrites")
MOST_PORTS: Final = 8


def read_pool(found: Object) -> PoolSpec:
    """An InferencePool of either group.

    v1 has ``selector.matchLabels`` and ``targetPorts[].number``, v1alpha2 the labels right in
    ``selector`` and one ``targetPortNumber``.
    """
    meta, spec = section(found, "metadata"), section(found, "spec")
    selector = section(spec, "selector")
    inner = selector.get("matchLabels")
    labels = texts(inner if isinstance(inner, Mapping) else selector)
    if isinstance(inner, Mapping) and "matchExpressions" in selector:
        labels = {}  # neither version has them: nobody's pods rather than more than were meant
    numbers = [port(entry.get("number")) for entry in sections(spec.get("targetPorts"))]
    if not numbers:
        numbers = [port(spec.get("targetPortNumber"))]
    ports = tuple(dict.fromkeys(n for n in numbers if n is not None))[:MOST_PORTS]
    return PoolSpec(
        name=text(meta.get("name")),
        namespace=text(meta.get("namespace")),
        group=text(found.get("apiVersion")).partition("/")[0] or GROUP,
        selector=tuple(sorted(labels.items())),
        ports=ports,
        app_protocol=text(spec.get("appProtocol"), "http"),
    )


def read_objective(found: Object) -> Objective:
    """An InferenceObjective. A priority that is no integer of 32 bits is none: 0."""
    meta, spec = section(found, "metadata"), section(found, "spec")
    return Objective(
        name=text(meta.get("name")),
        namespace=text(meta.get("namespace")),
        priority=whole(spec.get("priority"), -(1 << 31), (1 << 31) - 1) or 0,
        pool=_pool_ref(spec),
    )


def read_rewrite(found: Object) -> Rewrite:
    """An InferenceModelRewrite. Rules without a readable target are left out."""
    meta, spec = section(found, "metadata"), section(found, "spec")
    rules = [_rule(rule) for rule in sections(spec.get("rules"))]
    return Rewrite(
        name=text(meta.get("name")),
        namespace=text(meta.get("namespace")),
        created=text(meta.get("creationTimestamp")),
        pool=_pool_ref(spec),
        rules=tuple(rule for rule in rules if rule.targets),
    )


def _rule(rule: Mapping[str, Any]) -> RewriteRule:
    targets = tuple(
        Target(model, whole(target.get("weight"), 1, MAX_WEIGHT))
        for target in sections(rule.get("targets"))
        if (model := text(target.get("modelRewrite")))
    )
    if not rule.get("matches"):
        return RewriteRule(None, targets)
    models = []
    for match in sections(rule.get("matches")):
        wanted = section(match, "model")
        value = text(wanted.get("value"))
        if value and text(wanted.get("type"), "Exact") == "Exact":
            models.append(value)
    return RewriteRule(tuple(models), targets)


def _pool_ref(spec: Mapping[str, Any]) -> PoolRef:
    ref = section(spec, "poolRef")
    return PoolRef(text(ref.get("name")), text(ref.get("group"), GROUP))
