"""The split layout's objects (the image, claims, models, the router, Routes), and what to wait
for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from wayside.deploy import Manifest, Object, Scene, Step, Wait
from wayside.deploy.intent import Intent
from wayside.deploy.parts import (
    clusters,
    exposure,
    meta,
    openshift_image,
    own_envoy,
    router,
    servers,
    split_places,
)
from wayside.deploy.parts.config import Configuration
from wayside.deploy.parts.split_configured import CONFIG
from wayside.deploy.parts.split_options import SplitOptions
from wayside.manifests.storage import claim
from wayside.vocab.resource import DEPLOYMENTS, SERVICES

CACHE: Final = "/app/cache"


def file(name: str, found: Sequence[Object]) -> Manifest:
    """Objects as the file ``<name>.yaml``."""
    return Manifest(f"{name}.yaml", tuple(found))


def with_image(intent: Intent, scene: Scene) -> tuple[Intent, Step | None]:
    """The intent with llm-katan's image, and the step that has it built where nobody has."""
    if not openshift_image.wanted(intent):
        return intent, None
    if scene.has(openshift_image.BUILDS) is False:
        said = servers.IMAGES["llm-katan"]
        note = f"this cluster builds no images (it is no OpenShift): {said} is pulled"
        return intent, Step(title="image", notes=(note,))
    name = openshift_image.image(intent)
    models = {
        called: model.model_copy(update={"image": name})
        if model.run == "llm-katan" and not model.image
        else model
        for called, model in intent.models.items()
    }
    intent = intent.model_copy(update={"models": models})
    if openshift_image.there(intent, scene):
        note = f"ImageStream {openshift_image.NAME} is there already: nothing is built"
        return intent, Step(title="image", notes=(note,))
    found = openshift_image.objects(intent)
    note = "the image is built once, when its BuildConfig is made; pods wait for it"
    return intent, Step(title="image", manifests=(file("image", found),), notes=(note,))


def claims(intent: Intent, wish: SplitOptions) -> tuple[Object, ...]:
    """The router's; models have their own beside their Deployments."""
    sizes = {"models": intent.router.storage, "cache": wish.cache}
    return tuple(
        claim(
            f"{intent.name}-{what}",
            intent.namespace,
            meta.labels(intent),
            size=size,
            access_mode=wish.access_mode,
            storage_class=intent.router.storage_class or None,
        )
        for what, size in sizes.items()
        if size is not None
    )


def models(intent: Intent, openshift: bool) -> tuple[Object, ...]:
    """Services first, then claims and Deployments."""
    found = [
        made
        for name, model in intent.models.items()
        for made in servers.servers(
            intent, name, model, openshift=openshift, container=meta.dns_name(name)
        )
    ]
    found += clusters.exports(intent)
    return tuple(sorted(found, key=lambda one: one["kind"] != "Service"))


def addresses(intent: Intent, wish: SplitOptions) -> tuple[Wait, ...]:
    return tuple(
        Wait(
            resource=SERVICES,
            name=service.name,
            namespace=service.namespace or intent.namespace,
            path="spec.clusterIP",
            timeout_s=wish.discovery_timeout_s,
        )
        for service in split_places.services(intent).values()
    )


def available(intent: Intent) -> tuple[Wait, ...]:
    """The router itself, then the models: it is there before the weights of the largest."""
    names = [intent.name]
    for name, model in intent.models.items():
        service = meta.service_of(intent, name)
        if model.run is not None and (service.namespace or intent.namespace) == intent.namespace:
            names.append(service.name)
    return tuple(
        Wait(
            resource=DEPLOYMENTS,
            name=name,
            namespace=intent.namespace,
            condition="Available",
            timeout_s=900.0,
        )
        for name in names
    )


def objects(
    intent: Intent, wish: SplitOptions, configuration: Configuration, openshift: bool
) -> list[Object]:
    """The router's own, but for its configuration."""
    volumes: list[Object] = []
    mounts: list[Object] = []
    env: list[Object] = []
    if wish.cache is not None:
        claimed = {"claimName": f"{intent.name}-cache"}
        volumes.append({"name": "cache-volume", "persistentVolumeClaim": claimed})
        mounts.append({"name": "cache-volume", "mountPath": CACHE})
        env.append({"name": "XDG_CACHE_HOME", "value": CACHE})
    deployment = router.deployment(
        intent,
        configuration,
        envoy=True,
        openshift=openshift,
        config_name=CONFIG,
        claim_name=f"{intent.name}-models" if intent.router.storage is not None else "",
        restart=wish.rollout,
        account=intent.name,
        env=env,
        volumes=volumes,
        mounts=mounts,
    )
    strategy = deployment["spec"]["strategy"]
    if wish.access_mode == "ReadWriteMany":
        strategy = {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        }
    elif volumes:
        strategy = {"type": "Recreate"}
    deployment["spec"]["strategy"] = strategy
    return [
        router.service_account(intent),
        own_envoy.of_the_router(deployment),
        router.service(intent, ports=("envoy-http", "api", "metrics")),
        *router.autoscaler(intent),
        *router.disruption_budget(intent),
        *router.network_policy(intent, peers=_PEERS, monitors=_MONITORS),
        *router.monitoring(intent),
    ]


_PEERS: Final[tuple[Mapping[str, Any], ...]] = (
    {"podSelector": {}},
    {"namespaceSelector": {"matchLabels": {"policy-group.network.openshift.io/ingress": ""}}},
)
"""Pods of the namespace, and OpenShift's router."""
_MONITORS: Final[tuple[Mapping[str, Any], ...]] = (
    {"podSelector": {}},
    {"namespaceSelector": {"matchLabels": {"network.openshift.io/policy-group": "monitoring"}}},
)


def routes(intent: Intent) -> tuple[Object, ...]:
    """Two Routes, as the guide has them: for chat and for the classification API; none for
    metrics, ext_proc or Envoy's admin page."""
    found = exposure.exposed(intent, port="envoy-http")
    if intent.exposure.kind == "route":
        named = intent.exposure.model_copy(update={"host": ""})
        unnamed = intent.model_copy(update={"exposure": named})
        found = (*found, exposure.route(unnamed, f"{intent.name}-api", intent.name, "api"))
    return found
