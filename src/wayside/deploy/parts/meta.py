"""What everything that is deployed begins with: labels by which it is found again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from wayside.deploy import DEPLOYMENT, MANAGER, Object
from wayside.deploy.intent import Intent, ServiceIntent
from wayside.manifests import meta

APP: Final = "semantic-router"
"""``app.kubernetes.io/name`` of the router's own objects."""


def labels(intent: Intent, component: str = "") -> dict[str, str]:
    """The labels of one object. ``component`` names what is no part of the router itself (the
    Service name of a model's servers): it takes the place of :data:`APP`, so that no selector
    takes the router's pods for a model's. The user's own come with them, and replace none."""
    own = meta.labels(
        component or APP, intent.name, MANAGER, component=component, also=intent.labels
    )
    return {**own, DEPLOYMENT: intent.name}


def selector(intent: Intent, component: str = "") -> dict[str, str]:
    """What selects the pods with these :func:`labels`."""
    return meta.selector(labels(intent, component))


def object_(
    intent: Intent,
    api_version: str,
    kind: str,
    name: str,
    *,
    namespace: str | None = None,
    component: str = "",
    annotations: Mapping[str, str] | None = None,
    also: Mapping[str, str] | None = None,
    **fields: Any,
) -> Object:
    """A whole object in the deployment's namespace, or in ``namespace``; ``""`` for kinds that
    are in none. ``also``: further labels. Fields that are ``None`` are left out."""
    made = meta.child(
        api_version,
        kind,
        name,
        intent.namespace if namespace is None else namespace,
        {**(also or {}), **labels(intent, component)},
        annotations=annotations,
        **fields,
    )
    if namespace == "":
        del made["metadata"]["namespace"]
    return made


def namespace(intent: Intent, name: str = "", **more: str) -> Object:
    """A Namespace, the deployment's own unless named; ``more`` are further labels."""
    return object_(intent, "v1", "Namespace", name or intent.namespace, namespace="", also=more)


def dns_name(text: str) -> str:
    """A model's name as the name of its objects: ``Model-A`` is ``model-a``. What is lost by it
    is told by a digest at the end, so that two models never share one."""
    made = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    faithful = re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?", text) is not None
    if faithful and made and len(made) <= 50 and not made[0].isdigit():
        return made
    return f"m-{made[:40].rstrip('-')}-{meta.digest(text)[:8]}".replace("--", "-")


def service_of(intent: Intent, model: str) -> ServiceIntent:
    """The Service in front of a model's servers: as the intent says, or one called as the model
    is."""
    return intent.models[model].service or ServiceIntent(name=dns_name(model))


def service_url(intent: Intent, model: str, *, domain: str = "cluster.local") -> str:
    """Where a model's Service is reached by name, from anywhere in the cluster."""
    found = service_of(intent, model)
    where = found.namespace or intent.namespace
    return f"http://{found.name}.{where}.svc.{domain}:{found.port}"


def places(intent: Intent) -> dict[str, str]:
    """The address of every model that a Service is in front of (:data:`config.Places`); models of
    clouds have theirs in the intent, those of KServe are their target's business."""
    return {
        name: service_url(intent, name)
        for name, model in intent.models.items()
        if model.service is not None or (model.run is not None and not model.kserve)
    }
