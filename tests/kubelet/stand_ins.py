"""Other people's controllers, as far as our tests need them: stand-ins, not the real ones.

``kserve``: an InferenceService of KServe gets a Deployment of a simulator and the Service
``<name>-predictor``, and its status follows. ``llms``: an LLMInferenceService gets the pods of its
template behind ``<name>-kserve-workload-svc``. ``gateway``: Gateways are programmed and HTTPRoutes
accepted. ``router``: OpenShift's Routes are admitted, with a generated host where they have none.
``istio``: Gateways of that class carry traffic, through a real Envoy (:mod:`tests.kubelet.istio`).
"""

from __future__ import annotations

import functools
from typing import Any

from tests.kubelet import istio
from tests.kubelet.services import is_ready
from tests.kubelet.world import World, conditions, matches, owned_by
from wayside.kube.client import Object
from wayside.vocab.resource import (
    DEPLOYMENTS,
    GATEWAYS,
    HTTP_ROUTES,
    KSERVE_SERVICES,
    PODS,
    ROUTES,
    SERVICES,
    Resource,
)

APPS = "apps.cluster.test"
LLMS = Resource("serving.kserve.io", "v1alpha2", "llminferenceservices")


KINDS = {
    "kserve": ((KSERVE_SERVICES, "InferenceService"),),
    "llms": ((LLMS, "LLMInferenceService"),),
    "gateway": ((GATEWAYS, "Gateway"), (HTTP_ROUTES, "HTTPRoute")),
    "router": ((ROUTES, "Route"),),
}


def definitions(name: str) -> list[Object]:
    """CRDs that take anything, for the kinds of one of them: their own may not be at hand."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    return [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": f"{resource.plural}.{resource.group}",
                "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
            },
            "spec": {
                "group": resource.group,
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": resource.plural, "singular": kind.lower()},
                "versions": [
                    {
                        "name": resource.version,
                        "served": True,
                        "storage": True,
                        "subresources": {"status": {}},
                        "schema": {"openAPIV3Schema": schema},
                    }
                ],
            },
        }
        for resource, kind in KINDS[name]
    ]


async def play(world: World, name: str) -> None:
    """Begin with one of them. Raises ``KeyError`` for others."""
    if name == "istio":
        await world.follow(*istio.FOLLOWED)
        world.keep(istio.Istio(world).step)
        return
    step = {"kserve": _kserve, "llms": _llms, "gateway": _gateway, "router": _router}[name]
    await world.follow(*(resource for resource, _ in KINDS[name]))
    world.keep(functools.partial(step, world))


async def _kserve(world: World) -> None:
    for found in world.all(KSERVE_SERVICES):
        meta = found["metadata"]
        if meta.get("deletionTimestamp"):
            continue
        name, namespace = f"{meta['name']}-predictor", meta["namespace"]
        for resource, body in ((DEPLOYMENTS, _server(found, name)), (SERVICES, _front(name))):
            if world.get(resource, namespace, name) is None:
                body["metadata"]["ownerReferences"] = [
                    owned_by(found, "serving.kserve.io/v1beta1", "InferenceService")
                ]
                await world.client.apply(resource, body, namespace, manager="kserve", force=True)
        pods = world.all(PODS, namespace)
        up = any(is_ready(p) and matches(p["metadata"].get("labels"), _labels(name)) for p in pods)
        url = f"http://{name}.{namespace}.svc.cluster.local"
        old = (found.get("status") or {}).get("conditions") or []
        said = [{"type": t, "status": str(up)} for t in ("PredictorReady", "Ready")]
        status = {"url": url, "address": {"url": url}, "conditions": conditions(old, said)}
        await world.status(KSERVE_SERVICES, found, status)


def _labels(name: str) -> dict[str, str]:
    return {"app": f"isvc.{name}"}


def _server(of: Object, name: str) -> Object:
    """A simulator that serves the model of the object's name, unless its predictor says another
    with an argument ``--served-model-name=``."""
    predictor = of["spec"].get("predictor") or {}
    args = (predictor.get("model") or {}).get("args") or []
    served = [a.partition("=")[2] for a in args if a.startswith("--served-model-name=")]
    model = served[0] if served else of["metadata"]["name"]
    container: dict[str, Any] = {
        "name": "kserve-container",
        "image": "wayside-sim",
        "args": ["--model", model, "--host", "0.0.0.0", "--port", "8080", "--itl", "0.001"],
        "ports": [{"containerPort": 8080, "name": "http1"}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 2},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": _labels(name)},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": _labels(name)},
            "template": {
                "metadata": {"labels": _labels(name)},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
            },
        },
    }


def _front(name: str) -> Object:
    port = {"name": "http", "port": 80, "targetPort": 8080}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": _labels(name)},
        "spec": {"selector": _labels(name), "ports": [port]},
    }


async def _llms(world: World) -> None:
    for found in world.all(LLMS):
        meta = found["metadata"]
        if meta.get("deletionTimestamp"):
            continue
        name, namespace = meta["name"], meta["namespace"]
        labels = {"app.kubernetes.io/name": name, "kserve.io/component": "workload"}
        pods = {"metadata": {"labels": labels}, "spec": found["spec"]["template"]}
        server = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": f"{name}-kserve"},
            "spec": {
                "replicas": found["spec"].get("replicas", 1),
                "selector": {"matchLabels": labels},
                "template": pods,
            },
        }
        front = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"{name}-kserve-workload-svc"},
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 8000}]},
        }
        for resource, body in ((DEPLOYMENTS, server), (SERVICES, front)):
            body["metadata"]["ownerReferences"] = [  # type: ignore[index]
                owned_by(found, LLMS.api_version, "LLMInferenceService")
            ]
            if world.get(resource, namespace, body["metadata"]["name"]) is None:  # type: ignore[index]
                await world.client.apply(resource, body, namespace, manager="kserve", force=True)
        running = world.all(PODS, namespace)
        up = any(is_ready(p) and matches(p["metadata"].get("labels"), labels) for p in running)
        old = (found.get("status") or {}).get("conditions") or []
        said = [{"type": t, "status": str(up)} for t in ("WorkloadsReady", "Ready")]
        await world.status(LLMS, found, {"conditions": conditions(old, said)})


async def _gateway(world: World) -> None:
    for gateway in world.all(GATEWAYS):
        meta = gateway["metadata"]
        old = (gateway.get("status") or {}).get("conditions") or []
        await world.status(
            GATEWAYS,
            gateway,
            {"conditions": conditions(old, _good(meta, "Accepted", "Programmed"))},
        )
    for route in world.all(HTTP_ROUTES):
        meta = route["metadata"]
        before = {
            str(p["parentRef"]): p["conditions"]
            for p in (route.get("status") or {}).get("parents") or []
        }
        parents = []
        for reference in route["spec"].get("parentRefs") or []:
            namespace = reference.get("namespace", meta["namespace"])
            if world.get(GATEWAYS, namespace, reference["name"]) is None:
                continue
            new = conditions(
                before.get(str(reference), []), _good(meta, "Accepted", "ResolvedRefs")
            )
            parents.append(
                {"parentRef": reference, "controllerName": "stand.in/gateway", "conditions": new}
            )
        await world.status(HTTP_ROUTES, route, {"parents": parents})


def _good(meta: Object, *types: str) -> list[Object]:
    return [
        {
            "type": kind,
            "status": "True",
            "reason": kind,
            "message": "",
            "observedGeneration": meta.get("generation", 1),
        }
        for kind in types
    ]


async def _router(world: World) -> None:
    for route in world.all(ROUTES):
        meta, spec = route["metadata"], route["spec"]
        host = spec.get("host") or f"{meta['name']}-{meta['namespace']}.{APPS}"
        old = ((route.get("status") or {}).get("ingress") or [{}])[0].get("conditions") or []
        entry = {
            "host": host,
            "routerName": "default",
            "conditions": conditions(old, [{"type": "Admitted", "status": "True"}]),
            "wildcardPolicy": "None",
        }
        await world.status(ROUTES, route, {"ingress": [entry]})
