"""The split layout on OpenShift: models in pods of their own, the router and Envoy in another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from wayside.deploy import Check, Manifest, Need, Object, Scene, Step, Wait, target
from wayside.deploy.intent import Intent, Quantity
from wayside.deploy.parts import (
    clusters,
    config,
    exposure,
    meta,
    openshift_image,
    own_envoy,
    rights,
    router,
    servers,
    split_config,
    split_places,
)
from wayside.deploy.parts.config import Configuration
from wayside.deploy.parts.options import options
from wayside.deploy.parts.split_config import Place
from wayside.manifests.router_config import digest
from wayside.manifests.storage import claim
from wayside.settings import RouterSettings
from wayside.settings.base import Settings
from wayside.vocab.errors import Problem
from wayside.vocab.resource import (
    DEPLOYMENTS,
    ROUTES,
    SECRETS,
    SERVICE_MONITORS,
    SERVICES,
    Resource,
)

NAME: Final = "openshift-split"
CONFIG: Final = "semantic-router-config"
CACHE: Final = "/app/cache"
_EXPORTS: Final = Resource("multicluster.x-k8s.io", "v1alpha1", "serviceexports")
EXAMPLE: Final = """\
name: semantic-router
namespace: vllm-semantic-router-system
target: openshift-split
models:
  Model-A:
    run: llm-katan
    source: Qwen/Qwen3-0.6B
    service: {name: vllm-model-a, port: 8000}
    storage: 10Gi
    resources: {cpu: "1", memory: 8Gi}
  Model-B:
    run: llm-katan
    source: Qwen/Qwen3-0.6B
    service: {name: vllm-model-b, port: 8001}
    storage: 10Gi
    resources: {cpu: "1", memory: 8Gi}
default_model: Model-A
router: {storage: 20Gi}
exposure: {kind: route}
"""
SIMULATED: Final = """\
name: semantic-router
namespace: vllm-semantic-router-system
target: openshift-split
models:
  Model-A: {run: simulator, service: {name: vllm-model-a, port: 8000}}
  Model-B: {run: simulator, service: {name: vllm-model-b, port: 8001}}
default_model: Model-A
router: {storage: 20Gi}
exposure: {kind: route}
"""
"""The same with simulated models, which need neither GPU nor weights."""


class SplitOptions(Settings):
    """Of `--target openshift-split`.

    Example: ``{discovery: cluster-ip, cache: 20Gi}``
    """

    discovery: Literal["dns", "cluster-ip"] = "dns"
    """How the router finds models: by their Services' DNS names, or by the addresses that those
    Services have on this cluster, as the guide does it. A headless Service has none, and is found
    by its name."""
    discovery_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """How long to wait until a Service has an address."""
    format: Literal["guide", "wayside"] | None = None
    """How the ConfigMap is written: `vllm_endpoints` with name, address and port, as the guide
    prints it, or our own format. Unsaid: the guide's where it can say everything."""
    rollout: bool = True
    """A new configuration brings new pods. Running pods follow it anyway, within seconds."""
    cache: Quantity | None = "20Gi"
    """The claim for files that stores keep under `/app/cache`; none where it is `null`."""
    platform: Literal["openshift", "kubernetes"] | None = None
    """On OpenShift the namespace says as which user pods run. Unsaid: as the cluster looks."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = "ReadWriteOnce"
    """Of the router's claims. Several routers need ReadWriteMany."""


@target(
    NAME,
    options=SplitOptions,
    example=EXAMPLE,
)
class OpenShiftSplit:
    """Model pods and their Services first, then a router that knows where they are (OpenShift)."""

    def problems(self, intent: Intent) -> Sequence[Problem]:
        wish = options(intent, NAME, SplitOptions)
        found = [
            *servers.problems(intent),
            *exposure.problems(intent, ("none", "route", "ingress")),
            *split_places.problems(intent),
            *clusters.problems(intent),
            *_not_served(intent),
        ]
        unsaid = _beyond_the_guide(intent)
        if wish.format == "guide" and unsaid:
            what = f"the guide's format cannot say {unsaid[0]}"
            fix = "write format: wayside, or leave it out"
            found.append(Problem(what, f"targets.{NAME}.format", fix))
        several = intent.router.replicas > 1 or intent.router.autoscale is not None
        kept = intent.router.storage is not None or wish.cache is not None
        if several and kept and wish.access_mode == "ReadWriteOnce":
            what = "several routers cannot share a claim that one node at a time may mount"
            fix = (
                f"write targets.{NAME}.access_mode: ReadWriteMany, or leave router.storage out "
                f"and write targets.{NAME}.cache: null"
            )
            where = "router.autoscale" if intent.router.autoscale else "router.replicas"
            found.append(Problem(what, where, fix))
        return found

    def needs(self, intent: Intent) -> Sequence[Need]:
        found = [
            Need(
                what=f"Secret {use.name} of the {where}",
                resource=SECRETS,
                name=use.name,
                namespace=intent.namespace,
                keys=(use.key,),
                fix=f"oc -n {intent.namespace} create secret generic {use.name} "
                f"--from-file={use.key}=FILE",
            )
            for use, where in rights.secrets(intent)
        ]
        for name, model in intent.models.items():
            if model.service is not None and model.run is None:
                where = model.service.namespace or intent.namespace
                found.append(
                    Need(
                        what=f"Service {where}/{model.service.name} of the model {name}",
                        resource=SERVICES,
                        name=model.service.name,
                        namespace=where,
                        fix=f"create it, or write models.{name}.run",
                    )
                )
        if clusters.exports(intent):
            fix = "install Multi-Cluster Services, or write clusters[].models"
            found.append(Need(what="Multi-Cluster Services API", resource=_EXPORTS, fix=fix))
        if intent.exposure.kind == "route":
            fix = "exposure.kind: ingress or none, where the cluster is no OpenShift"
            found.append(Need(what="Routes of OpenShift", resource=ROUTES, fix=fix))
        if intent.monitoring:
            fix = "install the Prometheus operator, or write monitoring: false"
            found.append(Need(what="ServiceMonitors", resource=SERVICE_MONITORS, fix=fix))
        return found

    def steps(self, intent: Intent, scene: Scene) -> Iterator[Step]:
        wish = options(intent, NAME, SplitOptions)
        openshift = _openshift(wish, scene)
        yield Step(title="namespace", manifests=(_file("namespace", (meta.namespace(intent),)),))
        intent, image = with_image(intent, scene)
        if image is not None:
            yield image
        if held := claims(intent, wish):
            yield Step(title="claims", manifests=(_file("claims", held),))
        yield Step(
            title="models",
            manifests=(_file("models", models(intent, openshift)),),
            waits=_addresses(intent, wish) if wish.discovery == "cluster-ip" else (),
        )
        notes: list[str] = []
        places = split_places.places(intent, scene, wish.discovery, notes)
        configuration = configured(intent, wish, places, scene.cluster)
        yield Step(
            title="configuration",
            manifests=(_file("config", (config_map(intent, configuration),)),),
            notes=tuple(notes),
        )
        found = objects(intent, wish, configuration, openshift)
        yield Step(
            title="router",
            manifests=(_file("router", found),),
            waits=_available(intent),
        )
        if exposed := routes(intent):
            yield Step(title="routes", manifests=(_file("routes", exposed),))

    def checks(self, intent: Intent) -> Sequence[Check]:
        asked = [Check(title="models are listed")]
        if set(split_config.MODELS) <= intent.models.keys() and not _own_routing(intent):
            for text, model in (
                ("What is the integral of x squared from 0 to 3?", "Model-A"),
                ("What is the statute of limitations for breach of contract?", "Model-B"),
            ):
                body = {
                    "model": "auto",
                    "messages": [{"role": "user", "content": text}],
                    "max_tokens": 16,
                }
                asked.append(
                    Check(
                        title=f"answered by {model}",
                        path="/v1/chat/completions",
                        body=body,
                        model=model,
                    )
                )
        return asked


# --- the configuration -------------------------------------------------------------------------


def configured(
    intent: Intent, wish: SplitOptions, places: Mapping[str, Place], cluster: str = ""
) -> Configuration:
    """The configuration with models at these places, in the format that is wished for;
    ``cluster`` is the one of several that it is for."""
    routed = set(split_config.MODELS) <= places.keys() and not _own_routing(intent)
    default = intent.default_model or next(iter(intent.models), "")
    urls = {name: split_places.url(place) for name, place in places.items()}
    if routed and wish.format != "wayside" and not _beyond_the_guide(intent):
        found = split_config.document(places, default)
        head = (
            f"Made by `wayside deploy` for {intent.namespace}/{intent.name}.",
            "Change the intent: this is written anew.",
        )
        text = split_config.written(found, head)
        ours = split_config.settings(urls, default)
        return Configuration(
            text=text, digest=digest(text), settings=RouterSettings.model_validate(ours)
        )
    own = intent
    if routed:
        ours = split_config.settings(urls, default)
        families = {"reasoning_family": "qwen3"}
        models = {
            name: model.model_copy(update={"settings": {**families, **model.settings}})
            if name in split_config.MODELS
            else model
            for name, model in intent.models.items()
        }
        rest = {k: v for k, v in ours.items() if k != "models"}
        merged = {**rest, **intent.router.settings}
        own = intent.model_copy(
            update={
                "models": models,
                "router": intent.router.model_copy(update={"settings": merged}),
            }
        )
    return config.configuration(own, urls, elsewhere=clusters.standing_by(intent, cluster))


def config_map(intent: Intent, configuration: Configuration) -> Object:
    """``semantic-router-config``, under the guide's key."""
    return meta.object_(
        intent, "v1", "ConfigMap", CONFIG, data={split_config.KEY: configuration.text}
    )


def _own_routing(intent: Intent) -> bool:
    """Whether the intent itself says how prompts are routed."""
    return bool(intent.router.settings.get("routing") or intent.router.config)


def _beyond_the_guide(intent: Intent) -> list[str]:
    """What of the intent the guide's format has no word for, by path."""
    found = [name for name in ("settings", "config") if getattr(intent.router, name)]
    said = [f"router.{name}" for name in found]
    for name, model in intent.models.items():
        for field in ("cloud", "settings", "tiers"):
            if getattr(model, field) not in (None, {}):
                said.append(f"models.{name}.{field}")
    if intent.clusters:
        said.append("clusters")
    if not set(split_config.MODELS) <= intent.models.keys():
        said.append(f"models other than {' and '.join(split_config.MODELS)} alone")
    return said


def _not_served(intent: Intent) -> Iterator[Problem]:
    """What other targets do."""
    for name, model in intent.models.items():
        if model.kserve is not None:
            fix = "write service: {name: ...}, or take the target kserve"
            yield Problem("KServe is another target's", f"models.{name}.kserve", fix)
        if model.pool is not None:
            fix = "leave it out, or take a target with a gateway (istio)"
            yield Problem("there is no gateway that asks a pool", f"models.{name}.pool", fix)
        if model.tiers is not None:
            fix = "take maas-dual-gateway or maas-single-gateway, or leave it out"
            yield Problem("nobody is asked for a tier here", f"models.{name}.tiers", fix)
    if intent.tiers is not None:
        fix = "take maas-dual-gateway or maas-single-gateway, or leave it out"
        yield Problem("nobody is asked for a tier here", "tiers", fix)
    if intent.gateway is not None:
        fix = "leave it out, or take the target istio"
        yield Problem("clients come through a Route here", "gateway", fix)


# --- objects -----------------------------------------------------------------------------------


def _openshift(wish: SplitOptions, scene: Scene) -> bool:
    if wish.platform is not None:
        return wish.platform == "openshift"
    return scene.has(ROUTES) is not False


def _file(name: str, found: Sequence[Object]) -> Manifest:
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
    return intent, Step(title="image", manifests=(_file("image", found),), notes=(note,))


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


def _addresses(intent: Intent, wish: SplitOptions) -> tuple[Wait, ...]:
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


def _available(intent: Intent) -> tuple[Wait, ...]:
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
