"""Values for the chart ``deploy/helm/semantic-router``, for those who deploy with Helm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import yaml

from wayside.deploy import Check, Need, Scene, Step, Text, target
from wayside.deploy.intent import Intent, Resources
from wayside.deploy.parts import exposure, meta, rights, servers
from wayside.deploy.parts.config import configuration
from wayside.deploy.parts.options import options
from wayside.manifests import mounted, router_pod
from wayside.manifests.mounted import Mounted
from wayside.settings.base import Settings
from wayside.settings.load import documents
from wayside.vocab.errors import Problem

NAME: Final = "helm-values"
API_PORT: Final = 8080
"""Of the chart's Service."""


class HelmValuesOptions(Settings):
    """Of `--target helm-values`.

    Example: ``{mode: serve}``
    """

    mode: Literal["serve", "extproc"] = "serve"
    """`serve`: the router takes requests and forwards them; `extproc`: an Envoy of yours asks it.
    """


@target(
    NAME,
    options=HelmValuesOptions,
    example="""\
name: semantic-router
namespace: vllm-semantic-router-system
target: helm-values
models:
  Model-A:
    service: {name: vllm-model-a, port: 8000}
  Model-B:
    service: {name: vllm-model-b, port: 8001}
default_model: Model-A
exposure: {kind: ingress, host: router.example.com, secret: router-tls}
""",
)
class HelmValues:
    """Values for our Helm chart; models' servers are there already."""

    def problems(self, intent: Intent) -> Sequence[Problem]:
        wish = options(intent, NAME, HelmValuesOptions)
        found = [
            *exposure.problems(intent, ("none", "route", "ingress", "gateway")),
            *rights.problems(intent),
            *servers.problems(intent),
        ]
        for name, model in intent.models.items():
            at = f"models.{name}"
            for field in ("run", "kserve", "pool"):
                if getattr(model, field):
                    what = "the chart deploys the router alone"
                    fix = "name the Service of its servers (service), or use another target"
                    found.append(Problem(what, f"{at}.{field}", fix))
        for field, where in (("clusters", "clusters"), ("labels", "labels")):
            if getattr(intent, field):
                found.append(Problem("the chart has no such thing", where, "leave it out"))
        if intent.gateway is not None and intent.exposure.kind != "gateway":
            fix = "write exposure.kind: gateway, or leave it out"
            found.append(Problem("nothing goes through a gateway", "gateway", fix))
        if intent.gateway is not None and intent.gateway.class_:
            what = "the chart makes no Gateway"
            found.append(Problem(what, "gateway.class", "leave it out"))
        if intent.router.storage_class and not intent.router.storage:
            fix = "write router.storage, too"
            found.append(Problem("there is no claim", "router.storage_class", fix))
        autoscale = intent.router.autoscale
        if autoscale is not None and autoscale.requests_per_second is not None:
            where = "router.autoscale.requests_per_second"
            found.append(Problem("the chart scales by CPU and memory", where, "write cpu"))
        if autoscale is not None and "replicas" in intent.router.model_fields_set:
            what, fix = "the autoscaler says how many there are", "leave it out"
            found.append(Problem(what, "router.replicas", fix))
        if wish.mode == "extproc" and intent.exposure.kind == "gateway":
            what = "in mode extproc no HTTPRoute leads to the router"
            found.append(Problem(what, "exposure.kind", "write mode: serve, or none"))
        return found

    def needs(self, intent: Intent) -> Sequence[Need]:
        return ()

    def steps(self, intent: Intent, scene: Scene) -> Iterator[Step]:
        made = values(intent)
        head = (
            f"# Made by `wayside deploy` for {intent.namespace}/{intent.name}.\n"
            f"# helm upgrade --install {intent.name} deploy/helm/semantic-router"
            f" -n {intent.namespace} --create-namespace -f values.yaml\n"
        )
        text = yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=99)
        yield Step(title="values", texts=(Text("values.yaml", head + text),))

    def checks(self, intent: Intent) -> Sequence[Check]:
        return [Check(title="the router is ready", path="/health")]


def values(intent: Intent) -> dict[str, Any]:
    """The chart's values; what the chart has by itself is left out."""
    wish, router = options(intent, NAME, HelmValuesOptions), intent.router
    made = configuration(
        intent,
        meta.places(intent),
        also=rights.settings(intent, folder="/app/models/maas"),
        embedded_tiers=True,
    )
    found: dict[str, Any] = {
        "mode": wish.mode,
        "fullnameOverride": intent.name,
        "image": image(router.image),
        "configOverride": documents(made.text)[0],
        "resources": _resources(router.resources),
        "networkPolicy": {"enabled": router.network_policy},
    }
    if router.autoscale is None:
        found["replicaCount"] = router.replicas
    else:
        found["autoscaling"] = {
            "enabled": True,
            "minReplicas": router.autoscale.min,
            "maxReplicas": router.autoscale.max,
            "targetCPUUtilizationPercentage": router.autoscale.cpu,
        }
    if router.autoscale is not None or router.replicas > 1:
        found["podDisruptionBudget"] = {"enabled": True}
    if router.storage is not None:
        found["persistence"] = {"enabled": True, "size": router.storage}
        if router.storage_class:
            found["persistence"]["storageClassName"] = router.storage_class
    if intent.monitoring:
        found["serviceMonitor"] = {"enabled": True}
        found["dashboards"] = {"enabled": True}
    if router_pod.asks_the_cluster(made.settings):
        found["cluster"] = {"enabled": True}
    held = mounted.volume(made.secrets, "credentials")
    if held is not None:
        found["extraVolumes"] = [held]
        mount = {"name": "credentials", "mountPath": Mounted.FOLDER, "readOnly": True}
        found["extraVolumeMounts"] = [mount]
        # The kubelet gives files to this group; on OpenShift the namespace says which.
        if intent.exposure.kind != "route":
            found["podSecurityContext"] = {
                "runAsNonRoot": True,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            }
    return found | _exposed(intent)


def _exposed(intent: Intent) -> dict[str, Any]:
    wish, gateway = intent.exposure, intent.gateway
    if wish.kind == "ingress":
        path = {"path": "/", "pathType": "Prefix"}
        made: dict[str, Any] = {"enabled": True, "hosts": [{"host": wish.host, "paths": [path]}]}
        if wish.tls == "edge":
            made["tls"] = [{"hosts": [wish.host], "secretName": wish.secret}]
        return {"ingress": made}
    if wish.kind == "route":
        made = {"enabled": True, "host": wish.host}
        if wish.tls == "none":
            made["tls"] = None
        return {"route": made}
    if wish.kind == "gateway" and gateway is not None:
        parent: dict[str, Any] = {
            "name": gateway.name,
            "namespace": gateway.namespace or intent.namespace,
        }
        if gateway.section:
            parent["sectionName"] = gateway.section
        host = wish.host or gateway.host
        made = {"enabled": True, "parentRefs": [parent], "hostnames": [host] if host else []}
        return {"httpRoute": made}
    return {}


def image(reference: str) -> Mapping[str, str]:
    """An image as the chart wants it: ``registry.example.com/team/wayside:1.2`` in parts."""
    name, at, digest = reference.partition("@")
    before, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        before, tag = name, ""
    return {"registry": "", "repository": before, "tag": tag, "digest": digest if at else ""}


def _resources(wish: Resources) -> dict[str, Any]:
    requests = {k: v for k, v in (("cpu", wish.cpu), ("memory", wish.memory)) if v}
    limits = {"memory": wish.memory} if wish.memory else {}
    return {"requests": requests, "limits": limits}
