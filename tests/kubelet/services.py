"""EndpointSlices of Services by selector and readiness, and the addresses that lead to them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from tests.kubelet.names import Datagrams, over_tcp
from tests.kubelet.net import NODE, Balancer, Handler, Network, splice
from tests.kubelet.world import World, matches, owned_by
from wayside.kube.client import Object
from wayside.kube.errors import NotFound
from wayside.vocab.resource import ENDPOINT_SLICES, PODS, SERVICES

API = "10.96.0.1"
"""Where pods find the API server: ``kubernetes.default.svc``."""
DOMAIN = "cluster.local"
OURS = {"endpointslice.kubernetes.io/managed-by": "process-kubelet"}
OF_SERVICE = "kubernetes.io/service-name"
Address = tuple[str, int]


def is_ready(pod: Object) -> bool:
    found = (pod.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in found)


def port_of(pod: Object, wanted: Any) -> int | None:
    """The number of a container port, by name or number."""
    if isinstance(wanted, int):
        return wanted
    for container in pod["spec"]["containers"]:
        for entry in container.get("ports") or []:
            if entry.get("name") == wanted:
                return int(entry["containerPort"])
    return None


class Services:
    """Plays the endpoint slice controller, kube-proxy and CoreDNS."""

    def __init__(
        self,
        world: World,
        network: Network,
        api: tuple[str, int],
        outside: Mapping[str, tuple[str, int]],
    ) -> None:
        self._world, self._network, self._api = world, network, api
        self._outside = outside
        names = sorted({place.rpartition(":")[0] for place in outside})
        self._names = {name: f"203.0.113.{i}" for i, name in enumerate(names, 1)}
        """Addresses that belong to nobody (RFC 5737)."""
        self._balancers: dict[Address, Balancer] = {}
        self._forwards: dict[tuple[str, str, str], str] = {}

    async def start(self) -> None:
        await self._network.own(API)
        await self._network.listen(API, 443, self._to(self._api))
        for place, where in self._outside.items():
            name, _, port = place.rpartition(":")
            await self._network.own(self._names[name])
            await self._network.listen(self._names[name], int(port), self._to(where))
        await self._network.datagrams(NODE, 53, lambda: Datagrams(self.lookup))
        await self._network.listen(NODE, 53, over_tcp(self.lookup))
        self._world.keep(self.step)

    async def step(self) -> None:
        wanted: dict[Address, tuple[Address, ...]] = {}
        for service in self._world.all(SERVICES):
            await self._slices(service)
            address = service["spec"].get("clusterIP") or "None"
            for port in service["spec"].get("ports") or []:
                targets = self.targets(service, port)
                if address != "None" and targets:
                    wanted[address, port["port"]] = targets
        for key in [key for key in self._balancers if key not in wanted]:
            server = self._balancers.pop(key).server
            assert server is not None
            server.close()  # nobody listens: connections are refused, as kube-proxy does
        for key, targets in wanted.items():
            if key not in self._balancers:
                balancer = Balancer(self._network)
                await self._network.own(key[0])
                balancer.server = await self._network.listen(*key, balancer.handle)
                self._balancers[key] = balancer
            self._balancers[key].targets = targets

    def pods(self, service: Object) -> list[Object]:
        """Those that it selects and that have an address."""
        selector = service["spec"].get("selector")
        if not selector:
            return []
        return [
            pod
            for pod in self._world.all(PODS, service["metadata"]["namespace"])
            if matches(pod["metadata"].get("labels"), selector)
            and (pod.get("status") or {}).get("podIP")
            and pod["status"].get("phase") not in ("Succeeded", "Failed")
        ]

    def ready(self, service: Object, pod: Object) -> bool:
        if service["spec"].get("publishNotReadyAddresses"):
            return True
        return is_ready(pod) and not pod["metadata"].get("deletionTimestamp")

    def targets(self, service: Object, port: Object) -> tuple[Address, ...]:
        """The ready endpoints behind a port."""
        found = []
        for pod in self.pods(service):
            number = port_of(pod, port.get("targetPort", port["port"]))
            if number is not None and self.ready(service, pod):
                found.append((pod["status"]["podIP"], number))
        return tuple(sorted(found))

    def lookup(self, name: str) -> list[str] | None:
        """``<service>.<namespace>.svc.cluster.local``, headless ones with all their pods; and
        names outside of the cluster."""
        if name in self._names:
            return [self._names[name]]
        if not name.endswith(f".svc.{DOMAIN}"):
            return None
        labels = name.removesuffix(f".svc.{DOMAIN}").split(".")
        if labels == ["kubernetes", "default"]:
            return [API]
        service = self._world.get(SERVICES, labels[-1], labels[0]) if len(labels) == 2 else None
        if service is None:
            return None
        address = service["spec"].get("clusterIP")
        if address and address != "None":
            return [address]
        ready = [p for p in self.pods(service) if self.ready(service, p)]
        return sorted(p["status"]["podIP"] for p in ready)

    async def forward(self, namespace: str, service: str, port: int | str) -> str:
        """A URL on the test's side; the endpoints are looked up for each connection."""
        key = namespace, service, str(port)
        if key not in self._forwards:

            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                balancer = Balancer(self._network)
                balancer.targets = self._behind(namespace, service, port)
                await balancer.handle(reader, writer)

            server = await asyncio.start_server(handle, "127.0.0.1", 0)
            at = server.sockets[0].getsockname()
            self._forwards[key] = f"http://{at[0]}:{at[1]}"
        return self._forwards[key]

    def _behind(self, namespace: str, name: str, port: int | str) -> tuple[Address, ...]:
        if name.startswith("pod/"):
            pod = self._world.get(PODS, namespace, name.removeprefix("pod/"))
            number = port_of(pod, port) if pod else None
            return ((pod["status"]["podIP"], number),) if pod and number else ()
        service = self._world.get(SERVICES, namespace, name)
        ports = service["spec"].get("ports") or [] if service else []
        for entry in ports:
            if service and port in (entry.get("name"), entry["port"]):
                return self.targets(service, entry)
        return ()

    def _to(self, where: Address) -> Handler:
        """To a server of this machine."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await splice((reader, writer), await asyncio.open_connection(*where))
            except OSError:
                writer.transport.abort()

        return handle

    async def _slices(self, service: Object) -> None:
        """One slice for each set of port numbers that its pods have."""
        meta = service["metadata"]
        groups: dict[tuple[tuple[str, int], ...], list[Object]] = {}
        for pod in self.pods(service):
            numbers = tuple(
                (port.get("name", ""), number)
                for port in service["spec"].get("ports") or []
                if (number := port_of(pod, port.get("targetPort", port["port"]))) is not None
            )
            groups.setdefault(numbers, []).append(pod)
        if service["spec"].get("selector") and not groups:
            groups[()] = []
        names = set()
        for i, (numbers, pods) in enumerate(sorted(groups.items())):
            names.add(name := f"{meta['name']}-{i}")
            body: dict[str, Any] = {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": name,
                    "labels": {OF_SERVICE: meta["name"], **OURS},
                    "ownerReferences": [owned_by(service, "v1", "Service")],
                },
                "addressType": "IPv4",
                "ports": [{"name": n, "port": p, "protocol": "TCP"} for n, p in numbers],
                "endpoints": [self._endpoint(service, pod) for pod in pods],
            }
            found = self._world.get(ENDPOINT_SLICES, meta["namespace"], name)
            if found is None or any(found.get(k) != body[k] for k in ("ports", "endpoints")):
                await self._world.client.apply(
                    ENDPOINT_SLICES, body, meta["namespace"], manager="kubelet", force=True
                )
        for old in self._world.all(ENDPOINT_SLICES, meta["namespace"]):
            mine = matches(old["metadata"].get("labels"), {OF_SERVICE: meta["name"], **OURS})
            if mine and old["metadata"]["name"] not in names:
                with contextlib.suppress(NotFound):
                    await self._world.client.delete(
                        ENDPOINT_SLICES, old["metadata"]["name"], meta["namespace"]
                    )

    def _endpoint(self, service: Object, pod: Object) -> Object:
        meta = pod["metadata"]
        return {
            "addresses": [pod["status"]["podIP"]],
            "conditions": {
                "ready": self.ready(service, pod),
                "serving": is_ready(pod),
                "terminating": "deletionTimestamp" in meta,
            },
            "nodeName": "node",
            "targetRef": {
                "kind": "Pod",
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],
            },
        }
