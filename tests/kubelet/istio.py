"""Plays Istio's control plane for Gateways of class ``istio``: a real Envoy is the gateway.

A Gateway gets a Deployment and a Service ``<name>-istio``, as Istio names them; HTTPRoutes,
InferencePools, DestinationRules, ServiceEntries and EnvoyFilters become what Envoy is told
(:mod:`tests.kubelet.istio_envoy`), and statuses say what became of them.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.kubelet import istio_envoy
from tests.kubelet.istio_envoy import GATEWAY_NAME, LISTENS, Mesh, NotPlayed, Refs
from tests.kubelet.services import is_ready, port_of
from tests.kubelet.world import World, conditions, matches, owned_by
from wayside.kube.client import Object
from wayside.vocab.resource import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    GATEWAYS,
    HTTP_ROUTES,
    PODS,
    SECRETS,
    SERVICES,
    Resource,
    kind_of,
)

NETWORKING = "networking.istio.io"
POOLS = Resource("inference.networking.k8s.io", "v1", "inferencepools")
ENTRIES = Resource(NETWORKING, "v1", "serviceentries")
RULES = Resource(NETWORKING, "v1", "destinationrules")
FILTERS = Resource(NETWORKING, "v1alpha3", "envoyfilters")
FOLLOWED = (GATEWAYS, HTTP_ROUTES, POOLS, ENTRIES, RULES, FILTERS)
IMAGE = "docker.io/istio/proxyv2:1.28.0"
FOLDER = "/etc/istio/proxy"
CERTIFICATES = "system-certificates"
"""A ConfigMap of the gateway's namespace that takes the place of its image's own authorities."""
CONTROLLER = "istio.io/gateway-controller"


class Istio:
    def __init__(self, world: World) -> None:
        self._world = world
        self._applied: dict[str, str] = {}

    async def step(self) -> None:
        for gateway in self._world.all(GATEWAYS):
            ours = gateway["spec"].get("gatewayClassName") == "istio"
            if ours and not gateway["metadata"].get("deletionTimestamp"):
                await self._gateway(gateway)

    async def _gateway(self, gateway: Object) -> None:
        world, meta = self._world, gateway["metadata"]
        mesh = self._mesh()
        told: list[Object] = []
        for route in mesh.routes:
            parents = [p for p in route["spec"].get("parentRefs") or [] if _means(p, route, meta)]
            if not parents:
                continue
            accepted, resolved = "Accepted", "ResolvedRefs"
            try:
                told += istio_envoy.routes_of(mesh, route)
            except Refs as problem:
                resolved = str(problem)
            except NotPlayed:
                accepted = "UnsupportedValue"
            await self._route_status(route, parents, accepted, resolved)
        for pool in mesh.pools:
            await self._pool_status(pool, meta)
        told.sort(key=lambda r: (-len(r["match"]["prefix"]), -len(r["match"]["headers"])))
        name, namespace = f"{meta['name']}-istio", meta["namespace"]
        data = istio_envoy.files(mesh, gateway, told, FOLDER)
        labels = {GATEWAY_NAME: meta["name"], "istio.io/gateway-name": meta["name"]}
        await self._apply(
            gateway,
            labels,
            {
                CONFIG_MAPS: {"metadata": {"name": name}, "data": data},
                DEPLOYMENTS: self._proxy(name, namespace, labels),
                SERVICES: _front(name, labels, gateway),
            },
        )
        deployment = world.get(DEPLOYMENTS, namespace, name) or {}
        service = world.get(SERVICES, namespace, name) or {}
        up = bool((deployment.get("status") or {}).get("availableReplicas"))
        address = (service.get("spec") or {}).get("clusterIP")
        said = [
            _condition("Accepted", "True", "Accepted", meta),
            _condition("Programmed", str(up), "Programmed" if up else "AddressNotAssigned", meta),
        ]
        old = (gateway.get("status") or {}).get("conditions") or []
        addresses = [{"type": "IPAddress", "value": address}] if address else []
        await world.status(
            GATEWAYS, gateway, {"conditions": conditions(old, said), "addresses": addresses}
        )

    def _mesh(self) -> Mesh:
        world = self._world

        def secret(namespace: str, name: str) -> dict[str, str]:
            found = (world.get(SECRETS, namespace, name) or {}).get("data") or {}
            return {k: base64.b64decode(v).decode() for k, v in found.items()}

        return Mesh(
            services=world.all(SERVICES),
            entries=world.all(ENTRIES),
            rules=world.all(RULES),
            filters=world.all(FILTERS),
            pools=world.all(POOLS),
            routes=world.all(HTTP_ROUTES),
            endpoints=self._endpoints,
            members=self._members,
            secret=secret,
        )

    def _ready(self, namespace: str, selector: dict[str, str]) -> list[Object]:
        return [
            pod
            for pod in self._world.all(PODS, namespace)
            if selector
            and matches(pod["metadata"].get("labels"), selector)
            and is_ready(pod)
            and not pod["metadata"].get("deletionTimestamp")
            and pod["status"].get("podIP")
        ]

    def _endpoints(self, service: Object, port: Object) -> list[tuple[str, int]]:
        found = []
        selector = service["spec"].get("selector") or {}
        for pod in self._ready(service["metadata"]["namespace"], selector):
            number = port_of(pod, port.get("targetPort", port["port"]))
            if number is not None:
                found.append((str(pod["status"]["podIP"]), number))
        return sorted(found)

    def _members(self, pool: Object) -> list[tuple[str, int]]:
        selector = pool["spec"]["selector"]["matchLabels"]
        return sorted(
            (str(pod["status"]["podIP"]), int(port["number"]))
            for pod in self._ready(pool["metadata"]["namespace"], selector)
            for port in pool["spec"]["targetPorts"]
        )

    async def _apply(
        self, gateway: Object, labels: dict[str, str], made: dict[Resource, Object]
    ) -> None:
        """All of them anew, as istiod does, when one of them is not as it was said last. What
        others wrote into fields of their own stays."""
        meta, world = gateway["metadata"], self._world
        reference = owned_by(gateway, "gateway.networking.k8s.io/v1", "Gateway")
        for resource, body in made.items():
            body |= {"apiVersion": resource.api_version, "kind": kind_of(resource)}
            body["metadata"] |= {"labels": labels, "ownerReferences": [reference]}
        text = json.dumps(list(made.values()), sort_keys=True)
        name, namespace = f"{meta['name']}-istio", meta["namespace"]
        there = all(world.get(resource, namespace, name) for resource in made)
        if there and self._applied.get(meta["uid"]) == text:
            return
        for resource, body in made.items():
            await world.client.apply(resource, body, namespace, manager="istio", force=True)
        self._applied[meta["uid"]] = text

    def _proxy(self, name: str, namespace: str, labels: dict[str, str]) -> Object:
        """As istiod makes it, with a variable or two of its own."""
        mounts: list[Object] = [{"name": "told", "mountPath": FOLDER}]
        volumes: list[Object] = [{"name": "told", "configMap": {"name": name}}]
        if self._world.get(CONFIG_MAPS, namespace, CERTIFICATES) is not None:
            mounts.append({"name": "certificates", "mountPath": "/etc/ssl/certs"})
            volumes.append({"name": "certificates", "configMap": {"name": CERTIFICATES}})
        container: Object = {
            "name": "istio-proxy",
            "image": IMAGE,
            "args": [
                "-c",
                f"{FOLDER}/envoy.json",
                "-l",
                "warning",
                "--concurrency",
                "1",
                "--file-flush-interval-msec",
                "50",
            ],
            "env": [{"name": "PILOT_CERT_PROVIDER", "value": "istiod"}],
            "ports": [{"name": "http", "containerPort": LISTENS}],
            "readinessProbe": {"tcpSocket": {"port": LISTENS}, "periodSeconds": 2},
            "volumeMounts": mounts,
        }
        pod = {
            "containers": [container],
            "volumes": volumes,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
        }
        template = {"metadata": {"labels": labels}, "spec": pod}
        spec = {"selector": {"matchLabels": labels}, "template": template}
        return {"metadata": {"name": name}, "spec": spec}

    async def _route_status(
        self, route: Object, parents: list[Object], accepted: str, resolved: str
    ) -> None:
        meta = route["metadata"]
        before = {
            str(p["parentRef"]): p["conditions"]
            for p in (route.get("status") or {}).get("parents") or []
        }
        good = accepted == "Accepted"
        said = [
            _condition("Accepted", str(good), accepted, meta),
            _condition("ResolvedRefs", str(resolved == "ResolvedRefs"), resolved, meta),
        ]
        new = [
            {
                "parentRef": parent,
                "controllerName": CONTROLLER,
                "conditions": conditions(before.get(str(parent), []), said),
            }
            for parent in parents
        ]
        await self._world.status(HTTP_ROUTES, route, {"parents": new})

    async def _pool_status(self, pool: Object, gateway: Object) -> None:
        meta = pool["metadata"]
        name = pool["spec"]["endpointPickerRef"]["name"]
        there = self._world.get(SERVICES, meta["namespace"], name) is not None
        parents = (pool.get("status") or {}).get("parents") or []
        old = parents[0]["conditions"] if parents else []
        reason = "ResolvedRefs" if there else "InvalidExtensionRef"
        said = [
            _condition("Accepted", "True", "Accepted", meta),
            _condition("ResolvedRefs", str(there), reason, meta),
        ]
        parent: dict[str, Any] = {
            "group": "gateway.networking.k8s.io",
            "kind": "Gateway",
            "name": gateway["name"],
            "namespace": gateway["namespace"],
        }
        entry = {"parentRef": parent, "conditions": conditions(old, said)}
        await self._world.status(POOLS, pool, {"parents": [entry]})


def _means(parent: Object, route: Object, gateway: Object) -> bool:
    where = parent.get("namespace", route["metadata"]["namespace"])
    return (parent["name"], where) == (gateway["name"], gateway["namespace"])


def _condition(kind: str, status: str, reason: str, meta: Object) -> Object:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": meta.get("generation", 1),
    }


def _front(name: str, labels: dict[str, str], gateway: Object) -> Object:
    ports = [
        {"name": one["name"], "port": one["port"], "targetPort": LISTENS}
        for one in gateway["spec"]["listeners"]
    ]
    spec = {"selector": labels, "ports": ports}
    return {"metadata": {"name": name}, "spec": spec}
