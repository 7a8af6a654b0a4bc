"""Services and their EndpointSlices: the addresses behind a name, without going through it.

A connection to a Service goes wherever the cluster's proxy sends it; whoever chooses a replica
needs the replicas. EndpointSlices (``discovery.k8s.io/v1``) name them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from wayside.kube.client import Object
from wayside.vocab.objects import port, section, sections, text, texts

OF_SERVICE: Final = "kubernetes.io/service-name"
"""The label of a slice that names its Service; select by it."""


class ServicePort(msgspec.Struct, frozen=True):
    """A port of a Service. Its ``name`` is that of the slices' port, and may be empty."""

    name: str
    port: int


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A Service, as its clients see it."""

    name: str
    namespace: str
    labels: Mapping[str, str] = {}
    ports: tuple[ServicePort, ...] = ()
    external_name: str = ""
    """The DNS name that a Service of type ExternalName stands for; it has no slices."""

    def port_named(self, wanted: str | int | None) -> ServicePort | None:
        """The port of that name or number; without either, the only one, or one called
        ``http``."""
        if wanted is None:
            if len(self.ports) == 1:
                return self.ports[0]
            wanted = "http"
        return next((p for p in self.ports if wanted in (p.name, p.port)), None)

    def url(self, number: int) -> str:
        """Through the Service: its name is looked up within the cluster."""
        return f"http://{self.name}.{self.namespace}.svc:{number}"


class SliceEndpoint(msgspec.Struct, frozen=True):
    """One server of a slice: an address, and the pod behind it where there is one."""

    address: str
    ready: bool
    pod: str = ""


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a Service's endpoints: a Service may have many slices, and the same endpoint may
    be in two of them for a moment."""

    name: str
    namespace: str
    service: str = ""
    family: str = "IPv4"
    ports: tuple[tuple[str, int], ...] = ()
    """Names and numbers."""
    endpoints: tuple[SliceEndpoint, ...] = ()


class Backend(msgspec.Struct, frozen=True):
    """One server behind a Service."""

    host_port: str
    pod: str = ""


def read_service(found: Object) -> Service:
    """A Service of the API's object."""
    meta, spec = section(found, "metadata"), section(found, "spec")
    ports = [
        ServicePort(text(entry.get("name")), number)
        for entry in sections(spec.get("ports"))
        if (number := port(entry.get("port"))) is not None
    ]
    external = text(spec.get("externalName")) if spec.get("type") == "ExternalName" else ""
    return Service(
        name=text(meta.get("name")),
        namespace=text(meta.get("namespace")),
        labels=texts(meta.get("labels")),
        ports=tuple(ports),
        external_name=external,
    )


def read_slice(found: Object) -> Slice:
    """An EndpointSlice of the API's object. A condition that is not known counts as true, as the
    API documents for ``ready``."""
    meta = section(found, "metadata")
    endpoints = []
    for entry in sections(found.get("endpoints")):
        addresses = entry.get("addresses")
        address = text(addresses[0]) if isinstance(addresses, list) and addresses else ""
        target = section(entry, "targetRef")
        if address:  # consumers read the first only; the others mean the same server
            ready = section(entry, "conditions").get("ready") is not False
            pod = text(target.get("name")) if target.get("kind") == "Pod" else ""
            endpoints.append(SliceEndpoint(address, ready, pod))
    ports = [
        (text(entry.get("name")), number)
        for entry in sections(found.get("ports"))
        if (number := port(entry.get("port"))) is not None
    ]
    return Slice(
        name=text(meta.get("name")),
        namespace=text(meta.get("namespace")),
        service=texts(meta.get("labels")).get(OF_SERVICE, ""),
        family=text(found.get("addressType"), "IPv4"),
        ports=tuple(ports),
        endpoints=tuple(endpoints),
    )


def backends(
    service: Service, slices: Iterable[Slice], wanted: str | int | None = None
) -> tuple[Backend, ...]:
    """The ready servers behind a port of ``service``, in the order of their addresses.

    A Service of both families has each server twice, once per family: IPv4 is taken where there
    is any. Nothing if the Service has no such port.
    """
    of = service.port_named(wanted)
    if of is None:
        return ()
    mine = [s for s in slices if s.service == service.name and s.namespace == service.namespace]
    families = {s.family for s in mine if any(e.ready for e in s.endpoints)}
    family = "IPv4" if "IPv4" in families else next(iter(sorted(families)), "")
    found: dict[str, Backend] = {}
    for part in mine:
        if part.family != family:
            continue
        for number in (number for name, number in part.ports if name == of.name):
            for endpoint in part.endpoints:
                if endpoint.ready:
                    at = endpoint.address
                    at = f"[{at}]:{number}" if ":" in at else f"{at}:{number}"
                    found.setdefault(at, Backend(at, endpoint.pod))
    return tuple(found[at] for at in sorted(found))
