"""The split layout on OpenShift: models in pods of their own, the router and Envoy in another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from wayside.deploy import Check, Need, Scene, Step, target
from wayside.deploy.intent import Intent
from wayside.deploy.parts import (
    adapter,
    clusters,
    exposure,
    meta,
    needs,
    servers,
    split_config,
    split_places,
)
from wayside.deploy.parts import split_objects as made
from wayside.deploy.parts.options import options
from wayside.deploy.parts.split_configured import (
    beyond_the_guide,
    config_map,
    configured,
    own_routing,
)
from wayside.deploy.parts.split_options import SplitOptions
from wayside.vocab.errors import Problem
from wayside.vocab.resource import ROUTES, SERVICE_MONITORS, Resource

NAME: Final = "openshift-split"
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
        unsaid = beyond_the_guide(intent)
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
        found = [*needs.given(intent, "oc")]
        if clusters.exports(intent):
            fix = "install Multi-Cluster Services, or write clusters[].models"
            found.append(Need(what="Multi-Cluster Services API", resource=_EXPORTS, fix=fix))
        if intent.exposure.kind == "route":
            fix = "exposure.kind: ingress or none, where the cluster is no OpenShift"
            found.append(Need(what="Routes of OpenShift", resource=ROUTES, fix=fix))
        found += adapter.needs(intent)
        if intent.monitoring:
            fix = "install the Prometheus operator, or write monitoring: false"
            found.append(Need(what="ServiceMonitors", resource=SERVICE_MONITORS, fix=fix))
        return found

    def steps(self, intent: Intent, scene: Scene) -> Iterator[Step]:
        wish = options(intent, NAME, SplitOptions)
        openshift = _openshift(wish, scene)
        yield Step(
            title="namespace", manifests=(made.file("namespace", (meta.namespace(intent),)),)
        )
        intent, image = made.with_image(intent, scene)
        if image is not None:
            yield image
        if held := made.claims(intent, wish):
            yield Step(title="claims", manifests=(made.file("claims", held),))
        yield Step(
            title="models",
            manifests=(made.file("models", made.models(intent, openshift)),),
            waits=made.addresses(intent, wish) if wish.discovery == "cluster-ip" else (),
        )
        notes: list[str] = []
        places = split_places.places(intent, scene, wish.discovery, notes)
        configuration = configured(intent, wish, places, scene.cluster)
        yield Step(
            title="configuration",
            manifests=(made.file("config", (config_map(intent, configuration),)),),
            notes=tuple(notes),
        )
        found = made.objects(intent, wish, configuration, openshift)
        yield Step(
            title="router",
            manifests=(made.file("router", found),),
            texts=adapter.texts(intent),
            waits=made.available(intent),
        )
        if exposed := made.routes(intent):
            yield Step(title="routes", manifests=(made.file("routes", exposed),))

    def checks(self, intent: Intent) -> Sequence[Check]:
        asked = [Check(title="models are listed")]
        if set(split_config.MODELS) <= intent.models.keys() and not own_routing(intent):
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


def _openshift(wish: SplitOptions, scene: Scene) -> bool:
    if wish.platform is not None:
        return wish.platform == "openshift"
    return scene.has(ROUTES) is not False
