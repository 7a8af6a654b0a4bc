"""Kubernetes as it comes: nothing is asked of the cluster but what every cluster has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from wayside.deploy import Check, Manifest, Need, Object, Scene, Step, Wait, target
from wayside.deploy.intent import Intent
from wayside.deploy.parts import adapter, clusters, exposure, meta, needs, rights, router, servers
from wayside.deploy.parts.config import Configuration, configuration
from wayside.deploy.parts.options import options
from wayside.settings.base import Settings
from wayside.vocab.errors import Problem
from wayside.vocab.resource import (
    DEPLOYMENTS,
    GATEWAYS,
    HTTP_ROUTES,
    SERVICE_MONITORS,
    Resource,
)

NAME: Final = "kubernetes"
_EXPORTS: Final = Resource("multicluster.x-k8s.io", "v1alpha1", "serviceexports")


class KubernetesOptions(Settings):
    """Of `--target kubernetes`.

    Example: ``{gateway: http}``
    """

    gateway: Literal["envoy", "http"] = "envoy"
    """What forwards requests: an Envoy in the router's pod, or the router itself, which also asks
    another model (`fallbacks`) where one gives no answer."""
    restart: bool = False
    """Replace the router's pods for each new configuration; otherwise they follow it."""


@target(
    NAME,
    options=KubernetesOptions,
    example="""\
name: semantic-router
namespace: vllm-semantic-router-system
target: kubernetes
models:
  Model-A:
    run: simulator
    service: {name: vllm-model-a, port: 8000}
  Model-B:
    run: simulator
    service: {name: vllm-model-b, port: 8001}
default_model: Model-A
router:
  replicas: 2
  settings:
    routing:
      signals:
        keyword:
          law: {keywords: [contract, lawsuit, liability]}
      decisions:
        - {name: law, when: "keyword:law", models: [Model-B]}
""",
)
class Kubernetes:
    """Any Kubernetes: models' servers, the router with an Envoy beside it, how it is reached."""

    def problems(self, intent: Intent) -> Sequence[Problem]:
        options(intent, NAME, KubernetesOptions)
        found = [
            *servers.problems(intent),
            *exposure.problems(intent),
            *clusters.problems(intent),
            *rights.problems(intent),
        ]
        for name, model in intent.models.items():
            if model.kserve:
                what = "KServe is another target's"
                fix = "name its service, or use --target kserve"
                found.append(Problem(what, f"models.{name}.kserve", fix))
            if model.pool:
                what = "nobody here asks a pool's picker"
                found.append(Problem(what, f"models.{name}.pool", "use --target istio"))
        if intent.gateway is not None and intent.exposure.kind != "gateway":
            fix = "write exposure.kind: gateway, or leave it out"
            found.append(Problem("nothing goes through a gateway", "gateway", fix))
        several = intent.router.autoscale is not None or intent.router.replicas > 1
        if intent.router.storage and several:
            what = "one pod alone may hold a claim"
            found.append(Problem(what, "router.storage", "leave it out, or run one replica"))
        if intent.router.storage_class and not intent.router.storage:
            what = "there is no claim"
            found.append(Problem(what, "router.storage_class", "write router.storage, too"))
        if intent.router.autoscale is not None and "replicas" in intent.router.model_fields_set:
            what = "the autoscaler says how many there are"
            fix = "leave it out; write router.autoscale.min and max"
            found.append(Problem(what, "router.replicas", fix))
        return found

    def needs(self, intent: Intent) -> Sequence[Need]:
        found = [*needs.given(intent)]
        if intent.exposure.kind == "gateway" and intent.gateway is not None:
            gateway = intent.gateway
            found.append(Need(what="Gateway API", resource=HTTP_ROUTES, fix=_GATEWAY_API))
            if not gateway.class_:
                where = gateway.namespace or intent.namespace
                found.append(
                    Need(
                        what=f"Gateway {where}/{gateway.name}",
                        resource=GATEWAYS,
                        name=gateway.name,
                        namespace=where,
                        fix="create it, or write gateway.class to have it made",
                    )
                )
        if intent.monitoring:
            fix = "install the Prometheus operator, or leave monitoring out"
            found.append(Need(what="Prometheus operator", resource=SERVICE_MONITORS, fix=fix))
        found += adapter.needs(intent)
        if clusters.exports(intent):
            fix = "install Multi-Cluster Services, or write clusters[].models"
            found.append(Need(what="Multi-Cluster Services API", resource=_EXPORTS, fix=fix))
        return found

    def steps(self, intent: Intent, scene: Scene) -> Iterator[Step]:
        wish = options(intent, NAME, KubernetesOptions)
        spaces = {intent.namespace: None}
        for model in intent.models.values():
            if model.run is not None and model.service and model.service.namespace:
                spaces[model.service.namespace] = None
        yield _step("namespaces", "namespaces", [meta.namespace(intent, one) for one in spaces])
        for name, model in intent.models.items():
            made = servers.servers(intent, name, model)
            if made:
                file = f"models/{made[-1]['metadata']['name']}"
                yield _step(f"servers of {name}", file, made, _available(made))
        if exported := clusters.exports(intent):
            yield _step("models for other clusters", "models/exports", exported)
        made_config = configuration(
            intent,
            meta.places(intent),
            also=rights.settings(intent, folder=f"{router.MODELS}/maas"),
            elsewhere=clusters.standing_by(intent, scene.cluster),
            embedded_tiers=True,
        )
        found = self._router(intent, made_config, wish)
        notes = tuple(rights.notes(intent))
        yield _step("router", "router", found, _available(found), notes)
        around = [
            *router.autoscaler(intent),
            *router.disruption_budget(intent),
            *router.network_policy(intent),
            *router.monitoring(intent),
            *(exposure.gateway(intent) if intent.exposure.kind == "gateway" else ()),
            *exposure.exposed(intent),
        ]
        if around:
            step = _step("around the router", "exposure", around)
            yield replace(step, texts=adapter.texts(intent))

    def _router(
        self, intent: Intent, made: Configuration, wish: KubernetesOptions
    ) -> list[Object]:
        envoy = wish.gateway == "envoy"
        claims = router.claims(intent)
        granted = rights.granted(intent, made.settings)
        names = ("http", "grpc", "metrics") if envoy else ("http", "metrics")
        return [
            *granted,
            *claims,
            router.config_map(intent, made),
            *([router.envoy_config_map(intent, made)] if envoy else []),
            router.deployment(
                intent,
                made,
                envoy=envoy,
                claim_name=claims[0]["metadata"]["name"] if claims else "",
                restart=wish.restart,
                account=intent.name if granted else "",
            ),
            router.service(intent, ports=names),
        ]

    def checks(self, intent: Intent) -> Sequence[Check]:
        name = intent.default_model or next(iter(intent.models), "")
        found = [Check(title="the router is ready", path="/health")]
        if intent.tiers is None:
            found.append(Check(title="models are listed"))
            if name:
                said: dict[str, Any] = {"role": "user", "content": "Say hello."}
                found.append(
                    Check(
                        title=f"{name} answers",
                        path="/v1/chat/completions",
                        body={"model": name, "messages": [said], "max_tokens": 16},
                    )
                )
        else:
            found.append(Check(title="nobody gets in without a token", status=401))
        return found


_GATEWAY_API: Final = (
    "kubectl apply -f https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.4.0/"
    "standard-install.yaml"
)


def _step(
    title: str,
    path: str,
    objects: Sequence[Object],
    waits: Sequence[Wait] = (),
    notes: tuple[str, ...] = (),
) -> Step:
    manifest = Manifest(f"{path}.yaml", tuple(objects))
    return Step(title=title, manifests=(manifest,), waits=tuple(waits), notes=notes)


def _available(objects: Sequence[Object]) -> list[Wait]:
    return [
        Wait(
            resource=DEPLOYMENTS,
            name=one["metadata"]["name"],
            namespace=one["metadata"]["namespace"],
            condition="Available",
        )
        for one in objects
        if one["kind"] == "Deployment" and one["spec"].get("replicas") != 0
    ]
